"""Vectors as clip-retrieval writes them: img_emb/img_emb_0.npy, and metadata/metadata_0.parquet row by row with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlsearch.encoders.foreign_vectors import shape_of
from vlsearch.errors import UsageError
from vlsearch.ingest.vector_parquet import WordColumns, word_columns
from vlsearch.ingest.vector_source import Block, VectorSource


@dataclass(frozen=True)
class NpyVectors(VectorSource):
    metadata: Path
    words: WordColumns

    def read(self, rows: int) -> Iterator[Block]:
        import pyarrow.parquet as pq

        with self.metadata.open("rb") as file:
            first = 0
            for batch in pq.ParquetFile(file).iter_batches(batch_size=rows, columns=self.words.wanted):
                photos, captions = self.words.read(batch)
                vectors = np.load(
                    self.path, mmap_mode="r", allow_pickle=False
                )  # anew, or all that was read stays mapped
                yield Block(first, vectors[first : first + len(batch)].astype(np.float32), photos, captions)
                first += len(batch)


def open_npy(path: Path) -> NpyVectors:
    import pyarrow.parquet as pq

    rows, dim = shape_of(path, np.load(path, mmap_mode="r", allow_pickle=False))
    metadata = metadata_beside(path)
    with metadata.open("rb") as file:
        parquet = pq.ParquetFile(file)
        known = parquet.metadata.num_rows
        words = word_columns(metadata, parquet.schema_arrow)
    if known != rows:
        raise UsageError(
            f"{str(path)!r} holds {rows:,} vectors but {str(metadata)!r} {known:,} rows; take both of one run"
        )
    return NpyVectors(path, rows, dim, metadata, words)


def metadata_beside(path: Path) -> Path:
    """The Parquet whose rows go with the vectors: of the same number in ../metadata or beside, or of the same name."""
    digits = re.search(r"\d*$", path.stem)
    names = [f"metadata_{digits[0]}.parquet"] if digits and digits[0] else ["metadata.parquet"]
    places = [path.parent.parent / "metadata" / names[0], path.parent / names[0], path.with_suffix(".parquet")]
    for place in places:
        if place.is_file():
            return place
    raise UsageError(
        f"nothing says which photos the vectors of {str(path)!r} are of: expected {names[0]} in ../metadata or beside "
        f"it, or {path.stem}.parquet"
    )


def vectors_in(folder: Path) -> list[Path]:
    """The .npy files of a folder as clip-retrieval writes it, by their numbers. UsageError when there are none."""
    inside = folder / "img_emb" if (folder / "img_emb").is_dir() else folder
    found = sorted(
        inside.glob("*.npy"), key=lambda file: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", file.name)]
    )
    if not found:
        raise UsageError(
            f"no vectors in {str(folder)!r}: img_emb/*.npy and metadata/*.parquet are expected in a folder"
        )
    return found
