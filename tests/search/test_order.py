"""Asking again in another order: what is compared, and what is said about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.search.order import Variant, order_check

Answers = Callable[[str], Sequence[int]]
TEXT, SWAPPED = "dog on the beach", "the beach on dog"
TEN = list(range(10, 20))


class Engine:
    """Answers each text with the ids that `answers` gives and one more, and remembers what it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers, self.asked = answers, list[list[str]]()

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        self.asked.append(list(texts))
        ids = np.array([[*self.answers(text), 10**6] for text in texts], np.int64)
        return np.zeros(ids.shape), ids


def said(answers: Answers, text: str = TEXT, k: int = 10, noun: str = "photo") -> str:
    return order_check(text, Engine(answers), k).sentence(noun)


def bag(text: str) -> Sequence[int]:
    """A model that hears a bag of words: ids by the sorted words."""
    start = sum(map(ord, "".join(sorted(text.split())))) % 100
    return range(start, start + 10)


def test_a_bag_of_words_is_called_one() -> None:
    assert said(bag) == f'this model hears a bag of words here: "{SWAPPED}" gives the same ten photos'
    assert said(bag, k=3, noun="caption").endswith("gives the same three captions")
    assert said(bag, k=1).endswith("gives the same photo")
    assert said(lambda _: range(30), k=25).endswith("gives the same 25 photos")


def test_a_model_that_hears_the_order_is_told_apart() -> None:
    other = [*range(90, 96), *TEN[:4]]
    assert said(lambda text: TEN if text == TEXT else other) == (
        f'word order matters here: "{SWAPPED}" keeps 4 of 10 photos, another one comes first'
    )
    assert said(lambda text: TEN if text == TEXT else range(50, 60)).endswith("gives ten other photos")
    assert said(lambda text: [1] if text == TEXT else [2], k=1) == (
        f'word order matters here: "{SWAPPED}" gives another photo'
    )


def test_what_lies_between() -> None:
    most = [*TEN[:7], 1, 2, 3]
    assert said(lambda text: TEN if text == TEXT else most) == (
        f'word order matters little here: "{SWAPPED}" keeps 7 of 10 photos, the same one comes first'
    )
    assert said(lambda text: TEN if text == TEXT else TEN[::-1]) == (
        f'word order hardly matters here: "{SWAPPED}" gives the same ten photos, but another one comes first'
    )


def test_shuffles_that_say_otherwise_are_not_hidden() -> None:
    found = said(lambda text: TEN if text in (TEXT, SWAPPED) else [*TEN[:2], *range(50, 58)])
    assert found == (
        f'word order matters little here: "{SWAPPED}" gives the same ten photos (its words shuffled keep 2 of 10)'
    )


def test_without_two_noun_phrases_the_median_shuffle_is_quoted() -> None:
    kept = iter((1, 9, 5, 3, 7))
    known: dict[str, int] = {}

    def answers(text: str) -> Sequence[int]:
        n = 10 if text == "quickly running very far" else known.setdefault(text, next(kept, 0))
        return [*TEN[:n], *range(50, 60 - n)]

    check = order_check("quickly running very far", Engine(answers), 10)
    assert {variant.perturbation for variant in check.variants} == {"shuffle"}
    assert sorted(variant.kept for variant in check.variants) == [1, 3, 5, 7, 9]
    assert check.quoted is not None
    assert check.quoted.kept == 5
    assert "keeps 5 of 10" in check.sentence()
    assert check.sentence().endswith("(words shuffled; there are no two noun phrases to swap)")


def test_every_text_is_asked_once_and_all_at_once() -> None:
    engine = Engine(bag)
    check = order_check("red dog", engine, 10, seeds=20)
    assert engine.asked == [["red dog", "dog red"]]
    assert [variant.text for variant in check.variants] == ["dog red"]
    engine = Engine(bag)
    order_check(TEXT, engine, 10)
    (texts,) = engine.asked
    assert len(texts) == len(set(texts))
    assert texts[0] == TEXT
    assert 4 <= len(texts) <= 7
    again = Engine(bag)
    order_check(TEXT, again, 10)
    assert again.asked == engine.asked


def test_a_swap_that_a_shuffle_finds_as_well_is_a_swap() -> None:
    check = order_check("dog on beach", Engine(bag), 10)
    assert [(v.text, v.perturbation) for v in check.variants if v.text == "beach on dog"] == [("beach on dog", "swap")]
    assert {"beach dog on", "on dog beach"} <= {variant.text for variant in check.of("shuffle")}


def test_the_figures_of_a_variant() -> None:
    # Of 10, 11, 12, 13 three are kept; 12 comes before 10 and 11 now: one pair of three is in the old order.
    check = order_check(TEXT, Engine(lambda text: TEN[:4] if text == TEXT else [12, 10, 99, 11]), 4)
    assert check.of("swap") == [Variant(SWAPPED, "swap", 3, 0.75, pytest.approx(-1 / 3), False)]
    check = order_check(TEXT, Engine(lambda text: TEN[:2] if text == TEXT else [10, 5]), 2)
    assert check.of("swap") == [Variant(SWAPPED, "swap", 1, 0.5, None, True)]


def test_no_more_than_k_are_compared() -> None:
    check = order_check(TEXT, Engine(lambda text: [1, 2, 3] if text == TEXT else [1, 3, 2]), 2)
    assert (check.found, check.variants[0].kept) == (2, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dog", '"dog" is one word'),
        ("犬の浜", '"犬の浜" is one word as far as spaces tell'),
        ("dog, Dog dog", 'all words of "dog, Dog dog" are the same'),
    ],
)
def test_what_has_no_order(text: str, reason: str) -> None:
    engine = Engine(bag)
    check = order_check(text, engine, 10)
    assert check.sentence() == f"there is no order to check: {reason}"
    assert engine.asked == []
    assert check.to_dict()["variants"] == []


@pytest.mark.parametrize(
    ("n", "reason"),
    [(3, "every order finds all 3 that there are"), (10, "every order finds all 10 that there are")],
)
def test_a_library_of_k_or_fewer_says_nothing(n: int, reason: str) -> None:
    assert said(lambda _: range(n - 1)) == f"there is no order to check: {reason}"


def test_where_nothing_is_found() -> None:
    check = order_check(TEXT, lambda texts: (np.zeros((len(texts), 0)), np.zeros((len(texts), 0), np.int64)), 10)
    assert check.sentence() == "there is no order to check: nothing is found"


def test_as_json() -> None:
    told = order_check(TEXT, Engine(bag), 10).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["quoted"] == SWAPPED
    assert told["k"] == 10
    assert told["variants"][0] == {
        "text": SWAPPED,
        "perturbation": "swap",
        "kept": 10,
        "overlap": 1.0,
        "tau": 1.0,
        "same_first": True,
    }


def test_what_cannot_be_seen_is_written_out() -> None:
    assert "\x1b" not in said(bag, text="dog \x1b[31m on the beach")
    assert "\\x1b" in said(bag, text="dog \x1b[31m on the beach")
