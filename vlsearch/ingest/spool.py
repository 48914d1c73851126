"""A queue on disk of the files to read: a walk over millions of photos takes no memory."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator

from vlsearch.ingest.scan import Found

IN_MEMORY = 4 << 20  # bytes; some 30,000 files


class Spool:
    """First in, first out; filled, then read once."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, found: Found) -> None:
        pickle.dump(tuple(found), self._file, pickle.HIGHEST_PROTOCOL)
        self._count += 1

    def take_all(self) -> Iterator[Found]:
        self._file.seek(0)
        for _ in range(self._count):
            yield Found(*pickle.load(self._file))

    def close(self) -> None:
        self._file.close()
