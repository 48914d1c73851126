"""The text tower laid out for single texts says what open_clip says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.encoders.conftest import random_model
from vlsearch.encoders import registry
from vlsearch.encoders.cut_text import encode_cut, text_tower
from vlsearch.encoders.packed_text import packed_text

TEXTS = ["a dog on the beach", "", "word " * 300, "two", "a red car, and nobody in it", "wow!🙂"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_says_the_same(save: Callable[..., Path], precision: str) -> None:
    encoder = registry.load("tiny", save(random_model("tiny", 3)), precision)
    before = encoder.embed_texts(TEXTS)
    alone = np.concatenate([encoder.embed_texts([text]) for text in TEXTS])
    assert encoder.pack_texts()
    after = encoder.embed_texts(TEXTS)
    close = 1e-5 if precision == "fp32" else 2e-2
    assert np.allclose(after, before, atol=close)
    assert np.allclose(np.concatenate([encoder.embed_texts([text]) for text in TEXTS]), alone, atol=close)


def test_the_order_of_tokens_and_the_mask_count() -> None:
    tower = text_tower(random_model("tiny").eval())
    packed = packed_text(tower, torch.float32)
    assert packed is not None
    tokens = torch.tensor([[320, 5, 9, 7, 511], [320, 9, 5, 7, 511]])
    with torch.inference_mode():
        rows, expected = packed(tokens), encode_cut(tower, tokens)
    assert torch.allclose(rows, expected, atol=1e-5)
    assert not torch.allclose(rows[0], rows[1], atol=1e-3)


def test_towers_of_another_kind_have_none() -> None:
    class Other:
        transformer = None

    assert packed_text(Other(), torch.float32) is None
