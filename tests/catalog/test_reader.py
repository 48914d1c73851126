"""What the reader says is what SQLAlchemy's queries say; it sees one state, and writes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vlsearch.catalog import migrate, queries
from vlsearch.catalog.reader import Reader
from vlsearch.errors import LibraryDamaged, LibraryError
from vlsearch.ingest.summary import Summary
from vlsearch.library import Library, open_library

Photos = Callable[..., Path]
Take = Callable[..., Summary]


@pytest.fixture
def filled(library: Library, take: Take, photos: Photos) -> Library:
    """12 photos, one of them twice, one missing, with captions."""
    root = photos(12)
    (root / "copy.jpg").write_bytes((root / "00003.jpg").read_bytes())
    take(root)
    (root / "00011.jpg").unlink()
    take(root)
    with library.transaction() as c:
        rows = [(i, f"{i} {n}", None) for i in (3, 5, 12) for n in range(2)]
        queries.add_captions(c, rows, "test")
    return library


@pytest.fixture
def reader(filled: Library) -> Iterator[Reader]:
    with filled.snapshot() as opened:
        yield opened


def test_models_shards_and_revision(filled: Library, reader: Reader) -> None:
    with filled.read() as c:
        assert reader.models() == queries.models(c)
        assert reader.shards(1, "image") == queries.shards(c, 1, "image")
        assert reader.shard_items(reader.shards(1, "image")[0]).tolist() == queries.shard_items(c, 1).tolist()
    assert reader.shards(1, "text") == []
    assert reader.revision() == migrate.HEAD
    assert reader.live_count(1, "image") == 12
    assert reader.shard_items(replace(reader.shards(1, "image")[0], sha256="other")) is None


def test_what_is_shown(filled: Library, reader: Reader) -> None:
    assert reader.shown("image", range(20)) == set(range(1, 12))
    assert reader.all_shown("image").tolist() == list(range(1, 12))
    with filled.read() as c:
        captions = {i: content_id for i, content_id, *_ in queries.all_captions(c)}
    shown = {i for i, content_id in captions.items() if content_id != 12}
    assert reader.shown("text", range(20)) == shown
    assert reader.all_shown("text").tolist() == sorted(shown)
    assert reader.captions_of(np.array([5, 3])).tolist() == sorted(shown)
    assert reader.captions_of(np.array([], np.int64)).tolist() == []


def test_paths_times_and_captions(filled: Library, reader: Reader) -> None:
    assert {i: (Path(path).name, taken) for i, (path, taken) in reader.photos([4, 12]).items()} == {
        4: ("00003.jpg", None)
    }
    with filled.read() as c:
        everywhere = queries.paths_of(c, range(20), missing=False)
        assert dict(reader.places()) == {path: i for i, paths in everywhere.items() for path in paths}
        assert dict(reader.first_places()) == {paths[0]: i for i, paths in everywhere.items()}
        assert reader.captions([3, 5, 7]) == queries.captions_of(c, [3, 5, 7])
        rows = {i: (photo, text) for i, photo, text, *_ in queries.all_captions(c) if i in (1, 2)}
        assert reader.caption_rows([1, 2, 99]) == rows
        assert len(rows) == 2
    assert reader.taken([1, 2]) == {1: None, 2: None}


def test_more_values_than_one_statement_takes(reader: Reader) -> None:
    assert reader.shown("image", range(-5000, 5000)) == set(range(1, 12))
    assert reader.numbers("SELECT id FROM content WHERE id > ? ORDER BY id DESC", (9,)).tolist() == [12, 11, 10]


def test_it_sees_one_state(filled: Library) -> None:
    with filled.snapshot() as before:
        assert len(before.captions([3])[3]) == 2
        with filled.transaction() as c:
            queries.add_captions(c, [(3, "later", None)], "test")
        assert len(before.captions([3])[3]) == 2
    with filled.snapshot() as after:
        assert len(after.captions([3])[3]) == 3


def test_it_writes_nothing(reader: Reader) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        list(reader.rows("DELETE FROM content"))


def test_names_that_are_no_text(library: Library, take: Take, photos: Photos) -> None:
    root = photos(1)
    odd = root / "\udcff'?.jpg"
    (root / "00000.jpg").rename(odd)
    take(root)
    with library.snapshot() as reader:
        assert reader.photos([1]) == {1: (str(odd), None)}


def test_damage_is_one_line(filled: Library) -> None:
    filled.close()
    with pytest.raises(LibraryError, match="closed"), filled.snapshot():
        pass
    catalog = filled.path / "catalog.sqlite"
    for left in filled.path.glob("catalog.sqlite-*"):
        left.unlink()
    catalog.write_bytes(b"no database at all, but long enough for a header" * 100)
    with pytest.raises(LibraryDamaged, match="not a database"):
        open_library(filled.path)
