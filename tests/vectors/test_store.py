from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.store import read_shard, write_durably, write_shard


def vectors(n: int, d: int = 8) -> NDArray[np.float16]:
    return np.random.default_rng(n).normal(size=(n, d)).astype(np.float16)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 512), (3, 48), (70_000, 2)])
def test_what_is_written_is_read(tmp_path: Path, n: int, d: int) -> None:
    ids = np.random.default_rng(0).permutation(n).astype(np.int64) + 2**40
    xb = vectors(n, d)
    sha256 = write_shard(tmp_path / "a" / "1.parquet", ids, xb)
    assert hashlib.sha256((tmp_path / "a" / "1.parquet").read_bytes()).hexdigest() == sha256
    read_ids, read = read_shard(tmp_path / "a" / "1.parquet", sha256)
    assert np.array_equal(read_ids, ids)
    assert read_ids.dtype == np.int64
    assert np.array_equal(read, xb)
    assert (read.dtype, read.shape) == (np.float16, (n, d))


def test_the_columns_are_those_of_the_format(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_shard(tmp_path / "1.parquet", np.arange(3), vectors(3))
    schema = pq.read_schema(tmp_path / "1.parquet")
    assert schema.names == ["id", "vector"]
    assert schema.field("id").type == pa.int64()
    assert schema.field("vector").type.value_type == pa.float16()
    assert schema.field("vector").type.list_size == 8


def test_equal_vectors_make_equal_bytes(tmp_path: Path) -> None:
    assert write_shard(tmp_path / "1", np.arange(3), vectors(3)) == write_shard(
        tmp_path / "2", np.arange(3), vectors(3)
    )


def test_any_flipped_bit_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "1.parquet"
    sha256 = write_shard(file, np.arange(3), vectors(3))
    data = file.read_bytes()
    for position in range(0, len(data), 7):
        file.write_bytes(data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :])
        with pytest.raises(LibraryDamaged, match="vlsearch repair"):
            read_shard(file, sha256)


@pytest.mark.parametrize("data", [None, b"", b"PAR1", b"no parquet at all" * 100])
def test_what_is_no_shard_is_refused_in_one_line(tmp_path: Path, data: bytes | None) -> None:
    file = tmp_path / "1.parquet"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(LibraryDamaged) as error:
        read_shard(file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_a_write_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    write_durably(file, b"before")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_durably(file, b"after")
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_data_are_synced_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        replace(self, target)
        return target

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_durably(tmp_path / "f", b"x")
    assert steps == ["file", "rename", "folder"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_a_shard_is_read_without_threads_of_arrow(tmp_path: Path) -> None:
    """One that lets go of the shard's bytes after Python has begun to end aborts the process."""
    write_shard(tmp_path / "s.parquet", np.arange(50_000), np.ones((50_000, 8), np.float16))
    script = (
        "import os, sys, pathlib, pyarrow.parquet; from vlsearch.vectors.store import read_shard; "
        "threads = lambda: len(os.listdir('/proc/self/task')); before = threads(); "
        "read_shard(pathlib.Path(sys.argv[1])); print(threads() - before)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "s.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
