"""A token matrix may be cut where that changes nothing, and only there."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch

from tests.encoders.conftest import random_model, tokenizer_of
from vlsearch.encoders.cut_text import can_cut, encode_cut, lengths, text_tower

CAPTIONS = ["", "a dog", "wow!🙂", "!÷", "two people on a bench, the sea behind them", "word " * 200]


def cut_features(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    tower = text_tower(model)
    with torch.inference_mode():
        return encode_cut(tower, tokens[:, : int(lengths(tower, tokens).max())])


@pytest.mark.parametrize("arch", ["tiny", "tiny-custom", "tiny-quickgelu"])
def test_cut_equals_whole(arch: str) -> None:
    model = random_model(arch)
    tokens = tokenizer_of(arch)(CAPTIONS[:-1])
    whole = model.encode_text(tokens)
    assert int(lengths(text_tower(model), tokens).max()) < 20
    torch.testing.assert_close(cut_features(model, tokens), whole, atol=4e-6, rtol=1e-5)
    assert whole.std(0).mean() > 1e-2, "the texts must differ for this to say anything"


def test_a_length_counts_the_exclamation_mark_whose_id_is_0() -> None:
    tokens = tokenizer_of("tiny")(["wow!🙂", "a dog", ""])
    assert tokens[0, :5].tolist().count(0) == 1
    assert lengths(random_model("tiny"), tokens).tolist() == [5, 4, 2]


def test_a_text_of_the_whole_context_is_not_cut() -> None:
    tokens = tokenizer_of("tiny")(CAPTIONS)
    assert int(lengths(random_model("tiny"), tokens).max()) == 77


@pytest.mark.parametrize("padding", [0, 1, 99])
@pytest.mark.parametrize("arch", ["tiny-eos", "tiny-custom-eos"])
def test_pooling_at_an_end_token_whatever_the_padding(arch: str, padding: int) -> None:
    model = random_model(arch)
    assert can_cut(text_tower(model))
    tokens = torch.full((3, 77), padding)
    for row, length in enumerate((3, 9, 30)):
        tokens[row, :length] = torch.arange(10, 10 + length)
        tokens[row, length - 1] = 7
    assert lengths(text_tower(model), tokens).tolist() == [3, 9, 30]
    torch.testing.assert_close(cut_features(model, tokens), model.encode_text(tokens), atol=4e-6, rtol=1e-5)


@pytest.mark.parametrize("arch", ["tiny-eos", "tiny-custom-eos"])
def test_a_text_without_its_end_token_is_pooled_as_open_clip_does(arch: str) -> None:
    model = random_model(arch)
    tokens = torch.full((1, 77), 50)
    torch.testing.assert_close(cut_features(model, tokens), model.encode_text(tokens), atol=4e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("arch", "cuttable"),
    [
        ("tiny", True),
        ("tiny-custom", True),
        ("tiny-eos", True),
        ("tiny-last", False),
        ("tiny-causal-last", False),
        ("tiny-open", False),
        ("tiny-class", False),
    ],
)
def test_which_towers_may_be_cut(arch: str, cuttable: bool) -> None:
    assert can_cut(text_tower(open_clip.create_model(arch))) is cuttable


@pytest.mark.parametrize("arch", ["tiny-last", "tiny-open"])
def test_cutting_the_others_would_be_wrong(arch: str) -> None:
    model = random_model(arch)
    tokens = tokenizer_of(arch)(CAPTIONS[:-1])
    whole = model.encode_text(tokens)
    tower = text_tower(model)
    short = tokens[:, :20]
    with torch.inference_mode():
        if arch == "tiny-last":
            found = tower(short)
        else:
            x = tower.token_embedding(short) + tower.positional_embedding[:20]
            x = tower.ln_final(tower.transformer(x))
            found = x[torch.arange(len(short)), short.argmax(1)] @ tower.text_projection
    assert (found - whole).abs().max() > 1e-2


def test_a_tower_of_transformers_is_left_alone() -> None:
    assert not can_cut(torch.nn.Linear(2, 2))
