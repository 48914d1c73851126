"""Many texts at once: what open_clip says, and to the last bit the same whatever stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.encoders.conftest import random_model
from vlsearch.encoders import registry, text_pieces
from vlsearch.encoders.openclip import OpenClipEncoder
from vlsearch.encoders.text_pieces import ROWS, pieces

WORDS = ["a", "red", "dog", "and", "two", "small", "cats", "chase", "the", "old", "boat", "along", "beach", "nobody"]
RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=n)) for n in RNG.integers(0, 30, 400)] + ["word " * 300, "wow!🙂", ""]


@pytest.fixture
def tiny(save: Callable[..., Path]) -> Callable[[str], OpenClipEncoder]:
    return lambda precision: registry.load("tiny", save(random_model("tiny", 3)), precision)


@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("packed", [True, False])
def test_it_says_what_single_texts_say(
    tiny: Callable[[str], OpenClipEncoder], precision: str, close: float, packed: bool
) -> None:
    encoder = tiny(precision)
    if not packed:
        encoder.__dict__["_many"] = None
    many = encoder.embed_many(TEXTS)
    assert np.allclose(many, encoder.embed_texts(TEXTS), atol=close)
    assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)
    assert encoder.embed_many([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("packed", [True, False])
def test_neither_order_nor_company_nor_lanes_change_a_bit(
    tiny: Callable[[str], OpenClipEncoder], precision: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = tiny(precision)
    if not packed:
        encoder.__dict__["_many"] = None
    many = encoder.embed_many(TEXTS)
    order = RNG.permutation(len(TEXTS))
    shuffled = encoder.embed_many([TEXTS[i] for i in order])
    assert (shuffled == many[order]).all()
    few = order[:7]
    assert (encoder.embed_many([TEXTS[i] for i in few]) == many[few]).all()
    monkeypatch.setattr(text_pieces, "cores", lambda: 3)
    threads = torch.get_num_threads()
    assert (encoder.embed_many(TEXTS) == many).all()
    assert torch.get_num_threads() == threads


def test_pieces_hold_all_texts_and_at_most_their_rows() -> None:
    lengths = sorted(RNG.integers(2, 77, 500).tolist(), reverse=True)
    parts = list(pieces(lengths))
    assert [n for part in parts for n in range(part.start, part.stop)] == list(range(500))
    assert all(sum(lengths[part]) <= ROWS for part in parts)
    assert all(sum(lengths[part]) + lengths[part.stop] > ROWS for part in parts[:-1])


def test_progress_counts_up_to_all(tiny: Callable[[str], OpenClipEncoder]) -> None:
    encoder = tiny("fp32")
    for _ in range(2):
        steps: list[int] = []
        encoder.embed_many(TEXTS, steps.append)
        assert steps == sorted(steps)
        assert steps[-1] == len(TEXTS)
        encoder.__dict__["_many"] = None


def test_texts_beyond_the_context_are_told(tiny: Callable[[str], OpenClipEncoder]) -> None:
    encoder = tiny("fp32")
    room = encoder.context_length
    texts = ["dog " * (room - 2), "dog " * (room - 1), "", "supercalifragilistic " * 3, "dog " * 500, "!" * (room - 1)]
    tokens = [len(encoder._tokenizer.encode(text)) + 2 for text in texts]
    assert encoder.is_cut(texts).tolist() == [n > room for n in tokens]
    assert encoder.is_cut(texts).tolist()[:2] == [False, True]
    assert encoder.is_cut([]).shape == (0,)
