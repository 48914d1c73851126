"""One file of an index: what FAISS writes, a table of where each id's vector lies, and a token to know it again by.

    FAISS bytes   IndexIVFScalarQuantizer, half precision, not residual: a code is the vector itself
    padding       to a multiple of 8
    ids           int64 (n,) ascending
    places        int64 (n,) byte offset of each id's vector in the file
    footer        magic, token, length of the FAISS bytes, n

The file is mapped, never read whole. FAISS's own writer would need all vectors in memory; the inverted lists are laid
out here as faiss/impl/index_write.cpp does it, a shard at a time.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.store import digest_of, write_durably

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"vlsearch index 2"
FOOTER = struct.Struct("<16s16sQQ")
LISTS = struct.Struct("<4sQQ4sQ")
"""array inverted lists: their mark, lists, bytes of a code, the mark of a full table of sizes, its length"""


class WrittenPart(NamedTuple):
    """What a manifest says of a part's file."""

    token: str
    size: int
    sha256: str


class MappedPart(NamedTuple):
    data: NDArray[np.uint8]
    """the whole file"""
    faiss_size: int
    ids: NDArray[np.int64]
    places: NDArray[np.int64]


def empty_index(centroids: NDArray[np.float32]) -> Any:
    """A FAISS inverted file of half-precision codes with a list for each centroid (nlist, d) and nothing in them."""
    import faiss

    nlist, d = centroids.shape
    quantizer = faiss.IndexFlatIP(d)
    quantizer.add(centroids)
    fp16 = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(quantizer, d, nlist, fp16, faiss.METRIC_INNER_PRODUCT, False)
    quantizer.this.disown()  # type: ignore[attr-defined]
    index.own_fields = True
    index.is_trained = True
    return index


def write_part(
    path: Path,
    centroids: NDArray[np.float32],
    ids: NDArray[np.int64],
    lists: NDArray[np.int64],
    vectors: Iterable[NDArray[np.float16]],
) -> WrittenPart:
    """Write a part of centroids (nlist, d), ids (n,), each one's list (n,), and their vectors in pieces (m, d)."""
    token = secrets.token_bytes(16)
    write_durably(path, lambda file: _write(file, token, centroids, ids, lists, vectors))
    return WrittenPart(token.hex(), path.stat().st_size, digest_of(path))


def map_part(path: Path, token: str, size: int, count: int) -> MappedPart:
    """Map a part's file; LibraryDamaged when it is not the one with this token. Only its end is looked at."""
    try:
        data = np.asarray(np.memmap(path, np.uint8, "r"))
    except (OSError, ValueError) as error:
        raise LibraryDamaged(f"{path.name} cannot be read ({error})") from error
    if len(data) != size:
        raise LibraryDamaged(f"{path.name} is of {len(data):,} bytes, its manifest says {size:,}")
    magic, found, faiss_size, n = FOOTER.unpack((bytes(FOOTER.size) + data[-FOOTER.size :].tobytes())[-FOOTER.size :])
    if magic != MAGIC or found.hex() != token or n != count:
        raise LibraryDamaged(f"{path.name} is not the file that its manifest speaks of")
    start = faiss_size + -faiss_size % 8
    table = data[start : start + 16 * n].view(np.int64)
    return MappedPart(data, faiss_size, table[:n], table[n:])


def _write(
    file: IO[bytes],
    token: bytes,
    centroids: NDArray[np.float32],
    ids: NDArray[np.int64],
    lists: NDArray[np.int64],
    vectors: Iterable[NDArray[np.float16]],
) -> None:
    import faiss

    (nlist, d), n = centroids.shape, len(ids)
    code_size = 2 * d
    index = empty_index(centroids)
    index.ntotal = n
    head = faiss.serialize_index(index).tobytes()
    head = head[: head.rindex(b"ilar")]
    sizes = np.bincount(lists, minlength=nlist).astype(np.int64)
    start = len(head) + LISTS.size + 8 * nlist
    ends = start + np.cumsum(sizes * (code_size + 8))
    starts = ends - sizes * (code_size + 8)
    first = np.cumsum(sizes) - sizes
    order = np.argsort(lists, kind="stable")
    places = np.empty(n, np.int64)
    places[order] = np.repeat(starts - first * code_size, sizes) + np.arange(n) * code_size

    file.write(head + LISTS.pack(b"ilar", nlist, code_size, b"full", nlist) + sizes.tobytes())
    done = 0
    for piece in vectors:
        _scatter(file, places[done : done + len(piece)], piece, code_size)
        done += len(piece)
    if done != n:
        raise LibraryDamaged(f"{n} vectors were announced, {done} came")
    by_list = ids[order].astype(np.int64)
    for place, begin, size in zip((starts + sizes * code_size).tolist(), first.tolist(), sizes.tolist(), strict=True):
        file.seek(place)
        file.write(by_list[begin : begin + size].tobytes())
    end = int(ends[-1])
    file.seek(end)
    ascending = np.argsort(ids)
    file.write(bytes(-end % 8) + ids[ascending].astype(np.int64).tobytes() + places[ascending].tobytes())
    file.write(FOOTER.pack(MAGIC, token, end, n))


def _scatter(file: IO[bytes], places: NDArray[np.int64], vectors: NDArray[np.float16], code_size: int) -> None:
    """Write each vector to its place, neighbours at once."""
    order = np.argsort(places)
    places, vectors = places[order], vectors[order]
    breaks = np.flatnonzero(np.diff(places) != code_size) + 1
    for begin, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(places)], strict=True):
        if begin < end:
            file.seek(int(places[begin]))
            file.write(vectors[begin:end].tobytes())
