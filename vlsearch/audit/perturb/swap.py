"""swap: two noun phrases exchange places, "a dog chasing a cat" -> "a cat chasing a dog"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from vlsearch.audit.perturb.draws import Draw
from vlsearch.audit.perturb.phrases import Phrase, noun_phrases
from vlsearch.audit.perturb.words import edges


def swap(tokens: Sequence[str], draw: Draw) -> list[str] | None:
    """Two different noun phrases exchanged, drawn when there are more; None when there are no two.

    The result is to be a sentence again, so its punctuation stays where it was, and so does the capital at its
    beginning: "A dog, asleep on a bed." -> "A bed, asleep on a dog." Phrases that differ in their determiner only ("a
    dog and the dog") say the same thing when exchanged and do not count as different.
    """
    phrases = _phrases(tuple(tokens))
    first, second = draw(2)
    one = phrases[first % len(phrases)] if phrases else None
    others = [phrase for phrase in phrases if one is not None and phrase.head != one.head]
    if one is None or not others:
        return None
    left, right = sorted((one, others[second % len(others)]))
    return _exchange(tokens, left, right)


# Every seed asks for the same phrases; the audit goes caption by caption, so a few are enough.
@lru_cache(maxsize=256)
def _phrases(tokens: tuple[str, ...]) -> tuple[Phrase, ...]:
    return tuple(noun_phrases(tokens))


def _exchange(tokens: Sequence[str], left: Phrase, right: Phrase) -> list[str]:
    a, b = list(tokens[left.start : left.end]), list(tokens[right.start : right.end])
    a_before, a_after = _bare(a)
    b_before, b_after = _bare(b)
    if left.start == 0 and a[0][:1].isupper() and not a[0][1:].isupper():
        # A determiner lends its capital to the new first word; a noun may be a name and keeps it.
        if len(a) > len(left.head):
            a[0] = a[0][:1].lower() + a[0][1:]
        b[0] = b[0][:1].upper() + b[0][1:]
    _dress(b, a_before, a_after)
    _dress(a, b_before, b_after)
    return [*tokens[: left.start], *b, *tokens[left.end : right.start], *a, *tokens[right.end :]]


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
