"""What is asked: words and pictures, added and subtracted with weights, and the short form of it in one line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.errors import UsageError
from vlsearch.search.mistake import Mistake

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMPTY = 'the query is empty; say what to look for, as in vlsearch query "dog on the beach"'
OPERATOR = re.compile(r"(?<!\S)[+−-](?!\S)")
STOP = re.compile(rf"\\|{OPERATOR.pattern}")
WEIGHT = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+):(?![0-9])")
SPACE = re.compile(r"\s*")
CANCELLED = 1e-6
"""length of a sum of unit vectors, its largest weight 1, below which only rounding is left of it"""


@dataclass(frozen=True)
class Term:
    """One part of a query. UsageError unless it is exactly one of a text and a picture, with a weight that counts."""

    text: str | None = None
    image: str | None = None
    """a path, an address within a container, or a URL"""
    weight: float = 1.0
    """negative: away from it"""

    def __post_init__(self) -> None:
        if (self.text is None) == (self.image is None):
            raise UsageError("a term of a query is either a text or a picture")
        if self.text is not None and not self.text.strip():
            raise UsageError(EMPTY)
        if self.image is not None and not self.image.strip():
            raise UsageError("the name of a picture is empty; give a path or a URL")
        if not math.isfinite(self.weight) or self.weight == 0:
            raise UsageError(f"a term's weight must be a number other than 0, not {self.weight:g}")


def parse(text: str) -> tuple[Term, ...]:
    """The terms of the short form, such as "horse + stripes - 2:fruit"; docs/queries.md describes it.

    Raises Mistake, or UsageError where there is nothing at all.
    """
    place, terms = _after_space(text, 0), []
    if place == len(text):
        raise UsageError(EMPTY)
    while True:
        sign = 1.0
        if operator := OPERATOR.match(text, place):
            sign = 1.0 if operator[0] == "+" else -1.0
            place = _after_space(text, operator.end())
            if place == len(text) or OPERATOR.match(text, place):
                what = "something to look for" if operator[0] == "+" else "something to keep away from"
                raise _mistake(f'"{operator[0]}" needs {what} behind it', text, operator.start())
        term, place = _term(text, place, sign)
        terms.append(term)
        if place == len(text):
            return tuple(terms)


def describe(terms: Sequence[Term]) -> str:
    """The short form of `terms`: `parse` gives them back, but for pictures, which stand in it as <path>."""
    parts = []
    for n, term in enumerate(terms):
        operator = "- " if term.weight < 0 else "+ " if n else ""
        size = abs(term.weight)
        weight = "" if size == 1 else np.format_float_positional(size, trim="-") + ":"
        parts.append(operator + (f"{weight}<{term.image}>" if term.text is None else _written(weight, term.text, size)))
    return " ".join(parts)


def combine(vectors: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The weighted sum of unit vectors (m, d), m > 0, as a unit vector (d,).

    Raises UsageError where nothing is left of them, or where one of them holds values that are no numbers.
    """
    if not np.isfinite(vectors).all():
        raise UsageError("the model's vector of a term holds values that are no numbers; leave that term out")
    scaled = np.asarray(weights, np.float64) / np.abs(weights).max()
    total = scaled @ vectors.astype(np.float64)
    length = np.linalg.norm(total)
    if length < CANCELLED:
        raise UsageError("the query's terms cancel each other out; change a term or its weight")
    unit: NDArray[np.float32] = (total / length).astype(np.float32)
    return unit


def _term(text: str, start: int, sign: float) -> tuple[Term, int]:
    """The term that begins at `start`, and where the next operator or the end is."""
    place, size = start, 1.0
    if weight := WEIGHT.match(text, start):
        size = float(weight[1])
        if size == 0 or not math.isfinite(size):
            raise _mistake("a weight must be above 0 and finite", text, start)
        place = _after_space(text, weight.end())
        if place == len(text) or OPERATOR.match(text, place):
            raise _mistake("a weight needs a term behind it", text, start)
    quoted = text[place] == '"'
    content, end = _quoted(text, place) if quoted else _bare(text, place)
    if not content.strip():
        raise _mistake("a term is empty", text, place)
    if quoted:
        end = _after_space(text, end)
        if end < len(text) and not OPERATOR.match(text, end):
            raise _mistake('only " + " or " - " may follow a quoted term (\\" is a quote that is meant)', text, end)
    return Term(content, weight=sign * size), end


def _bare(text: str, place: int) -> tuple[str, int]:
    """Up to the next operator or the end, without the white space before it."""
    pieces: list[str] = []
    while True:
        stop = STOP.search(text, place)
        end = stop.start() if stop else len(text)
        pieces.append(text[place:end])
        if stop is None or stop[0] != "\\":
            return "".join(pieces[:-1]) + pieces[-1].rstrip(), end
        place = _escaped(text, end)
        pieces.append(text[place])
        place += 1


def _quoted(text: str, start: int) -> tuple[str, int]:
    """What stands between the quote at `start` and the next, and the place behind that."""
    letters: list[str] = []
    place = start + 1
    while place < len(text) and text[place] != '"':
        if text[place] == "\\":
            place = _escaped(text, place)
        letters.append(text[place])
        place += 1
    if place == len(text):
        raise _mistake('a quote is not closed (\\" is one that is meant)', text, start)
    return "".join(letters), place + 1


def _escaped(text: str, place: int) -> int:
    if place + 1 == len(text):
        raise _mistake(
            "a backslash needs the letter that it escapes behind it (\\\\ is one that is meant)", text, place
        )
    return place + 1


def _after_space(text: str, place: int) -> int:
    found = SPACE.match(text, place)
    return found.end() if found else place


def _written(weight: str, text: str, size: float) -> str:
    """Text as it is where that is read back as the same term, in quotes elsewhere."""
    try:
        if parse(weight + text) == (Term(text, weight=size),):
            return weight + text
    except UsageError:
        pass
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{weight}"{escaped}"'


def _mistake(message: str, text: str, place: int) -> Mistake:
    return Mistake(f"{message}, at column {place + 1} of the query", text, place)
