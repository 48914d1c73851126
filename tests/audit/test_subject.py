"""What is audited: photos and captions of a library, or of a dataset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ColourEncoder
from vlsearch.audit.asked import Asked
from vlsearch.audit.datasets import Captioned, Choices
from vlsearch.audit.model import AuditModel
from vlsearch.audit.subject import captions_of, dataset_of, of_library, reader
from vlsearch.catalog import queries
from vlsearch.encoders.vectors_file import VectorsEncoder
from vlsearch.errors import FingerprintMismatch, UsageError
from vlsearch.library import Library


@pytest.fixture
def folder(library: Library, take: Callable[..., Any], photos: Callable[..., Path]) -> Path:
    """4 photos in the library, one of them in two files."""
    folder = photos(4)
    (folder / "zcopy.jpg").write_bytes((folder / "00002.jpg").read_bytes())
    take(folder)
    with library.transaction() as c:
        places = {Path(path).name: i for path, i in queries.contents_by_path(c).items()}
        rows = [("00002.jpg", "two cats"), ("00000.jpg", "a dog"), ("00002.jpg", "cats, two")]
        queries.add_captions(c, [(places[name], text, None) for name, text in rows], "c.jsonl")
        queries.add_captions(c, [(places["00001.jpg"], "sea, sand", None)], "xmp:keywords")
    return folder


def model(salt: str = "") -> AuditModel:
    return AuditModel(ColourEncoder(salt=salt), None)


def test_captions_of_a_library(library: Library, folder: Path) -> None:
    captioned, ids = captions_of(library)
    assert [Path(path).name for path in captioned.photos] == [f"0000{n}.jpg" for n in range(4)]
    assert Path(captioned.photos[0]).parent == folder
    assert captioned.texts == ("two cats", "a dog", "cats, two"), "keywords have no order"
    assert captioned.owner.tolist() == [2, 0, 2]
    assert (np.diff(ids) > 0).all()
    fewer, known = captions_of(library, ids[1:], ids[:3])
    assert known.tolist() == ids[1:3].tolist()
    assert (fewer.texts, fewer.owner.tolist()) == (("two cats", "cats, two"), [1, 1])


@pytest.mark.usefixtures("folder")
def test_photos_come_with_the_librarys_vectors(library: Library) -> None:
    subject = of_library(library, model())
    _, stored = library.vectors(library.model())
    assert (subject.vectors(library, model()) == stored).all()
    assert np.abs(subject.embed(model()) - stored).max() < 1e-3, "which are those of the files"
    with pytest.raises(FingerprintMismatch, match="other weights"):
        of_library(library, model("other"))


@pytest.mark.usefixtures("folder")
def test_a_file_of_vectors_is_of_all_photos(library: Library, tmp_path: Path) -> None:
    names = [f"0000{n}.jpg" for n in range(4)]
    np.savez(tmp_path / "v.npz", key=names, vector=np.eye(4, 5, dtype=np.float32))
    of_file = AuditModel(VectorsEncoder(tmp_path / "v.npz"), None)
    assert (of_library(library, of_file).vectors(library, of_file) == np.eye(4, 5)).all()


def test_photos_of_an_earlier_audit(
    library: Library, folder: Path, take: Callable[..., Any], photos: Callable[..., Path]
) -> None:
    before = of_library(library, model())
    assert before.ids is not None
    pixels = before.embed(model())
    earlier = Captioned("library", before.captioned.photos, ("as it was",), np.array([1]))
    (folder / "00001.jpg").rename(folder / "moved.jpg")
    take(folder, photos(2, "more", seed=5))
    again = of_library(library, model(), (earlier, before.ids))
    assert again.captioned is earlier
    assert (again.embed(model()) == pixels).all(), "read where they are now"
    (folder / "moved.jpg").unlink()
    take(folder)
    with pytest.raises(UsageError, match="1 of 4 photos of that audit are no longer in the library"):
        of_library(library, model(), (earlier, before.ids))


def test_datasets(tmp_path: Path, photos: Callable[..., Path]) -> None:
    folder = photos(2)
    rows = [{"image": f"0000{n}.jpg", "captions": [f"{n} dogs"]} for n in range(3)]
    data = tmp_path / "data" / "own.jsonl"
    data.parent.mkdir()
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = Asked(dataset=str(data), images=str(folder))
    with pytest.raises(UsageError, match=r"1 of 3 photos of own\.jsonl are not there"):
        dataset_of(asked, names_only=False)
    whole = dataset_of(asked, names_only=True)
    assert isinstance(whole, Captioned)
    assert len(whole.photos) == 3
    part = dataset_of(Asked(dataset=str(data), images=str(folder), available=True), names_only=True)
    assert isinstance(part, Captioned)
    assert (part.photos, part.part) == (("00000.jpg", "00001.jpg"), "2 of 3 photos, those that are there")
    assert reader(asked)("00001.jpg") == (folder / "00001.jpg").read_bytes()
    with pytest.raises(FileNotFoundError):
        reader(asked)("00002.jpg")


def test_photos_are_looked_for_beside_the_data(tmp_path: Path, photos: Callable[..., Path]) -> None:
    folder = photos(1)
    row = {"image": "00000.jpg", "true": "a dog", "false": "a cat"}
    (tmp_path / "items.jsonl").write_text(json.dumps(row) + "\n")
    beside = Asked(dataset=str(tmp_path / "items.jsonl"))
    assert isinstance(dataset_of(beside, names_only=False), Choices)
    assert reader(beside)("00000.jpg") == (folder / "00000.jpg").read_bytes(), "one level down"
    with pytest.raises(UsageError, match="no folder"):
        reader(Asked(dataset=str(tmp_path / "items.jsonl"), images=str(tmp_path / "none")))
