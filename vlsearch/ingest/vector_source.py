"""What the readers of other programs' vectors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlsearch.encoders.foreign_vectors import read_errors, unreadable
from vlsearch.ingest.captions import PHOTO_COLUMNS

VECTOR_NAMES = (
    *("vector", "embedding", "embeddings", "clip_embedding", "image_embedding", "image_embeddings", "img_emb", "emb"),
    *("embs", "vectors", "features", "image_features", "clip_embeddings", "image_vector", "image_vectors"),
)
PHOTO_NAMES = (
    *("image_path", *PHOTO_COLUMNS, "paths", "image_paths", "file_names", "filenames", "names", "files"),
    *("key", "keys", "__key__", "id", "ids", "image_id", "image_ids", "url", "name"),
)
"""Names of columns and arrays, in any case; where a file has several, the first of these."""

BLOCK_ROWS = 65_536
BLOCK_BYTES = 1 << 25
"""of float32: an import takes some ten times as much memory"""


class Block(NamedTuple):
    """Consecutive rows of a file."""

    first: int
    vectors: NDArray[np.float32]
    """(n, d) as they stand; rows that have no vector of this length are NaN"""
    photos: Sequence[str]
    """n paths, file names or keys; "" where there is none"""
    captions: Sequence[Sequence[str]]
    """n"""


@dataclass(frozen=True)
class VectorSource(ABC):
    """A file of `rows` vectors of `dim` dimensions that has been looked into."""

    path: Path
    rows: int
    dim: int

    @abstractmethod
    def read(self, rows: int) -> Iterator[Block]:
        """All rows, at most `rows` at once; raises what numpy, pyarrow and the file system raise."""

    def blocks(self) -> Iterator[Block]:
        """All rows, as many at once as go into one shard. UnreadableFile where they are damaged."""
        try:
            yield from self.read(max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * self.dim))))
        except read_errors() as error:
            raise unreadable(self.path, error) from None


def first_of(names: Sequence[str], written: Iterable[str]) -> str | None:
    """The first of `names` that is there in any case, as it is written."""
    there = {name.strip().lower(): name for name in written}
    return next((there[name] for name in names if name in there), None)
