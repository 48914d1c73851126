"""The engine's answers against plain NumPy and Python, on random compositions, filters, pages and sorts.

Vectors are made so that many are equal and all cosines of single terms are exact: ties are real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import insert

from tests.conftest import ColourEncoder
from vlsearch.catalog.tables import Caption, Content, File, Tag
from vlsearch.errors import UsageError
from vlsearch.library import open_library
from vlsearch.search.engine import Engine
from vlsearch.search.filters import Filters
from vlsearch.search.query import Term

PHOTOS, DIM = 240, 16
CLOSE = 2e-6
WORDS = ("dog", "cat", "beach", "car", "red", "tree")
FOLDERS = ("/p/a", "/p/b", "/q")
CAMERAS = (None, "Nikon D5", "Canon R6")
TEXTS = st.sampled_from(WORDS)


class SignEncoder(ColourEncoder):
    """Texts become vectors of ±1/4 in 16 dimensions."""

    dim = DIM

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([signs(sum(map(ord, text))) for text in texts])


def signs(seed: int) -> NDArray[np.float32]:
    drawn: NDArray[np.float32] = np.random.default_rng(seed).choice([-0.25, 0.25], DIM).astype(np.float32)
    return drawn


class World:
    """A library, and the same as plain Python."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(5)
        self.encoder = SignEncoder("signs")
        kinds = [signs(int(n)) for n in rng.integers(0, 90, PHOTOS)]
        self.xb = np.stack(kinds)
        self.rows: list[dict[str, Any]] = []
        for i in range(1, PHOTOS + 1):
            row = {
                "id": i,
                "path": f"{FOLDERS[int(rng.integers(3))]}/{int(rng.integers(10**6)):06d}-{i}.jpg",
                "missing": bool(rng.random() < 0.15),
                "width": int(rng.integers(1, 5)) * 100,
                "height": int(rng.integers(1, 5)) * 100,
                "taken": None if rng.random() < 0.2 else f"2021-{int(rng.integers(1, 13)):02d}-10T12:00:00",
                "camera": CAMERAS[int(rng.integers(3))],
                "captions": int(rng.integers(0, 3)),
                "tag": bool(rng.random() < 0.3),
            }
            self.rows.append(row)
        self.library = open_library(folder, write=True, create=True)
        model = self.library.add_model(self.encoder)
        half = PHOTOS // 2
        for part in (slice(0, half), slice(half, PHOTOS)):
            self.library.commit(model, "image", range(part.start + 1, part.stop + 1), self.xb[part], self.store(part))
            if part.start == 0:
                self.library.save_indexes()  # the second half is newer than the index
        self.engine = Engine(self.library, self.encoder)

    def store(self, part: slice) -> Any:
        def rows(c: Any) -> None:
            for row in self.rows[part]:
                i = row["id"]
                about = {"width": row["width"], "height": row["height"], "format": "JPEG", "camera": row["camera"]}
                c.execute(insert(Content).values(id=i, sha256=i.to_bytes(32, "big"), taken_at=row["taken"], **about))
                gone = 1.0 if row["missing"] else None
                place = {"path": row["path"], "size": 1, "mtime_ns": 1, "missing_since": gone}
                c.execute(insert(File).values(content_id=i, **place))
                for n in range(row["captions"]):
                    c.execute(insert(Caption).values(content_id=i, text=f"{i} {n}", source="test"))
                if row["tag"]:
                    c.execute(insert(Tag).values(content_id=i, name="fine", score=1.0, model_id=1))

        return rows

    def kept(self, filters: dict[str, Any]) -> list[dict[str, Any]]:
        def keep(row: dict[str, Any]) -> bool:
            return (
                not row["missing"]
                and ("under" not in filters or row["path"].startswith(filters["under"] + "/"))
                and ("camera" not in filters or filters["camera"].lower() in (row["camera"] or "").lower())
                and ("taken" not in filters or (row["taken"] or "").startswith(filters["taken"]))
                and ("tag" not in filters or row["tag"])
                and ("has_caption" not in filters or (row["captions"] > 0) == filters["has_caption"])
                and ("where" not in filters or row["width"] > row["height"])
            )

        return [row for row in self.rows if keep(row)]

    def answer(
        self, terms: Sequence[Term], filters: dict[str, Any], k: int, page: int, sort: str, min_score: float | None
    ) -> tuple[list[int], NDArray[np.float64]]:
        """The ids of a page in order, and the scores of all photos."""
        xq = sum(term.weight * self.encoder.embed_texts([term.text or ""])[0].astype(np.float64) for term in terms)
        scores = self.xb.astype(np.float64) @ (xq / np.linalg.norm(xq))
        rows = [row for row in self.kept(filters) if min_score is None or scores[row["id"] - 1] >= min_score]
        rows.sort(key=lambda row: (-round(scores[row["id"] - 1], 6), row["id"]))
        rows = rows[(page - 1) * k : page * k]
        if sort == "taken":
            rows.sort(key=lambda row: (row["taken"] is None, row["taken"] or "", row["id"]))
        if sort == "path":
            rows.sort(key=lambda row: row["path"])
        return [row["id"] for row in rows], scores


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("oracle") / "library")


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "under": st.sampled_from([*FOLDERS, "/p", "/nowhere"]),
        "camera": st.sampled_from(["nikon", "R6", "leica"]),
        "taken": st.sampled_from(["2021", "2021-03", "2021-11", "2020"]),
        "tag": st.just("fine"),
        "has_caption": st.booleans(),
        "where": st.just("width > height"),
    },
)
TERMS = st.lists(
    st.builds(Term, text=TEXTS, weight=st.sampled_from([1.0, 2.0, 0.5, -1.0, -0.25])), min_size=1, max_size=4
)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    terms=TERMS,
    filters=st.one_of(st.just({}), FILTERS),
    k=st.sampled_from([1, 3, 10, 500]),
    page=st.integers(1, 3),
    sort=st.sampled_from(["score", "score", "taken", "path"]),
    min_score=st.sampled_from([None, None, 0.1]),
)
def test_answers_equal_the_oracle(
    world: World,
    terms: list[Term],
    filters: dict[str, Any],
    k: int,
    page: int,
    sort: str,
    min_score: float | None,
) -> None:
    options: dict[str, Any] = {"k": k, "page": page, "sort": sort, "min_score": min_score}
    vectors = {term.text: world.encoder.embed_texts([term.text or ""])[0] for term in terms}
    total = sum(term.weight * vectors[term.text] for term in terms)
    if np.linalg.norm(total) < 1e-6 or (min_score is not None and len(terms) > 1):
        options["min_score"] = min_score = None
    if np.linalg.norm(total) < 1e-6:
        with pytest.raises(UsageError, match="cancel"):
            world.engine.search(terms, filters=Filters.of(**filters), **options)
        return
    hits = world.engine.search(terms, filters=Filters.of(**filters), **options)
    expected, scores = world.answer(terms, filters, **options)
    found = [hit.id for hit in hits]
    assert np.allclose([hit.score for hit in hits], [scores[i - 1] for i in found], atol=CLOSE)
    if found != expected:  # only where other vectors have the same score, but for rounding
        assert len(found) == len(set(found)) == len(expected)
        assert set(found) <= {row["id"] for row in world.kept(filters)}
        assert np.allclose(sorted(scores[np.array(found) - 1]), sorted(scores[np.array(expected) - 1]), atol=CLOSE)
        if sort == "score":
            assert np.allclose(scores[np.array(found) - 1], scores[np.array(expected) - 1], atol=CLOSE)
    if sort == "score":
        by_vector: dict[bytes, list[int]] = {}
        for i in found:
            by_vector.setdefault(world.xb[i - 1].tobytes(), []).append(i)
        assert all(ids == sorted(ids) for ids in by_vector.values())
    if sort == "path":
        assert [hit.path for hit in hits] == sorted(hit.path for hit in hits)
    ranks = sorted(hit.rank for hit in hits)
    assert ranks == list(range((page - 1) * k + 1, (page - 1) * k + 1 + len(hits)))
    assert all(hit.path == world.rows[hit.id - 1]["path"] for hit in hits)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(filters=FILTERS, k=st.sampled_from([1, 7, 500]), page=st.integers(1, 3), sort=st.sampled_from(["path", "taken"]))
