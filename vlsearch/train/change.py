"""What training changed: figures of the same held-out photos before and after, their paired differences, a verdict.

Every figure is a ratio of sums over photos, so that one bootstrap over photos, the audit's, gives its interval and that
of the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.report import Report
from vlsearch.audit.report.retrieval import points
from vlsearch.audit.stats import bootstrap
from vlsearch.errors import UsageError

Floats = NDArray[np.float64]
Kind = Literal["retrieval", "order", "composition", "classes"]

FEW = 20
"""photos below which intervals say little"""


@dataclass(frozen=True, eq=False)
class Measure:
    """A figure, sum(amount) / sum(base), as what each photo adds to it."""

    kind: Kind
    name: str
    photos: tuple[str, ...]
    """p distinct names, sorted"""
    amount: Floats
    """(p,)"""
    base: Floats
    """(p,)"""
    chance: float | None = None
    """what guessing gives, where that is one number"""


@dataclass(frozen=True)
class Figure:
    """A share with its 95 % interval, by bootstrap over photos. Shares are 0 to 1, drops and sensitivities -1 to 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Measured:
    model: str
    measures: tuple[Measure, ...]
    reports: tuple[Report, ...]
    """of the audits that they are from"""
    left_out: tuple[str, ...]
    """what could not be measured, and why, one line each"""

    def to_dict(self) -> dict[str, Any]:
        """JSON; the value of a figure is None where nothing is found beyond chance that it could be a share of."""
        figures = []
        for m in self.measures:
            found = _figures([m], len(m.photos))
            told = {"value": None, "low": None, "high": None} if found is None else asdict(found[0])
            figures.append({"name": m.name, "kind": m.kind, "photos": len(m.photos), "chance": m.chance, **told})
        return {
            "model": self.model,
            "figures": figures,
            "reports": [report.to_dict() for report in self.reports],
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True)
class Change:
    """One figure of the model before and after training, on the same photos."""

    kind: Kind
    name: str
    before: Figure
    after: Figure
    difference: float
    """after - before"""
    low: float
    high: float
    """95 % interval of the difference, paired bootstrap over photos"""
    n: int
    """photos"""
    chance: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(before: Measured, after: Measured) -> tuple[Change, ...]:
    """Every figure that both have a value of. UsageError where they are of different photos."""
    earlier = {m.name: m for m in before.measures}
    changes = []
    for new in after.measures:
        old = earlier.get(new.name)
        if old is None:
            continue
        if old.photos != new.photos:
            raise UsageError(f"{new.name} is of other photos before than after; measure both models on the same")
        if (found := _change(old, new)) is not None:
            changes.append(found)
    return tuple(changes)


def verdict(changes: Sequence[Change]) -> str:
    """What training did in a sentence or two. What was lost comes first, whatever was gained."""
    lost = [c for c in changes if c.kind in ("retrieval", "classes") and c.high < 0]
    heard = [c for c in changes if c.kind == "order" and not is_drop(c.name)]
    searched = [c for c in changes if c.kind == "retrieval"]
    told = [_sentence(min(lost, key=lambda c: c.difference), "more", "It finds less than before")] if lost else []
    if heard:
        told.append(_sentence(heard[0], "It tells the order of words better", "It tells the order of words worse"))
    if searched and not lost:
        told.append(_sentence(_telling(searched), "It finds more than before", "less"))
    return " ".join([*told, *_few(searched)])


def _telling(searched: Sequence[Change]) -> Change:
    """Of the direction that comes first, the largest k that chance leaves room."""
    first = [c for c in searched if c.name.split("@")[0] == searched[0].name.split("@")[0]]
    open_ks = [c for c in first if c.chance is None or c.chance < 0.5]
    return open_ks[-1] if open_ks else first[0]


def is_drop(name: str) -> bool:
    """Whether a figure is what moving the words takes from recall, which is not better for being smaller."""
    return name.startswith("drop of ")


def _sentence(c: Change, better: str, worse: str) -> str:
    if c.low > 0:
        return f"{better}: {c.name} rose {_by(c)}."
    if c.high < 0:
        return f"{worse}: {c.name} fell {_by(c)}."
    name = c.name[0].upper() + c.name[1:]
    span = f"{points(c.low)} to {points(c.high)} at 95 %"
    return f"{name} changed by {points(c.difference)} points ({span}), no more than chance would."


def _by(c: Change) -> str:
    low, high = sorted((abs(c.low), abs(c.high)))
    size = f"by {points(abs(c.difference))} points ({points(low)} to {points(high)} at 95 %)"
    return f"{size}, from {points(c.before.value)} to {points(c.after.value)} %"


def _few(searched: Sequence[Change]) -> Iterator[str]:
    n = min((c.n for c in searched), default=FEW)
    if n < FEW:
        yield f"Only {n} photos were held out, so few that the intervals are wide: hold out more before you trust it."


def _change(old: Measure, new: Measure) -> Change | None:
    figures = _figures([old, new], len(new.photos))
    if figures is None:
        return None
    before, after, d = figures
    return Change(new.kind, new.name, before, after, d.value, d.low, d.high, len(new.photos), new.chance)


def _ratio(counts: Floats, m: Measure) -> Floats:
    """(n,) for n resamples, in which photos count as `counts` (n, p) says; NaN where there is nothing to divide by."""
    base = counts @ m.base
    return np.asarray(np.divide(counts @ m.amount, base, out=np.full(len(counts), np.nan), where=base > 1e-9))


def _figures(measures: Sequence[Measure], photos: int) -> list[Figure] | None:
    """Of one measure its figure, of two both, and the second less the first. None where one lacks a value, be it in a
    resample: an interval of the others alone would be too narrow."""
    lacking = False

    def stacked(counts: Floats) -> Floats:
        nonlocal lacking
        found = np.stack([_ratio(counts, m) for m in measures], axis=1)
        lacking |= bool(np.isnan(found).any())
        return np.asarray(np.nan_to_num(np.concatenate([found, np.diff(found)], axis=1)))

    value = stacked(np.ones((1, photos)))[0]
    low, high, _ = bootstrap(stacked, photos)
    if lacking:
        return None
    return [Figure(*three) for three in np.stack([value, low, high], axis=1).tolist()]
