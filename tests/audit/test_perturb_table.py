"""Each perturbation of texts by examples: those with one outcome exactly, the others among their outcomes."""

from __future__ import annotations

import pytest

from vlsearch.audit.perturb import perturb

SEEDS = 60


def outcomes(text: str, name: str) -> set[str]:
    results = [perturb(text, name, seed) for seed in range(SEEDS)]
    assert len({result.changed for result in results}) == 1
    return {result.text for result in results if result.changed}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("shuffle", "dog runs", {"runs dog"}),
        ("shuffle", "A dog runs.", {"A runs. dog", "dog A runs.", "dog runs. A", "runs. A dog", "runs. dog A"}),
        ("shuffle-nouns-adj", "a red car and a white dog", {
            "a white car and a red dog", "a red dog and a white car", "a white dog and a red car"}),
        ("shuffle-nouns-adj", "A dog, under the bed.", {"A bed. under the dog,"}),
        ("shuffle-nouns-adj", "the big red dog runs", {"the red big dog runs"}),
        ("shuffle-nouns-adj", "a dog and a dog", set()),
        ("shuffle-nouns-adj", "a dog runs", set()),
        ("shuffle-rest", "a dog under beds", {"under dog a beds"}),
        ("shuffle-rest", "dogs and cats and birds", set()),
        ("shuffle-rest", "black dogs", set()),
        ("shuffle-within-trigrams", "one dog", {"dog one"}),
        ("shuffle-within-trigrams", "go go go dog", set()),
        ("shuffle-within-trigrams", "dog dog dog cat dog.", {"dog dog dog dog. cat"}),
        ("shuffle-trigrams", "a dog runs over there", {"over there a dog runs"}),
        ("shuffle-trigrams", "a dog runs", set()),
        ("shuffle-trigrams", "a dog runs a dog runs", set()),
        ("shuffle-trigrams", "go go go go", set()),
        ("shuffle-trigrams", "go go stop go", {"go go go stop"}),
        ("swap-adjectives", "red door, white house", {"white door, red house"}),
        ("swap-adjectives", "A red, shiny car near the old barn.", {
            "A old, shiny car near the red barn.", "A red, old car near the shiny barn."}),
        ("swap-adjectives", "Red doors, white houses", {"White doors, red houses"}),
        ("swap-adjectives", "a big red dog", set()),
        ("swap-adjectives", "a red door and a red house", set()),
        ("swap-adjectives", "a red door and a house", set()),
        ("swap-adjacent", "A dog runs.", {"dog A runs.", "A runs. dog"}),
        ("swap-adjacent", "dog dog cat", {"dog cat dog"}),
        ("swap-adjacent", "Dog, dog", set()),
        ("reverse", "A dog runs.", {"runs. dog A"}),
        ("reverse", "dogs and dogs.", set()),
        ("sort", "The dog, a cat and Rex", {"a and cat dog, Rex The"}),
        ("sort", "A big cat.", set()),
        ("content-words", "Two black dogs are running very fast on the wet sand.", {
            "Two black dogs running very fast wet sand."}),
        ("content-words", "black dogs running", set()),
        ("content-words", "it is on the", set()),
        ("nouns-only", "Two black dogs run on the wet sand.", {"dogs sand."}),
        ("nouns-only", "dogs cats", set()),
        ("nouns-only", "it is on the", set()),
        ("identity", "a dog .", set()),
    ],
)  # fmt: skip
def test_outcomes(name: str, text: str, expected: set[str]) -> None:
    assert outcomes(text, name) == expected


def test_what_cannot_change_comes_back_tokenised_and_joined() -> None:
    result = perturb("a  dog and a dog .", "shuffle-nouns-adj", 0)
    assert (result.text, result.changed) == ("a dog and a dog.", False)


def test_sort_gives_the_same_for_every_order_of_the_words() -> None:
    text = "Two black dogs chase a cat over wet sand."
    assert {perturb(perturb(text, "shuffle", seed).text, "sort", 0).text for seed in range(20)} == {
        "a black cat chase dogs over sand. Two wet"
    }
