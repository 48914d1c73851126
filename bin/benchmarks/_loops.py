"""What one writes without vlsearch: a plain open_clip loop, and the same on ONNX Runtime with a pool that decodes."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

BATCH = 32
AHEAD = 3
"""batches decoded ahead of the encoder"""


def open_clip_loop(model, preprocess, paths: Sequence[Path]) -> float:
    """Photos/s: Pillow, open_clip's own preprocessing, fp32, batches of 32, one after the other."""
    import torch
    from PIL import Image

    began = time.perf_counter()
    with torch.no_grad():
        for start in range(0, len(paths), BATCH):
            batch = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in paths[start : start + BATCH]])
            model.encode_image(batch, normalize=True)
    return len(paths) / (time.perf_counter() - began)


class OnnxLoop:
    """The image tower in fp32 on ONNX Runtime with all threads; the same preprocessing in as many workers as cores.

    Whether the workers are threads or processes, and whether ONNX Runtime's threads spin while they wait, is tried on
    the first photos; the fastest is kept. `chosen` says which.
    """

    def __init__(self, model, preprocess, folder: Path, trial: Sequence[Path]) -> None:
        file = folder / "image.onnx"
        export(model, file)
        self.preprocess = preprocess
        self.workers = os.cpu_count() or 1
        tried = []
        for spinning, processes in itertools.product((False, True), (False, True)):
            self.session, self.pool = session(file, spinning), self._pool(processes)
            self(trial[: self.workers])
            name = f"{'processes' if processes else 'threads'}, {'spinning' if spinning else 'waiting'}"
            tried.append((self(trial), name, spinning, processes))
            self.pool.shutdown()
        _, self.chosen, spinning, processes = max(tried)
        self.session, self.pool = session(file, spinning), self._pool(processes)
        self._check(model, trial[0])
        self(trial[: self.workers])

    def __call__(self, paths: Sequence[Path]) -> float:
        """Photos/s."""
        began = time.perf_counter()
        todo = iter(paths)
        window = deque(self.pool.submit(pixels, path) for path in itertools.islice(todo, AHEAD * BATCH))
        while window:
            batch = []
            while window and len(batch) < BATCH:
                batch.append(window.popleft().result())
                window.extend(self.pool.submit(pixels, path) for path in itertools.islice(todo, 1))
            self.session.run(None, {"pixels": np.stack(batch)})
        return len(paths) / (time.perf_counter() - began)

    def _pool(self, processes: bool) -> Executor:
        if not processes:
            begin(self.preprocess, None)
            return ThreadPoolExecutor(self.workers)
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, initializer=begin, initargs=(self.preprocess, 1))

    def _check(self, model, path: Path) -> None:
        """The exported tower gives what torch gives."""
        import torch

        x = self.pool.submit(pixels, path).result()[None]
        with torch.no_grad():
            expected = model.encode_image(torch.from_numpy(x), normalize=True).numpy()
        (found,) = self.session.run(None, {"pixels": x})
        cosine = float((found * expected).sum())
        assert cosine > 0.9999, f"ONNX Runtime and torch differ: cosine {cosine}"


_preprocess: Callable | None = None


def begin(preprocess, threads: int | None) -> None:
    """What a worker needs; torch on one thread in each process, as there is one for each core."""
    global _preprocess
    _preprocess = preprocess
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def pixels(path: Path) -> np.ndarray:
    """(3, height, width) float32, normalised."""
    from PIL import Image

    assert _preprocess is not None
    return _preprocess(Image.open(path).convert("RGB")).numpy()


def export(model, file: Path) -> None:
    """The image tower with its normalisation, for batches of any size."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise SystemExit("the ONNX baseline needs more packages: pip install onnx onnxscript") from None
    import torch

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = model.visual

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(self.visual(x), dim=-1)

    height, width = model.visual.image_size
    shapes = ({0: torch.export.Dim("n", min=1, max=4 * BATCH)},)
    example = (torch.zeros(2, 3, height, width),)
    with torch.no_grad():
        torch.onnx.export(
            *(Tower().eval(), example, str(file)),
            input_names=["pixels"],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )


def session(file: Path, spinning: bool):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
