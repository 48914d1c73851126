"""Shards: immutable Parquet files of vectors, the source of truth of a library.

Columns `id` int64 and `vector` fixed_size_list<float16>[d]. Written under a temporary name, synced and renamed, so a
file under its final name is whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vlsearch.errors import LibraryDamaged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEMPORARY = ".part"
GROUP = 8192
"""rows that are written at a time"""


def write_shard(path: Path, ids: NDArray[np.int64], vectors: NDArray[np.float16]) -> str:
    """Write ids (n,) and vectors (n, d) durably; returns the file's sha256. OSError leaves nothing behind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    d = vectors.shape[1]
    table = pa.table(
        {"id": pa.array(ids), "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), d)}
    )
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False, "row_group_size": GROUP}
    write_durably(path, lambda file: pq.write_table(table, file, **options))
    return digest_of(path)


def digest_of(path: Path) -> str:
    """The sha256 of a file, read a piece at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_durably(path: Path, data: bytes | Callable[[IO[bytes]], object]) -> None:
    """Replace `path` by `data`, or by what `data` writes: temporary file, fsync, rename, fsync of the folder. All of it
    or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with temporary.open("wb") as file:
            if callable(data):
                data(file)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the system can (Windows cannot open folders)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_shard(path: Path, sha256: str | None = None) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """The ids (n,) and vectors (n, d) of a shard.

    Raises LibraryDamaged when the file is gone, is not a shard, or (with `sha256`) holds other bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = path.read_bytes()
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise LibraryDamaged(f"shard {path} is damaged: its checksum differs; `vlsearch repair` mends it")
        # on a thread of Arrow's, `data` may be let go of after Python has begun to end, which aborts the process
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise LibraryDamaged(f"shard {path} cannot be read: {error}; `vlsearch repair` mends it") from error
    vector = table.column("vector").chunk(0)
    ids = table.column("id").chunk(0).to_numpy()
    return ids, vector.flatten().to_numpy().reshape(len(ids), vector.type.list_size)
