from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from tests.conftest import ColourEncoder, Done
from vlsearch.catalog import migrate, queries
from vlsearch.check import verify
from vlsearch.errors import (
    FingerprintMismatch,
    LibraryDamaged,
    LibraryError,
    LibraryLocked,
    LibraryNotFound,
    LibraryTooNew,
    UsageError,
)
from vlsearch.library import Library, default_path, open_library

Photos = Callable[..., Path]


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert message
    assert "\n" not in message
    return message


def shards_of(library: Library) -> list[Path]:
    return sorted(library.path.glob("vectors/*/*"))


# Opening


def test_a_library_is_made_and_found_again(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "in" / "a folder"
    with open_library(place, write=True, create=True) as library:
        assert library.path == place
        assert library.models() == []
    with open_library(place) as library:
        assert library.models() == []
    assert {file.name for file in place.iterdir()} <= {"catalog.sqlite", "lock"}


def test_no_library(tmp_path: Path) -> None:
    for options in ({}, {"write": True}):
        with pytest.raises(LibraryNotFound) as error:
            open_library(tmp_path / "nowhere", **options)
        assert "vlsearch ingest" in one_line(error)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_no_library_is_left_alone(photos: Photos) -> None:
    folder = photos(2)
    with pytest.raises(UsageError) as error:
        open_library(folder, write=True, create=True)
    assert str(folder) in one_line(error)
    assert {file.name for file in folder.iterdir()} == {"00000.jpg", "00001.jpg"}


def test_a_file_in_place_of_a_library(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(LibraryNotFound):
        open_library(file)
    with pytest.raises(LibraryError) as error:
        open_library(file, write=True, create=True)
    assert str(file) in one_line(error)


def test_an_empty_folder_becomes_a_library(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with open_library(tmp_path / "empty", write=True, create=True) as library:
        assert library.models() == []


def test_what_a_kill_right_after_the_start_leaves_becomes_a_library(tmp_path: Path) -> None:
    place = tmp_path / "killed"
    place.mkdir()
    (place / "lock").touch()
    (place / "lock.json").write_text("{")
    with open_library(place, write=True, create=True) as library:
        assert library.models() == []
    (tmp_path / "killed later").mkdir()
    (tmp_path / "killed later" / "catalog.sqlite").touch()
    with open_library(tmp_path / "killed later") as library:
        assert library.models() == []


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_path() == tmp_path / "library"
    monkeypatch.setenv("VLSEARCH_LIBRARY", "~/elsewhere")
    assert default_path() == Path.home() / "elsewhere"
    monkeypatch.delenv("VLSEARCH_LIBRARY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_path().name == "library"
    assert default_path().parent.name == "vlsearch"


def test_a_closed_library_says_so(library: Library) -> None:
    library.close()
    library.close()
    with pytest.raises(LibraryError, match="closed"):
        library.models()


def test_a_reader_cannot_write(library: Library) -> None:
    with (
        open_library(library.path) as reader,
        pytest.raises(LibraryError, match="write=True"),
        reader.transaction(),
    ):
        pass


@pytest.mark.usefixtures("permissions")
def test_a_library_that_may_not_be_read(library: Library) -> None:
    library.close()
    library.path.chmod(0)
    try:
        with pytest.raises(LibraryError) as error:
            open_library(library.path)
        one_line(error)
    finally:
        library.path.chmod(0o700)


# The lock


def test_a_second_writer_learns_who_holds_the_lock(library: Library) -> None:
    script = f"from vlsearch.library import open_library; open_library({str(library.path)!r}, write=True)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("vlsearch.errors.LibraryLocked")
    assert f"process {os.getpid()}" in last
    assert Path(sys.argv[0]).name in last


def test_readers_are_not_kept_out_and_the_lock_is_given_back(library: Library) -> None:
    with open_library(library.path) as reader:
        assert reader.models() == []
    with pytest.raises(LibraryLocked, match=str(os.getpid())):
        open_library(library.path, write=True)
    library.close()
    with open_library(library.path, write=True) as again:
        assert again.models() == []


def test_the_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from vlsearch.library import open_library
        library = open_library({str(tmp_path / "library")!r}, write=True, create=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    assert done.returncode == -9
    assert (tmp_path / "library" / "lock.json").exists()
    with open_library(tmp_path / "library", write=True) as library:
        assert json.loads((library.path / "lock.json").read_text())["pid"] == os.getpid()


def test_a_failed_open_gives_the_lock_back(library: Library) -> None:
    with library.transaction() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    library.close()
    for _ in range(2):
        with pytest.raises(LibraryTooNew):
            open_library(library.path, write=True)
    assert not (library.path / "lock.json").exists()


# Versions


@pytest.mark.parametrize("write", [False, True])
def test_a_newer_library_is_refused(library: Library, write: bool) -> None:
    with library.transaction() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    library.close()
    with pytest.raises(LibraryTooNew) as error:
        open_library(library.path, write=write)
    message = one_line(error)
    assert "9999" in message
    assert migrate.HEAD in message
    assert "upgrade vlsearch" in message


# Commits


def rows(n: int, dim: int = 48) -> np.ndarray:
    vectors = np.random.default_rng(n).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def content(i: int) -> dict[str, Any]:
    empty = dict.fromkeys(("taken_at", "camera", "lat", "lon"))
    return {"id": i, "sha256": bytes([i]) * 32, "width": 1, "height": 1, "format": "PNG", **empty}


def test_what_is_committed_is_there(library: Library, encoder: ColourEncoder) -> None:
    model = library.add_model(encoder)
    xb = rows(3)
    library.commit(
        model, queries.IMAGE, [3, 1, 2], xb, lambda c: queries.add_contents(c, [content(i) for i in (1, 2, 3)])
    )
    ids, vectors = library.vectors(model)
    assert ids.tolist() == [1, 2, 3]
    assert np.allclose(vectors, xb[[1, 2, 0]], atol=1e-3)
    assert vectors.dtype == np.float32
    assert library.index(model).count == 3
    library.save_indexes()
    assert verify(library) == []


def test_a_failing_transaction_leaves_no_shard_and_no_rows(library: Library, encoder: ColourEncoder) -> None:
    model = library.add_model(encoder)

    def fail(c: Any) -> None:
        queries.add_contents(c, [content(1)])
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        library.commit(model, queries.IMAGE, [1], rows(1), fail)
    assert shards_of(library) == []
    with library.read() as c:
        assert queries.counts(c)["photos"] == 0
        assert queries.shards(c) == []
    library.commit(model, queries.IMAGE, [1], rows(1), lambda c: queries.add_contents(c, [content(1)]))
    library.save_indexes()
    assert verify(library) == []


def test_an_interrupt_never_takes_away_a_shard_that_is_named(
    library: Library, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may strike after the transaction is committed and before the commit is over."""
    model = library.add_model(encoder)
    original = Library.transaction

    @contextmanager
    def late(self: Library) -> Any:
        with original(self) as c:
            yield c
        raise KeyboardInterrupt

    monkeypatch.setattr(Library, "transaction", late)
    with pytest.raises(KeyboardInterrupt):
        library.commit(model, queries.IMAGE, [1], rows(1), lambda c: queries.add_contents(c, [content(1)]))
    monkeypatch.undo()
    library.close()
    with open_library(library.path, write=True) as again:
        again.save_indexes()
        assert verify(again) == []
        assert again.vectors(model)[0].tolist() == [1]


def test_a_shard_that_no_row_names_is_swept_by_the_next_writer_only(library: Library, encoder: ColourEncoder) -> None:
    model = library.add_model(encoder)
    library.commit(model, queries.IMAGE, [1], rows(1), lambda c: queries.add_contents(c, [content(1)]))
    named = shards_of(library)
    stray = named[0].with_name("000002.parquet")
    stray.write_bytes(named[0].read_bytes())
    half = named[0].with_name("000003.parquet.part")
    half.write_bytes(b"PAR1")
    library.close()
    with open_library(library.path) as reader:
        assert len(shards_of(reader)) == 3
        assert reader.vectors(model)[0].tolist() == [1]
    with open_library(library.path, write=True) as writer:
        assert shards_of(writer) == named


def test_shards_of_two_models_lie_apart(library: Library) -> None:
    first, second = (library.add_model(ColourEncoder(name)) for name in ("a/b:c", "a_b_c"))
    assert Library.folder_of(first) != Library.folder_of(second)
    assert all(re.fullmatch(r"[\w.-]+", Library.folder_of(m)) for m in (first, second))


def test_reads_see_one_state(library: Library, encoder: ColourEncoder) -> None:
    model = library.add_model(encoder)
    with open_library(library.path) as reader, reader.read() as c:
        before = queries.counts(c)["photos"]
        library.commit(model, queries.IMAGE, [1], rows(1), lambda c: queries.add_contents(c, [content(1)]))
        assert queries.counts(c)["photos"] == before == 0
        assert queries.shards(c) == []
    with open_library(library.path) as reader, reader.read() as c:
        assert queries.counts(c)["photos"] == 1


# Models


def test_an_empty_library_has_no_model(library: Library) -> None:
    with pytest.raises(UsageError, match="is empty") as error:
        library.model()
    one_line(error)


def test_the_first_model_is_the_librarys_own(library: Library) -> None:
    for name in ("second by name", "a first"):
        library.add_model(ColourEncoder(name))
    assert library.model().name == "second by name"
    assert library.model("a first").name == "a first"
    with pytest.raises(UsageError, match="no vectors of model third") as error:
        library.model("third")
    assert "second by name, a first" in one_line(error)


def test_other_weights_under_the_same_name_are_refused(library: Library) -> None:
    row = library.add_model(ColourEncoder())
    assert library.add_model(ColourEncoder()) == row == library.model_of(ColourEncoder())
    for use in (library.model_of, library.add_model):
        with pytest.raises(FingerprintMismatch) as error:
            use(ColourEncoder(salt="other"))
        message = one_line(error)
        assert row.fingerprint[:12] in message
        assert ColourEncoder(salt="other").fingerprint[:12] in message


# Damage


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("damage", ["garbage", "garbage start", "truncated", "emptied", "garbage middle"])
def test_a_damaged_catalog(
    library: Library, take: Callable[..., Any], photos: Photos, damage: str, write: bool
) -> None:
    take(photos(3))
    library.close()
    shards = shards_of(library)
    file = library.path / "catalog.sqlite"
    data = file.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
    file.write_bytes(
        {
            "garbage": noise,
            "garbage start": noise[:100] + data[100:],
            "truncated": data[: len(data) // 3],
            "emptied": b"",
            "garbage middle": data[:4096] + noise[4096:],
        }[damage]
    )

    def use() -> None:
        with open_library(library.path, write=write) as opened:
            found = verify(opened)
            assert found
            raise LibraryDamaged(found[0].what)

    with pytest.raises(LibraryDamaged) as error:
        use()
    one_line(error)
    assert shards_of(library) == shards, "what a copy of the catalog would need is kept"


# A full disk


@contextmanager
def files_may_grow_to(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(tmp_path: Path, photos: Photos, cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that may not grow: whichever write fails, one line, and all that was committed before stays."""
    monkeypatch.setattr("vlsearch.ingest.taking.COMMIT_SECONDS", 0.0)
    first, second = photos(70), photos(300, "more", seed=1)
    assert cli("ingest", "--model", "colour", first).code == 0
    place = tmp_path / "library"
    kept = 70
    largest = max(file.stat().st_size for file in place.rglob("*") if file.is_file())
    for limit in (4_000, largest - 8192, largest + 4096, largest + 20_000):
        with files_may_grow_to(limit):
            done = cli("ingest", first, second)
        assert done.code == 1
        assert re.fullmatch(r"vlsearch: cannot write to [^\n]+\n", done.err)
        with open_library(place) as library:
            ids, _ = library.vectors(library.model())
            assert len(ids) >= kept
            kept = len(ids)
            assert [p.what for p in verify(library) if not p.what.startswith("index")] == []
    assert kept > 70, "no batch was committed between two failures"
    assert cli("ingest", first, second).code == 0
    with open_library(place) as library:
        assert len(library.vectors(library.model())[0]) == 370
        assert verify(library) == []


@pytest.mark.parametrize("call", range(1, 7))
def test_a_write_that_fails(
    library: Library, take: Callable[..., Any], photos: Photos, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space left at the nth sync of a shard, an index, a manifest or their folder."""
    calls = 0

    def fsync(_descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(errno.ENOSPC, "No space left on device")

    folder = photos(100)
    monkeypatch.setattr("vlsearch.ingest.taking.COMMIT_PHOTOS", 1000)
    with monkeypatch.context() as patch:
        patch.setattr("vlsearch.vectors.store.os.fsync", fsync)
        with pytest.raises(LibraryError, match="No space left on device") as error:
            take(folder)
    assert str(library.path) in one_line(error)
    stored = len(library.vectors(library.model())[0])
    assert stored == (0, 0, 0, 100, 100, 100, 100)[call]
    assert [p.what for p in verify(library) if not p.what.startswith("index")] == []
    done = take(folder)
    assert (done.added, done.unchanged) == (100 - stored, stored)
    assert verify(library) == []


def test_an_open_index_follows_what_others_commit(
    library: Library, take: Callable[..., object], photos: Callable[..., Path]
) -> None:
    take(photos(3))
    with open_library(library.path) as reader:
        model = reader.model()
        before = reader.index(model)
        assert before.count == 3
        assert reader.index(model) is before
        take(photos(2, "more", seed=1))
        assert reader.index(model).count == 5
