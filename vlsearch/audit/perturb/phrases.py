"""Where the noun phrases of a caption are: runs of tags such as determiner, adjectives, nouns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from vlsearch.audit.perturb.words import Parsed, edges

# One letter a token: D determiner, C number, J adjective, R adverb, V participle, A and, N noun, n noun before a mark,
# . other. A phrase never runs over a comma behind a noun; a participle belongs to it between determiner and noun ("a
# parked car"), never in front ("chasing cats") nor behind ("a dog left of"); "and" only between adjectives.
_PHRASE = re.compile(r"(?:D+(?:R*[CV]|R*J(?:AR*J)*)*|C*(?:J(?:AR*J)*)*)N*[Nn]")
_CLASSES = {"DT": "D", "PRP$": "D", "CD": "C", "RB": "R", "VBN": "V", "VBG": "V", "CC": "A"}

_ONE = re.compile("an?|one|another|each|every|this|that")
_PLACE = re.compile("back|bottom|cent(?:er|re)|edge|end|front|inside|left|middle|right|side|top")
_PEOPLE = ("children", "men", "people", "women")
_VERB = re.compile("chases|climbs|dives|jumps|kicks|leaps|poses|races|smiles|surfs|swings")
_MEASURE = re.compile(
    "(?:assortment|bag|basket|bottle|bowl|box|bunch|collection|couple|crowd|cup|display|family|flock|group|herd|line|lot|number"
    "|pack|pair|piece|pile|plate|row|set|shoal|slice|stack|team|variety|glass|series)(?:e?s)?"
)


class Phrase(NamedTuple):
    start: int
    """index of its first token"""
    end: int
    """index after its last token"""
    head: tuple[str, ...]
    """keys of its words without leading determiners: what makes two phrases different"""


@lru_cache(maxsize=256)
def noun_phrases(caption: Parsed) -> tuple[Phrase, ...]:
    """The noun phrases of a tagged caption, in order, none inside another.

    "a group of people" is one phrase; "front" in "in front of", "right" in "right of" are none. The tagger
    takes some verbs for nouns ("a black dog jumps"); the commonest of these are cut off again.
    """
    words, found = caption.keys, caption.tags
    classes = "".join(_class(tag, bool(edges(token)[2])) for tag, token in zip(found, caption.tokens, strict=True))
    spans: list[tuple[int, int]] = []
    for match in _PHRASE.finditer(classes):
        start, end = match.span()
        end = _without_verb(words, found, classes, start, end)
        end = _without_place(words, classes, start, end)
        if end == start:
            continue
        if spans and _measures(words, spans[-1], start):
            start = spans.pop()[0]
        spans.append((start, end))
    return tuple(Phrase(start, end, _head(words, classes, start, end)) for start, end in spans)


def _class(tag: str, marked: bool) -> str:
    if tag.startswith("NN"):
        return "n" if marked else "N"
    return "J" if tag.startswith("JJ") else _CLASSES.get(tag, ".")


def _nouns(classes: str, start: int, end: int) -> int:
    return sum(letter in "Nn" for letter in classes[start:end])


def _without_verb(words: Sequence[str], found: Sequence[str], classes: str, start: int, end: int) -> int:
    if _nouns(classes, start, end) < 2:
        return end
    last, object_follows = words[end - 1], classes[end : end + 1] in ("D", "C")
    # "the dog chases a cat", "the boys chase a cat", "a man cleaning a window"
    if object_follows and ("NNS" in found[end - 2 : end] or last.endswith("ing")):
        return end - 1
    # "a black dog jumps": what stands in the plural behind "a" and a singular noun is its verb.
    behind_singular = tuple(found[end - 2 : end]) == ("NN", "NNS")
    if behind_singular and (_VERB.fullmatch(last) or (_ONE.fullmatch(words[start]) and last not in _PEOPLE)):
        return end - 1
    return end


def _without_place(words: Sequence[str], classes: str, start: int, end: int) -> int:
    last = words[end - 1]
    relation = last in ("left", "right") or (end < len(words) and words[end] == "of" and _PLACE.fullmatch(last))
    if not relation:
        return end
    return end - 1 if _nouns(classes, start, end - 1) else start


def _measures(words: Sequence[str], span: tuple[int, int], start: int) -> bool:
    head, behind = words[span[1] - 1], span[1]
    return start == behind + 1 and words[behind] == "of" and bool(_MEASURE.fullmatch(head))


def _head(words: Sequence[str], classes: str, start: int, end: int) -> tuple[str, ...]:
    while classes[start] == "D":
        start += 1
    return tuple(words[start:end])
