"""Perturbations that exchange two things: noun phrases, adjectives, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

from vlsearch.audit.perturb.draws import Draw
from vlsearch.audit.perturb.phrases import noun_phrases
from vlsearch.audit.perturb.tags import ADJECTIVES, NOUNS
from vlsearch.audit.perturb.words import Parsed, edges


def swap(caption: Parsed, draw: Draw) -> list[str] | None:
    """Two different noun phrases exchanged, "a dog chasing a cat" -> "a cat chasing a dog", drawn when there are more;
    None when there are no two.

    The result is to be a sentence again, so its punctuation stays where it was, and so does the capital at its
    beginning: "A dog, asleep on a bed." -> "A bed, asleep on a dog." Phrases that differ in their determiner only ("a
    dog and the dog") say the same thing when exchanged and do not count as different.
    """
    phrases = noun_phrases(caption)
    if len({phrase.head for phrase in phrases}) < 2:
        return None
    first, second = draw(2)
    one = phrases[first % len(phrases)]
    others = [phrase for phrase in phrases if phrase.head != one.head]
    left, right = sorted((one, others[second % len(others)]))
    # A determiner lends its capital to the new first word; a noun may be a name and keeps it.
    lends = caption.tags[left.start] not in NOUNS
    return exchange(caption.tokens, range(left.start, left.end), range(right.start, right.end), lends)


def swap_adjectives(caption: Parsed, draw: Draw) -> list[str] | None:
    """Two different adjectives of two noun phrases exchanged, "red door, white house" -> "white door, red house", drawn
    when there are more; None when there are no two. Punctuation and the first capital stay where they were."""
    adjectives = [
        [i for i in range(phrase.start, phrase.end) if caption.tags[i] in ADJECTIVES]
        for phrase in noun_phrases(caption)
    ]
    pairs = [
        (i, j)
        for ours, theirs in combinations(adjectives, 2)
        for i, j in product(ours, theirs)
        if caption.keys[i] != caption.keys[j]
    ]
    if not pairs:
        return None
    i, j = pairs[draw(1)[0] % len(pairs)]
    return exchange(caption.tokens, range(i, i + 1), range(j, j + 1), lends=True)


def swap_adjacent(caption: Parsed, draw: Draw) -> list[str] | None:
    """Two different neighbouring tokens exchanged, each such pair equally likely; None when all tokens are one word."""
    keys = caption.keys
    pairs = [i for i in range(len(keys) - 1) if keys[i] != keys[i + 1]]
    if not pairs:
        return None
    i = pairs[draw(1)[0] % len(pairs)]
    tokens = list(caption.tokens)
    tokens[i], tokens[i + 1] = tokens[i + 1], tokens[i]
    return tokens


def exchange(tokens: Sequence[str], left: range, right: range, lends: bool) -> list[str]:
    """The tokens with those of `left` and `right` exchanged, punctuation left where it is. With `lends`, a capital at
    the very beginning stays there too; else the new first word gets one and the old keeps its own."""
    a, b = list(tokens[left.start : left.stop]), list(tokens[right.start : right.stop])
    a_before, a_after = _bare(a)
    b_before, b_after = _bare(b)
    if left.start == 0 and a[0][:1].isupper() and not a[0][1:].isupper():
        if lends:
            a[0] = a[0][:1].lower() + a[0][1:]
        b[0] = b[0][:1].upper() + b[0][1:]
    _dress(b, a_before, a_after)
    _dress(a, b_before, b_after)
    return [*tokens[: left.start], *b, *tokens[left.stop : right.start], *a, *tokens[right.stop :]]


def _bare(words: list[str]) -> tuple[str, str]:
    before, words[0], after = edges(words[0])
    if len(words) > 1:
        words[0] += after
        inner, words[-1], after = edges(words[-1])
        words[-1] = inner + words[-1]
    return before, after


def _dress(words: list[str], before: str, after: str) -> None:
    words[0] = before + words[0]
    words[-1] += after
