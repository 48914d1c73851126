"""The blind control of choice tasks: a language model of the captions, which never sees a photo."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb.words import keys, tokenise

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FOLDS = 10

_UNKNOWN, _START, _END = range(3)

_DISCOUNT = 0.5
"""where captions are too few to tell it from their counts"""


class Blind:
    """Interpolated Kneser-Ney trigram model of captions, held out by photo.

    A photo's hash puts it into one of ten folds, and its texts are scored by the model of the captions of the nine
    others, so that no photo's own captions speak for it. Words are the same without case and outer punctuation; all
    that the nine folds do not have are one unknown word. One discount an order, n1 / (n1 + 2 n2); below the single
    words stand equal shares of the words and the unknown one. Chen & Goodman, An empirical study of smoothing
    techniques for language modeling, Computer Speech & Language 13, 1999, section 2.7.
    """

    def __init__(self, captions: Sequence[str], photos: Sequence[str]) -> None:
        """`photos` names the photo of each caption."""
        self._ids = {"": _UNKNOWN, "<s>": _START, "</s>": _END}
        rows = [[self._ids.setdefault(word, len(self._ids)) for word in keys(tokenise(text))] for text in captions]
        self._grams, sizes = _trigrams(rows, len(self._ids))
        fold = {photo: _fold(photo) for photo in photos}
        self._folds = np.repeat(np.array([fold[photo] for photo in photos], np.int64), sizes)
        self._models: dict[int, _KneserNey] = {}

    def scores(self, texts: Sequence[str], photo: str) -> Floats:
        """(n,) mean natural log-probability of each text's words and its end. The photo says only which captions are
        left out of the model; it may be one without captions."""
        rows = [[self._ids.get(word, _UNKNOWN) for word in keys(tokenise(text))] for text in texts]
        grams, sizes = _trigrams(rows, len(self._ids))
        logs = np.log(self._model(_fold(photo)).probability(grams)).tolist()
        ends = np.cumsum(sizes).tolist()
        # fsum is exact in any order of its terms: texts of the same probabilities tie.
        return np.array([fsum(logs[end - n : end]) / n for n, end in zip(sizes, ends, strict=True)], np.float64)

    def _model(self, fold: int) -> _KneserNey:
        if fold not in self._models:
            self._models[fold] = _KneserNey.of(self._grams[self._folds != fold], len(self._ids))
        return self._models[fold]


@dataclass(frozen=True)
class _Order:
    """n-grams, each an integer whose digits are its words, and their contexts, which are the integers without the last
    digit; both sorted."""

    grams: Ints
    counts: Ints
    """of trigrams how often they stand there, of shorter ones how many different words stand before them"""
    contexts: Ints
    totals: Ints
    """sum of the counts after each context"""
    types: Ints
    """number of different words after each context"""
    discount: float

    @classmethod
    def of(cls, grams: Ints, counts: Ints, base: int) -> _Order:
        contexts, inverse, types = np.unique(grams // base, return_inverse=True, return_counts=True)
        totals = np.bincount(inverse, weights=counts, minlength=len(contexts)).astype(np.int64)
        once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
        discount = once / (once + 2 * twice) if once and twice else _DISCOUNT
        return cls(grams, counts, contexts, totals, types, discount)

    def probability(self, grams: Ints, base: int, lower: Floats) -> Floats:
        """(n,) of the last word of `grams` after the others; `lower`: (n,) the same with one word less before it."""
        context = grams // base
        total = _at(self.contexts, self.totals, context)
        kept = np.maximum(_at(self.grams, self.counts, grams) - self.discount, 0.0)
        spread = self.discount * _at(self.contexts, self.types, context)
        return np.where(total > 0, (kept + spread * lower) / np.maximum(total, 1), lower)


@dataclass(frozen=True)
class _KneserNey:
    orders: tuple[_Order, _Order, _Order]
    """of one, two and three words"""
    base: int

    @classmethod
    def of(cls, trigrams: Ints, base: int) -> _KneserNey:
        three = np.unique(trigrams, return_counts=True)
        two = np.unique(three[0] % base**2, return_counts=True)
        one = np.unique(two[0] % base, return_counts=True)
        orders = (_Order.of(*one, base), _Order.of(*two, base), _Order.of(*three, base))
        return cls(orders, base)

    def probability(self, trigrams: Ints) -> Floats:
        """(n,) of the last word of each of `trigrams` after the first two."""
        p = np.full(len(trigrams), 1 / (len(self.orders[0].grams) + 1))
        for n, order in enumerate(self.orders, 1):
            p = order.probability(trigrams % self.base**n, self.base, p)
        return p


def _trigrams(rows: Sequence[Sequence[int]], base: int) -> tuple[Ints, list[int]]:
    """The trigrams that end in each word of `rows` and in their ends, all in one, and how many each row has."""
    padded = [word for row in rows for word in (_START, _START, *row, _END)]
    ids = np.array(padded, np.int64)
    sizes = [len(row) + 1 for row in rows]
    last = np.flatnonzero(ids != _START)
    return (ids[last - 2] * base + ids[last - 1]) * base + ids[last], sizes


def _at(sorted_keys: Ints, values: Ints, wanted: Ints) -> Ints:
    """The value of each of `wanted`, 0 where it is no key."""
    if not len(sorted_keys):
        return np.zeros(len(wanted), np.int64)
    place = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[place] == wanted, values[place], 0)


def _fold(photo: str) -> int:
    digest = hashlib.blake2b(photo.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % FOLDS
