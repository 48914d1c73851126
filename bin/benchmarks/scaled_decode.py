"""Embeddings of our scaled decode beside those of a full decode: each COCO photo enlarged to a JPEG of 12 megapixels.

Cosines, of the built-in model and of ViT-B-32 with random weights. The full decode goes the
same way with the JPEG's pixels in a BMP, so that what differs lies in the decoder's scaling alone.
"""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._ingest import MODEL, random_weights
from benchmarks._material import QUICK, coco200, enlarged, random_model, temporary


def run() -> dict[str, float]:
    from vlsearch.encoders import registry

    files = sorted(coco200().glob("*.jpg"))[: 20 if QUICK else None]
    figures = {}
    with temporary() as folder:
        weights = random_weights(random_model(MODEL)[0], folder)
        encoders = {"builtin": registry.load("builtin"), f"{MODEL}, random weights": registry.load(MODEL, weights)}
        prefs = [encoder.preprocess for encoder in encoders.values()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pairs = list(pool.map(partial(both_ways, prefs), files))
        for n, (name, encoder) in enumerate(encoders.items()):
            scaled, full = (encoder.embed_images(np.stack([pair[way][n] for pair in pairs])) for way in (0, 1))
            cosines = (scaled * full).sum(1)
            figures[f"{name}, cosine, min"] = float(cosines.min())
            figures[f"{name}, cosine, mean"] = float(cosines.mean())
    return figures


def both_ways(prefs, file: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pixels of one photo for each preprocessing, by the scaled and by the full decode of the same JPEG."""
    from PIL import Image

    from vlsearch.ingest.decode import decode

    jpeg, bmp = io.BytesIO(), io.BytesIO()
    enlarged(file).save(jpeg, "JPEG", quality=90)
    Image.open(jpeg).save(bmp, "BMP")
    scaled, full = ([decode(data.getvalue(), pref).pixels for pref in prefs] for data in (jpeg, bmp))
    return scaled, full
