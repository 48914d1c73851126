"""A model as audits use it: each distinct text and photo once, kept, and the same whatever comes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import ColourEncoder
from vlsearch.audit import model as module
from vlsearch.audit.datasets import Photo
from vlsearch.audit.model import AuditModel, load, name_of, source_of
from vlsearch.encoders import registry
from vlsearch.encoders.vectors_file import VectorsEncoder
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.library import Library

Vectors = NDArray[np.float32]
TEXTS = [f"a dog by {n} cats" for n in range(30)]


@contextmanager
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Counting(ColourEncoder):
    """Notes what it is given, and stops where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.stop_at = 10**9

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        if len(self.texts) + len(texts) > self.stop_at:
            raise KeyboardInterrupt
        self.texts += texts
        return super().embed_texts(texts)

    def embed_images(self, pixels: NDArray[np.uint8]) -> Vectors:
        if self.embedded + len(pixels) > self.stop_at:
            raise KeyboardInterrupt
        return super().embed_images(pixels)


@pytest.fixture(scope="module")
def builtin() -> Any:
    return registry.load("builtin")


@pytest.fixture
def folder(photos: Callable[..., Path]) -> Path:
    return photos(150)


@pytest.fixture
def read(folder: Path) -> Callable[[str], bytes]:
    return lambda name: (folder / name).read_bytes()


def photos_of(folder: Path) -> list[Photo]:
    return [Photo(path.name) for path in sorted(folder.iterdir())]


def test_each_text_is_embedded_once(tmp_path: Path) -> None:
    encoder = Counting()
    model = AuditModel(encoder, tmp_path)
    found = model.embed_texts([*TEXTS, *TEXTS[:5]])
    assert encoder.texts == TEXTS
    assert (found[:5] == found[30:]).all()
    assert np.abs(found[:30] - encoder.embed_texts(TEXTS)).max() < 1e-3
    model.flush()
    warm = Counting()
    again = AuditModel(warm, tmp_path).embed_texts([*TEXTS[::-1], "another"])
    assert warm.texts == ["another"]
    assert (again[:30] == found[:30][::-1]).all(), "cold and warm are the same"


def test_each_photo_is_embedded_once(tmp_path: Path, folder: Path, read: Callable[[str], bytes]) -> None:
    told: list[tuple[str, int, int]] = []
    encoder = Counting()
    model = AuditModel(encoder, tmp_path, lambda *step: told.append(step))
    found = model.embed_photos(photos_of(folder), read)
    assert encoder.embedded == 3 * module.BATCH, "always as many at once"
    assert told == sorted(told)
    assert (told[0], told[-1]) == (("photos", 0, 150), ("photos", 150, 150))
    (folder / "copy.jpg").write_bytes((folder / "00003.jpg").read_bytes())
    model.flush()
    warm = Counting()
    again = AuditModel(warm, tmp_path).embed_photos([Photo("copy.jpg"), *photos_of(folder)], read)
    assert warm.embedded == 0
    assert (again[1:151] == found).all()
    assert (again[0] == found[3]).all()


def test_perturbed_photos_are_others(tmp_path: Path, folder: Path, read: Callable[[str], bytes]) -> None:
    some = photos_of(folder)[:5]
    model = AuditModel(ColourEncoder(), tmp_path)
    plain = model.embed_photos(some, read)
    rows = [model.embed_photos(some, read, "shuffle-rows-4", seed) for seed in (0, 1, 0)]
    assert (rows[0] == rows[2]).all()
    assert (rows[0] != rows[1]).any()
    assert (rows[0] != plain).any()
    assert (model.embed_photos(some, read, "identity-photos", 3) == plain).all(), "no seed moves what does not move"
    part = model.embed_photos([Photo(some[0].path, (0, 0, 16, 16))], read)
    assert (part != plain[0]).any()


