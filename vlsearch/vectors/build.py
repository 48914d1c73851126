"""Build a part's file from shards: draw lists, assign every vector to one, write; a shard is in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.vectors.calibrate import Calibration, calibrate, questions
from vlsearch.vectors.manifest import PartRow
from vlsearch.vectors.part import Part
from vlsearch.vectors.part_file import write_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.vectors.recipes import Recipe

Pieces = Callable[[], Iterator[tuple["NDArray[np.int64]", "NDArray[np.float16]"]]]
"""ids (n,) and vectors (n, d), piece after piece; the same each time it is called"""
Progress = Callable[[str, int, int], None]

GROWN = 4
"""lists are drawn anew once there are so many times the vectors that there were"""


def build_exact(path: Path, d: int, pieces: Pieces, recipe: str) -> PartRow:
    """One list of all vectors. They are held in memory."""
    began, held = time.monotonic(), list(pieces())
    ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in held)])
    lists = np.zeros(len(ids), np.int64)
    written = write_part(path, np.zeros((1, d), np.float32), ids, lists, (xb for _, xb in held))
    return PartRow(recipe, len(ids), 1, *written, seconds=round(time.monotonic() - began, 3))


def build_lists(
    path: Path,
    d: int,
    pieces: Pieces,
    count: int,
    recipe: Recipe,
    target: float,
    *,
    earlier: tuple[Part, int] | None = None,
    texts: Callable[[], NDArray[np.float32] | None] | None = None,
    progress: Progress = lambda *_: None,
) -> PartRow:
    """An inverted file of about `count` vectors, calibrated for a recall@10 of `target`.

    `earlier` is the part that this one replaces, and the number of vectors that its lists were drawn for: unless the
    collection has grown beyond them, they are kept, and what is in them stays where it is.
    """
    began = time.monotonic()
    if earlier is not None and not count < GROWN * earlier[1]:
        earlier = None
    if earlier is not None:
        known, trained = earlier
        centroids = known.centroids
    else:
        known, trained = None, count
        centroids = draw_lists(pieces, d, count, recipe, progress)
    ids, lists = assign(pieces, centroids, known, count, progress)

    def vectors() -> Iterator[NDArray[np.float16]]:
        done = 0
        for _, xb in pieces():
            yield xb
            done += len(xb)
            progress("index: written", done, len(ids))

    written = write_part(path, centroids, ids, lists, vectors())
    part = Part.open(path, d, token=written.token, size=written.size, count=len(ids), lists=len(centroids), probes={})
    found = calibrated(part, recipe, target, texts() if texts else None)
    probes = {str(k): lists for k, lists in found.probes.items()}
    seconds = round(time.monotonic() - began, 3)
    return PartRow(recipe.name, len(ids), len(centroids), *written, trained, probes, round(found.recall, 5), seconds)


def calibrated(part: Part, recipe: Recipe, target: float, texts: NDArray[np.float32] | None) -> Calibration:
    least = max(1, round(recipe.least_share * part.lists))
    return calibrate(part, questions(part, texts), target, least)


def draw_lists(pieces: Pieces, d: int, count: int, recipe: Recipe, progress: Progress) -> NDArray[np.float32]:
    """Centroids (nlist, d), unit rows, by spherical k-means over a sample of the vectors."""
    import faiss

    nlist = recipe.lists(count)
    rng = np.random.default_rng(0)
    share = min(1.0, nlist * recipe.sample_per_list / max(count, 1))
    sample = []
    done = 0
    for ids, xb in pieces():
        sample.append(xb[rng.random(len(ids)) < share].astype(np.float32))
        done += len(ids)
        progress("index: sampled", done, count)
    xt = np.concatenate(sample)
    nlist = min(nlist, len(xt))
    kmeans = faiss.Clustering(d, nlist)
    kmeans.niter, kmeans.spherical, kmeans.seed = recipe.iterations, True, 1
    kmeans.min_points_per_centroid, kmeans.max_points_per_centroid = 1, 2 * recipe.sample_per_list
    kmeans.train(xt, faiss.IndexFlatIP(d))
    centroids: NDArray[np.float32] = faiss.vector_to_array(kmeans.centroids).reshape(nlist, d)
    return centroids


def assign(
    pieces: Pieces, centroids: NDArray[np.float32], known: Part | None, count: int, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All ids (n,) and the list (n,) of each: the one it has in `known`, or that of the nearest centroid."""
    import faiss

    quantizer = faiss.IndexFlatIP(centroids.shape[1])
    quantizer.add(centroids)
    every, where = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    done = 0
    for ids, xb in pieces():
        lists = np.full(len(ids), -1, np.int64)
        if known is not None:
            places = known.places_of(ids)
            lists[places >= 0] = known.lists_of(places[places >= 0])
        new = lists < 0
        if new.any():
            lists[new] = quantizer.search(xb[new].astype(np.float32), 1)[1][:, 0]
        every.append(ids)
        where.append(lists)
        done += len(ids)
        progress("index: assigned", done, count)
    return np.concatenate(every), np.concatenate(where)
