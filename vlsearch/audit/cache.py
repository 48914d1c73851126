"""Vectors that were made once and are kept: files of keys and vectors beside a library, which can be deleted at any
time.

A part is `N.npy` (vectors, float16) with `N.keys.npy` beside it, written as a whole every few seconds: an audit that
was interrupted goes on from there, and the next one with the same texts begins where this one ended.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlsearch.vectors.store import write_durably

Vectors = NDArray[np.float32]

KEY = np.dtype("S16")
PATIENCE = 10.0
"""seconds of work that an interruption may cost"""
MANY = 32
"""parts that are made one when the cache is opened"""
KEYS = ".keys.npy"

log = logging.getLogger(__name__)


def key_of(kind: str, *parts: str) -> bytes:
    """What a vector is found by: 128 bits of the sha256 of what it is of."""
    source = "\0".join((kind, *parts)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(source).digest()[: KEY.itemsize]


class VectorCache:
    """Vectors of one model by `key_of` texts and photos. `put` counts once `flush` has written it, or time has."""

    def __init__(self, folder: Path | None, dim: int) -> None:
        """Without a folder, or with one that cannot be written, vectors are kept for as long as this object is."""
        self.folder, self.dim = folder, dim
        self._parts: list[tuple[NDArray[np.bytes_], NDArray[np.float16]]] = []
        self._new: dict[bytes, NDArray[np.float16]] = {}
        self._written = time.monotonic()
        if folder is not None:
            self._read(folder)

    def find(self, keys: Sequence[bytes]) -> tuple[Vectors, NDArray[np.bool_]]:
        """(n, dim) vectors, and (n,) which of them are known; the rows of others are 0."""
        wanted = np.array(keys, KEY)
        vectors, known = np.zeros((len(keys), self.dim), np.float32), np.zeros(len(keys), np.bool_)
        for own, rows in self._parts:
            place = np.searchsorted(own, wanted)
            place[place == len(own)] = 0
            here = np.flatnonzero(own[place] == wanted)
            vectors[here], known[here] = rows[place[here]], True
        for n, key in enumerate(keys):
            if not known[n] and key in self._new:
                vectors[n], known[n] = self._new[key], True
        return vectors, known

    def put(self, keys: Sequence[bytes], vectors: Vectors) -> Vectors:
        """Keep (n, dim) vectors; what `find` gives from then on, which is what half precision makes of them."""
        kept = vectors.astype(np.float16)
        self._new.update(zip(keys, kept, strict=True))
        if time.monotonic() - self._written > PATIENCE:
            self.flush()
        return kept.astype(np.float32)

    def flush(self) -> None:
        """Write what is new."""
        if not self._new:
            return
        keys = np.array(list(self._new), KEY)
        order = np.argsort(keys)
        part = keys[order], np.stack(list(self._new.values()))[order]
        if self.folder is not None:
            self._write(self.folder, *part)
        self._parts.append(part)
        self._new = {}
        self._written = time.monotonic()

    def _read(self, folder: Path) -> None:
        files = sorted(folder.glob("*" + KEYS))
        for file in files:
            part = _part(file, self.dim)
            if part is not None:
                self._parts.append(part)
        if len(self._parts) > MANY:
            keys, vectors = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
            keys, first = np.unique(keys, return_index=True)
            self._parts = [(keys, vectors[first])]
            self._write(folder, keys, vectors[first])
            for file in files if self.folder is not None else ():
                file.unlink(missing_ok=True)
                _vectors_beside(file).unlink(missing_ok=True)

    def _write(self, folder: Path, keys: NDArray[np.bytes_], vectors: NDArray[np.float16]) -> None:
        name = uuid.uuid4().hex
        try:
            # The keys last: a part without them is none.
            write_durably(folder / f"{name}.npy", lambda file: np.save(file, vectors))
            write_durably(folder / (name + KEYS), lambda file: np.save(file, keys))
        except OSError as error:
            # A full disk costs embedding these once more, not the audit.
            self.folder = None
            reason = error.strerror or error
            log.warning("cannot write to %s: %s; vectors are not kept for the next audit", folder, reason)


def _vectors_beside(keys: Path) -> Path:
    return keys.with_name(keys.name.removesuffix(KEYS) + ".npy")


def _part(file: Path, dim: int) -> tuple[NDArray[np.bytes_], NDArray[np.float16]] | None:
    """Keys (n,) ascending and vectors (n, dim); None for files that are damaged, which costs embedding once more."""
    try:
        keys = np.load(file, allow_pickle=False)
        vectors = np.load(_vectors_beside(file), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = keys.dtype == KEY and vectors.dtype == np.float16 and vectors.shape == (len(keys), dim) and len(keys)
    return (keys, vectors) if sound else None
