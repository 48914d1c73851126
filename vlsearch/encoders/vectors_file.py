"""Vectors from a file in the place of a model, `vectors:FILE`: what any framework or API has made of texts and photos.

docs/vectors.md describes the formats. The file is read once; a text or a photo is then found by a hash of its key.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.encoders.vectors_reading import encoded, read_keyed
from vlsearch.errors import ModelError, UsageError
from vlsearch.printable import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX = "vectors:"
BLOCK = 1 << 14
"""rows that are worked on at a time"""


class VectorsEncoder:
    """A `TextEncoder` that looks up instead of computing, and that knows photos by their names.

    Memory: the vectors as the file has them (float16 or float32), its keys, and 16 bytes a row.
    """

    context_length = sys.maxsize
    """as far as a file can tell, nothing was cut"""
    logit_scale = 100.0
    """what CLIP models are trained to; a file does not say"""

    def __init__(self, path: Path) -> None:
        """Raises UsageError for a file that is not there or does not hold keys and vectors, UnreadableFile for a
        damaged one, ModelError for vectors of no use: of several widths, no numbers, zeros, two for one key."""
        self.path, self.name = path, PREFIX + path.name
        self._keys, self._vectors = read_keyed(path)
        self.dim = int(self._vectors.shape[1])
        self._check_vectors()
        rows = self._distinct()
        hashes, self.fingerprint = self._digest(rows)
        order = np.argsort(hashes)
        self._hashes, self._rows = hashes[order], rows[order]

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim) unit rows of texts that stand in the file letter by letter; UsageError as `rows_of`."""
        return self._unit(self.rows_of(texts))

    def rows_of(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(n,) where in the file the texts are; UsageError that counts those that are not and names some: to be asked
        with all texts of a run before it begins."""
        rows = self._find(texts)
        if (rows < 0).any():
            raise UsageError(
                f"{self._without(texts, rows, 'texts')}; --export-texts FILE writes all that a run needs vectors for"
            )
        return rows

    def is_cut(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(n,) False, as far as a file can tell."""
        return np.zeros(len(texts), np.bool_)

    def photo_vectors(self, names: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim) unit rows of photos, by their names as given, else by what follows the last slash in name and key.

        UsageError for names without a vector, and where several photos or keys share what follows the last slash.
        """
        rows = self._find(names)
        if (rows < 0).any():
            self._find_base_names(names, rows)
        if (rows < 0).any():
            raise UsageError(f"{self._without(names, rows, 'photos')}; a key is a photo's path or its file name")
        return self._unit(rows)

    def _check_vectors(self) -> None:
        for first in range(0, len(self._vectors), BLOCK):
            squares = _squares(self._vectors[first : first + BLOCK].astype(np.float32))
            for wrong, what in ((~np.isfinite(squares), "values that are no numbers"), (squares == 0, "only zeros")):
                if wrong.any():
                    row = first + int(np.argmax(wrong))
                    raise ModelError(
                        f"the vector of {self._key(row)} in {str(self.path)!r} (row {row + 1:,}) holds {what}; "
                        "embed it again"
                    )

    def _distinct(self) -> NDArray[np.int64]:
        """A row (m,) for each key, by the bytes of the keys; ModelError where a key has two vectors."""
        import pyarrow.compute as pc

        order = pc.sort_indices(self._keys).to_numpy().astype(np.int64)
        keys = self._keys.take(order)
        again = 1 + np.flatnonzero(pc.equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False))
        for first in range(0, len(again), BLOCK):
            part = again[first : first + BLOCK]
            differ = (self._vectors[order[part]] != self._vectors[order[part - 1]]).any(axis=1)
            if differ.any():
                key = self._key(int(order[part[np.argmax(differ)]]))
                raise ModelError(f"{str(self.path)!r} has two different vectors for {key}; keep one of them")
        return np.delete(order, again)

    def _digest(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], str]:
        """Hashes (m,) of the keys of `rows`, good for this process, and the fingerprint: the sha256 of the dimensions,
        then of keys (as netstrings) and float32 vectors in the order of `rows`."""
        hashes = np.empty(len(rows), np.int64)
        keys, vectors = hashlib.sha256(), hashlib.sha256(b"%d" % self.dim)
        for first in range(0, len(rows), BLOCK):
            part = rows[first : first + BLOCK]
            block = self._keys.take(part).to_pylist()
            hashes[first : first + BLOCK] = _hashes(block)
            keys.update(b"".join(b"%d:%s," % (len(key), key) for key in block))
            vectors.update(self._vectors[part].astype("<f4").tobytes())
        return hashes, hashlib.sha256(keys.digest() + vectors.digest()).hexdigest()

    def _find(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """The row (n,) of each of `keys`, -1 for none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = np.full(len(keys), -1, np.int64)
        asked = pa.array(map(encoded, keys), pa.large_binary())
        hashes = _hashes(asked.to_pylist())
        place = np.searchsorted(self._hashes, hashes)
        # Different keys may have the same hash: those that do stand one behind the other.
        left = np.arange(len(keys))
        while True:
            left = left[place[left] < len(self._hashes)]
            left = left[self._hashes[place[left]] == hashes[left]]
            if not len(left):
                return found
            rows = self._rows[place[left]]
            same = pc.equal(self._keys.take(rows), asked.take(left)).to_numpy(zero_copy_only=False)
            found[left[same]] = rows[same]
            left = left[~same]
            place[left] += 1

    def _find_base_names(self, names: Sequence[str], rows: NDArray[np.int64]) -> None:
        """Fills the gaps (-1) in `rows`, where the keys know the names' last parts."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = {_base(encoded(name)) for name, row in zip(names, rows, strict=True) if row < 0}
        distinct = np.sort(self._rows)
        bases = pc.replace_substring_regex(self._keys.take(distinct), pattern=r"(?s)^.*/", replacement="")
        known = pc.is_in(bases, value_set=pa.array(wanted, pa.large_binary())).to_numpy(zero_copy_only=False)
        keys: dict[bytes, int] = {}
        for base, row in zip(bases.filter(known).to_pylist(), distinct[known].tolist(), strict=True):
            if base in keys:
                raise UsageError(
                    f"which photo is {_shown(base)}? {str(self.path)!r} has both {self._key(keys[base])} and "
                    f"{self._key(row)}; give the keys as the photos are asked for"
                )
            keys[base] = row
        owner = {row: name for name, row in zip(names, rows.tolist(), strict=True) if row >= 0}
        for n in np.flatnonzero(rows < 0).tolist():
            rows[n] = row = keys.get(_base(encoded(names[n])), -1)
            if row >= 0 and owner.setdefault(row, names[n]) != names[n]:
                raise UsageError(
                    f"which photo is {self._key(row)} of {str(self.path)!r}? both {_shown(encoded(owner[row]))} and "
                    f"{_shown(encoded(names[n]))} could be; give the keys as the photos are asked for"
                )

    def _unit(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._vectors[rows].astype(np.float32)
        for first in range(0, len(found), BLOCK):
            part = found[first : first + BLOCK]
            np.divide(part, np.sqrt(_squares(part))[:, None], out=part, casting="same_kind")
        return found

    def _without(self, names: Sequence[str], rows: NDArray[np.int64], noun: str) -> str:
        missing = list(dict.fromkeys(name for name, row in zip(names, rows, strict=True) if row < 0))
        few = ", ".join(_shown(encoded(name)) for name in missing[:3])
        more = ", …" if len(missing) > 3 else ""
        return f"{len(missing):,} of {len(set(names)):,} {noun} have no vector in {str(self.path)!r}: {few}{more}"

    def _key(self, row: int) -> str:
        return _shown(self._keys[row].as_py())


def _squares(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared lengths (n,), which in float64 neither overflow nor vanish."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return squares


def _hashes(keys: Sequence[bytes]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, keys), np.int64, len(keys))


def _base(name: bytes) -> bytes:
    return name.rpartition(b"/")[2]


def _shown(key: bytes) -> str:
    text = printable(key.decode("utf-8", "backslashreplace"))
    return f'"{text if len(text) <= 60 else text[:57] + "..."}"'
