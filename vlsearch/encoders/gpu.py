"""Photos through an image tower on a GPU: compiled for one batch size, with copies that overlap computing."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from vlsearch.encoders.base import Preprocess

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

BATCH = 256
"""photos at once, always: what is missing is filled up, so that the tower is compiled once"""
LANES_PER_GPU = 2
"""one copies its photos there while the other's are computed"""

log = logging.getLogger(__name__)


class Tower:
    """A replica of an image tower on one device, which several threads may use."""

    def __init__(self, visual: Any, preprocess: Preprocess, dtype: torch.dtype, device: torch.device) -> None:
        import torch

        self.preprocess, self.dtype, self.device = preprocess, dtype, device
        self.visual = copy.deepcopy(visual).to(device=device, dtype=dtype, memory_format=torch.channels_last)
        shape = (1, 3, 1, 1)
        self.mean = 255 * torch.tensor(preprocess.mean, device=device).view(shape)
        self.std = 255 * torch.tensor(preprocess.std, device=device).view(shape)
        self.compute: Callable[[torch.Tensor], torch.Tensor] = self.features

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, height, width, 3) uint8 on the device to (n, dim) float32 unit rows there."""
        import torch

        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        found = self.visual(x.to(self.dtype, memory_format=torch.channels_last))
        features = found[0] if isinstance(found, tuple) else found
        return torch.nn.functional.normalize(features.float(), dim=-1)

    def compile(self) -> None:
        """Compiles for batches of BATCH photos; where there is no compiler, or not for this tower, it runs as it is.

        No CUDA graphs: launching a batch this large takes a fraction of computing it, and graphs belong to a thread.
        """
        import torch

        compiled = torch.compile(self.features, dynamic=False)
        try:
            with torch.inference_mode():
                compiled(self.blank())
            self.compute = compiled
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.info("the image tower runs uncompiled on %s (%s)", self.device, reason[:200])

    def blank(self) -> torch.Tensor:
        import torch

        return torch.zeros((BATCH, *self.preprocess.size, 3), dtype=torch.uint8, device=self.device)


class Lane:
    """Embeds on one GPU, from one thread, in a stream of its own: photos that are decoded, or plain JPEGs as files."""

    def __init__(self, tower: Tower) -> None:
        import torch

        self._tower, self._pixels = tower, tower.blank()
        on_gpu = tower.device.type == "cuda"
        self._staging = torch.zeros(self._pixels.shape, dtype=torch.uint8, pin_memory=on_gpu)
        stream: Any = torch.cuda.Stream(tower.device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._in_stream = partial(torch.cuda.stream, stream) if on_gpu else nullcontext

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, height, width, 3) uint8 sRGB to (n, dim) unit rows, in batches of BATCH."""
        import numpy as np
        import torch

        source = torch.from_numpy(np.require(pixels, requirements=("C", "W")))

        def fill(start: int, count: int) -> None:
            self._staging[:count].copy_(source[start : start + count])
            self._pixels[:count].copy_(self._staging[:count], non_blocking=True)

        return self._embed(len(source), fill)

    def embed_jpegs(self, files: Sequence[bytes], orientations: Sequence[int]) -> NDArray[np.float32]:
        """As `__call__`, for JPEG files of which `jpeg.orientation_if_plain` gave the orientations.

        Raises UnreadableFile, without saying which file it was, if the GPU cannot decode them.
        """
        from vlsearch.encoders.jpeg import decode_plain

        def fill(start: int, count: int) -> None:
            part = slice(start, start + count)
            photos = decode_plain(files[part], orientations[part], self._tower.preprocess, self._tower.device)
            for place, photo in enumerate(photos):
                self._pixels[place].copy_(photo)

        return self._embed(len(files), fill)

    def _embed(self, n: int, fill: Callable[[int, int], None]) -> NDArray[np.float32]:
        """`fill(start, count)` puts photos into `_pixels`; what a smaller batch leaves there of the one before is
        computed too, and ignored."""
        import torch

        parts = []
        with torch.inference_mode(), self._in_stream():
            for start in range(0, n, BATCH):
                count = min(BATCH, n - start)
                fill(start, count)
                # .cpu() waits: only then may the staging memory be filled anew.
                parts.append(self._tower.compute(self._pixels)[:count].cpu())
        if not parts:
            with torch.inference_mode():
                parts = [self._tower.features(self._pixels[:1])[:0].cpu()]
        rows: NDArray[np.float32] = torch.cat(parts).numpy()
        return rows


def gpu_lanes(visual: Any, preprocess: Preprocess, dtype: torch.dtype) -> list[Lane]:
    """LANES_PER_GPU for every GPU that this process sees, each GPU with a replica of `visual`."""
    import torch

    lanes = []
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        with torch.cuda.device(device):
            tower = Tower(visual, preprocess, dtype, device)
            tower.compile()
            lanes += [Lane(tower) for _ in range(LANES_PER_GPU)]
            torch.cuda.synchronize(device)
    return lanes