@pytest.mark.parametrize("kind", ["texts", "photos"])
def test_an_interrupted_audit_goes_on(
    tmp_path: Path, folder: Path, read: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Ctrl-C, and even a kill once time has passed, cost the batch that was under way and no more."""
    texts = [f"text {n}" for n in range(3000)]

    def embed(model: AuditModel) -> Vectors:
        return model.embed_texts(texts) if kind == "texts" else model.embed_photos(photos_of(folder), read)

    monkeypatch.setattr("vlsearch.audit.cache.PATIENCE", -1)
    stopped = Counting()
    stopped.stop_at = 2500 if kind == "texts" else 150
    with pytest.raises(KeyboardInterrupt):
        embed(AuditModel(stopped, tmp_path))
    rest = Counting()
    found = embed(AuditModel(rest, tmp_path))
    if kind == "texts":
        assert (len(stopped.texts), len(rest.texts)) == (2048, 952)
        assert not {*stopped.texts} & {*rest.texts}
    else:
        assert (stopped.embedded, rest.embedded) == (2 * module.BATCH, module.BATCH)
    assert (found == embed(AuditModel(Counting(), None))).all()


def test_models_do_not_share_vectors(tmp_path: Path) -> None:
    for salt in ("", "other weights"):
        encoder = ColourEncoder(salt=salt)
        model = AuditModel(encoder, tmp_path)
        model.embed_texts(TEXTS)
        model.flush()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("none.jpg", None, "No such file"),
        ("bad.jpg", b"no photo", "cannot read 'bad.jpg'"),
        ("cut.jpg", b"", "cut.jpg"),
    ],
)
def test_photos_that_cannot_be_read(
    folder: Path, read: Callable[[str], bytes], name: str, data: bytes | None, told: str
) -> None:
    if data is not None:
        (folder / name).write_bytes(data)
    for box in (None, (0, 0, 4, 4)):
        with pytest.raises(UnreadableFile, match=told) as error:
            AuditModel(ColourEncoder(), None).embed_photos([*photos_of(folder)[:2], Photo(name, box)], read)
        assert len(str(error.value).splitlines()) == 1


def test_parts_of_a_photo_in_a_file_of_vectors(tmp_path: Path) -> None:
    whole, part = Photo("a/2391.jpg"), Photo("a/2391.jpg", (10, 20, 110, 220))
    assert name_of(part) == "a/2391.jpg#10,20,110,220"
    np.savez(tmp_path / "v.npz", key=["2391.jpg", "2391.jpg#10,20,110,220"], vector=np.eye(2, 3, dtype=np.float32))
    model = AuditModel(VectorsEncoder(tmp_path / "v.npz"), tmp_path / "kept")
    assert (model.embed_photos([part, whole], lambda _: b"") == np.eye(2, 3)[::-1]).all()
    with pytest.raises(UsageError, match="shuffle-rows-4 needs a model"):
        model.embed_photos([whole], lambda _: b"", "shuffle-rows-4")
    with pytest.raises(UsageError, match="2 of 2 texts have no vector"):
        model.need(["a", "b", "a"])
    model.flush()
    assert not (tmp_path / "kept").exists(), "they are kept already"


def test_where_a_model_is_from(library: Library, tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", key=["a"], vector=np.eye(1, 3, dtype=np.float32))
    source = source_of(library, f"vectors:{tmp_path / 'v.npz'}", None, own=True)
    assert load(source, lambda _: None).name == "vectors:v.npz"
    with pytest.raises(UsageError, match="is empty"):
        source_of(library, None, None, own=True)
    library.add_model(ColourEncoder())
    assert source_of(library, None, None, own=True) == {"name": "colour"}
    assert source_of(library, None, None, own=False) == {"name": "colour"}
    assert source_of(library, "builtin", None, own=False) == {"name": "builtin"}
    with pytest.raises(UsageError, match="no vectors of model builtin"):
        source_of(library, "builtin", None, own=True)
    assert load({"name": "x"}, lambda found: found["name"]) == "x"


def test_a_real_models_texts_depend_on_nothing_else(builtin: Any) -> None:
    texts = [f"{'a dog and a cat ' * (n % 5)}by {n} trees" for n in range(90)]
    found = AuditModel(builtin, None).embed_texts(texts)
    assert (AuditModel(builtin, None).embed_texts(texts[::-1])[::-1] == found).all()
    assert (AuditModel(builtin, None).embed_texts(texts[17:18]) == found[17]).all()
    with one_thread():
        assert (AuditModel(builtin, None).embed_texts(texts) == found).all()


def test_a_real_models_photos_depend_on_nothing_else(
    builtin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 8)
    rng = np.random.default_rng(0)
    for n in range(4):
        Image.fromarray(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(tmp_path / f"{n}.png")
    photos = photos_of(tmp_path)

    def embed(some: Sequence[Photo], perturbation: str) -> Vectors:
        return AuditModel(builtin, None).embed_photos(some, lambda p: (tmp_path / p).read_bytes(), perturbation)

    for perturbation in ("identity-photos", "shuffle-patches-9"):
        found = embed(photos, perturbation)
        assert (embed(photos[2:3], perturbation) == found[2]).all()
        assert (embed(photos[::-1], perturbation)[::-1] == found).all()


def test_what_a_real_model_does_not_see_the_end_of(builtin: Any) -> None:
    model = AuditModel(builtin, None)
    assert model.is_cut(["a dog", "a dog " * 100, ""]).tolist() == [False, True, False]
    assert not AuditModel(ColourEncoder(), None).is_cut(["a dog " * 100]).any()
