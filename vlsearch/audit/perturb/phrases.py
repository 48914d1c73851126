"""Where the noun phrases of a caption are: runs of tags such as determiner, adjectives, nouns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from vlsearch.audit.perturb.tags import tags
from vlsearch.audit.perturb.words import edges, key

# One letter a token: D determiner, C number, J adjective, R adverb, V participle, A and, N noun, n noun before a mark,
# . other. A phrase never runs over a comma behind a noun; a participle belongs to it between determiner and noun ("a
# parked car"), never in front ("chasing cats") nor behind ("a dog left of"); "and" only between adjectives.
_PHRASE = re.compile(r"(?:D+(?:R*[CV]|R*J(?:AJ)*)*|C*(?:J(?:AJ)*)*)N*[Nn]")
_CLASSES = {"DT": "D", "PRP$": "D", "CD": "C", "RB": "R", "VBN": "V", "VBG": "V", "CC": "A"}

_ONE = re.compile("an?|one|another|each|every|this|that")
_PLACE = re.compile("back|bottom|cent(?:er|re)|edge|end|front|inside|left|middle|right|side|top")
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


def noun_phrases(tokens: Sequence[str]) -> list[Phrase]:
    """The noun phrases of `tokens`, in order, none inside another.

    "a group of people" is one phrase; "front" in "in front of", "right" in "right of" are none. The tagger knows words,
    not sentences, and takes many verbs for nouns ("a black dog jumps"); the commonest of these are cut off again.
    """
    parts = [edges(token) for token in tokens]
    found = tags([word for _, word, _ in parts])
    classes = "".join(_class(tag, bool(after)) for tag, (_, _, after) in zip(found, parts, strict=True))
    words = [key(token) for token in tokens]
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
    return [Phrase(start, end, _head(words, classes, start, end)) for start, end in spans]


def _class(tag: str, marked: bool) -> str:
    if tag.startswith("NN"):
        return "n" if marked else "N"
    return "J" if tag.startswith("JJ") else _CLASSES.get(tag, ".")


def _nouns(classes: str, start: int, end: int) -> int:
    return sum(letter in "Nn" for letter in classes[start:end])


def _without_verb(words: list[str], found: list[str], classes: str, start: int, end: int) -> int:
    if _nouns(classes, start, end) < 2:
        return end
    last, object_follows = words[end - 1], classes[end : end + 1] in ("D", "C")
    # "the dog chases a cat", "the boys chase a cat", "a man cleaning a window"
    if object_follows and ("NNS" in found[end - 2 : end] or last.endswith("ing")):
        return end - 1
    # "a black dog jumps": what stands in the plural behind "a" and a singular noun is its verb. Behind "the" it is one
    # when the lexicon knows its infinitive as a verb first: "the boy bites".
    if found[end - 2 : end] == ["NN", "NNS"]:
        infinitives = (last[:-1], last[:-2])
        if (
            _ONE.fullmatch(words[start])
            or _VERB.fullmatch(last)
            or any(tags([verb])[0].startswith("VB") for verb in infinitives)
        ):
            return end - 1
    return end


def _without_place(words: list[str], classes: str, start: int, end: int) -> int:
    last = words[end - 1]
    relation = last in ("left", "right") or (words[end : end + 1] == ["of"] and _PLACE.fullmatch(last))
    if not relation:
        return end
    return end - 1 if _nouns(classes, start, end - 1) else start


def _measures(words: list[str], span: tuple[int, int], start: int) -> bool:
    head, behind = words[span[1] - 1], span[1]
    return start == behind + 1 and words[behind] == "of" and bool(_MEASURE.fullmatch(head))


def _head(words: list[str], classes: str, start: int, end: int) -> tuple[str, ...]:
    while classes[start] == "D":
        start += 1
    return tuple(words[start:end])
