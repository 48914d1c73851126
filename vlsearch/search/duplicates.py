"""Photos that are there more than once: the same bytes in several files, or vectors that hardly differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.catalog import housekeeping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.catalog.housekeeping import Place
    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

THRESHOLD = 0.98
BLOCK = 256, 4096
"""rows and columns whose products are held at a time: small enough for a processor's cache"""
PROBE = 1024
"""vectors from which the number of leading dimensions is chosen"""
RARE = 2e-4
"""the part of all pairs that may be left to compare in full"""
ROUNDING = 1e-4

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Copy:
    path: str
    similarity: float
    """cosine to the group's first photo"""
    exact: bool
    """the bytes are those of the group's first photo"""
    width: int
    height: int


@dataclass(frozen=True)
class Group:
    """Photos that belong together, the one to keep first: the largest, then the one that was known first."""

    copies: tuple[Copy, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"count": len(self.copies), "photos": [asdict(copy) for copy in self.copies]}


def exact_duplicates(library: Library) -> list[Group]:
    """Files that hold the same bytes, present ones only: the largest groups first."""
    with library.read() as c:
        places = housekeeping.places(c, copies_only=True)
    by_content: dict[int, list[Place]] = {}
    for place in places:
        by_content.setdefault(place.content_id, []).append(place)
    return _sorted([_group([(place, 1.0) for place in same]) for same in by_content.values()])


def duplicates(
    library: Library, model: ModelRow, threshold: float = THRESHOLD, progress: Progress = lambda *_: None
) -> list[Group]:
    """Files that hold the same bytes or photos whose vectors have a cosine of at least `threshold`: the largest
    groups first. Groups are connected: each photo resembles some other of its group, not always the first.

    Time grows with the square of the number of photos, memory with the number.
    """
    with library.read() as c:
        places = housekeeping.places(c)
    ids, xb = library.vectors(model)
    present = np.isin(ids, np.fromiter({place.content_id for place in places}, np.int64))
    ids, xb = ids[present], xb[present]
    labels = near(xb, threshold, progress)
    row = {content_id: n for n, content_id in enumerate(ids.tolist())}
    members: dict[int, list[Place]] = {}
    for place in places:
        # a photo without a vector of this model stands for itself
        label = int(labels[row[place.content_id]]) if place.content_id in row else -place.content_id
        members.setdefault(label, []).append(place)
    groups = []
    for label, group in members.items():
        if len(group) > 1:
            keeper = min(group, key=_rank).content_id
            scores = [float(xb[row[p.content_id]] @ xb[row[keeper]]) if label >= 0 else 1.0 for p in group]
            groups.append(_group(list(zip(group, scores, strict=True))))
    return _sorted(groups)


def near(xb: NDArray[np.float32], threshold: float, progress: Progress = lambda *_: None) -> NDArray[np.int64]:
    """Labels (n,) of the connected groups among vectors xb (n, d) whose pairs have a cosine of at least `threshold`;
    a label is the row of one of the group. Exact, in blocks: nothing of size n × n is held.

    Most pairs are ruled out by their first m dimensions after a rotation to principal axes: by Cauchy-Schwarz,
    x·y ≤ x₁·y₁ + |x₂||y₂|, where x₁ are the first m dimensions of x and x₂ the others; the right side is itself a
    product of vectors of m + 1 dimensions. m is chosen so that few pairs are left.
    """
    labels = np.arange(len(xb))
    if len(xb) < 2:
        return labels
    xb = xb / np.linalg.norm(xb, axis=1, keepdims=True)
    _, axes = np.linalg.eigh(xb.T @ xb)
    xb = xb @ np.ascontiguousarray(axes[:, ::-1])
    bounds = _bounds(xb, _leading(xb, threshold))
    for start in range(0, len(xb), BLOCK[0]):
        progress("photos", start, len(xb))
        for other in range(start, len(xb), BLOCK[1]):
            rows, columns = _candidates(bounds, start, other, threshold)
            fresh = labels[rows] != labels[columns]
            rows, columns = rows[fresh], columns[fresh]
            close = _cosines(xb, rows, columns) >= threshold
            if close.any():
                labels = _joined(labels, rows[close], columns[close])
    progress("photos", len(xb), len(xb))
    return labels


def _bounds(xb: NDArray[np.float32], m: int) -> NDArray[np.float32]:
    """(n, m + 1): vectors whose products are at least the cosines."""
    return np.column_stack([xb[:, :m], np.linalg.norm(xb[:, m:], axis=1)])


def _leading(xb: NDArray[np.float32], threshold: float) -> int:
    rows = np.random.default_rng(0).permutation(len(xb))[:PROBE]
    d = int(xb.shape[1])
    for m in (16, 32, 64, 128, 256):
        if m < d / 2:
            bounds = _bounds(xb[rows], m)
            left = np.count_nonzero(bounds @ bounds.T >= threshold) - len(rows)
            if left <= RARE * len(rows) ** 2:
                return m
    return d


def _candidates(
    bounds: NDArray[np.float32], start: int, other: int, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows i < j of two blocks that may be as close as that."""
    products = bounds[start : start + BLOCK[0]] @ bounds[other : other + BLOCK[1]].T
    found = np.flatnonzero(products >= threshold - ROUNDING)  # many times as fast as nonzero
    rows, columns = found // products.shape[1] + start, found % products.shape[1] + other
    after = rows < columns
    return rows[after], columns[after]


def _cosines(xb: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    parts = [slice(start, start + BLOCK[1]) for start in range(0, len(rows), BLOCK[1])]
    cosines = [np.einsum("nd,nd->n", xb[rows[part]], xb[columns[part]]) for part in parts]
    return np.concatenate([np.empty(0, np.float32), *cosines])


def _joined(labels: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels after the groups of rows[i] and columns[i] have become one, for every i."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known, place = np.unique(np.concatenate([labels[rows], labels[columns]]), return_inverse=True)
    ones = np.ones(len(rows), bool)
    links = coo_array((ones, (place[: len(rows)], place[len(rows) :])), shape=(len(known), len(known)))
    count, component = connected_components(links, directed=False)
    first = np.full(count, labels.max(), np.int64)
    np.minimum.at(first, component, known)
    new = np.arange(len(labels))
    new[known] = first[component]
    return new[labels]


def _rank(place: Place) -> tuple[int, int, str]:
    return -place.width * place.height, place.content_id, place.path


def _group(scored: Sequence[tuple[Place, float]]) -> Group:
    keeper = min((place for place, _ in scored), key=_rank)

    def order(item: tuple[Place, float]) -> tuple[bool, bool, float, str]:
        place, score = item
        return place != keeper, place.content_id != keeper.content_id, -score, place.path

    return Group(tuple(_copies(sorted(scored, key=order), keeper)))


def _copies(scored: Sequence[tuple[Place, float]], keeper: Place) -> Iterator[Copy]:
    for place, score in scored:
        exact = place.content_id == keeper.content_id
        yield Copy(place.path, 1.0 if exact else min(score, 1.0), exact, place.width, place.height)


def _sorted(groups: Sequence[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: (-len(group.copies), group.copies[0].path))
