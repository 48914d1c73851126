from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlsearch.audit.perturb import PERTURBATIONS, perturb
from vlsearch.audit.perturb.phrases import noun_phrases
from vlsearch.audit.perturb.words import join, keys, tokenise
from vlsearch.errors import UsageError

NAMES = list(PERTURBATIONS)
CAPTION = "A black dog chases two white cats over a wet field."


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("a dog chasing a cat", "a cat chasing a dog"),
        ("a red car left of a dog", "a dog left of a red car"),
        ("a dog left of a red car", "a red car left of a dog"),
        ("a red car right of a dog", "a dog right of a red car"),
        ("a blue circle above a green square", "a green square above a blue circle"),
        ("a dog in front of a parked car", "a parked car in front of a dog"),
        ("a dog on top of a car", "a car on top of a dog"),
        ("a dog to the left of a car", "a car to the left of a dog"),
        ("a dog next to a black and white cow", "a black and white cow next to a dog"),
        ("A dog chases a cat.", "A cat chases a dog."),
        ("The dog chases the cats .", "The cats chases the dog."),
        ("A black dog jumps over a log.", "A log jumps over a black dog."),
        ("a man cleaning a window", "a window cleaning a man"),
        ("a group of people behind a dog", "a dog behind a group of people"),
        ("two dogs, asleep on the man's bed!", "the man's bed, asleep on two dogs!"),
        ("Rex chases a cat", "A cat chases Rex"),
        ('(a dog) under "a cat".', '(a cat) under "a dog".'),
    ],
)
def test_swap_exchanges_two_noun_phrases(text: str, swapped: str) -> None:
    for seed in range(3):
        assert perturb(text, "swap", seed).text == swapped
        assert perturb(text, "swap", seed).changed


def test_swap_lets_the_seed_pick_the_pair() -> None:
    results = {perturb("a dog between a cat and a horse", "swap", seed).text for seed in range(40)}
    assert results == {
        "a cat between a dog and a horse",
        "a horse between a cat and a dog",
        "a dog between a horse and a cat",
    }


def test_a_comma_ends_a_phrase_behind_a_noun_only() -> None:
    tokens = tokenise("a red, shiny car, two dogs and his old hat")
    phrases = [join(tokens[p.start : p.end]) for p in noun_phrases(tokens)]
    assert phrases == ["a red, shiny car,", "two dogs", "his old hat"]


def test_shuffle_reaches_every_order_about_equally_often() -> None:
    counts = Counter(perturb("one two three", "shuffle", seed).text for seed in range(2000))
    orders = {" ".join(order) for order in permutations(["one", "two", "three"])} - {"one two three"}
    assert set(counts) == orders
    # 400 expected of each, with a standard deviation of 18
    assert all(310 < n < 490 for n in counts.values())


@given(st.text(), st.integers(0, 10))
def test_shuffle_keeps_the_bag_of_tokens(text: str, seed: int) -> None:
    result = perturb(text, "shuffle", seed)
    before, after = tokenise(text), result.text.split()
    assert Counter(after) == Counter(before)
    assert result.changed == (len(set(keys(before))) > 1)
    assert result.changed == (keys(after) != keys(before))


@given(
    st.lists(
        st.sampled_from(["a", "the", "dog", "cat,", "red", "Red", "and", "runs", "left", "of", ".", "his", "group"]),
        max_size=12,
    )
)
def test_swap_keeps_the_words(words: list[str]) -> None:
    text = " ".join(words)
    result = perturb(text, "swap", 0)
    assert sorted(keys(tokenise(result.text))) == sorted(keys(tokenise(text)))
    assert result.changed == (keys(tokenise(result.text)) != keys(tokenise(text)))


@given(st.text(), st.sampled_from(NAMES))
def test_any_text_is_survived(text: str, name: str) -> None:
    assert perturb(text, name, 0) == perturb(text, name, 0)


@pytest.mark.parametrize("text", ["", "dog", " dog . ", "dog dog, Dog", "🐶", "\x00", "\ud800"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_move_is_unperturbable(text: str, name: str) -> None:
    result = perturb(text, name, 0)
    assert not result.changed
    assert result.text == join(tokenise(text))


@pytest.mark.parametrize("text", ["running fast", "a dog runs", "a dog and the dog", "A dog, a dog"])
def test_fewer_than_two_different_phrases_are_unperturbable(text: str) -> None:
    assert not perturb(text, "swap", 0).changed


def test_two_words_always_change() -> None:
    assert {perturb("dog runs", "shuffle", seed).text for seed in range(200)} == {"runs dog"}


def test_identity_tokenises_and_joins() -> None:
    result = perturb("stairs in an  entry way .", "identity", 3)
    assert result.text == "stairs in an entry way."
    assert not result.changed


def test_ten_thousand_words() -> None:
    text = "a dog chases one red cat over there " * 1250
    for name in NAMES:
        result = perturb(text, name, 1)
        assert result.changed == (name != "identity")
        assert sorted(result.text.split()) == sorted(text.split())


def test_seeds_differ_and_names_differ() -> None:
    assert len({perturb(CAPTION, "shuffle", seed).text for seed in range(20)}) == 20


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'shufle'.*shuffle, swap, identity"):
        perturb("a dog", "shufle", 0)


# Fixed, because a published audit must come out the same under later versions.
PINNED = [
    "wet two black white dog cats over field. a chases A",
    "wet white two A dog field. black cats chases a over",
    "A wet field chases two white cats over a black dog.",
    "Two white cats chases a black dog over a wet field.",
]


def test_the_result_is_the_same_in_any_process() -> None:
    code = f"""
from vlsearch.audit.perturb import perturb
for name in ("shuffle", "swap"):
    for seed in (0, 1):
        print(perturb({CAPTION!r}, name, seed).text)
"""
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": str(root)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert other.stdout.splitlines() == PINNED
    assert [perturb(CAPTION, name, seed).text for name in ("shuffle", "swap") for seed in (0, 1)] == PINNED
