"""Does the order of the words matter to this query? It is asked again with its words shuffled and its noun phrases
swapped, and the answers are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.printable import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ask = Callable[[Sequence[str]], "tuple[NDArray[Any], NDArray[np.int64]]"]
"""n texts to scores and ids (n, k') of what is found, best first"""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
HALF = 0.5
"""share of the top k that stays, below which the order is said to matter"""


@dataclass(frozen=True)
class Variant:
    """The query in another order, and what it finds compared with the query itself."""

    text: str
    perturbation: str
    """"swap" or "shuffle\""""
    kept: int
    """how many of the query's answers it finds as well"""
    overlap: float
    """`kept` as a share of the query's answers"""
    tau: float | None
    """Kendall's tau between the ranks of those that both find, -1 to 1; None for fewer than two"""
    same_first: bool
    """whether the best answer is the same"""


@dataclass(frozen=True)
class OrderCheck:
    text: str
    found: int
    """answers that were compared: k"""
    variants: tuple[Variant, ...]
    """swaps first; none where there is nothing to compare, and `why_not` says why"""
    why_not: str = ""

    @property
    def quoted(self) -> Variant | None:
        """The variant that the sentence is about: a swap if there is one, else a shuffle; of several the one with the
        median overlap (the lower of two)."""
        return _median(self.of("swap") or self.of("shuffle"))

    def of(self, perturbation: str) -> list[Variant]:
        return [variant for variant in self.variants if variant.perturbation == perturbation]

    def sentence(self, noun: str = "photo") -> str:
        """One sentence for people; `noun` is what was looked for: "photo" or "caption"."""
        quoted = self.quoted
        if quoted is None:
            return f"there is no order to check: {self.why_not}"
        if all(variant.overlap == 1 for variant in self.variants):
            verdict = "this model hears a bag of words here" if quoted.same_first else "word order hardly matters here"
        else:
            verdict = "word order matters here" if quoted.overlap < HALF else "word order matters little here"
        return f"{verdict}: {_quote(quoted.text)} {self._kept(quoted, noun)}{self._beside(quoted)}"

    def _kept(self, variant: Variant, noun: str) -> str:
        if self.found == 1:
            return f"gives {'the same' if variant.kept else 'another'} {noun}"
        many = f"{noun}s"
        if variant.kept == self.found:
            kept = f"gives the same {_number(self.found)} {many}"
            return kept if variant.same_first else f"{kept}, but another one comes first"
        if variant.kept == 0:
            return f"gives {_number(self.found)} other {many}"
        first = "the same one comes first" if variant.same_first else "another one comes first"
        return f"keeps {variant.kept} of {self.found} {many}, {first}"

    def _beside(self, quoted: Variant) -> str:
        """What the sentence would otherwise hide."""
        if quoted.perturbation == "shuffle":
            return " (words shuffled; there are no two noun phrases to swap)"
        shuffled = _median(self.of("shuffle"))
        if shuffled is None or all(variant.kept == quoted.kept for variant in self.variants):
            return ""
        return f" (its words shuffled keep {shuffled.kept} of {self.found})"

    def to_dict(self) -> dict[str, Any]:
        quoted = self.quoted
        return {
            "text": self.text,
            "k": self.found,
            "sentence": self.sentence(),
            "quoted": quoted.text if quoted else None,
            "variants": [
                {
                    "text": variant.text,
                    "perturbation": variant.perturbation,
                    "kept": variant.kept,
                    "overlap": round(variant.overlap, 4),
                    "tau": None if variant.tau is None else round(variant.tau, 4),
                    "same_first": variant.same_first,
                }
                for variant in self.variants
            ],
        }


def order_check(text: str, ask: Ask, k: int, seeds: int = 5) -> OrderCheck:
    """Ask `text` again in other orders, and compare the k best answers as sets, by their order, and by the first.

    `ask` is called once, with `text` and each variant: up to `seeds` shuffles and as many swaps, each distinct text
    once. They depend on `text` and `seeds` only. It is to find more than k where there are more: else every order finds
    the same ones, which says nothing, and so nothing is compared.
    """
    others = _variants(text, seeds)
    if not others:
        return OrderCheck(text, 0, (), _why_not(text))
    _, ids = ask([text, *others])
    found = np.asarray(ids).shape[1]
    if found <= k:
        reason = f"every order finds all {found} that there are" if found else "nothing is found"
        return OrderCheck(text, found, (), reason)
    ids = np.asarray(ids)[:, :k]
    rows = zip(others.items(), ids[1:], strict=True)
    return OrderCheck(text, k, tuple(_compare(other, name, ids[0], row) for (other, name), row in rows))


def _variants(text: str, seeds: int) -> dict[str, str]:
    """Other orders of `text` and which perturbation gave each; a swap that is a shuffle as well counts as a swap."""
    from vlsearch.audit.perturb import perturb

    found: dict[str, str] = {}
    for name in ("swap", "shuffle"):
        for seed in range(seeds):
            perturbed = perturb(text, name, seed)
            if perturbed.changed:
                found.setdefault(perturbed.text, name)
    return found


def _why_not(text: str) -> str:
    from vlsearch.audit.perturb.words import tokenise

    if len(tokenise(text)) > 1:
        return f"all words of {_quote(text)} are the same"
    return f"{_quote(text)} is one word" + ("" if text.isascii() else " as far as spaces tell")


def _compare(text: str, name: str, before: NDArray[np.int64], after: NDArray[np.int64]) -> Variant:
    """`before` and `after`: ids (k,), best first."""
    common, ranks, others = np.intersect1d(before, after, return_indices=True)
    kept = len(common)
    same_first = bool(before[0] == after[0])
    return Variant(text, name, kept, kept / len(before), _tau(ranks, others), same_first)


def _tau(a: NDArray[np.int64], b: NDArray[np.int64]) -> float | None:
    """Kendall's tau of two rankings without ties, (n,) each: pairs in the same order less pairs in the other, as a
    share of all pairs (Kendall 1938)."""
    n = len(a)
    if n < 2:
        return None
    signs = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
    return float(signs.sum() / (n * (n - 1)))


def _median(variants: Sequence[Variant]) -> Variant | None:
    ranked = sorted(variants, key=lambda variant: (variant.kept, variant.text))
    return ranked[(len(ranked) - 1) // 2] if ranked else None


def _number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def _quote(text: str) -> str:
    return f'"{printable(text)}"'
