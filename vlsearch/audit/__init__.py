"""The audit: how much of what a model finds depends on the order of the words."""

from __future__ import annotations

from vlsearch.audit.report import AuditReport, RankSummary, Result
from vlsearch.audit.tasks.retrieval import audit_retrieval

__all__ = ["AuditReport", "RankSummary", "Result", "audit_retrieval"]
