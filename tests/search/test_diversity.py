"""Maximal marginal relevance against the formula written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlsearch.errors import UsageError
from vlsearch.search.diversity import mmr


def written_out(scores: list[float], likeness: NDArray[np.float64], k: int, trade: float) -> list[int]:
    taken: list[int] = []
    while len(taken) < min(k, len(scores)):

        def worth(i: int) -> tuple[float, float, int]:
            most_alike = max((likeness[i, j] for j in taken), default=0.0)
            return trade * scores[i] - (1 - trade) * most_alike if taken else scores[i], scores[i], -i

        taken.append(max((i for i in range(len(scores)) if i not in taken), key=worth))
    return taken


eighths = st.integers(-8, 8).map(lambda n: n / 8)  # their products are exact, so that ties are ties


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(0, 8), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(1, 10))
def test_it_is_the_formula(data: st.DataObject, n: int, trade: float, k: int) -> None:
    scores = data.draw(st.lists(eighths, min_size=n, max_size=n))
    vectors = np.array(data.draw(st.lists(st.tuples(eighths, eighths), min_size=n, max_size=n)), np.float32).reshape(
        n, 2
    )
    order = mmr(np.array(scores, np.float32), vectors, k, trade)
    assert order.dtype == np.int64
    assert order.tolist() == written_out(scores, vectors.astype(float) @ vectors.T.astype(float), k, trade)


def test_a_copy_waits_for_what_is_different() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8]], np.float32)
    scores = np.array([0.9, 0.9, 0.7], np.float32)
    assert mmr(scores, vectors, 3).tolist() == [0, 2, 1]
    assert mmr(scores, vectors, 3, 1.0).tolist() == [0, 1, 2]
    assert mmr(scores[::-1].copy(), vectors[::-1].copy(), 2).tolist() == [1, 0]
    assert mmr(scores, vectors, 1).tolist() == [0]


@pytest.mark.parametrize("trade", [-0.1, 1.1, float("nan")])
def test_a_trade_that_is_none_is_refused(trade: float) -> None:
    with pytest.raises(UsageError, match="--diverse"):
        mmr(np.ones(1, np.float32), np.ones((1, 2), np.float32), 1, trade)
