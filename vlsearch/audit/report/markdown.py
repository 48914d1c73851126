"""The report as Markdown, short enough for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from vlsearch.audit.report import Report
from vlsearch.audit.report.notes import headline, notes, told_k
from vlsearch.audit.report.tables import Table, about, partial, tables


def markdown(report: Report) -> str:
    """Finding and main tables at the depth that tells most; all else folded away."""
    k = told_k(report) or None
    seen = [table for table in tables(report, k) if not table.detail]
    all_tables = tables(report)
    folded = [table for table in all_tables if table.detail or table not in seen]
    warning = [f"> **{_safe(partial(report))}**"] if partial(report) else []
    blocks = [
        *warning,
        f"**{_safe(headline(report))}**",
        *(f"{_safe(table.title)}: {_safe(about(report))}\n\n{_drawn(table)}" for table in seen),
        _details("How far to trust this", "\n".join(f"- {_safe(line)}" for line in notes(report))),
        *(_details(_safe(table.title), _drawn(table)) for table in folded),
    ]
    return "\n\n".join(blocks) + "\n"


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def _drawn(table: Table) -> str:
    note = f"{_safe(table.note)}\n\n" if table.note else ""
    sides = [":--" if n < table.names else "--:" for n in range(len(table.columns))]
    lines = [_line(map(_safe, table.columns)), _line(sides)]
    for row in table.rows:
        if row.heading:
            cells = [f"**{_safe(row.cells[0])}**", *[""] * (len(table.columns) - 1)]
        else:
            cells = [f"*{_safe(cell)}*" if row.quiet and cell else _safe(cell) for cell in row.cells]
        lines.append(_line(cells))
    return note + "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _safe(text: str) -> str:
    """`text` as it is, whatever of Markdown or HTML it looks like; names of models and datasets are anybody's."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", escape(text, quote=False))
