"""Vectors in .npz: an array of vectors, one of names, and what a .jsonl beside it knows of the photos."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlsearch.encoders.foreign_vectors import shape_of
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.captions import PHOTO_COLUMNS
from vlsearch.ingest.container_captions import caption_column, texts_in
from vlsearch.ingest.vector_source import PHOTO_NAMES, VECTOR_NAMES, Block, VectorSource, first_of

RECORD_KEYS = ("image_id", "id", "key", "__key__", *PHOTO_COLUMNS)
"""what a line of the .jsonl may call a photo by"""


@dataclass(frozen=True)
class NpzVectors(VectorSource):
    vectors: str
    photos: str
    captions: str | None
    """names of arrays"""
    records: Path | None

    def read(self, rows: int) -> Iterator[Block]:
        with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            vectors, photos = arrays[self.vectors], texts_of_array(arrays[self.photos])
            texts = texts_of_array(arrays[self.captions]) if self.captions else [""] * len(photos)
        captions = [[text] if text.strip() else [] for text in texts]
        if self.records is not None:
            known = read_records(self.records, frozenset(photos))
            for row, photo in enumerate(photos):
                path, more = known.get(photo, ("", []))
                photos[row] = path or photo
                captions[row] += more
        for first in range(0, len(photos), rows):
            part = slice(first, first + rows)
            yield Block(first, vectors[part].astype(np.float32), photos[part], captions[part])


def open_npz(path: Path) -> NpzVectors:
    # numpy leaves a file open that it opened itself and that is no zip
    with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
        arrays = {name: members[name] for name in members.files}
    names = ", ".join(arrays) or "none"
    matrices = [name for name, array in arrays.items() if array.ndim == 2]
    vectors = first_of(VECTOR_NAMES, arrays) or (matrices[0] if len(matrices) == 1 else None)
    if vectors is None:
        raise UsageError(f"no array of {str(path)!r} is called 'embeddings' or 'vectors'; its arrays are {names}")
    rows, dim = shape_of(path, arrays[vectors])
    flat = {name: array.dtype.kind for name, array in arrays.items() if array.shape == (rows,)}
    texts = [name for name, kind in flat.items() if kind in "US"]
    captions = caption_column(texts)
    named = first_of(PHOTO_NAMES, [name for name, kind in flat.items() if kind in "USiu"])
    photos = named or next((name for name in texts if name != captions), None)
    if photos is None:
        raise UsageError(
            f"nothing in {str(path)!r} says which photos the vectors are of: an array of {rows:,} paths or ids, called "
            f"'paths' or 'ids', is expected; its arrays are {names}"
        )
    return NpzVectors(path, rows, dim, vectors, photos, captions, records_beside(path))


def texts_of_array(array: NDArray[Any]) -> list[str]:
    return [cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell) for cell in array.tolist()]


def records_beside(path: Path) -> Path | None:
    """The .jsonl whose name the file's name is or begins with: val.jsonl of val_image_embeddings.npz."""
    begins = [f for f in path.parent.glob("*.jsonl") if re.match(re.escape(f.stem) + r"([_.-]|$)", path.stem)]
    return max(begins, key=lambda file: len(file.stem), default=None)


def read_records(path: Path, wanted: frozenset[str]) -> dict[str, tuple[str, list[str]]]:
    """What a .jsonl says of the photos `wanted`, whatever it calls them by: path ("" if it has none) and captions."""
    known: dict[str, tuple[str, list[str]]] = {}
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                raise UnreadableFile(f"cannot read {str(path)!r}: line {number} is not a JSON object") from None
            if not isinstance(record, dict):
                continue
            keys = (str(record[column]) for column in RECORD_KEYS if isinstance(record.get(column), str | int))
            if (key := next((key for key in keys if key in wanted), None)) is not None:
                photo = next((record[column] for column in PHOTO_COLUMNS if isinstance(record.get(column), str)), "")
                known.setdefault(key, (photo, []))[1].extend(texts_in(record))
    return known
