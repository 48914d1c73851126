"""The model that comes with vlsearch, through our own pipeline and through open_clip's, on photos that it never saw."""

from __future__ import annotations

import io
import json
import os
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.encoders import registry
from vlsearch.ingest.decode import decode

WEIGHTS = resources.files("vlsearch.encoders") / "builtin" / "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def coco200(shared: Path) -> tuple[list[Path], list[str], NDArray[np.int64]]:
    """Photos, captions, and for each caption the place of its photo."""
    root = shared / "data" / "coco200"
    table = json.loads((root / "captions.json").read_text(encoding="utf-8"))
    files = [root / "images" / row["file_name"] for row in table["images"]]
    place = {row["id"]: n for n, row in enumerate(table["images"])}
    captions = [row["caption"] for row in table["annotations"]]
    return files, captions, np.array([place[row["image_id"]] for row in table["annotations"]], np.int64)


@pytest.fixture(scope="module")
def ours(coco200: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Photos and captions as an ingest embeds them, in the precision that this processor gets."""
    files, captions, _ = coco200
    encoder = registry.load("builtin")
    pixels = np.stack([decode(file.read_bytes(), encoder.preprocess).pixels for file in files])
    return encoder.embed_images(pixels), encoder.embed_texts(captions)


@lru_cache(maxsize=1)
def open_clips_own() -> Any:
    import open_clip

    where = f"local-dir:{os.path.dirname(str(WEIGHTS))}"  # noqa: PTH120 - a Traversable has no parent
    model, _, transform = open_clip.create_model_and_transforms(where)
    return model.eval(), transform, open_clip.get_tokenizer(where)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    found: NDArray[np.float64] = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return found


def in_srgb(image: Any) -> tuple[Any, bool]:
    """The photo in sRGB, by Pillow alone and at full size; and whether that changed anything to speak of."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if profile is None or image.mode != "RGB":
        return image, False
    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, own, srgb)
    assert converted is not None
    difference = np.abs(np.asarray(converted).astype(int) - np.asarray(image)).max()
    return (converted, True) if difference > 2 else (image, False)


@pytest.mark.slow
def test_every_photo_is_embedded_as_open_clip_does(coco200: Any, ours: Any) -> None:
    """open_clip drops a photo's colour profile and vlsearch follows it, which is meant: a photo in Adobe RGB is handed
    to open_clip in sRGB here. All others are handed over as they are."""
    import torch
    from PIL import Image

    model, transform, _ = open_clips_own()
    inputs, converted = [], []
    for file in coco200[0]:
        with Image.open(file) as image:
            photo, changed = in_srgb(image)
            inputs.append(transform(photo))
            converted.append(changed)
    with torch.inference_mode():
        found = cosines(ours[0], model.encode_image(torch.stack(inputs)).numpy())
    print(
        f"photos: cosine at least {found.min():.5f}, on average {found.mean():.5f}; {sum(converted)} were not in sRGB"
    )
    assert len(found) == 200
    assert found.min() >= 0.995
    assert 0 < sum(converted) < 40


@pytest.mark.slow
def test_every_caption_is_embedded_as_open_clip_does(coco200: Any, ours: Any) -> None:
    import torch

    model, _, tokenizer = open_clips_own()
    with torch.inference_mode():
        rows = model.encode_text(tokenizer(coco200[1])).numpy()
    found = cosines(ours[1], rows)
    print(f"captions: cosine at least {found.min():.5f}, on average {found.mean():.5f}")
    assert len(found) == 1001
    assert found.min() >= 0.999


@pytest.mark.slow
def test_it_finds_every_other_photo_by_its_caption(coco200: Any, ours: Any) -> None:
    scores = ours[1] @ ours[0].T
    own = scores[np.arange(len(scores)), coco200[2]]
    ranks = (scores >= own[:, None]).sum(1)
    recall = [float((ranks <= k).mean()) for k in (1, 5, 10)]
    print(f"text to photo: Recall@1/5/10 {recall}")
    assert recall[2] >= 0.70


@pytest.mark.parametrize("folder", ["builtin", "builtin_neg"])
def test_its_folder_holds_what_a_wheel_needs_and_no_more(folder: str) -> None:
    names = {entry.name for entry in resources.files("vlsearch.encoders").joinpath(folder).iterdir()}
    assert {"open_clip_config.json", "open_clip_model.safetensors"} <= names
    assert names <= {"open_clip_config.json", "open_clip_model.safetensors", "README.md", "LICENSE"}


def test_it_loads_where_no_network_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked for an address"))
    encoder = registry.load("builtin")
    assert (encoder.name, encoder.source) == ("builtin", {"name": "builtin"})
    assert encoder.embed_texts(["a dog"]).shape == (1, encoder.dim)
