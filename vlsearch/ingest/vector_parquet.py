"""Vectors in a column of a Parquet file, and the columns that name photos and caption them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlsearch.encoders.foreign_vectors import is_list
from vlsearch.errors import UsageError
from vlsearch.ingest.container_captions import caption_column, texts_of
from vlsearch.ingest.parquet import is_binary
from vlsearch.ingest.vector_source import PHOTO_NAMES, VECTOR_NAMES, Block, VectorSource, first_of


class WordColumns(NamedTuple):
    """Where a Parquet file names its photos and has their captions."""

    photo: str
    struct: bool
    """the photo is a struct {bytes, path}, as Hugging Face has it: its path is the name"""
    captions: str | None

    @property
    def wanted(self) -> list[str]:
        photo = f"{self.photo}.path" if self.struct else self.photo
        return [photo] if self.captions is None else [photo, self.captions]

    def read(self, batch: Any) -> tuple[list[str], list[list[str]]]:
        """Photos ("" where it is null) and captions of the rows of a record batch."""
        photos = batch.column(self.photo).to_pylist()
        if self.struct:
            photos = [photo and photo["path"] for photo in photos]
        texts = batch.column(self.captions).to_pylist() if self.captions else [None] * len(photos)
        return ["" if photo is None else str(photo) for photo in photos], [texts_of(text) for text in texts]


def word_columns(path: Path, schema: Any) -> WordColumns:
    """UsageError where no column names the photos."""
    import pyarrow.types as t

    structs = {f.name for f in schema if t.is_struct(f.type) and f.type.get_field_index("path") >= 0}
    plain = {f.name for f in schema if not t.is_nested(f.type) and not is_binary(f.type)}
    photo = first_of(PHOTO_NAMES, [name for name in schema.names if name in structs | plain])
    if photo is None:
        raise UsageError(
            f"nothing in {str(path)!r} names the photos: expected a column such as 'path', 'file_name' or 'key'; its "
            f"columns are {', '.join(schema.names) or 'none'}"
        )
    return WordColumns(photo, photo in structs, caption_column(name for name in schema.names if name != photo))


@dataclass(frozen=True)
class ParquetVectors(VectorSource):
    column: str
    words: WordColumns

    def read(self, rows: int) -> Iterator[Block]:
        import pyarrow.parquet as pq

        with self.path.open("rb") as file:
            first = 0
            parquet = pq.ParquetFile(file, buffer_size=1 << 20)
            for batch in parquet.iter_batches(batch_size=rows, columns=[self.column, *self.words.wanted]):
                yield Block(first, matrix(batch.column(self.column), self.dim), *self.words.read(batch))
                first += len(batch)


def open_parquet(path: Path) -> ParquetVectors:
    import pyarrow.parquet as pq
    import pyarrow.types as t

    with path.open("rb") as file:
        parquet = pq.ParquetFile(file)
        schema = parquet.schema_arrow
        lists = [f.name for f in schema if is_list(f.type) and t.is_floating(f.type.value_type)]
        column = first_of(VECTOR_NAMES, lists) or (lists[0] if len(lists) == 1 else None)
        if column is None:
            raise UsageError(
                f"no column of {str(path)!r} holds vectors, which are lists of numbers in a column such as 'vector' or "
                f"'embedding'; its columns are {', '.join(schema.names) or 'none'}"
            )
        type_ = schema.field(column).type
        dim = type_.list_size if t.is_fixed_size_list(type_) else usual_length(parquet, column)
        if not dim:
            raise UsageError(f"{str(path)!r} holds no vectors: every {column!r} is empty")
        return ParquetVectors(path, parquet.metadata.num_rows, dim, column, word_columns(path, schema))


def usual_length(parquet: Any, column: str) -> int:
    """The commonest length of the first rows that have vectors."""
    for batch in parquet.iter_batches(batch_size=64, columns=[column]):
        if lengths := Counter(len(cell) for cell in batch.column(0) if cell.is_valid and len(cell)):
            return lengths.most_common(1)[0][0]
    return 0


def matrix(column: Any, dim: int) -> NDArray[np.float32]:
    """A column of lists to (n, dim); NaN for rows that are null or of another length."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fits = pc.fill_null(pc.equal(pc.list_value_length(column), dim), False).to_numpy(zero_copy_only=False)
    values = pc.list_flatten(column.filter(pa.array(fits)))
    rows = np.full((len(column), dim), np.nan, np.float32)
    rows[fits] = values.to_numpy(zero_copy_only=False).reshape(-1, dim)
    return rows
