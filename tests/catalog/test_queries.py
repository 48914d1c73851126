from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from vlsearch.catalog import migrate, queries
from vlsearch.catalog.engine import connect
from vlsearch.catalog.tables import Caption, Content


@pytest.fixture
def c(tmp_path: Path) -> Any:
    engine = connect(tmp_path / "catalog.sqlite")
    with engine.begin() as connection:
        migrate.upgrade(connection)
        yield connection
    engine.dispose()


def content(i: int) -> dict[str, Any]:
    empty = dict.fromkeys(("taken_at", "camera", "lat", "lon"))
    return {"id": i, "sha256": i.to_bytes(32, "big"), "width": 1, "height": 1, "format": "PNG", **empty}


def file(path: str, content_id: int, size: int = 1, mtime_ns: int = 1) -> dict[str, Any]:
    return {"path": path, "size": size, "mtime_ns": mtime_ns, "content_id": content_id}


def add_model(c: Connection, name: str = "m") -> int:
    return queries.add_model(c, name=name, fingerprint="f", dim=4, preprocessing={}, source={})


def test_every_byte_of_a_path_is_kept(c: Connection) -> None:
    names = [os.fsdecode(b"/p/" + bytes([b]) + b".jpg") for b in range(1, 256) if b != 0x2F]
    names.append("/p/ü/日本 \U0001f436.jpg")
    queries.add_contents(c, [content(1)])
    queries.put_files(c, [file(name, 1) for name in names])
    assert set(queries.files_at(c, None, None)) == set(names)
    assert set(queries.files_at(c, names, None)) == set(names)
    assert sorted(queries.paths_of(c, [1])[1]) == sorted(names)


def test_more_values_than_a_database_takes_at_once(c: Connection) -> None:
    n = 2 * queries.CHUNK + 1
    queries.add_contents(c, [content(i) for i in range(1, n + 1)])
    queries.put_files(c, [file(f"/{i}", i) for i in range(1, n + 1)])
    ids = list(range(1, n + 1))
    assert len(queries.paths_of(c, ids)) == n
    assert len(queries.content_by_sha256(c, [i.to_bytes(32, "big") for i in ids], None)) == n
    assert [i for i, _ in queries.sha256_of(c, ids[::-1])] == ids
    queries.mark_missing(c, [f"/{i}" for i in ids], 5.0)
    assert queries.counts(c)["missing"] == n
    queries.mark_present(c, [f"/{i}" for i in ids])
    assert queries.counts(c)["missing"] == 0


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/a/b", True),
        ("/a/b/c.jpg", True),
        ("/a/b/c/d.jpg", True),
        ("/a/b.jpg", False),
        ("/a/b c/d.jpg", False),
        ("/a/b0/d.jpg", False),
        ("/a/B/d.jpg", False),
        ("/a", False),
        (os.fsdecode(b"/a/b/\xff.jpg"), True),
    ],
)
def test_forgetting_under_a_folder_takes_just_what_lies_there(c: Connection, path: str, inside: bool) -> None:
    queries.add_contents(c, [content(1)])
    queries.put_files(c, [file(path, 1)])
    queries.mark_missing(c, [path], 5.0)
    assert queries.forget_missing(c, "/a/b") == (int(inside), int(inside))
    assert queries.forget_missing(c, "/") == (int(not inside), int(not inside))


def test_forgetting_keeps_what_lies_elsewhere_too(c: Connection) -> None:
    model = add_model(c)
    queries.add_contents(c, [content(1), content(2), content(3)])
    queries.put_files(c, [file("/gone", 1), file("/copy", 1), file("/lost", 2), file("/here", 3)])
    queries.add_captions(c, [(2, "a", None), (3, "b", None)], "test")
    queries.add_shard(c, model, "image", "vectors/1", "s", [1, 2, 3])
    queries.add_shard(c, model, "text", "vectors/2", "s", [1, 2])
    queries.mark_missing(c, ["/gone", "/lost"], 5.0)
    assert queries.hidden_contents(c).tolist() == [2]
    assert queries.forget_missing(c) == (2, 1)
    assert queries.live_counts(c, model, "image") == {1: 2}
    assert queries.live_counts(c, model, "text") == {2: 1}
    assert queries.shard_items(c, 1).tolist() == [1, 3]
    assert queries.dangling_vectors(c) == 0
    assert [i for i, *_ in queries.all_captions(c)] == [2]
    assert queries.hidden_contents(c).tolist() == []


def test_ids_go_on_after_the_last_is_forgotten(c: Connection) -> None:
    assert queries.next_id(c, Content) == 1
    queries.add_contents(c, [content(4)])
    assert queries.next_id(c, Content) == 5
    assert queries.forget_missing(c) == (0, 1)
    assert queries.next_id(c, Content) == 5
    assert queries.next_id(c, Caption) == 1


