"""Captions/s of 2,000 COCO captions through ViT-B-32's text tower, random weights, beside open_clip's encode_text.

open_clip: fp32, batches of 64, every text padded to 77 tokens; a share of the captions in each round, all of them
together. vlsearch: all captions in each round, in another order each time. Tokenizing counts on both sides; in turn,
medians.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path

from benchmarks._ingest import MODEL, random_weights
from benchmarks._material import REPEATS, random_model, temporary

COUNT, BATCH = 2_000, 64


def run() -> dict[str, float]:
    import numpy as np

    from vlsearch.encoders import registry

    texts = captions()
    model, _, tokenizer = random_model(MODEL)
    with temporary() as folder:
        weights = random_weights(model, folder)
        precisions = dict.fromkeys(("fp32", registry.best_precision("cpu")))
        ours = {precision: registry.load(MODEL, weights, precision) for precision in precisions}
    model.visual = None
    first = {precision: encoder.embed_many(texts) for precision, encoder in ours.items()}
    xt = np.empty_like(first["fp32"])
    rates: dict[str, list[float]] = {"open_clip": [], **{precision: [] for precision in ours}}
    other_bits = dict.fromkeys(ours, 0)
    rng = np.random.default_rng(0)
    for share in range(REPEATS):
        rows, rate = timed(lambda some: encode_text(model, tokenizer, some), texts[share::REPEATS])
        xt[share::REPEATS] = rows
        rates["open_clip"].append(rate)
        order = rng.permutation(COUNT)
        for precision, encoder in ours.items():
            rows, rate = timed(encoder.embed_many, [texts[i] for i in order])
            rates[precision].append(rate)
            other_bits[precision] += int((rows != first[precision][order]).any(axis=1).sum())
    figures = {f"{name}, captions/s": statistics.median(taken) for name, taken in rates.items()}
    baseline = figures["open_clip, captions/s"]
    for precision, rows in first.items():
        figures[f"{precision}, times open_clip"] = figures[f"{precision}, captions/s"] / baseline
        figures[f"{precision}, cosine, min"] = float((xt * rows).sum(axis=1).min())
        figures[f"{precision}, largest difference"] = float(np.abs(xt - rows).max())
        figures[f"{precision}, other bits in another order"] = other_bits[precision]
    apart = xt - xt.mean(axis=0)
    # How much there is to get wrong: were all captions one vector, every cosine would be 1.
    return figures | {"length of a caption's vector less their mean": float(np.linalg.norm(apart, axis=1).mean())}


def captions() -> list[str]:
    shared = Path(os.environ.get("VLSEARCH_SHARED", "../shared"))
    file = shared / "data" / "captions" / "coco_captions_val2017.json"
    if not file.is_file():
        raise SystemExit(f"no captions at {file}: set VLSEARCH_SHARED to the folder that holds data/captions")
    known = sorted({row["caption"] for row in json.loads(file.read_text(encoding="utf-8"))["annotations"]})
    return known[:: len(known) // COUNT][:COUNT]


def encode_text(model, tokenizer, texts: list[str]):
    import numpy as np
    import torch

    with torch.inference_mode():
        batches = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
        return np.concatenate([model.encode_text(tokenizer(batch), normalize=True).numpy() for batch in batches])


def timed(embed, texts: list[str]):
    """Vectors (n, d), and captions/s."""
    began = time.perf_counter()
    rows = embed(texts)
    return rows, len(texts) / (time.perf_counter() - began)
