"""Answers that differ from each other: maximal marginal relevance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlsearch.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRADE = 0.5


def mmr(scores: NDArray[np.float32], vectors: NDArray[np.float32], k: int, trade: float = TRADE) -> NDArray[np.int64]:
    """Row numbers (min(k, n),) in the order of maximal marginal relevance: next comes the row with the largest
    trade * score - (1 - trade) * (its largest cosine to a row that was taken before); equal ones by score, then by row.

    scores (n,), unit vectors (n, d). A `trade` of 1 leaves the order of the scores, one of 0 asks for difference only;
    the first row is always the best. Time O(n k d). UsageError for a `trade` outside 0 to 1.

    Carbonell & Goldstein, The use of MMR, diversity-based reranking for reordering documents and producing summaries,
    SIGIR 1998.
    """
    if not 0 <= trade <= 1:
        raise UsageError(f"--diverse is 0 (as different as can be) to 1 (by score alone), not {trade:g}")
    best_first = np.argsort(-scores, kind="stable")
    relevance, xb = trade * scores[best_first].astype(np.float64), vectors[best_first]
    taken: list[int] = []
    left = np.ones(len(xb), bool)
    likeness = np.full(len(xb), -np.inf)
    for _ in range(min(k, len(xb))):
        penalty = (1 - trade) * likeness if taken else 0.0
        row = int(np.argmax(np.where(left, relevance - penalty, -np.inf))) if taken else 0
        taken.append(row)
        left[row] = False
        np.maximum(likeness, xb @ xb[row], out=likeness)
    return np.asarray(best_first[taken], np.int64)
