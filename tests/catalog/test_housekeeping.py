from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from vlsearch.catalog import housekeeping, queries
from vlsearch.ingest.pipeline import Summary
from vlsearch.library import Library, open_library

Take = Callable[..., Summary]
Photos = Callable[..., Path]


def test_shards_are_replaced(library: Library, take: Take, photos: Photos) -> None:
    take(photos(2))
    take(photos(3, "more", seed=1))
    with library.transaction() as c:
        old = queries.shards(c)
        housekeeping.replace_shards(c, old, "vectors/new", 5, "0" * 64)
        (new,) = queries.shards(c)
        assert (new.model_id, new.kind, new.file, new.rows, new.sha256) == (1, "image", "vectors/new", 5, "0" * 64)
        assert queries.shard_items(c, new.id).tolist() == [1, 2, 3, 4, 5]
        assert housekeeping.sized_shards(c, 1, "image") == [(new, 5)]
        assert housekeeping.names(c, new)
        assert not any(housekeeping.names(c, shard) for shard in old)


def test_places(library: Library, take: Take, photos: Photos) -> None:
    folder = photos(2)
    (folder / "copy.jpg").write_bytes((folder / "00001.jpg").read_bytes())
    (folder / "gone.jpg").write_bytes((folder / "00000.jpg").read_bytes())
    take(folder)
    (folder / "gone.jpg").unlink()
    take(folder)
    with library.read() as c:
        places = housekeeping.places(c)
        copies = housekeeping.places(c, copies_only=True)
    assert [(place.content_id, Path(place.path).name) for place in places] == [
        (1, "00000.jpg"),
        (2, "00001.jpg"),
        (2, "copy.jpg"),
    ]
    assert copies == places[1:]
    assert {(place.width, place.height) for place in places} == {(32, 32)}


def test_tidying_does_not_wait_for_readers(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    with open_library(library.path) as reader, reader.read() as c:
        queries.counts(c)
        with library.transaction() as own:
            queries.drop_dangling_vectors(own)
        engine = library._open_engine()
        housekeeping.tidy(engine)
    assert not caplog.records


def test_a_tidying_that_fails_is_logged(
    library: Library, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SLACK", -1)
    monkeypatch.setattr(housekeeping, "SLACK_BYTES", -1)
    other = sqlite3.connect(library.path / "catalog.sqlite")
    other.execute("BEGIN IMMEDIATE")
    housekeeping.tidy(library._open_engine())
    other.close()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "the catalog was left as it is: database is locked"
