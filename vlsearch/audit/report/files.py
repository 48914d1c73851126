"""Files of an audit: whole or not there, and one line where that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vlsearch.errors import UsageError
from vlsearch.printable import printable
from vlsearch.vectors.store import write_durably

if TYPE_CHECKING:
    import pyarrow as pa


def write_file(path: Path, data: bytes | Callable[[IO[bytes]], object]) -> None:
    """Replace `path` by `data`, or by what `data` writes, all of it or nothing; folders that are missing are made.
    Raises UsageError where that fails."""
    try:
        write_durably(path, data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write '{printable(str(path))}': {reason}; choose another place") from error


def write_rows(path: Path, rows: pa.Table) -> None:
    """Write one row per query as the name says: .csv (lists as JSON in their cell) or .parquet (zstd).

    Raises UsageError for another name and for a place that cannot be written.
    """
    import pyarrow.parquet as pq
    from pyarrow import csv

    if path.suffix.lower() == ".parquet":
        write_file(path, lambda file: pq.write_table(rows, file, compression="zstd"))
    elif path.suffix.lower() == ".csv":
        write_file(path, lambda file: csv.write_csv(_flat(rows), file))
    else:
        raise UsageError(f"cannot write rows to '{printable(str(path))}': its name should end in .csv or .parquet")


def _flat(rows: pa.Table) -> pa.Table:
    """`rows` with each list as JSON: a text may hold whatever else could part them."""
    import pyarrow as pa

    for n, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            cells = [json.dumps(cell, ensure_ascii=False) for cell in rows.column(n).to_pylist()]
            rows = rows.set_column(n, field.name, pa.array(cells, pa.string()))
    return rows
