"""Photos and models that several benchmarks measure with."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def coco200() -> Path:
    """The folder of the 200 COCO photos. SystemExit where they are not."""
    folder = Path(os.environ.get("VLSEARCH_SHARED", "../shared")) / "data" / "coco200" / "images"
    if not folder.is_dir():
        raise SystemExit(f"no photos at {folder}: set VLSEARCH_SHARED to the folder that holds data/coco200")
    return folder


def random_vit_b_32():
    """open_clip's ViT-B-32 with random weights (seed 0), its own preprocessing and its tokenizer."""
    import open_clip
    import torch

    from vlsearch.encoders.registry import quiet

    torch.manual_seed(0)
    with quiet():
        model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32")
    return model.eval(), preprocess, open_clip.get_tokenizer("ViT-B-32")


@contextmanager
def temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vlsearch-bench-") as folder:
        yield Path(folder)
