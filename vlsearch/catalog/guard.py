"""What database drivers raise, as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlsearch.errors import LibraryDamaged, LibraryError


@contextmanager
def guarded(catalog: Path) -> Iterator[None]:
    """Around work with the catalog file: raises LibraryError or LibraryDamaged for what SQLite or SQLAlchemy raise."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        raise in_one_line(catalog, str(error)) from error
    except Exception as error:
        original = getattr(error, "orig", None)  # SQLAlchemy's errors hold the driver's
        if not isinstance(original, Exception):
            raise
        raise in_one_line(catalog, str(original)) from error


def in_one_line(catalog: Path, cause: str) -> LibraryError:
    if "disk is full" in cause or "disk I/O" in cause:
        return LibraryError(
            f"cannot write to {catalog.parent}: {cause}; free some space and run this again, nothing stored is lost"
        )
    if "malformed" in cause or "not a database" in cause or "no such table" in cause:
        return LibraryDamaged(
            f"the catalog {catalog} is damaged ({cause}); put back a copy of it, or move the library away and ingest "
            "again"
        )
    return LibraryError(f"the catalog of {catalog.parent} does not answer: {cause}")