def test_a_move_takes_the_place_of_what_was_there(c: Connection) -> None:
    queries.add_contents(c, [content(1), content(2)])
    queries.put_files(c, [file("/old", 1), file("/new", 2)])
    queries.put_failures(c, [{"path": "/bad", "size": 1, "mtime_ns": 1, "reason": "r"}])
    queries.mark_missing(c, ["/old"], 5.0)
    queries.move_files(c, [("/old", "/new", 7, 8)])
    assert {path: row[1:] for path, row in queries.files_at(c, None, None).items()} == {"/new": (7, 8, False, False)}
    queries.move_files(c, [("/new", "/bad", 7, 9)])
    assert queries.failures_at(c, None) == {}
    assert queries.paths_of(c, [1, 2]) == {1: ["/bad"]}


def test_moves_that_follow_each_other(c: Connection) -> None:
    """a -> b while b -> c: what a camera that renumbers does. Each photo ends where it lies now."""
    queries.add_contents(c, [content(1), content(2)])
    queries.put_files(c, [file("/a", 1), file("/b", 2)])
    queries.put_files(c, [file("/b", 1), file("/c", 2)])
    queries.mark_missing(c, ["/a"], 1.0)
    assert queries.paths_of(c, [1, 2], missing=False) == {1: ["/b"], 2: ["/c"]}


def test_a_failure_replaces_what_the_file_was(c: Connection) -> None:
    queries.add_contents(c, [content(1)])
    queries.put_files(c, [file("/a", 1)])
    queries.put_failures(c, [{"path": "/a", "size": 3, "mtime_ns": 4, "reason": "cut short"}])
    assert queries.files_at(c, None, None) == {}
    assert queries.failures_at(c, None) == {"/a": (3, 4)}
    assert queries.failures(c) == [("/a", "cut short")]
    queries.put_failures(c, [{"path": "/a", "size": 5, "mtime_ns": 6, "reason": "other"}])
    assert queries.failures(c) == [("/a", "other")]
    queries.put_files(c, [file("/a", 1)])
    assert queries.failures(c) == []


def test_captions_are_kept_once_and_in_order(c: Connection) -> None:
    queries.add_contents(c, [content(1), content(2)])
    assert queries.add_captions(c, [(1, "b", "en"), (1, "a", None), (1, "b", None), (2, "b", None)], "first") == 3
    assert queries.add_captions(c, [(1, "a", None), (2, "c", None)], "second") == 1
    assert queries.captions_of(c, [1, 2]) == {1: ["b", "a"], 2: ["b", "c"]}
    assert next(queries.all_captions(c)) == (1, 1, "b", "first", "en")
    assert list(queries.all_captions(c))[-1][:3] == (4, 2, "c")
    model = add_model(c)
    queries.add_shard(c, model, "text", "vectors/1", "s", [1, 2, 3])
    assert queries.captions_without_vector(c, model) == [(4, "c")]


def test_vectors_of_one_model_say_nothing_of_another(c: Connection) -> None:
    one, other = add_model(c), add_model(c, "other")
    queries.add_contents(c, [content(1)])
    queries.put_files(c, [file("/a", 1)])
    queries.add_shard(c, one, "image", "vectors/1", "s", [1])
    sha = (1).to_bytes(32, "big")
    assert queries.content_by_sha256(c, [sha], one) == {sha: (1, True)}
    assert queries.content_by_sha256(c, [sha], other) == {sha: (1, False)}
    assert queries.files_at(c, ["/a"], one)["/a"].has_vector is True
    assert queries.files_at(c, ["/a"], other)["/a"].has_vector is False
    assert queries.contents_without_vector(c) == []
    queries.drop_shard(c, 1)
    assert queries.contents_without_vector(c) == [1]


def test_dangling_vectors_are_seen_and_dropped(c: Connection) -> None:
    model = add_model(c)
    queries.add_contents(c, [content(1)])
    queries.add_shard(c, model, "image", "vectors/1", "s", [1, 2])
    queries.add_shard(c, model, "text", "vectors/2", "s", [1])
    assert queries.dangling_vectors(c) == 2
    queries.drop_dangling_vectors(c)
    assert queries.dangling_vectors(c) == 0
    assert queries.shard_items(c, 1).tolist() == [1]


def test_the_catalog_can_be_asked_fast(c: Connection) -> None:
    """No question that is asked per photo walks a whole table."""
    for question in (
        "SELECT id FROM content WHERE sha256 = x'00'",
        "SELECT path FROM file WHERE content_id = 1",
        "SELECT id FROM file WHERE path = x'00'",
        "SELECT item_id FROM vector WHERE shard_id = 1",
        "SELECT shard_id FROM vector WHERE model_id = 1 AND kind = 'image' AND item_id = 1",
        "SELECT id FROM caption WHERE content_id = 1",
    ):
        plan = " ".join(row[3] for row in c.execute(text(f"EXPLAIN QUERY PLAN {question}")))
        assert "SEARCH" in plan, question
        assert "SCAN" not in plan, question
