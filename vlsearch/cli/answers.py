"""How the answers of a query are shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.search.engine import Hit
    from vlsearch.search.explain import Explanation


def print_paths(hits: Sequence[Hit], end: str) -> None:
    sys.stdout.flush()
    for hit in hits:
        sys.stdout.buffer.write(os.fsencode(hit.path) + end.encode())


def print_table(hits: Sequence[Hit], to: str, explanations: Sequence[Explanation] | None = None) -> None:
    """Columns for a person on a terminal; tab-separated lines without decoration for a pipe: rank, score, path, then
    the caption where captions were asked for, then why where that was asked for."""
    if not sys.stdout.isatty():
        for n, hit in enumerate(hits):
            cells = [str(hit.rank), "" if hit.score is None else f"{hit.score:.4f}", printable(hit.path)]
            cells += [printable(hit.caption)] if hit.caption is not None else []
            cells += [explanations[n].line()] if explanations else []
            click.echo("\t".join(cells))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    scored = any(hit.score is not None for hit in hits)
    if scored:
        table.add_column("score", justify="right")
    else:
        table.add_column("taken")
    if to == "captions":
        table.add_column("caption", overflow="fold")
    table.add_column("photo", overflow="fold")
    for n, hit in enumerate(hits):
        first = f"{hit.score:.3f}" if hit.score is not None else hit.taken or ""
        place = printable(short(hit.path)) + (f"  (and {hit.copies - 1} like it)" if hit.copies > 1 else "")
        texts = [place] if hit.caption is None else [printable(hit.caption), place]
        table.add_row(str(hit.rank), first, *map(Text, texts))
        if explanations:
            why = Text(explanations[n].line(), style="dim")
            table.add_row("", "", *([""] * (len(texts) - 1)), why)
    Console().print(table)


def short(path: str) -> str:
    """Relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) and not relative.startswith("..") else path
