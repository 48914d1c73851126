"""Vectors of photos that another program made: .npy with its Parquet, .npz, Parquet with a column of vectors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vlsearch.encoders.foreign_vectors import read_errors, unreadable
from vlsearch.errors import UsageError
from vlsearch.ingest.vector_npy import open_npy, vectors_in
from vlsearch.ingest.vector_npz import open_npz
from vlsearch.ingest.vector_parquet import open_parquet
from vlsearch.ingest.vector_source import VectorSource

OPENERS = {".npy": open_npy, ".npz": open_npz, ".parquet": open_parquet, ".pq": open_parquet}


def open_files(paths: Iterable[Path]) -> list[VectorSource]:
    """Look into each file, and into the files of each folder of clip-retrieval's.

    Raises UsageError for what is not there or does not hold vectors and what they are of, UnreadableFile for what is
    damaged.
    """
    return [open_file(file) for path in paths for file in (vectors_in(path) if path.is_dir() else [path])]


def open_file(path: Path) -> VectorSource:
    opener = OPENERS.get(path.suffix.lower())
    if not path.exists():
        raise UsageError(f"no such file or folder: {str(path)!r}")
    if opener is None:
        raise UsageError(
            f"cannot read vectors from {str(path)!r}: expected {', '.join(OPENERS)} or clip-retrieval's folder"
        )
    try:
        return opener(path)
    except read_errors() as error:
        raise unreadable(path, error) from None
