"""Scores that are exact, so that they can be compared for equality.

A product of matrices sums in an order that depends on the shapes and on where a row stands, so in floating point two
equal vectors may get scores that differ in the last bit, and a tie is lost or a rank changes with the block size.
Rounded to multiples of 2**-26, though, the coordinates of unit rows have products that are multiples of 2**-52 and sums
of at most 2: float64 holds all of these without rounding, whatever the order. float16 vectors are multiples of 2**-24
and lose nothing; from float32 the scores move by about 1e-8, less than its own rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_QUANTUM = 2.0**-26
_LARGEST = 2.0
"""of a row's squared length, for the sums to stay exact"""
_PAIRS = 32
"""scored at a time: few enough for all that is made of them to stay in the cache"""


def exact(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit rows whose products and sums are exact in float64, in any order and in blocks of any size."""
    y = x.astype(np.float64)
    y /= _QUANTUM
    np.rint(y, out=y)
    y *= _QUANTUM
    return y


def pair_scores(
    xt: NDArray[np.float32], xb: NDArray[np.float32], caption: NDArray[np.int64], photo: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(P,) exact scores of rows `caption` of xt with rows `photo` of xb, both (P,)."""
    scores = np.empty(len(caption))
    for n in range(0, len(caption), _PAIRS):
        block = slice(n, n + _PAIRS)
        scores[block] = np.einsum("ij,ij->i", exact(xt[caption[block]]), exact(xb[photo[block]]))
    return scores


def error_bound(xt: NDArray[np.float32], xb: NDArray[np.float32]) -> float:
    """How far a score that was summed in float32, in any order, may be from the exact one.

    A sum of d products is off by at most d * 2**-24 of what it adds up to (Higham, Accuracy and Stability of Numerical
    Algorithms, 2002, ch. 3); the rest is what `exact` changes, and room to spare.
    """
    d = xt.shape[1]
    longest = float(np.sqrt(_squares(xt).max(initial=0.0) * _squares(xb).max(initial=0.0)))
    return float(d + 2 * d**0.5 + 8) * 2.0**-24 * longest


def scorable(x: NDArray[np.float32]) -> bool:
    """Whether all rows are finite and no longer than unit rows may be."""
    return bool(np.all(_squares(x) < _LARGEST))


def _squares(x: NDArray[np.float32]) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.einsum("ij,ij->i", x, x)
    return squares
