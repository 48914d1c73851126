"""What tells two runs apart: differences for programs (`to_dict`) and a sentence for people (`finding`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vlsearch.audit.perturb import lookup
from vlsearch.audit.report.retrieval import Direction, points

CLAUSES = 3
"""findings of more are summed up"""
SURE = 0.05


@dataclass(frozen=True)
class Difference:
    """One figure of two runs, on what both have. Fractions, 0 to 1."""

    a: float
    b: float
    difference: float
    """a - b"""
    low: float
    high: float
    """95 % interval of the difference, paired bootstrap over photos (over queries for result lists)"""
    p: float | None
    """paired permutation test of the difference against 0; None for auc"""
    p_holm: float | None
    """p corrected for the number of figures of its family; None for what is in none"""


@dataclass(frozen=True)
class DropDifference:
    """Recall@k of one direction under one perturbation."""

    direction: Direction
    perturbation: str
    control: bool
    k: int
    queries: int
    clean: Difference
    """of recall, captions as written; in no family"""
    drop: Difference
    """of what moving the words takes from it; its family are the perturbations at this k, without controls"""


@dataclass(frozen=True)
class ValueDifference:
    """One metric of a choice or of result lists."""

    part: str
    """a task's split, "all" for the whole of it; a perturbation for result lists"""
    control: bool
    metric: str
    """"accuracy", "macro accuracy" and the others of a choice, of its own names; "overlap", "rbo" or "same first"
    of result lists"""
    k: int | None
    """depth of result lists"""
    n: int
    """rows of both runs"""
    value: Difference
    """its family are the parts of the task, or the perturbations, with this metric at this k; "all" and controls are
    in none"""


@dataclass(frozen=True)
class Comparison:
    a: str
    b: str
    """names of the two runs"""
    task: Literal["retrieval", "choice", "lists"]
    paired: int
    """rows of both runs: a query under one perturbation and seed, an item, a result list"""
    only_a: int
    only_b: int
    """rows that the other run does not have, which were left out"""
    reworded: int
    """rows of both whose perturbed texts differ, as those of another tokenizer do"""
    resamples: int
    results: tuple[DropDifference, ...] | tuple[ValueDifference, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as one JSON object; the keys are the names of the fields."""
        return asdict(self)

    def finding(self) -> str:
        """One plain sentence: which run loses more when words move, which finds more, and what cannot be told."""
        drops = [r for r in self.results if isinstance(r, DropDifference)]
        values = [r for r in self.results if isinstance(r, ValueDifference)]
        sentence = "; ".join(self._drops(drops) if drops else self._values(values)) + "."
        return sentence[0].upper() + sentence[1:]

    def _drops(self, drops: Sequence[DropDifference]) -> list[str]:
        told = [r for r in drops if r.direction == "text_to_image"] or drops
        k = _nearest_to_10([r.k for r in told])
        told = [r for r in told if r.k == k]
        unit = f"points of Recall@{k}"
        moved = {r.perturbation: r.drop for r in told if not r.control}
        if len(moved) > CLAUSES:
            clauses = [self._many(moved, f"cost {{}} more {unit}", unit)]
        else:
            clauses = [self._drop(name, drop, unit) for name, drop in moved.items()]
        return [*clauses, self._clean(told[0].clean, unit)]

    def _drop(self, name: str, drop: Difference, unit: str) -> str:
        deed = lookup(name).deed
        if sides := self._sides(drop):
            more, less = sides
            return f"{deed} costs {more} {_size(drop)} {unit} more than {less} ({_span(drop)})"
        return f"{deed} costs {self.a} and {self.b} alike, as far as these captions show ({_span(drop)}, in {unit})"

    def _clean(self, clean: Difference, unit: str) -> str:
        if sides := self._sides(clean):
            more, less = sides
            return f"as written, {more} finds {_size(clean)} {unit} more than {less} ({_span(clean)})"
        return (
            f"as written, {self.a} and {self.b} find alike, as far as these captions show ({_span(clean)}, in {unit})"
        )

    def _values(self, values: Sequence[ValueDifference]) -> list[str]:
        if self.task == "lists":
            overlaps = [r for r in values if r.metric == "overlap" and not r.control]
            if not overlaps:
                return ["no words were moved, so there is nothing to tell apart"]
            k = _nearest_to_10([r.k or 0 for r in overlaps])
            kept = {r.part: r.value for r in overlaps if r.k == k}
            if len(kept) > CLAUSES:
                return [self._many(kept, f"keep more of the first {k} results of {{}}", "points")]
            return [self._value(f"overlap of the first {k} results after {lookup(p).deed}", v) for p, v in kept.items()]
        whole = [r for r in values if r.part == "all"]
        return [self._value(r.metric if whole else f"{r.metric} on {r.part}", r.value) for r in whole or values]

    def _value(self, what: str, value: Difference) -> str:
        if sides := self._sides(value):
            more, less = sides
            return f"{what} is {_size(value)} points higher for {more} than for {less} ({_span(value)})"
        return f"{what} is alike for {self.a} and {self.b}, as far as these items show ({_span(value)}, in points)"

    def _many(self, differences: dict[str, Difference], verb: str, unit: str) -> str:
        sure = {name: d for name, d in differences.items() if d.p_holm is not None and d.p_holm < SURE}
        of_a = sum(d.difference > 0 for d in sure.values())
        name, largest = max((sure or differences).items(), key=lambda item: abs(item[1].difference))
        told = f"{of_a} {verb.format(self.a)} and {len(sure) - of_a} {verb.format(self.b)} (p < {SURE}, corrected)"
        gap = f"{points(largest.difference)} {unit} ({_span(largest)})"
        return (
            f"of {len(differences)} perturbations {told}; the largest difference, {self.a} less {self.b}, is {gap}, "
            f"from {lookup(name).deed}"
        )

    def _sides(self, d: Difference) -> tuple[str, str] | None:
        """The run with more and the one with less; None where 0 is in the interval."""
        if d.low <= 0 <= d.high:
            return None
        return (self.a, self.b) if d.low > 0 else (self.b, self.a)


def _nearest_to_10(ks: Sequence[int]) -> int:
    return min(ks, key=lambda k: (abs(k - 10), k))


def _size(d: Difference) -> str:
    return points(abs(d.difference))


def _span(d: Difference) -> str:
    return f"{points(d.low)} to {points(d.high)} at 95 %"
