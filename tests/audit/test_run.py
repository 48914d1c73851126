"""Whole audits give the same figures, bit for bit, whatever should not matter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.audit.test_model import Counting, one_thread
from tests.conftest import ColourEncoder
from vlsearch.api import open_library
from vlsearch.audit import model as model_module
from vlsearch.audit.asked import LOG, Asked
from vlsearch.audit.model import AuditModel
from vlsearch.audit.report import AuditReport, Report
from vlsearch.audit.run import audit, resolved, texts_needed
from vlsearch.audit.subject import captions_of
from vlsearch.catalog import queries
from vlsearch.encoders import registry, text_pieces
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.library import Library

PHOTOS = 30
TEXTS = ["a dog by two cats", "a red car on a wet street", "three boats", "x", "a man with a small brown horse"]


@pytest.fixture(scope="module")
def builtin() -> Any:
    return registry.load("builtin")


@pytest.fixture
def coco(shared: Path, tmp_path: Path) -> Callable[..., Asked]:
    """An audit of a few photos of COCO; their captions in an order drawn from a seed."""
    told = json.loads((shared / "data" / "coco200" / "captions.json").read_text())
    told["images"] = sorted(told["images"], key=lambda image: image["id"])[:PHOTOS]
    ids = {image["id"] for image in told["images"]}
    annotations = [a for a in told["annotations"] if a["image_id"] in ids]

    def ask(seed: int = 0, **asked: Any) -> Asked:
        order = np.random.default_rng(seed).permutation(len(annotations))
        path = tmp_path / f"captions{seed}" / "coco.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(told | {"annotations": [annotations[n] for n in order]}))
        images = str(shared / "data" / "coco200" / "images")
        return Asked(dataset=str(path), images=images, seeds=2, **asked)

    return ask


@pytest.mark.parametrize("asked", [{"perturbations": ("shuffle", "swap", "shuffle-rows-4")}, {"task": "order"}])
def test_the_same_figures_bit_for_bit(
    builtin: Any,
    coco: Callable[..., Asked],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
) -> None:
    monkeypatch.setattr(model_module, "BATCH", 32)

    def report(seed: int = 0, folder: Path | None = None) -> Report:
        return audit(coco(seed, **asked), AuditModel(builtin, folder)).report

    first = report(folder=tmp_path / "cache")
    if isinstance(first, AuditReport):
        assert (first.photos, first.photos_with_captions) == (PHOTOS, PHOTOS)
        assert any(r.drop for r in first.results)
    assert report(folder=tmp_path / "cache") == first, "with a warm cache"
    assert report() == first, "again"
    assert report(1, tmp_path / "cache") == first, "with the captions in another order"
    monkeypatch.setattr(model_module, "BATCH", 16)
    monkeypatch.setattr(text_pieces, "ROWS", 256)
    monkeypatch.setattr(text_pieces, "BATCH", 16)
    monkeypatch.setattr("vlsearch.audit.tasks.retrieval._TEXTS_A_CALL", 100)
    monkeypatch.setattr("vlsearch.audit.tasks.choice._ITEMS_A_BLOCK", 7)
    with one_thread():
        assert report() == first, "in other batches, by another number of threads"


@pytest.fixture
def own(library: Library, take: Callable[..., Any], photos: Callable[..., Path]) -> Library:
    """A library of 6 photos, 5 of them with captions."""
    take(photos(6))
    with library.transaction() as c:
        places = sorted((path, i) for path, i in queries.contents_by_path(c).items())
        queries.add_captions(c, [(places[n][1], text, None) for n, text in enumerate(TEXTS)], "c")
    return library


ASKED = [
    Asked(perturbations=("shuffle", "swap"), seeds=2),
    Asked(task="order", seeds=2),
    Asked(queries="q.txt", seeds=2, ks=(2,)),
]
QUERIES = ["a dog by a cat", "two red cars", "sea"]


@pytest.mark.parametrize("asked", ASKED)
def test_texts_needed_are_those_that_are_embedded(own: Library, asked: Asked) -> None:
    encoder = Counting()
    audit(asked, AuditModel(encoder, None), own, queries=QUERIES)
    assert {*texts_needed(asked, own, queries=QUERIES)} == {*encoder.texts}
    assert len(encoder.texts) == len({*encoder.texts}), "each once"


@pytest.mark.parametrize("asked", ASKED)
def test_what_was_embedded_is_kept(own: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked) -> None:
    monkeypatch.setattr(model_module, "TEXTS", 2)
    whole, stopped, rest = Counting(), Counting(), Counting()
    before = audit(asked, AuditModel(whole, None), own, queries=QUERIES).report
    stopped.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        audit(asked, AuditModel(stopped, tmp_path), own, queries=QUERIES)
    assert audit(asked, AuditModel(rest, tmp_path), own, queries=QUERIES).report == before
    assert 0 < len(stopped.texts) <= 4
    assert sorted([*stopped.texts, *rest.texts]) == sorted(whole.texts)


def test_photos_of_the_library_are_not_embedded_again(own: Library) -> None:
    encoder = ColourEncoder()
    audit(Asked(), AuditModel(encoder, None), own)
    assert encoder.embedded == 0


@pytest.mark.parametrize(
    ("asked", "subject"), [("folder/q.txt", "q.txt"), ("", "queries"), ("-", "standard input"), (LOG, LOG)]
)
def test_it_is_said_where_queries_are_from(own: Library, asked: str, subject: str) -> None:
    report = audit(Asked(queries=asked, seeds=1, ks=(2,)), AuditModel(Counting(), None), own, queries=QUERIES).report
    assert report.subject == subject


def test_resolved() -> None:
    assert "all" not in resolved(Asked(perturbations=("all",))).perturbations
    lists = resolved(Asked(perturbations=("all",), queries="q"))
    assert lists.task == "lists"
    assert "shuffle" in lists.perturbations
    assert not [name for name in lists.perturbations if "rows" in name or "patches" in name]
    assert resolved(lists) == lists
    with pytest.raises(UsageError, match="shuffel"):
        resolved(Asked(perturbations=("shuffel",)))
    for wrong in (Asked(queries="q", dataset="coco"), Asked(queries="q", task="order")):
        with pytest.raises(UsageError, match="leave out"):
            resolved(wrong)


def test_asked_is_kept_as_json() -> None:
    asked = Asked("order", ("swap", "sort"), 3, (1, 2), dataset="coco", available=True)
    kept = json.loads(json.dumps(asked.to_dict()))
    assert Asked.of(kept) == asked
    assert Asked.of(kept | {"of another version": 1}) == asked
    assert Asked.of({}) == Asked()


def test_without_a_library() -> None:
    for asked in (Asked(), Asked(queries="q")):
        with pytest.raises(UsageError, match="no library to audit"):
            audit(asked, AuditModel(ColourEncoder(), None), queries=["a b"])


def test_a_photo_that_has_gone_since(own: Library, tmp_path: Path) -> None:
    next((tmp_path / "photos").iterdir()).unlink()
    asked = replace(ASKED[0], perturbations=("shuffle-rows-4",))
    with pytest.raises(UnreadableFile, match="No such file"):
        audit(asked, AuditModel(ColourEncoder(), None), own)


def test_from_python(own: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any model audits a dataset, a file of vectors the library's own captions too."""
    monkeypatch.setattr("vlsearch.encoders.registry.load_source", lambda source, *_: ColourEncoder(source["name"]))
    rows = [{"image": f"0000{n}.jpg", "captions": [text]} for n, text in enumerate(TEXTS)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    library = open_library(own.path)
    of_dataset = library.audit(dataset=str(tmp_path / "own.jsonl"), images=tmp_path / "photos", model="another")
    assert (of_dataset.model, of_dataset.subject) == ("another", "own.jsonl")
    keys = [*captions_of(own)[0].photos, *texts_needed(Asked(), own)]
    np.savez(tmp_path / "v.npz", key=keys, vector=np.random.default_rng(0).normal(size=(len(keys), 4)))
    assert library.audit(model=f"vectors:{tmp_path / 'v.npz'}").model == "vectors:v.npz"
    same = audit(Asked(), AuditModel(ColourEncoder(), None), own).report
    assert library.audit() == library.audit(model=ColourEncoder()) == same
    with pytest.raises(UsageError, match="no vectors of model another"):
        library.audit(model="another")
    assert library.info()["audits"] == 0, "none is kept"
