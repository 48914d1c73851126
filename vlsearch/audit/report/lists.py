"""What an audit without captions found: how much of the result lists stays when the words of the queries move."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vlsearch.audit.perturb import lookup


@dataclass(frozen=True)
class ListResult:
    """One perturbation at one depth k. Shares are 0 to 1, and 1 where it can change none of the queries; intervals are
    95 %, bootstrap over queries with all their seeds."""

    perturbation: str
    control: bool
    k: int
    overlap: float
    """share of the k results of a query that its perturbed form finds too, mean over queries and seeds"""
    low: float
    high: float
    rbo: float
    """rank-biased overlap of the two lists, extrapolated, with p = 1 - 1/k (Webber, Moffat & Zobel 2010)"""
    rbo_low: float
    rbo_high: float
    same_first: float
    """share of queries whose best result stays the same"""
    queries: int
    """that the perturbation can change; all of them for a control"""
    unperturbable: int


@dataclass(frozen=True)
class ListsReport:
    model: str
    fingerprint: str
    subject: str
    """where the queries are from: a file's name, or "query log\""""
    photos: int
    queries: int
    """distinct ones"""
    seeds: int
    resamples: int
    truncated: int
    """queries beyond the model's context, whose end it never sees"""
    results: tuple[ListResult, ...]
    task: Literal["lists"] = "lists"

    def to_dict(self) -> dict[str, Any]:
        """The report as one JSON object; the keys are the names of the fields."""
        return asdict(self)

    def finding(self) -> str:
        """One plain sentence: how much of what a user sees stays when the words of the query move."""
        chosen = [r for r in self.results if not r.control and r.queries]
        if not chosen:
            return "None of these queries has words that could be moved."
        k = min((r.k for r in chosen), key=lambda k: (abs(k - 10), k))
        clauses = [
            f"{lookup(r.perturbation).deed} keeps {100 * r.overlap:.0f} % of the first {k} results "
            + (f"({100 * r.low:.0f} to {100 * r.high:.0f} % at 95 %) " if r.queries > 1 else "of one query ")
            + f"and the best one in {100 * r.same_first:.0f} % of queries"
            for r in chosen
            if r.k == k
        ]
        sentence = "; ".join(clauses) + "."
        return sentence[0].upper() + sentence[1:]
