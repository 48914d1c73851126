"""The outcomes of each random perturbation equal those of its definition, enumerated here on short captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlsearch.audit.perturb import PERTURBATIONS, perturb
from vlsearch.audit.perturb.draws import draws
from vlsearch.audit.perturb.phrases import noun_phrases
from vlsearch.audit.perturb.tags import tags
from vlsearch.audit.perturb.texts import ATTEMPTS
from vlsearch.audit.perturb.words import Parsed, keys, tokenise

Words = tuple[str, ...]


def within(words: Words, groups: Sequence[Sequence[int]]) -> Iterator[Words]:
    """Every order in which each group of places keeps its own words."""
    for orders in product(*(permutations(group) for group in groups)):
        moved = list(words)
        for group, order in zip(groups, orders, strict=True):
            for place, source in zip(group, order, strict=True):
                moved[place] = words[source]
        yield tuple(moved)


def nouns_and_adjectives(words: Words, tags: Words) -> Iterator[Words]:
    nouns = [i for i, tag in enumerate(tags) if tag in ("NN", "NNS", "NNP", "NNPS")]
    adjectives = [i for i, tag in enumerate(tags) if tag in ("JJ", "JJR", "JJS")]
    return within(words, [nouns, adjectives])


def rest(words: Words, tags: Words) -> Iterator[Words]:
    return within(words, [[i for i, tag in enumerate(tags) if not tag.startswith(("NN", "JJ"))]])


def within_trigrams(words: Words, _tags: Words) -> Iterator[Words]:
    places = list(range(len(words)))
    return within(words, [places[i : i + 3] for i in places[::3]])


def trigrams(words: Words, _tags: Words) -> Iterator[Words]:
    groups = [words[i : i + 3] for i in range(0, len(words), 3)]
    return (tuple(word for group in order for word in group) for order in permutations(groups))


def neighbours(words: Words, _tags: Words) -> Iterator[Words]:
    return ((*words[:i], words[i + 1], words[i], *words[i + 2 :]) for i in range(len(words) - 1))


def adjectives_of_phrases(words: Words, tags: Words) -> Iterator[Words]:
    phrases = noun_phrases(Parsed(words, words, tags))
    for one, other in combinations(phrases, 2):
        for i, j in product(range(one.start, one.end), range(other.start, other.end)):
            if tags[i].startswith("JJ") and tags[j].startswith("JJ"):
                yield (*words[:i], words[j], *words[i + 1 : j], words[i], *words[j + 1 :])


def phrases(words: Words, tags: Words) -> Iterator[Words]:
    for one, other in combinations(noun_phrases(Parsed(words, words, tags)), 2):
        if one.head != other.head:
            a, b = words[one.start : one.end], words[other.start : other.end]
            yield words[: one.start] + b + words[one.end : other.start] + a + words[other.end :]


DEFINITIONS: dict[str, Callable[[Words, Words], Iterable[Words]]] = {
    "shuffle": lambda words, _tags: permutations(words),
    "shuffle-nouns-adj": nouns_and_adjectives,
    "shuffle-rest": rest,
    "shuffle-within-trigrams": within_trigrams,
    "shuffle-trigrams": trigrams,
    "swap": phrases,
    "swap-adjectives": adjectives_of_phrases,
    "swap-adjacent": neighbours,
}


def test_every_random_perturbation_has_its_definition() -> None:
    assert set(DEFINITIONS) == {p.name for p in PERTURBATIONS.values() if p.random and p.kind == "text"}


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize(
    "text",
    [
        "a black dog sees two cats",
        "red doors and white houses near old trees",
        "a dog and a dog under the big bed",
        "a man runs over a red bridge",
        "dog dog dog cat",
        "go go go go go stop go",
        "dogs",
    ],
)
def test_all_outcomes_of_the_definition_come_and_no_others(name: str, text: str) -> None:
    words = tuple(tokenise(text))
    if name == "shuffle":
        words = words[:5]
    text = " ".join(words)
    expected = {" ".join(order) for order in DEFINITIONS[name](words, tuple(tags(words)))} - {text}
    results = [perturb(text, name, seed) for seed in range(20 * len(expected) + 20)]
    assert {result.text for result in results if result.changed} == expected
    assert all(result.changed == bool(expected) for result in results)


tagged_words = st.lists(
    st.tuples(st.sampled_from("aab"), st.sampled_from(["DT", "NN", "NNS", "JJ", "JJR", "VBZ", "IN", "CC"])), max_size=6
)


@settings(max_examples=400)
@given(tagged_words, st.sampled_from(list(DEFINITIONS)), st.integers(0, 100))
def test_nothing_is_drawn_where_and_only_where_the_definition_has_no_other_outcome(
    caption: list[tuple[str, str]], name: str, seed: int
) -> None:
    words, found = tuple(word for word, _ in caption), tuple(tag for _, tag in caption)
    possible = set(DEFINITIONS[name](words, found))
    apply = PERTURBATIONS[name].apply
    assert apply is not None
    drawn = [apply(Parsed(words, words, found), draws("", name, seed, attempt)) for attempt in range(ATTEMPTS)]
    moved = {tuple(tokens) for tokens in drawn if tokens is not None}
    assert moved <= possible
    assert bool(moved - {words}) == bool(possible - {words})
    assert name not in ("swap-adjectives", "swap-adjacent") or words not in moved
    # "dog" and "dog dog" are different phrases, and swapping them can change nothing all the same.
    assert name == "swap" or bool(moved) == bool(possible - {words})


@pytest.mark.parametrize("name", DEFINITIONS)
def test_one_word_over_and_over_is_not_drawn_at_all(name: str) -> None:
    apply = PERTURBATIONS[name].apply
    assert apply is not None
    assert apply(Parsed(("go",) * 4, ("go",) * 4, ("NN",) * 4), draws("", name, 0, 0)) is None


@given(st.text("ab .,'-é🐶\ud800", max_size=12), st.sampled_from(list(DEFINITIONS)), st.integers(0, 100))
def test_the_characters_stay_and_whether_they_moved_is_told(text: str, name: str, seed: int) -> None:
    result = perturb(text, name, seed)
    before, after = tokenise(text), result.text.split()
    # of characters and not of words, as a swap leaves punctuation where it is
    assert Counter("".join(after)) == Counter("".join(before))
    assert result.changed == (keys(after) != keys(before))
    assert result == perturb(text, name, seed)
