"""What the built-in models' cards promise, on photos that they were never trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlsearch.audit.datasets import load
from vlsearch.encoders import registry
from vlsearch.train.change import Change, compare
from vlsearch.train.evaluation import HeldOut, measure

TEACHER = 0.817
"""Recall@10 of the teacher, text to photo"""


@pytest.fixture(scope="module")
def changes(shared: Path) -> dict[str, Change]:
    """From builtin to builtin-neg, by the figures' names."""
    photos = shared / "data" / "coco200" / "images"
    held = HeldOut(load(str(photos.parent / "captions.json")), lambda name: (photos / name).read_bytes(), seeds=1)
    plain, neg = (measure(registry.load(name), held) for name in ("builtin", "builtin-neg"))
    return {change.name: change for change in compare(plain, neg)}


@pytest.mark.slow
def test_builtin_finds_three_quarters_of_what_its_teacher_finds(changes: dict[str, Change]) -> None:
    assert changes["text → photo Recall@10"].before.value >= 0.75 * TEACHER


@pytest.mark.slow
def test_builtin_neg_hears_order_and_finds_as_much(changes: dict[str, Change]) -> None:
    assert changes["order choice"].difference >= 0.25
    searched = [change for change in changes.values() if change.kind == "retrieval"]
    assert len(searched) == 6
    assert all(abs(change.difference) <= 0.02 for change in searched)
