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
    warning = [f"> **{safe(partial(report))}**"] if partial(report) else []
    blocks = [
        *warning,
        f"**{safe(headline(report))}**",
        *(f"{safe(table.title)}: {safe(about(report))}\n\n{drawn(table)}" for table in seen),
        details("How far to trust this", "\n".join(f"- {safe(line)}" for line in notes(report))),
        *(details(safe(table.title), drawn(table)) for table in folded),
    ]
    return "\n\n".join(blocks) + "\n"


def details(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def drawn(table: Table) -> str:
    note = f"{safe(table.note)}\n\n" if table.note else ""
    sides = [":--" if n < table.names else "--:" for n in range(len(table.columns))]
    lines = [_line(map(safe, table.columns)), _line(sides)]
    for row in table.rows:
        if row.heading:
            cells = [f"**{safe(row.cells[0])}**", *[""] * (len(table.columns) - 1)]
        else:
            cells = [f"*{safe(cell)}*" if row.quiet and cell else safe(cell) for cell in row.cells]
        lines.append(_line(cells))
    return note + "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def safe(text: str) -> str:
    """`text` as it is, whatever of Markdown or HTML it looks like; names of models and datasets are anybody's."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", escape(text, quote=False))
