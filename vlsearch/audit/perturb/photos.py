"""A photo perturbed: its rows, columns or patches in another order."""

from __future__ import annotations

from itertools import count, pairwise, product

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb.draws import draws
from vlsearch.audit.perturb.registry import lookup
from vlsearch.errors import UsageError


def perturb_photo(pixels: NDArray[np.uint8], name: str, seed: int, key: str) -> NDArray[np.uint8]:
    """`pixels`, (h, w, 3) uint8, under the perturbation `name`: a new array of the same shape.

    The order is a function of (key, name, seed) only, `key` being the photo's sha256 in hex, and is never the photo's
    own where there are two cells. The cells cover the whole photo: ARO's code (Yuksekgonul et al. 2023) leaves a black
    border where a side does not divide evenly. Where it does divide, pixels only change places; else cells differ by a
    pixel, and one that comes to a larger place brings its neighbours' pixels along, one that comes to a smaller loses
    some of its own. A side of fewer pixels than cells has cells of one pixel.
    Raises UsageError for a name that is unknown or a text's.
    """
    grid = lookup(name).grid
    if grid is None:
        raise UsageError(f"{name} moves words, not parts of photos; give a perturbation of photos")
    rows, columns = (_cuts(side, n) for side, n in zip(pixels.shape, grid, strict=False))
    cells = list(product(pairwise(rows), pairwise(columns)))
    perturbed = np.empty_like(pixels)
    for place, source in enumerate(_order(len(cells), name, seed, key)):
        (top, bottom), (left, right) = cells[place]
        (y, _), (x, _) = cells[source]
        # This stays inside the photo: no cell is larger than the last.
        perturbed[top:bottom, left:right] = pixels[y : y + bottom - top, x : x + right - left]
    return perturbed


def _cuts(side: int, cells: int) -> list[int]:
    """Where the cells of a side begin, and its end: all of one length or, where that does not divide, of two."""
    cells = max(1, min(side, cells))
    return [i * side // cells for i in range(cells + 1)]


def _order(cells: int, name: str, seed: int, key: str) -> list[int]:
    """The cell that comes to each place; not each to its own where there are two."""
    own = list(range(cells))
    if cells < 2:
        return own
    orders = (sorted(own, key=draws(key, name, seed, attempt)(cells).__getitem__) for attempt in count())
    return next(order for order in orders if order != own)
