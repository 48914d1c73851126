"""What an audit found: one dataclass a task, all with `to_dict()` for programs and `finding()` for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlsearch.audit.report.choice import ChoiceReport, ChoiceResult
from vlsearch.audit.report.comparison import Comparison
from vlsearch.audit.report.lists import ListResult, ListsReport
from vlsearch.audit.report.retrieval import AuditReport, Direction, IndexLoss, RankSummary, Result

Report = AuditReport | ChoiceReport | ListsReport


def from_dict(told: Mapping[str, Any]) -> Report:
    """A report from what its `to_dict` gave, as JSON keeps it. KeyError or TypeError for anything else."""
    tasks: dict[str, tuple[Any, dict[str, Any]]] = {
        "retrieval": (AuditReport, {"results": Result, "ranks": RankSummary, "index": IndexLoss}),
        "choice": (ChoiceReport, {"results": ChoiceResult}),
        "lists": (ListsReport, {"results": ListResult}),
    }
    kind, parts = tasks[told["task"]]
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    for name, part in parts.items():
        fields[name] = tuple(part(**row) for row in told[name])
    report: Report = kind(**fields)
    return report


__all__ = [
    "AuditReport",
    "ChoiceReport",
    "ChoiceResult",
    "Comparison",
    "Direction",
    "IndexLoss",
    "ListResult",
    "ListsReport",
    "RankSummary",
    "Report",
    "Result",
    "from_dict",
]
