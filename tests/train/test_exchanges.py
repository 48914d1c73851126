"""Exchanges that change what a caption says, and those that only seem to."""

from __future__ import annotations

import pytest

from vlsearch.audit.perturb.texts import parsed
from vlsearch.train.exchanges import PARTS_OF_SPEECH, exchanged, exchanges


def swapped(text: str, kind: str) -> list[str]:
    caption = parsed(text, tagged=True)
    return [" ".join(exchanged(caption.tokens, pair)) for pair in exchanges(caption, [kind]).get(kind, [])]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("nouns", "a dog chasing a cat", ["a cat chasing a dog"]),
        ("nouns", "A dog, asleep on the old bed.", ["The old bed, asleep on a dog.", "A bed, asleep on the old dog."]),
        ("nouns", "two dogs behind a cat", ["a cat behind two dogs"]),
        ("nouns", "a black dog behind two cats", ["two cats behind a black dog"]),
        ("nouns", "a man holding a red apple", ["a red apple holding a man", "an apple holding a red man"]),
        ("nouns", "Dogs chase a cat", ["A cat chase dogs"]),
        ("nouns", "Rex chases a cat", ["A cat chases Rex"]),
        ("nouns", "a black dog on grass", ["grass on a black dog"]),
        ("adjectives", "a black dog chasing a white cat", ["a white dog chasing a black cat"]),
        ("adjectives", "an old man in a red car", ["a red man in an old car"]),
        ("adjectives", "A big dog chasing a small dog.", ["A small dog chasing a big dog."]),
        ("adjectives", "the dog is black and the cat is white", ["the dog is white and the cat is black"]),
        ("adjectives", "a red shirt and blue pants", ["a blue shirt and red pants"]),
        ("verbs", "a dog running, a cat sleeping", ["a dog sleeping, a cat running"]),
        ("verbs", "a dog runs while a cat sleeps", ["a dog sleeps while a cat runs"]),
        ("verbs", "a man who holds a ball and a boy kicks a bag", ["a man who kicks a ball and a boy holds a bag"]),
        ("adverbs", "a man looking up and a woman walking away", []),
        ("adverbs", "a very big dog and a slightly wet cat", ["a slightly big dog and a very wet cat"]),
        (
            "adverbs",
            "a dog running quickly and a cat walking slowly",
            ["a dog running slowly and a cat walking quickly"],
        ),
    ],
)
def test_two_words_of_a_part_of_speech_change_places(kind: str, text: str, expected: list[str]) -> None:
    assert swapped(text, kind) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("nouns", "a dog and a cat"),
        ("nouns", "a dog, a cat and two horses"),
        ("nouns", "a dog as well as a cat"),
        ("nouns", "a black dog and a black cat"),
        ("nouns", "a bench near a tree"),
        ("nouns", "a man standing next to a car"),
        ("nouns", "a boy with a dog"),
        ("nouns", "the animal is a dog"),
        ("nouns", "a dog behind the dog"),
        ("nouns", "a man above the men"),
        ("nouns", "dog, dog dog"),
        ("adjectives", "a black and white dog"),
        ("adjectives", "one dog is black and one dog is white"),
        ("adjectives", "many dogs chasing a red ball"),
        ("adjectives", "a big brown dog"),
        ("adjectives", "the big dog is black"),
        ("adjectives", "the dog is wet and muddy"),
        ("adjectives", "a red car and a blue car"),
        ("adjectives", "a red car parked next to a blue car"),
        ("adjectives", "a small boy chasing a little dog"),
        ("verbs", "a man sitting and reading"),
        ("verbs", "a dog running, a dog sleeping"),
        ("verbs", "a man sitting behind a dog, a boy reading a book"),
        ("verbs", "a cat has a ball and a dog is a pet"),
        ("adverbs", "a man walking slowly and quietly"),
        ("adverbs", "a man walking down the street behind a boy running away"),
        ("adverbs", "the dog is not big and the cat is very small"),
        ("adverbs", "a man walks slowly down the street alone"),
    ],
)
def test_an_exchange_that_says_the_same_is_none(kind: str, text: str) -> None:
    assert swapped(text, kind) == []


def test_joined_things_with_different_adjectives_lend_each_other_their_nouns() -> None:
    assert swapped("a black dog and a white cat", "nouns") == ["a black cat and a white dog"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("an empty bowl on a table in a big room", "a big bowl on a table in an empty room"),
        ("A red bus passing an orange house", "An orange bus passing a red house"),
        ("a unique car behind a red house", "a red car behind a unique house"),
        ("a red car behind an honest man", "an honest car behind a red man"),
    ],
)
def test_articles_go_with_the_words_behind_them(text: str, expected: str) -> None:
    assert swapped(text, "adjectives") == [expected]


def test_only_kinds_that_have_an_exchange_are_found() -> None:
    assert exchanges(parsed("a dog chasing a cat", tagged=True)).keys() == {"nouns"}
    assert exchanges(parsed("", tagged=True)) == {}
    assert all(exchanges(parsed("dog", tagged=True), [kind]) == {} for kind in PARTS_OF_SPEECH)
