"""Photos/s of a whole ingest of one collection beside two loops that do not store anything, and beside its own stages.

ViT-B-32 with random weights; every model is loaded beforehand. Medians, taken in turn. vlsearch also hashes, writes
shards, catalog and index. Decoding and embedding share the cores, so their seconds per photo add up: the most that a
pipeline can reach is 1 / (1/decode + 1/embed).
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._loops import BATCH, OnnxLoop, open_clip_loop
from benchmarks._material import REPEATS, random_model, temporary

MODEL = "ViT-B-32"
SHARE = 8
"""photos that a process is given at a time when decoding is measured alone"""


def measured(photos: Path) -> dict[str, float]:
    from vlsearch.encoders import registry

    paths = sorted(photos.iterdir())
    model, preprocess, _ = random_model(MODEL)
    with temporary() as folder:
        onnx = OnnxLoop(model, preprocess, folder, paths[: 2 * BATCH])
        encoder = registry.load(MODEL, random_weights(model, folder))
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
            ready = np.concatenate(list(pool.map(partial(decoded, encoder.preprocess), shares(paths))))
            stages = {
                "open_clip loop, photos/s": lambda: open_clip_loop(model, preprocess, paths),
                "ONNX Runtime loop, photos/s": lambda: onnx(paths),
                "vlsearch ingest, photos/s": lambda: ingest(encoder, photos),
                "decode alone, photos/s": lambda: decode_alone(pool, paths, encoder),
                "embed alone, photos/s": lambda: embed_alone(encoder, ready),
            }
            open_clip_loop(model, preprocess, paths[:BATCH])
            ingest(encoder, photos)
            runs = [{name: stage() for name, stage in stages.items()} for _ in range(REPEATS)]
    figures = {name: statistics.median(run[name] for run in runs) for name in stages}
    loop, onnx_loop, ours, decode, embed = figures.values()
    bound = 1 / (1 / decode + 1 / embed)
    print(f"{len(paths)} photos, medians of {REPEATS}; the ONNX loop decodes in {onnx.workers} {onnx.chosen}")
    return figures | {
        "bound of both on the same cores, photos/s": bound,
        "share of the bound": ours / bound,
        "times the open_clip loop": ours / loop,
        "times the ONNX Runtime loop": ours / onnx_loop,
    }


def random_weights(model, folder: Path) -> Path:
    """The model's weights as a file, so that vlsearch loads it as it loads any."""
    from safetensors.torch import save_file

    file = folder / "weights.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}, file)
    return file


def ingest(encoder, photos: Path) -> float:
    from vlsearch.ingest.pipeline import ingest
    from vlsearch.library import open_library

    with temporary() as folder, open_library(folder / "library", write=True, create=True) as library:
        summary = ingest(library, [photos], encoder.name, lambda: encoder)
    assert summary.embedded == sum(1 for _ in photos.iterdir()), summary
    return summary.embedded / summary.seconds


def shares(paths: list[Path]) -> list[list[Path]]:
    return [paths[i : i + SHARE] for i in range(0, len(paths), SHARE)]


def decoded(preprocess, paths: Sequence[Path]) -> np.ndarray:
    """(n, height, width, 3) uint8: the files read and decoded as an ingest does it."""
    from vlsearch.ingest.decode import decode

    return np.stack([decode(path.read_bytes(), preprocess).pixels for path in paths])


def decode_all(preprocess, paths: Sequence[Path]) -> int:
    return len(decoded(preprocess, paths))


def decode_alone(pool: ProcessPoolExecutor, paths: list[Path], encoder) -> float:
    began = time.perf_counter()
    assert sum(pool.map(partial(decode_all, encoder.preprocess), shares(paths))) == len(paths)
    return len(paths) / (time.perf_counter() - began)


def embed_alone(encoder, pixels: np.ndarray) -> float:
    lanes = encoder.image_lanes()
    step = encoder.lane_batch
    batches = [pixels[i : i + step] for i in range(0, len(pixels), step)]

    def work(number: int) -> int:
        return sum(len(lanes[number](batch)) for batch in batches[number :: len(lanes)])

    with ThreadPoolExecutor(len(lanes)) as pool:
        began = time.perf_counter()
        assert sum(pool.map(work, range(len(lanes)))) == len(pixels)
        return len(pixels) / (time.perf_counter() - began)
