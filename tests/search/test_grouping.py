"""Near duplicates collapse into the best, by blocks as row by row."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.search import grouping
from vlsearch.search.grouping import groups


def row_by_row(vectors: NDArray[np.float32], threshold: float) -> list[int]:
    first: list[int] = []
    for i, vector in enumerate(vectors):
        close = (j for j in range(i) if first[j] == j and float(vector @ vectors[j]) >= threshold)
        first.append(next(close, i))
    return first


@pytest.mark.parametrize("block", [1, 7, 256])
@pytest.mark.parametrize("threshold", [-1.0, 0.5, 0.9, 0.98, 1.1])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int, threshold: float) -> None:
    monkeypatch.setattr(grouping, "BLOCK", block)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 8))
    vectors = (centres[rng.integers(40, size=300)] + 0.25 * rng.normal(size=(300, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first = groups(vectors, threshold)
    assert first.tolist() == row_by_row(vectors, threshold)
    assert first.dtype == np.int64
    if threshold == 0.9:
        assert 1 < len(set(first.tolist())) < 200


def test_what_comes_later_changes_no_group() -> None:
    angles = np.radians([0, 8, 16, 24, 90, 3])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    assert groups(vectors, 0.98).tolist() == [0, 0, 2, 2, 4, 0]
    assert groups(vectors[:3], 0.98).tolist() == [0, 0, 2]


def test_no_rows_and_rows_of_zeros_stand_for_themselves() -> None:
    assert groups(np.empty((0, 4), np.float32), 0.98).tolist() == []
    assert groups(np.zeros((3, 4), np.float32), 0.98).tolist() == [0, 1, 2]
