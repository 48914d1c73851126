from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from tests.catalog.test_queries import add_model, content, file
from vlsearch.catalog import migrate, queries, tags
from vlsearch.catalog.engine import connect
from vlsearch.catalog.tables import Tag


@pytest.fixture
def c(tmp_path: Path) -> Any:
    engine = connect(tmp_path / "catalog.sqlite")
    with engine.begin() as connection:
        migrate.upgrade(connection)
        queries.add_contents(connection, [content(i) for i in range(1, 6)])
        queries.put_files(connection, [file(f"/{i}", i) for i in range(1, 6)])
        add_model(connection)
        yield connection
    engine.dispose()


def stored(c: Connection) -> list[tuple[int, str, float]]:
    rows = c.execute(select(Tag.content_id, Tag.name, Tag.score).order_by(Tag.content_id, Tag.name))
    return [(content_id, name, score) for content_id, name, score in rows]


def test_the_same_labels_are_replaced_others_stay(c: Connection) -> None:
    assert tags.replace(c, 1, [1, 2, 3], {"dog", "cat"}, [(1, "dog", 0.9), (2, "cat", 0.8), (3, "cat", 0.7)]) == 0
    assert tags.replace(c, 1, [1], {"beach"}, [(1, "beach", 0.5)]) == 0
    assert tags.replace(c, 1, [1, 2], {"dog", "cat", "cow"}, [(1, "cow", 0.6), (2, "cat", 0.5)]) == 2
    assert stored(c) == [(1, "beach", 0.5), (1, "cow", 0.6), (2, "cat", 0.5), (3, "cat", 0.7)]
    assert tags.replace(c, 1, [3], {"cat"}, []) == 1
    assert (3, "cat", 0.7) not in stored(c)


def test_more_photos_than_a_statement_takes(c: Connection) -> None:
    n = 2 * queries.CHUNK + 3
    queries.add_contents(c, [content(i) for i in range(6, n + 1)])
    ids = list(range(1, n + 1))
    rows = [(i, "dog", 0.5) for i in ids]
    assert tags.replace(c, 1, ids, {"dog"}, rows) == 0
    assert tags.replace(c, 1, ids, {"dog"}, rows) == n


def test_counts_are_of_photos_that_are_there(c: Connection) -> None:
    other = add_model(c, "other")
    tags.replace(c, 1, [1, 2, 3], {"dog"}, [(i, "dog", 0.5) for i in (1, 2, 3)])
    tags.replace(c, other, [1], {"ant"}, [(1, "ant", 0.5)])
    queries.put_files(c, [file("/1-again", 1)])
    queries.mark_missing(c, ["/3"], 5.0)
    assert tags.tag_counts(c) == [("ant", "other", 1), ("dog", "m", 2)]


def test_clear_one_or_all(c: Connection) -> None:
    tags.replace(c, 1, [1, 2], {"dog", "cat"}, [(1, "dog", 0.5), (2, "dog", 0.5), (2, "cat", 0.5)])
    assert tags.clear(c, "cow") == 0
    assert tags.clear(c, "dog") == 2
    assert stored(c) == [(2, "cat", 0.5)]
    assert tags.clear(c) == 1
    assert stored(c) == []


def test_tags_go_with_their_photo(c: Connection) -> None:
    tags.replace(c, 1, [1, 2], {"dog"}, [(1, "dog", 0.5), (2, "dog", 0.5)])
    queries.mark_missing(c, ["/1"], 5.0)
    queries.forget_missing(c)
    assert stored(c) == [(2, "dog", 0.5)]
