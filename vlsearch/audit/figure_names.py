"""Names for the figures of reports, as conditions write them: "R@k" and "drop", "accuracy" and "low"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlsearch.audit.datasets import Choice, Choices, Pair

Task = Literal["retrieval", "choice", "lists"]
Unit = Literal["%", "points", "", "rank"]


@dataclass(frozen=True)
class Figure:
    """A field of a result, and how a message tells it."""

    attribute: str
    unit: Unit = "%"
    interval: tuple[str, str, str] | None = None
    """attributes of value, low and high that are told with it"""
    moved: bool = True
    """depends on the perturbation, and is nothing measured where that changes no text"""
    ratio: bool = False
    """may lie beyond -1 and 1"""
    absent: str = ""
    """why it can be None"""


_DROP = ("drop", "low", "high")
_RECALL = {
    "clean": Figure("clean", moved=False),
    "perturbed": Figure("perturbed"),
    "drop": Figure("drop", "points", _DROP),
    "low": Figure("low", "points", _DROP),
    "high": Figure("high", "points", _DROP),
    "relative_drop": Figure("relative_drop", ratio=True, absent="nothing is found as written"),
    "order_sensitivity": Figure("order_sensitivity", ratio=True, absent="as written, no more is found than by chance"),
    "p": Figure("p", ""),
    "p_holm": Figure("p_holm", "", absent="p of a control is not corrected"),
    "chance": Figure("chance", moved=False),
    "detectable": Figure("detectable", "points"),
    "effective_drop": Figure("effective_drop", "points"),
}
_MRR = {"clean": Figure("mrr_clean", "", moved=False), "perturbed": Figure("mrr_perturbed", "")}
_MEDIAN = {
    "clean": Figure("median_rank_clean", "rank", moved=False),
    "perturbed": Figure("median_rank_perturbed", "rank"),
}


def _with_interval(value: str, low: str, high: str, *, moved: bool) -> dict[str, Figure]:
    told = (value, low, high)
    return {field: Figure(name, "%", told, moved) for field, name in zip(("", "low", "high"), told, strict=True)}


_OVERLAP = _with_interval("overlap", "low", "high", moved=True)
_RBO = _with_interval("rbo", "rbo_low", "rbo_high", moved=True)
_FIRST = {"": Figure("same_first")}
_SEEN = _with_interval("value", "low", "high", moved=False)
_READ = {**_SEEN, "bag_of_words": Figure("bag_of_words", moved=False)}
_CHOSEN = {**_READ, "blind": Figure("blind", moved=False)}

METRICS: dict[str, tuple[Task, dict[str, Figure]]] = {
    "R@k": ("retrieval", _RECALL),
    "MRR": ("retrieval", _MRR),
    "median_rank": ("retrieval", _MEDIAN),
    "overlap@k": ("lists", _OVERLAP),
    "rbo@k": ("lists", _RBO),
    "same_first": ("lists", _FIRST),
    "same_first@k": ("lists", _FIRST),
    "accuracy": ("choice", _CHOSEN),
    "macro_accuracy": ("choice", _CHOSEN),
    "auc": ("choice", _CHOSEN),
    "group_score": ("choice", _READ),
    "text_score": ("choice", _READ),
    "image_score": ("choice", _SEEN),
}
"""What a condition can be about: a report's task, and its figures by field, "" for the value itself"""


def offered_by(choices: Choices) -> list[tuple[str, str]]:
    """Split and metric of each figure that an audit of `choices` gives, metrics with _ for blanks."""
    splits = [*sorted({item.split for item in choices.items if item.split}), "all"]
    if isinstance(choices.items[0], Pair):
        return [(split, metric) for metric in ("text_score", "image_score", "group_score") for split in splits]
    if not isinstance(choices.items[0], Choice):
        return [("all", "auc")]
    macro = [("all", "macro_accuracy")] if len({item.group for item in choices.items}) > 1 else []
    return [*((split, "accuracy") for split in splits), *macro]
