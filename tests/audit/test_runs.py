"""Audits that are kept: whole or not at all, found by number, swept, forgotten."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ColourEncoder
from vlsearch.audit.asked import Asked
from vlsearch.audit.model import AuditModel
from vlsearch.audit.report import from_dict
from vlsearch.audit.run import Audited, audit
from vlsearch.audit.runs import drop, keep, run_of, runs
from vlsearch.audit.subject import captions_of
from vlsearch.catalog import audits, queries
from vlsearch.check import verify
from vlsearch.errors import LibraryDamaged, LibraryError, UsageError
from vlsearch.library import Library, open_library

TEXTS = ["a dog by two cats", "a red car on a wet street", "a dog by two cats", "x"]
SOURCE = {"name": "colour"}


@pytest.fixture
def audited(library: Library, take: Callable[..., Any], photos: Callable[..., Path]) -> Audited:
    """Of 5 photos, 4 of them with captions."""
    take(photos(5))
    with library.transaction() as c:
        places = sorted((path, i) for path, i in queries.contents_by_path(c).items())
        queries.add_captions(c, [(places[n][1], text, None) for n, text in enumerate(TEXTS)], "c")
    return audit(Asked(seeds=2), AuditModel(ColourEncoder(), None), library)


def files(library: Library) -> list[str]:
    return sorted(path.relative_to(library.path).as_posix() for path in library.path.glob("audits/**/*.*"))


def test_a_run_is_kept_whole(library: Library, audited: Audited) -> None:
    assert keep(library, audited, SOURCE) == 1
    (run,) = runs(library)
    assert (run.report, run.asked, run.row.source) == (audited.report, audited.asked, SOURCE)
    assert from_dict(audited.report.to_dict()) == audited.report
    assert run.rows().equals(audited.rows)
    replay = run.replay()
    assert replay.ids is not None
    assert (replay.ids == captions_of(library)[1]).all()
    assert (replay.captioned.photos, replay.captioned.texts) == (audited.captioned.photos, audited.captioned.texts)
    assert replay.captioned.owner.tolist() == [0, 1, 2, 3]
    assert replay.known is not None
    assert {*replay.known} == {("shuffle", 0), ("shuffle", 1), ("identity", 0), ("sort", 0)}
    assert replay.known["shuffle", 1]["x"] == ("x", False)
    assert files(library) == sorted(audits.files_of(run.row.file or ""))


def test_numbers(library: Library, audited: Audited) -> None:
    with pytest.raises(UsageError, match="no audit is kept"):
        run_of(library, "last")
    assert [keep(library, audited, SOURCE) for _ in range(3)] == [1, 2, 3]
    drop(library, run_of(library, "last"))
    assert keep(library, audited, SOURCE) == 4, "a number is never given out twice"
    assert run_of(library, "last").row.id == 4
    with pytest.raises(UsageError, match="no audit 3; the last ones are 1, 2, 4"):
        run_of(library, "3")
    assert len(files(library)) == 6


@pytest.mark.parametrize("fails_at", [0, 1, 2, 3])
def test_a_full_disk_leaves_nothing(
    library: Library, audited: Audited, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """At each sync in turn: of either file and of its folder."""
    before, synced, fsync = files(library), [0], os.fsync

    def fail(descriptor: int) -> None:
        synced[0] += 1
        if synced[0] > fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LibraryError, match=r"cannot write to .*: No space left on device; run this again"):
        keep(library, audited, SOURCE)
    assert (files(library), runs(library)) == (before, [])


def test_a_catalog_that_fails_leaves_nothing(
    library: Library, audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise LibraryDamaged("the catalog is damaged")

    monkeypatch.setattr(audits, "add_run", fail)
    with pytest.raises(LibraryDamaged):
        keep(library, audited, SOURCE)
    assert (files(library), runs(library)) == ([], [])


def test_an_interrupt_once_all_is_committed(
    library: Library, audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = Library.transaction

    @contextmanager
    def interrupted(self: Library) -> Iterator[Any]:
        with transaction(self) as c:
            yield c
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(Library, "transaction", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keep(library, audited, SOURCE)
    assert run_of(library, "last").rows().equals(audited.rows)
    assert verify(library) == []


def test_what_a_kill_leaves_is_swept(library: Library, audited: Audited) -> None:
    keep(library, audited, SOURCE)
    kept = files(library)
    orphans = ["0123456789abcdef.parquet", "0123456789abcdef.gallery.parquet", "fedcba9876543210.parquet.part"]
    for name in [*orphans, "cache/of a model/0.npy"]:
        (library.path / "audits" / name).parent.mkdir(exist_ok=True, parents=True)
        (library.path / "audits" / name).write_bytes(b"")
    library.close()
    with open_library(library.path) as reading:
        assert len(files(reading)) == 6, "readers delete nothing"
    with open_library(library.path, write=True) as writing:
        assert files(writing) == sorted([*kept, "audits/cache/of a model/0.npy"])


def test_verify_looks_at_the_files(library: Library, audited: Audited) -> None:
    keep(library, audited, SOURCE)
    assert verify(library) == []
    (library.path / files(library)[0]).unlink()
    (problem,) = verify(library)
    assert problem.what.startswith("the rows of audit 1 cannot be read")
    with pytest.raises(LibraryDamaged, match="vlsearch audit forget 1"):
        run_of(library, "1").replay()


def test_names_that_are_no_utf8(library: Library, audited: Audited) -> None:
    captioned = replace(audited.captioned, photos=tuple(f"\udcff{n}" for n in range(5)))
    keep(library, replace(audited, captioned=captioned), SOURCE)
    assert run_of(library, "last").replay().captioned.photos == tuple(f"\ufffd{n}" for n in range(5))


def test_of_a_dataset_there_are_no_ids(library: Library, audited: Audited) -> None:
    keep(library, replace(audited, ids=None), SOURCE)
    assert run_of(library, "last").replay().ids is None
    none = replace(audited.captioned, photos=(), texts=(), owner=np.empty(0, np.int64))
    keep(library, replace(audited, captioned=none, ids=None), SOURCE)
    assert run_of(library, "last").replay().captioned.owner.shape == (0,)
