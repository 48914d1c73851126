"""Vectors that are kept: found again, in half precision, whatever happens to their files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit import cache
from vlsearch.audit.cache import VectorCache, key_of

DIM = 4


def keys(n: int, start: int = 0) -> list[bytes]:
    return [key_of("text", str(i)) for i in range(start, start + n)]


def vectors(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def test_keys_are_of_the_whole_text() -> None:
    told = [("text", "a b"), ("text", "a", "b"), ("text", "a\ud800b"), ("photo", "a b"), ("text", "")]
    assert len({key_of(*parts) for parts in told}) == len(told)
    assert {len(key_of(*parts)) for parts in told} == {cache.KEY.itemsize}
    assert key_of("text", "a") == key_of("text", "a")


def test_what_is_put_is_found_in_half_precision(tmp_path: Path) -> None:
    xs = vectors(5)
    first = VectorCache(tmp_path, DIM)
    assert first.find(keys(2))[1].tolist() == [False, False]
    kept = first.put(keys(5), xs)
    assert (kept == xs.astype(np.float16).astype(np.float32)).all()
    asked = [*reversed(keys(5)), *keys(2, 90)]
    for opened in (first, _flushed(first), VectorCache(tmp_path, DIM)):
        found, known = opened.find(asked)
        assert known.tolist() == [True] * 5 + [False] * 2
        assert (found[:5] == kept[::-1]).all()
        assert not found[5:].any()
    assert first.find([])[0].shape == (0, DIM)


def _flushed(one: VectorCache) -> VectorCache:
    one.flush()
    return one


def test_nothing_is_written_before_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(cache.time, "monotonic", lambda: clock[0])
    one = VectorCache(tmp_path / "of one model", DIM)
    one.put(keys(1), vectors(1))
    assert not (tmp_path / "of one model").exists()
    clock[0] += cache.PATIENCE + 1
    one.put(keys(1, 1), vectors(1))
    assert VectorCache(tmp_path / "of one model", DIM).find(keys(2))[1].all()
    one.put(keys(1, 2), vectors(1))
    assert not VectorCache(tmp_path / "of one model", DIM).find(keys(3))[1][2]
    one.flush()
    one.flush()
    assert len(list(tmp_path.glob("*/*"))) == 4


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = VectorCache(None, DIM)
    one.put(keys(3), vectors(3))
    one.flush()
    assert one.find(keys(3))[1].all()
    assert not list(tmp_path.iterdir())


def test_many_parts_become_one(tmp_path: Path) -> None:
    parts = cache.MANY + 1
    for n in range(parts):
        one = VectorCache(None, DIM)
        one.folder = tmp_path
        one.put(keys(3, 2 * n), vectors(2 * parts + 1)[2 * n : 2 * n + 3])
        one.flush()
    merged = VectorCache(tmp_path, DIM)
    assert len(list(tmp_path.iterdir())) == 2
    wanted = vectors(2 * parts + 1).astype(np.float16).astype(np.float32)
    for opened in (merged, VectorCache(tmp_path, DIM)):
        found, known = opened.find(keys(2 * parts + 1))
        assert known.all()
        assert (found == wanted).all()


def test_damaged_files_cost_embedding_once_more(tmp_path: Path) -> None:
    for n in range(5):
        one = VectorCache(tmp_path, DIM)
        one.put(keys(1, n), vectors(1))
        one.flush()
    of = {n: next(p for p in tmp_path.glob("*.keys.npy") if np.load(p)[0] == keys(1, n)[0]) for n in range(5)}
    of[0].write_bytes(b"")
    of[1].write_bytes(of[1].read_bytes()[:-3])
    _beside(of[2]).unlink()
    np.save(_beside(of[3]), np.zeros((1, DIM + 1), np.float16))
    assert VectorCache(tmp_path, DIM).find(keys(5))[1].tolist() == [False] * 4 + [True]


def _beside(file: Path) -> Path:
    return file.with_name(file.name.replace(".keys", ""))


def test_a_full_disk_costs_the_cache_and_not_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = OSError("12 requested and 0 written")  # as numpy raises it

    def fail(_descriptor: int) -> None:
        raise full

    one = VectorCache(tmp_path, DIM)
    one.put(keys(2), vectors(2))
    monkeypatch.setattr(os, "fsync", fail)
    one.flush()
    one.put(keys(1, 2), vectors(1))
    one.flush()
    assert one.find(keys(3))[1].all()
    assert [record.message for record in caplog.records] == [
        f"cannot write to {tmp_path}: {full}; vectors are not kept for the next audit"
    ]
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_parts_that_were_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MANY", 1)
    for n in range(2):
        one = VectorCache(None, DIM)
        one.folder = tmp_path
        one.put(keys(1, n), vectors(1))
        one.flush()

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        assert VectorCache(tmp_path, DIM).find(keys(2))[1].all()
    assert len(list(tmp_path.iterdir())) == 4
    assert VectorCache(tmp_path, DIM).find(keys(2))[1].all()
