"""Many runs side by side: one figure of each, a column a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vlsearch.audit.report import ChoiceReport, ListsReport, Report
from vlsearch.audit.report.tables import DIRECTIONS, Row, Table, percent, print_table
from vlsearch.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

Key = tuple[str, ...]


def across(reports: Sequence[Report]) -> Table:
    """A row for each figure that any of `reports`, all of one task, has: Recall@k as written and its drops, accuracies,
    or overlaps, in percent; "–" where a run does not have it. Columns are numbered as the runs are given."""
    figures = [_figures(report) for report in reports]
    rows: list[Row] = []
    last = ""
    for key in dict.fromkeys(key for of_run in figures for key in of_run):
        heading, *names = key
        if heading != last:
            rows.append(Row((heading,), heading=True))
            last = heading
        rows.append(Row((*names, *(percent(of_run.get(key)) for of_run in figures))))
    of = {"retrieval": ("perturbation", "k"), "choice": ("split", "metric"), "lists": ("perturbation", "k")}
    columns = (*of[reports[0].task], *(str(n) for n in range(1, len(reports) + 1)))
    return Table("In percent", columns, tuple(rows), names=2)


def print_across(reports: Sequence[Report], names: Sequence[str], console: Console) -> None:
    """The table with the runs' names above."""
    told = ", ".join(f"{n} is {printable(name)}" for n, name in enumerate(names, 1))
    print_table(across(reports), f"In percent: {told}", console)


def _figures(report: Report) -> dict[Key, float]:
    if isinstance(report, ChoiceReport):
        return {(r.task, r.split, r.metric): r.value for r in report.results}
    if isinstance(report, ListsReport):
        return {("overlap of the first k results", r.perturbation, str(r.k)): r.overlap for r in report.results}
    found: dict[Key, float] = {}
    for direction, shown in DIRECTIONS.items():
        own = [r for r in report.results if r.direction == direction]
        found.update({(f"{shown}, Recall@k", "as written", str(r.k)): r.clean for r in own})
        found.update({(f"{shown}, drop", r.perturbation, str(r.k)): r.drop for r in own})
    return found
