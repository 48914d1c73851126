"""Photos/s of a whole ingest beside a plain open_clip loop: ViT-B-32, random weights, the 200 COCO photos.

The loop is what one writes first: Pillow, open_clip's own preprocessing, fp32, batches of 32. Models are loaded
beforehand on both sides; vlsearch also hashes, writes shards, catalog and index. Medians of 3, taken in turn.
"""

import copy
import statistics
import time

from benchmarks._material import coco200, random_vit_b_32, temporary


def run() -> dict[str, float]:
    from vlsearch.encoders.openclip import OpenClipEncoder
    from vlsearch.encoders.registry import best_precision

    model, preprocess, tokenizer = random_vit_b_32()
    source = {"name": "ViT-B-32"}
    encoder = OpenClipEncoder(copy.deepcopy(model), tokenizer, "ViT-B-32", source, best_precision("cpu"), "cpu")
    plain(model, preprocess, files()[:32])
    ours(encoder)
    loops, ingests = [], []
    for _ in range(3):
        loops.append(plain(model, preprocess, files()))
        ingests.append(ours(encoder))
    loop, ingest = statistics.median(loops), statistics.median(ingests)
    return {"open_clip loop, photos/s": loop, "vlsearch ingest, photos/s": ingest, "ratio": ingest / loop}


def files():
    return sorted(coco200().glob("*.jpg"))


def plain(model, preprocess, paths) -> float:
    import torch
    from PIL import Image

    began = time.perf_counter()
    with torch.no_grad():
        for start in range(0, len(paths), 32):
            batch = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in paths[start : start + 32]])
            model.encode_image(batch, normalize=True)
    return len(paths) / (time.perf_counter() - began)


def ours(encoder) -> float:
    from vlsearch.ingest.pipeline import ingest
    from vlsearch.library import open_library

    with temporary() as folder, open_library(folder / "library", write=True, create=True) as library:
        summary = ingest(library, [coco200()], encoder.name, lambda: encoder)
    assert summary.embedded == len(files()), summary
    return summary.embedded / summary.seconds
