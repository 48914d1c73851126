"""What an audit found: one dataclass a task, all with `to_dict()` for programs and `finding()` for people."""

from __future__ import annotations

from vlsearch.audit.report.choice import ChoiceReport, ChoiceResult
from vlsearch.audit.report.lists import ListResult, ListsReport
from vlsearch.audit.report.retrieval import AuditReport, Direction, IndexLoss, RankSummary, Result

Report = AuditReport | ChoiceReport | ListsReport

__all__ = [
    "AuditReport",
    "ChoiceReport",
    "ChoiceResult",
    "Direction",
    "IndexLoss",
    "ListResult",
    "ListsReport",
    "RankSummary",
    "Report",
    "Result",
]
