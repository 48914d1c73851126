"""On a machine with an NVIDIA GPU: photos/s of a whole ingest and of each of its stages alone; ViT-B-32 and ViT-L-14.

Random weights; 20,000 JPEGs of 640 × 480, all different, in memory-backed storage (/dev/shm). Encoder: the lanes on
pixels that are ready in host memory. Decoding: by our decoder in a process for each core, and by nvJPEG through
torchvision. nvJPEG and encoder: the lanes on JPEG bytes. Copy: pinned batches of pixels to the GPU. Needs no other
data: the photographs that scikit-image and scikit-learn carry, where they are installed, else noise with a photo's
spectrum.
"""

from __future__ import annotations

import importlib.util
import io
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._ingest import decode_alone, decoded, embed_alone, ingest, random_weights, shares
from benchmarks._material import QUICK, REPEATS, random_model, temporary

COUNT = 2_000 if QUICK else 20_000
PICTURES = 250
"""that are encoded; the rest are copies with a comment of their own, so that no two files are the same"""
SIZE = (640, 480)
NVJPEG_BATCH = 128
MODELS = ("ViT-B-32", "ViT-L-14")


def run() -> dict[str, float]:
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("gpu-ingest needs an NVIDIA GPU and a torch that sees it; there is none here")
    if not Path("/dev/shm").is_dir():
        raise SystemExit("gpu-ingest needs memory-backed storage at /dev/shm, which is not here")
    folder = Path(tempfile.mkdtemp(prefix="vlsearch-bench-", dir="/dev/shm"))
    try:
        return measured(make_photos(folder))
    finally:
        shutil.rmtree(folder)


def measured(photos: Path) -> dict[str, float]:
    import torch

    from vlsearch.encoders import registry

    paths = sorted(photos.iterdir())
    gpu = torch.cuda.get_device_name()
    print(f"{len(paths):,} photos, {torch.cuda.device_count()} × {gpu}, {os.cpu_count()} cores, medians of {REPEATS}")
    figures: dict[str, float] = {}
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool, temporary() as folder:
        for name in MODELS:
            model, _, _ = random_model(name)
            encoder = registry.load(name, random_weights(model, folder))
            del model
            ready = np.concatenate(list(pool.map(partial(decoded, encoder.preprocess), shares(paths[:2048]))))
            pixels = np.concatenate([ready] * -(-len(paths) // len(ready)))[: len(paths)]
            stages: dict[str, Callable[[], float]] = {}
            if not figures:
                stages["decode alone, nvJPEG, photos/s"] = partial(nvjpeg_alone, paths)
                stages["decode alone, CPU workers, photos/s"] = partial(decode_alone, pool, paths, encoder)
                stages["copy to the GPU alone, photos/s"] = partial(copy_alone, pixels, encoder.lane_batch)
            stages[f"{name}: encoder alone, photos/s"] = partial(embed_alone, encoder, pixels)
            stages[f"{name}: nvJPEG and encoder, photos/s"] = partial(embed_jpegs_alone, encoder, paths)
            stages[f"{name}: end to end, photos/s"] = partial(ingest, encoder, photos)
            for stage in stages.values():  # compiles, reserves memory, fills caches
                stage()
            runs = [{key: stage() for key, stage in stages.items()} for _ in range(REPEATS)]
            figures |= {key: statistics.median(run[key] for run in runs) for key in stages}
            encoder_alone, whole = (figures[f"{name}: {what}, photos/s"] for what in ("encoder alone", "end to end"))
            figures[f"{name}: end to end over encoder alone"] = whole / encoder_alone
            decode = sum(figures[f"decode alone, {by}, photos/s"] for by in ("nvJPEG", "CPU workers"))
            copy = figures["copy to the GPU alone, photos/s"]
            figures[f"{name}: end to end over the slowest stage"] = whole / min(encoder_alone, decode, copy)
            del encoder
            torch.cuda.empty_cache()
    return figures


def nvjpeg_alone(paths: list[Path]) -> float:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    began = time.perf_counter()
    for start in range(0, len(paths), NVJPEG_BATCH):
        files = [torch.from_numpy(np.fromfile(path, np.uint8)) for path in paths[start : start + NVJPEG_BATCH]]
        decode_jpeg(files, mode=ImageReadMode.RGB, device="cuda")
    torch.cuda.synchronize()
    return len(paths) / (time.perf_counter() - began)


def embed_jpegs_alone(encoder, paths: list[Path]) -> float:
    """JPEG bytes to vectors on the GPU alone: its decoder shares it with the encoder."""
    lanes, step = encoder.image_lanes(), encoder.lane_batch
    parts = [paths[i : i + step] for i in range(0, len(paths), step)]

    def work(number: int) -> int:
        mine = parts[number :: len(lanes)]
        return sum(len(lanes[number].embed_jpegs([p.read_bytes() for p in part], [1] * len(part))) for part in mine)

    with ThreadPoolExecutor(len(lanes)) as pool:
        began = time.perf_counter()
        assert sum(pool.map(work, range(len(lanes)))) == len(paths)
        return len(paths) / (time.perf_counter() - began)


def copy_alone(pixels: np.ndarray, batch: int) -> float:
    import torch

    pinned = torch.from_numpy(pixels[:batch]).pin_memory()
    there = torch.empty_like(pinned, device="cuda")
    times = max(1, len(pixels) // len(pinned))
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        there.copy_(pinned, non_blocking=True)
    torch.cuda.synchronize()
    return times * len(pinned) / (time.perf_counter() - began)


def make_photos(folder: Path) -> Path:
    """COUNT JPEGs of SIZE, quality 90, no two with the same bytes."""
    from PIL import Image, ImageOps

    rng = np.random.default_rng(0)
    pictures = list(installed_photographs()) or [noise(rng) for _ in range(16)]
    for number in range(min(PICTURES, COUNT)):
        picture = pictures[number % len(pictures)]
        bleed, centring = rng.uniform(0, 0.2), (rng.uniform(), rng.uniform())
        cut = ImageOps.fit(picture, SIZE, Image.Resampling.BICUBIC, bleed, centring)
        buffer = io.BytesIO()
        (ImageOps.mirror(cut) if number % 2 else cut).save(buffer, "JPEG", quality=90)
        jpeg = buffer.getvalue()
        for copy in range(number, COUNT, PICTURES):
            comment = b"%08d" % copy
            data = jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
            (folder / f"{copy:06d}.jpg").write_bytes(data)
    return folder


def installed_photographs() -> Iterator:
    """The larger colour pictures inside scikit-image and scikit-learn; neither is imported."""
    from PIL import Image

    for package, inside in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for file in sorted((Path(place) / inside).iterdir()):
                if file.suffix in (".png", ".jpg"):
                    with Image.open(file) as image:
                        if image.mode == "RGB" and min(image.size) >= 300:
                            yield image.copy()


def noise(rng: np.random.Generator):
    """A picture whose amplitudes fall with the frequency, as those of photographs do, in three alike channels."""
    from PIL import Image

    height, width = SIZE[1], SIZE[0]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    planes = [
        np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency, (height, width)) for _ in range(4)
    ]
    colours = np.stack([planes[0] + 0.3 * plane for plane in planes[1:]], -1)
    return Image.fromarray((127 + 48 * colours / colours.std()).clip(0, 255).astype(np.uint8))
