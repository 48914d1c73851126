"""Keys and their vectors from Parquet, from .npz, or from .npy with a .jsonl beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.encoders.foreign_vectors import is_list, read_errors, shape_of, unreadable
from vlsearch.errors import ModelError, UnreadableFile, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY, VECTOR = "key", "vector"
LINE_KEYS = (KEY, "text", "image", "file_name", "path")
"""what a line of the .jsonl may call its key"""
BLOCK = 1 << 14
"""rows that are read at a time"""


def read_keyed(path: Path) -> tuple[Any, NDArray[Any]]:
    """The keys, an Arrow array of n large_binary (UTF-8), and the vectors (n, d), float16 where the file's are, else
    float32; a .npy is mapped, not read.

    Raises UsageError for what is not there or does not hold keys and vectors, ModelError for vectors of several widths
    and for rows without one or without a key, UnreadableFile for what is damaged.
    """
    readers = {".parquet": read_parquet, ".pq": read_parquet, ".npz": read_npz, ".npy": read_npy}
    reader = readers.get(path.suffix.lower())
    if not path.is_file():
        raise UsageError(f"no such file: {str(path)!r}; --model vectors:FILE takes a file of keys and vectors")
    if reader is None:
        raise UsageError(f"cannot read vectors from {str(path)!r}: expected {', '.join(readers)}")
    try:
        keys, vectors = reader(path)
    except read_errors() as error:
        raise unreadable(path, error) from None
    if not len(keys):
        raise UsageError(f"{str(path)!r} holds no vectors")
    return keys, vectors


def read_parquet(path: Path) -> tuple[Any, NDArray[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyarrow.types as t

    with path.open("rb") as file:
        # pre_buffer would hold all of the file until the last batch
        parquet = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        schema = parquet.schema_arrow
        _need(path, "column", schema.names)
        type_ = schema.field(VECTOR).type
        if not is_list(type_) or not t.is_floating(type_.value_type):
            raise UsageError(f"the column {VECTOR!r} of {str(path)!r} holds {type_}; vectors are lists of floats")
        dtype = np.float16 if t.is_float16(type_.value_type) else np.float32
        keys, vectors, first = [], np.empty((0, 0), dtype), 0
        for batch in parquet.iter_batches(batch_size=BLOCK, columns=[KEY, VECTOR]):
            part = _matrix(path, batch.column(VECTOR), vectors.shape[1], first)
            if not first:
                vectors = np.empty((parquet.metadata.num_rows, part.shape[1]), dtype)
            with np.errstate(over="ignore"):  # float64 beyond float32: not finite, as will be seen
                vectors[first : first + len(batch)] = part
            keys.append(_binary(path, batch.column(KEY), first))
            first += len(batch)
    return pa.chunked_array(keys, pa.large_binary()).combine_chunks(), vectors


def read_npz(path: Path) -> tuple[Any, NDArray[Any]]:
    import pyarrow as pa

    with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as arrays:
        _need(path, "array", arrays.files)
        vectors, keys = arrays[VECTOR], arrays[KEY]
    rows, _ = shape_of(path, vectors)
    if keys.shape != (rows,) or keys.dtype.kind not in "USiu":
        raise UsageError(
            f"{str(path)!r} holds {rows:,} vectors and {keys.dtype} of shape {keys.shape} for {KEY!r}: a text or file "
            "name for each is expected"
        )
    return _binary(path, pa.array(keys), 0), _floats(vectors)


def read_npy(path: Path) -> tuple[Any, NDArray[Any]]:
    import pyarrow as pa

    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    rows, _ = shape_of(path, vectors)
    beside = path.with_suffix(".jsonl")
    if not beside.is_file():
        raise UsageError(f"nothing says what the vectors of {str(path)!r} are of: expected {beside.name} beside it")
    lines = _lines(beside)
    chunks = []
    while chunk := list(islice(lines, BLOCK)):
        chunks.append(pa.array(chunk, pa.large_binary()))
    keys = pa.chunked_array(chunks, pa.large_binary()).combine_chunks()
    if len(keys) != rows:
        raise ModelError(f"{str(path)!r} holds {rows:,} vectors but {beside.name} {len(keys):,} keys; write both anew")
    return keys, _floats(vectors)


def encoded(key: str) -> bytes:
    """A key as it is compared: also what is no character, as an undecodable byte of a file's name, has bytes."""
    return key.encode("utf-8", "surrogatepass")


def _lines(path: Path) -> Iterator[bytes]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                raise UnreadableFile(f"cannot read {str(path)!r}: line {number} is no JSON") from None
            if isinstance(record, dict):
                record = next((record[name] for name in LINE_KEYS if name in record), None)
            if not isinstance(record, str):
                raise UsageError(
                    f"line {number} of {str(path)!r} names nothing: a text, or an object with one of "
                    f"{', '.join(LINE_KEYS)}, is expected"
                )
            yield encoded(record)


def _need(path: Path, noun: str, names: list[str]) -> None:
    for name in (KEY, VECTOR):
        if name not in names:
            raise UsageError(
                f"no {noun} of {str(path)!r} is called {name!r}; its {noun}s are {', '.join(names) or 'none'}"
            )


def _binary(path: Path, keys: Any, first: int) -> Any:
    """Keys of rows from `first` on as large_binary; numbers as they are written."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if keys.null_count:
        n = int(np.argmax(pc.is_null(keys).to_numpy(zero_copy_only=False)))
        raise ModelError(f"row {first + n + 1:,} of {str(path)!r} has no {KEY}; leave it out")
    if not (pa.types.is_binary(keys.type) or pa.types.is_large_binary(keys.type)):
        keys = keys.cast(pa.large_string())
    return keys.cast(pa.large_binary())


def _matrix(path: Path, column: Any, dim: int, first: int) -> NDArray[Any]:
    """A column of lists to (n, d), without a copy; `dim`, where it is known, is what all have to be."""
    import pyarrow.compute as pc

    widths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    dim = dim or int(widths[0])
    wrong = (widths != dim) | (widths == 0)
    if wrong.any():
        n = int(np.argmax(wrong))
        has = f"a vector of {widths[n]:,} numbers where the first has {dim:,}" if widths[n] else "no vector"
        raise ModelError(f"row {first + n + 1:,} of {str(path)!r} has {has}; all must be of one width")
    values: NDArray[Any] = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return values.reshape(-1, dim)


def _floats(vectors: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return vectors.astype(np.float16 if vectors.dtype.itemsize == 2 else np.float32, copy=False)
