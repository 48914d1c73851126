"""Photos and models that several benchmarks measure with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

REPEATS = int(os.environ.get("VLSEARCH_BENCH_REPEATS", "5"))
"""of which medians are taken; fewer for a quick look"""
QUICK = os.environ.get("VLSEARCH_BENCH_QUICK", "") not in ("", "0")
"""a tenth of the photos where there are very many"""


def coco200() -> Path:
    """The folder of the 200 COCO photos. SystemExit where they are not."""
    folder = Path(os.environ.get("VLSEARCH_SHARED", "../shared")) / "data" / "coco200" / "images"
    if not folder.is_dir():
        raise SystemExit(f"no photos at {folder}: set VLSEARCH_SHARED to the folder that holds data/coco200")
    return folder


def photos_12mp() -> Path:
    """120 JPEGs of 4000 × 3000 pixels: COCO photos, enlarged; quality 90, 1 to 2 MB each."""

    def make(folder: Path) -> None:
        for path in sorted(coco200().glob("*.jpg"))[:120]:
            enlarged(path).save(folder / path.name, quality=90)

    return kept("photos-12mp", make)


def enlarged(path: Path):
    """A photo's middle of 4:3 enlarged to 4000 × 3000 pixels, in its own colour space."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        return ImageOps.fit(image.convert("RGB"), (4000, 3000), Image.Resampling.BICUBIC)


def photos_640() -> Path:
    """1,000 JPEGs of 640 × 480 pixels: five cuts of each COCO photo, two of them mirrored, of different quality."""

    def make(folder: Path) -> None:
        from PIL import Image, ImageOps

        for path in sorted(coco200().glob("*.jpg")):
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            for cut in range(5):
                bleed, centring = 0.02 * cut, (0.2 * cut, 1 - 0.2 * cut)
                photo = ImageOps.fit(image, (640, 480), Image.Resampling.BICUBIC, bleed, centring)
                photo = ImageOps.mirror(photo) if cut % 2 else photo
                photo.save(folder / f"{path.stem}-{cut}.jpg", quality=85 + cut)

    return kept("photos-640", make)


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """A folder in the user's cache, filled by `make` when it is not there yet."""
    folder = platformdirs.user_cache_path("vlsearch", appauthor=False) / "benchmarks" / name
    if not folder.is_dir():
        part = folder.with_name(f"{name}.part-{os.getpid()}")
        part.mkdir(parents=True)
        try:
            make(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def tiny_jpegs(folder: Path, count: int, side: int) -> Path:
    """`count` JPEGs of side × side pixels, all different, in folders of 1,000: four drawn colours that run into
    one another."""
    import io

    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000:03d}").mkdir(parents=True)
        coarse = Image.fromarray(rng.integers(0, 255, (2, 2, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BILINEAR).save(buffer, "JPEG", comment=str(number))
        (folder / f"{number // 1000:03d}" / f"{number:06d}.jpg").write_bytes(buffer.getvalue())
    return folder


def random_model(name: str):
    """An open_clip model with random weights (seed 0), its own preprocessing and its tokenizer."""
    import open_clip
    import torch

    from vlsearch.encoders.registry import quiet

    torch.manual_seed(0)
    with quiet():
        model, _, preprocess = open_clip.create_model_and_transforms(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


@contextmanager
def temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vlsearch-bench-") as folder:
        yield Path(folder)