def test_a_listing_equals_the_oracle(world: World, filters: dict[str, Any], k: int, page: int, sort: str) -> None:
    if not filters:
        return
    hits = world.engine.search(filters=Filters.of(**filters), k=k, page=page, sort=sort)
    rows = world.kept(filters)
    if sort == "taken":
        rows.sort(key=lambda row: (row["taken"] is None, row["taken"] or "", row["id"]))
    else:
        rows.sort(key=lambda row: row["path"])
    part = rows[(page - 1) * k : page * k]
    assert [hit.id for hit in hits] == [row["id"] for row in part]
    assert {hit.score for hit in hits} <= {None}


@pytest.mark.parametrize("texts", [["dog"], ["dog", "cat"], list(WORDS)])
def test_many_queries_at_once_are_each_on_its_own(world: World, texts: list[str]) -> None:
    xq = world.engine.embed_many([[Term(text)] for text in texts])
    D, I = world.engine.nearest(xq, 20)  # noqa: E741
    together = world.engine.hits(D, I)
    alone = [world.engine.search(text, 20) for text in texts]
    assert together == alone


def test_missing_photos_do_not_cost_answers(world: World) -> None:
    shown = [row for row in world.rows if not row["missing"]]
    for k in (1, 50, len(shown), len(shown) + 1, 10**6):
        assert len(world.engine.search("dog", k)) == min(k, len(shown))


def test_so_many_hidden_that_the_catalog_is_asked_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = world.engine.search("dog", 30)
    monkeypatch.setattr("vlsearch.search.engine.HIDDEN", 1)
    assert world.engine.search("dog", 30) == expected


def test_grouping_and_variety_keep_k(world: World) -> None:
    """Equal vectors are near duplicates of each other."""
    shown = [row["id"] for row in world.rows if not row["missing"]]
    distinct = len({world.xb[i - 1].tobytes() for i in shown})
    hits = world.engine.search("dog", 40, group_duplicates=True)
    assert len(hits) == 40 <= distinct
    assert len({world.xb[hit.id - 1].tobytes() for hit in hits}) == 40
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    everything = world.engine.search("dog", 500, group_duplicates=True)
    assert len(everything) == distinct
    assert sum(hit.copies for hit in everything) == len(shown)
    assert world.engine.search("dog", 20, diverse=1.0) == world.engine.search("dog", 20)
    various = world.engine.search("dog", 20, diverse=0.2)
    assert various[0] == world.engine.search("dog", 1)[0]
    assert len({world.xb[hit.id - 1].tobytes() for hit in various}) > len(
        {world.xb[hit.id - 1].tobytes() for hit in world.engine.search("dog", 20)}
    )
