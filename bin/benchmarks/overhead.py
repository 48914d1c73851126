"""Photos/s of the whole pipeline with an encoder that costs nothing, on 20,000 JPEGs of 64 × 64, beside plain decoding.

What a photo costs besides the model: walking, reading, hashing, decoding, catalog, shards, index. On a machine with a
GPU this is the limit.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks._material import QUICK, REPEATS, temporary, tiny_jpegs

COUNT = 2_000 if QUICK else 20_000


def run() -> dict[str, float]:
    import os

    from PIL import Image

    from vlsearch.encoders.base import Preprocess
    from vlsearch.ingest.decode import decode
    from vlsearch.ingest.pipeline import ingest
    from vlsearch.library import open_library

    class Nothing:
        """Unit vectors of 512 dimensions that depend on the photo, for the price of a copy."""

        name, fingerprint, dim, context_length, logit_scale = "nothing", "nothing", 512, 77, 1.0
        lane_batch = 64
        preprocess = Preprocess((224, 224), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        source: dict[str, Any] = {"name": "nothing"}  # noqa: RUF012 - as the protocol has it

        def embed_images(self, pixels: np.ndarray) -> np.ndarray:
            rows = pixels.reshape(len(pixels), -1)[:, : self.dim].astype(np.float32) + 1
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        def image_lanes(self) -> list[Any]:
            return [self.embed_images] * (os.cpu_count() or 1)

        def probe(self) -> None:
            pass

        def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
            return np.full((len(texts), self.dim), self.dim**-0.5, np.float32)

    def whole() -> float:
        with temporary() as place, open_library(place / "library", write=True, create=True) as library:
            summary = ingest(library, [photos], Nothing.name, Nothing)
        assert summary.embedded == COUNT, summary
        return COUNT / summary.seconds

    def timed(work) -> float:
        began = time.perf_counter()
        for path in paths:
            work(path)
        return COUNT / (time.perf_counter() - began)

    with temporary() as folder:
        photos = tiny_jpegs(folder / "photos", COUNT, 64)
        paths = sorted(photos.rglob("*.jpg"))
        stages = {
            "vlsearch ingest, photos/s": whole,
            "our decode, one thread, photos/s": lambda: timed(lambda p: decode(p.read_bytes(), Nothing.preprocess)),
            "Pillow decode, one thread, photos/s": lambda: timed(lambda p: Image.open(p).convert("RGB")),
        }
        runs = [{name: stage() for name, stage in stages.items()} for _ in range(REPEATS)]
    figures = {name: statistics.median(run[name] for run in runs) for name in stages}
    return figures | {"vlsearch ingest, µs of the machine a photo": 1e6 / figures["vlsearch ingest, photos/s"]}
