"""Which words of the query, and which of its parts, carry a hit's score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.printable import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

EmbedTexts = Callable[[Sequence[str]], "NDArray[np.float32]"]


@dataclass(frozen=True)
class Part:
    """A word or a term of the query, and how much of a hit's score it carries (cosine)."""

    text: str
    weight: float

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text, "weight": round(self.weight, 4)}


@dataclass(frozen=True)
class Explanation:
    """Why one photo was found."""

    words: tuple[Part, ...] = ()
    """in the order of the query; they need not add up to the score"""
    terms: tuple[Part, ...] = ()
    """of a composed query; they add up to the score"""

    def line(self) -> str:
        """For the terminal, the strongest first: "dog +0.08, beach +0.05, on 0.00"; terms before words."""
        return "; ".join(_line(parts) for parts in (self.terms, self.words) if parts)

    def to_dict(self) -> dict[str, Any]:
        return {"words": [part.to_dict() for part in self.words], "terms": [part.to_dict() for part in self.terms]}


def explain(
    text: str | None,
    embed_texts: EmbedTexts,
    xb: NDArray[np.float32],
    labels: Sequence[str] = (),
    weights: Sequence[float] = (),
    vectors: NDArray[np.float32] | None = None,
) -> list[Explanation]:
    """An Explanation for each of the hits' vectors xb (n, d).

    `text` and `embed_texts` as in `word_weights`; None where the query has no words. `labels`, `weights` and `vectors`
    (t, d) are the terms of a composed query, as in `term_shares`. One term alone is left out, and so is a single word
    beside terms: it is one of them.
    """
    none = np.zeros((len(xb), 0), np.float32)
    words, contributions = word_weights(text, embed_texts, xb) if text is not None else ([], none)
    shares = none if vectors is None or len(vectors) < 2 else term_shares(weights, vectors, xb)
    named = labels[: shares.shape[1]]
    if named and len(words) == 1:
        words, contributions = [], none
    return [
        Explanation(_parts(words, word_row), _parts(named, term_row))
        for word_row, term_row in zip(contributions, shares, strict=True)
    ]


def word_weights(text: str, embed_texts: EmbedTexts, xb: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
    """The words of `text` and what each adds to the score of each hit (n, words): the score of the whole text less the
    score of the text without that word (leave one out; Li, Monroe and Jurafsky 2016, arXiv:1612.08220).

    Words are those that a perturbation moves: stop words count, marks stay with their word. A word may take away from
    the score. A single word carries all of it. `embed_texts` gives unit vectors (m, d), for xb (n, d) of unit length;
    for a composed query it may put the text in its place among the other terms first.
    """
    from vlsearch.audit.perturb.words import join, tokenise

    words = tokenise(text)
    if len(words) < 2:
        return words, (xb @ embed_texts([text]).T)[:, : len(words)]
    shorter = [join([*words[:i], *words[i + 1 :]]) for i in range(len(words))]
    scores = xb @ embed_texts([text, *shorter]).T
    contributions: NDArray[np.float32] = scores[:, :1] - scores[:, 1:]
    return words, contributions


def term_shares(weights: Sequence[float], vectors: NDArray[np.float32], xb: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each of t terms adds to the score of each of n hits: (n, t).

    The query is the sum of weight × vector, divided by its length; so is each share, and a row adds up to the score.
    `vectors` (t, d) and xb (n, d) are of unit length.
    """
    weighted = np.asarray(weights, np.float32)[:, None] * vectors
    length = np.linalg.norm(weighted.sum(axis=0))
    shares: NDArray[np.float32] = (xb @ weighted.T) / length
    return shares


def signed(weight: float) -> str:
    """Two decimals and the sign, which 0.00 has none of."""
    text = f"{weight:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def _parts(texts: Sequence[str], weights: NDArray[np.float32]) -> tuple[Part, ...]:
    return tuple(Part(text, float(weight)) for text, weight in zip(texts, weights, strict=True))


def _line(parts: Sequence[Part]) -> str:
    strongest = sorted(parts, key=lambda part: -abs(part.weight))
    return ", ".join(f"{printable(part.text)} {signed(part.weight)}" for part in strongest)
