"""Lanes that decode JPEG files themselves, as on a GPU; here the same code decodes on the processor."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ColourEncoder
from vlsearch.check import verify
from vlsearch.library import Library, open_library

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")  # moves to another package


class JpegLane:
    """As gpu.Lane: takes pixels, or plain JPEG files with their orientations."""

    def __init__(self, encoder: ColourEncoder) -> None:
        self.encoder, self.files = encoder, 0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return self.encoder.embed_images(pixels)

    def embed_jpegs(self, files: Sequence[bytes], orientations: Sequence[int]) -> np.ndarray:
        import torch

        from vlsearch.encoders.jpeg import decode_plain

        self.files += len(files)
        photos = decode_plain(files, orientations, self.encoder.preprocess, torch.device("cpu"))
        return self(torch.stack(photos).numpy())


@pytest.fixture
def lane(encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch) -> JpegLane:
    made = JpegLane(encoder)
    monkeypatch.setattr(encoder, "image_lanes", lambda: [made])
    monkeypatch.setattr("vlsearch.ingest.taking.LANES_PAY", 0)
    monkeypatch.setattr(
        "vlsearch.ingest.taking.Taking._hungry", lambda self: hasattr(self.encoder().image_lanes()[0], "embed_jpegs")
    )
    return made


@pytest.fixture
def folder(photos: Callable[..., Path]) -> Path:
    """40 JPEGs, some turned, one progressive, one PNG, a duplicate."""
    folder = photos(40)
    for n in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = n
        exif[0x0110] = "Camera"
        with Image.open(folder / f"{n:05d}.jpg") as image:
            image.load()
            image.save(folder / f"{n:05d}.jpg", exif=exif, quality=95)
    with Image.open(folder / "00020.jpg") as image:
        image.load()
        image.save(folder / "00020.jpg", progressive=True)
        image.save(folder / "00021.png")
    shutil.copy(folder / "00003.jpg", folder / "copy.jpg")
    return folder


def contents(library: Library) -> dict[str, Any]:
    from sqlalchemy import select

    from vlsearch.catalog.tables import Content, File

    columns = (File.path, Content.width, Content.height, Content.format, Content.camera, Content.id)
    with library.read() as c:
        rows = c.execute(select(*columns).join(Content, File.content_id == Content.id)).all()
    return {row[0]: tuple(row[1:]) for row in rows}


def test_the_same_library_comes_out(
    library: Library, take: Callable[..., Any], folder: Path, lane: JpegLane, tmp_path: Path
) -> None:
    summary = take(folder)
    assert (summary.added, summary.embedded, summary.failed) == (42, 41, 0)
    assert lane.files == 39
    with open_library(tmp_path / "other", write=True, create=True) as other:
        from vlsearch.ingest.pipeline import ingest

        plain = ColourEncoder()
        ingest(other, [folder], plain.name, lambda: plain)
        assert contents(library) == contents(other)
        ours, theirs = library.photo_vectors(library.model()), other.photo_vectors(other.model())
    assert min(float(ours[path] @ theirs[path]) for path in theirs) > 0.999
    assert verify(library) == []


def test_one_that_cannot_be_decoded_there_is_named(
    library: Library, take: Callable[..., Any], folder: Path, lane: JpegLane
) -> None:
    good = (folder / "00030.jpg").read_bytes()
    table = good.index(b"\xff\xc4")
    for name in ("broken.jpg", "broken again.jpg"):
        (folder / name).write_bytes(good[: table + 5] + b"\xff" * 16 + good[table + 21 :])
    summary = take(folder)
    assert lane.files > 0
    assert (summary.added, summary.embedded, summary.failed) == (42, 41, 2)
    assert {Path(path).name for path, _ in summary.failures} == {"broken.jpg", "broken again.jpg"}
    assert all("damaged" in reason for _, reason in summary.failures)
    assert verify(library) == []
    again = take(folder)
    assert (again.unchanged, again.skipped) == (42, 2)
