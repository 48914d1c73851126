"""Conditions under which an audit fails: `--fail-if "t2i.R@1.drop<0.02"`, for pipelines."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from vlsearch.audit.datasets import Choices
from vlsearch.audit.figure_names import METRICS, Figure, Task, Unit, offered_by
from vlsearch.audit.perturb import lookup
from vlsearch.audit.report import AuditReport, ChoiceReport, Direction, ListsReport, Report
from vlsearch.audit.tasks.retrieval import CONTROLS
from vlsearch.errors import UsageError
from vlsearch.printable import printable

DIRECTIONS: dict[str, Direction] = {"t2i": "text_to_image", "i2t": "image_to_text"}
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FORMS = {
    "retrieval": "after t2i or i2t, and these after a perturbation or nothing, as in shuffle.t2i.R@1.drop",
    "lists": "after a perturbation or nothing, as in shuffle.overlap@10",
}
_NAMED = 12
_DECIMALS = {"%": 1, "points": 1, "": 4, "rank": 1}


@dataclass(frozen=True)
class Condition:
    text: str
    """as it was written"""
    task: Task
    part: str
    """a perturbation or a split; "" for any perturbation, or all splits"""
    direction: Direction | None
    """None but for retrieval"""
    metric: str
    """a key of METRICS"""
    k: int | None
    field: str
    sign: str
    """a key of OPERATORS"""
    bound: float

    @property
    def figure(self) -> Figure:
        return METRICS[self.metric][1][self.field]

    def holds(self, value: float) -> bool:
        return bool(OPERATORS[self.sign](value, self.bound))


def parse(text: str) -> Condition:
    """The condition that `text` writes, such as "shuffle.t2i.R@1.drop < 2%"; UsageError for what is none."""
    text = text.strip()
    match = re.fullmatch(r"(.+?)\s*(<=|>=|<|>)\s*([^<>=]+)", text)
    if match is None:
        raise _wrong(text, "is no FIGURE<NUMBER with <, <=, > or >=, such as t2i.R@1.drop<0.02")
    path, sign, number = match.groups()
    before, name, field = _split(text, path)
    metric, k = _metric(name)
    task, fields = METRICS[metric]
    if metric.endswith("@k") and k is None:
        raise _wrong(text, f"{name} needs a number for k, as in {name[:-1]}10")
    if field not in fields:
        missing = f"{name} has no {field!r}" if field else f"{name} is no number by itself"
        known = [known for known in fields if known]
        raise _wrong(text, f"{missing}; {_nearest(field, known) if known else 'write it alone'}")
    direction: Direction | None = None
    if task == "retrieval":
        direction = DIRECTIONS.get(before.pop() if before else "")
    if (task == "retrieval" and direction is None) or (task != "choice" and len(before) > 1):
        raise _wrong(text, f"{name} comes {_FORMS[task]}")
    if task != "choice" and before:
        try:
            lookup(before[0])
        except UsageError as error:
            raise _wrong(text, str(error)) from None
    bound = _bound(text, number, fields[field])
    return Condition(text, task, ".".join(before), direction, metric, k, field, sign, bound)


def check_names(
    conditions: Sequence[Condition],
    task: Task,
    *,
    perturbations: Sequence[str] = (),
    ks: Sequence[int] = (),
    choices: Choices | None = None,
) -> None:
    """UsageError, before anything is measured, for a condition on what this audit will not have.

    `perturbations` and `ks` are those asked for, beside which controls run; `choices` are the items of a choice task,
    once they are read: without them splits go unchecked.
    """
    for condition in conditions:
        if condition.task != task:
            raise _wrong(
                condition.text,
                f"{condition.metric} is a figure of {condition.task}, and this audit is one of {task}; "
                f"it has {', '.join(name for name, (of, _) in METRICS.items() if of == task)}",
            )
        if condition.k is not None and condition.k not in ks:
            asked = ", ".join(map(str, ks))
            raise _wrong(condition.text, f"k = {condition.k} is not asked for, only {asked}; -k {condition.k} adds it")
        if task != "choice":
            _check_perturbation(condition, task, perturbations)
        elif choices is not None and choices.items:
            _check_split(condition, choices)


def failures(conditions: Sequence[Condition], report: Report) -> list[str]:
    """One line for each condition that holds in `report`, with the figures behind it, and one for each that cannot be
    told: what was not measured never passes."""
    return [line for condition in conditions for line in _lines(condition, report)]


def _split(text: str, path: str) -> tuple[list[str], str, str]:
    """What stands before the metric, the metric as written, and the field after it or "". Names of splits may have
    dots, so the metric is looked for from the end."""
    parts = path.split(".")
    for at in range(len(parts) - 1, max(-1, len(parts) - 3), -1):
        if _metric(parts[at])[0] in METRICS:
            return parts[:at], parts[at], ".".join(parts[at + 1 :])
    for part in parts[:-3:-1]:
        if near := _close(_metric(part)[0], METRICS):
            raise _wrong(text, f"there is no figure {part!r}; did you mean {' or '.join(near)}?")
    raise _wrong(text, f"{path!r} names no figure; there are {', '.join(METRICS)}")


def _metric(name: str) -> tuple[str, int | None]:
    """ "R@10" to "R@k" and 10."""
    match = re.fullmatch(r"(\w+)@([0-9]{1,9})", name)
    return (f"{match[1]}@k", int(match[2])) if match else (name, None)


def _bound(text: str, number: str, figure: Figure) -> float:
    digits = number.strip().replace("−", "-")  # the minus that reports print
    percent = digits.endswith("%")
    try:
        # Read as decimals, so that 0.1% is the very number that 0.001 is.
        bound = float(f"{digits[:-1].strip()}e-2") if percent else float(digits)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise _wrong(text, f"{number.strip()!r} is no number; write a fraction, 0.02, or percent, 2%")
    if figure.unit == "rank":
        if percent:
            raise _wrong(text, "ranks are counted; write the number without %")
    elif abs(bound) > 1 and not figure.ratio:
        raise _wrong(text, f"{number.strip()} is more than all; write a fraction, 0.02, or percent, 2%")
    return bound


def _check_perturbation(condition: Condition, task: Task, perturbations: Sequence[str]) -> None:
    tested = [name for name in perturbations if not lookup(name).control]
    controls = [name for name in (*CONTROLS, "identity-photos") if name not in tested]
    if task == "lists":
        controls = ["identity"]
    elif not any(lookup(name).kind == "photo" for name in perturbations):
        controls.remove("identity-photos")
    if condition.part in controls:
        if condition.field == "p_holm":
            raise _wrong(condition.text, f"{condition.part} is a control here, and its p is not corrected; take p")
    elif condition.part:
        if condition.part not in tested:
            only = ", ".join([*tested, *controls])
            raise _wrong(
                condition.text, f"{condition.part} is not asked for, only {only}; --perturb {condition.part} adds it"
            )
    elif condition.figure.moved and not tested:
        raise _wrong(condition.text, "no perturbation is asked for; --perturb shuffle adds one")


def _check_split(condition: Condition, choices: Choices) -> None:
    offered = offered_by(choices)
    wanted = (condition.part or "all", condition.metric)
    if wanted not in offered:
        paths = [metric if split == "all" else f"{split}.{metric}" for split, metric in offered]
        path = f"{condition.part}.{condition.metric}" if condition.part else condition.metric
        raise _wrong(condition.text, f"{choices.name} has no {path!r}; {_nearest(path, paths)}")


def _lines(condition: Condition, report: Report) -> Iterator[str]:
    figure = condition.figure
    unchanged = _unchanged(report)
    held: list[str] = []
    missing: list[str] = []
    found = _found(condition, report)
    for name, result in found:
        under = f" under {name}" if name else ""
        value = getattr(result, figure.attribute)
        if figure.moved and name in unchanged:
            missing.append(f"{name} changes none of the texts")
        elif value is None or math.isnan(value):
            missing.append(f"{figure.absent or 'it was not measured'}{under}")
        elif condition.holds(value):
            held.append(_told(condition, result, under))
    if not found:
        missing.append("this audit has no such figure")
    text = printable(condition.text)
    if held:
        yield f"{text} holds: {'; '.join(held)}"
    if missing:
        yield f"{text} cannot be told, so it counts as failed: {'; '.join(missing)}"


def _found(condition: Condition, report: Report) -> list[tuple[str, Any]]:
    """Results that the condition is about, each with its perturbation, or "" where that makes no difference."""
    if condition.task != report.task:
        return []
    if isinstance(report, ChoiceReport):
        wanted = (condition.part or "all", condition.metric.replace("_", " "))
        return [("", r) for r in report.results if (r.split, r.metric) == wanted]
    rows: dict[str, Any]
    if isinstance(report, ListsReport):
        # By perturbation: same_first is the same at every k.
        rows = {r.perturbation: r for r in report.results if condition.k in (None, r.k)}
    else:
        results = report.ranks if condition.k is None else [r for r in report.results if r.k == condition.k]
        rows = {r.perturbation: r for r in results if r.direction == condition.direction}
    if not condition.figure.moved:
        return [("", r) for name, r in rows.items() if condition.part in ("", name)][:1]
    controls = {r.perturbation for r in report.results if r.control}
    return [(name, r) for name, r in rows.items() if name == condition.part or not (condition.part or name in controls)]


def _unchanged(report: Report) -> set[str]:
    """Perturbations that change none of the texts, and whose figures say nothing therefore."""
    if isinstance(report, AuditReport):
        return {r.perturbation for r in report.results if r.effective_drop is None}
    if isinstance(report, ListsReport):
        return {r.perturbation for r in report.results if not r.queries}
    return set()


def _told(condition: Condition, result: Any, under: str) -> str:
    figure = condition.figure
    decimals = _decimals(getattr(result, figure.attribute), condition.bound, figure.unit)

    def shown(attribute: str) -> str:
        return _number(getattr(result, attribute), figure.unit, decimals)

    unit = {"%": " %", "points": " points"}.get(figure.unit, "")
    if figure.interval is None:
        return f"{shown(figure.attribute)}{unit}{under}"
    value, low, high = map(shown, figure.interval)
    return f"{value}{unit}{under} ({low} to {high} at 95 %)"


def _decimals(value: float, bound: float, unit: Unit) -> int:
    """As many as tell the value from the bound, where they differ."""
    fewest = _DECIMALS[unit]
    apart = (n for n in range(fewest, 18) if _number(value, unit, n) != _number(bound, unit, n))
    return next(apart, fewest)


def _number(value: float, unit: Unit, decimals: int) -> str:
    scaled = 100 * value if unit in ("%", "points") else value
    # Adding 0 turns the -0.0 of a tiny negative share into 0.0.
    return f"{round(scaled, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def _close(name: str, known: Collection[str]) -> list[str]:
    folded = {one.casefold(): one for one in known}
    return [folded[match] for match in get_close_matches(name.casefold(), folded, n=2)]


def _nearest(name: str, known: Sequence[str]) -> str:
    if near := _close(name, known):
        return f"did you mean {' or '.join(near)}?"
    more = " and others" if len(known) > _NAMED else ""
    return f"it has {', '.join(known[:_NAMED])}{more}"


def _wrong(text: str, reason: str) -> UsageError:
    return UsageError(f"--fail-if {text!r}: {reason}")
