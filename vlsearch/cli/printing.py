"""How results and progress are shown. Tables on a terminal, one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from vlsearch.printable import printable


def print_json(row: Mapping[str, Any]) -> None:
    """One line; ASCII, so that every file name survives every terminal and pipe."""
    click.echo(json.dumps(row))


def warn(message: str, *details: str) -> None:
    """`details` are further lines; a line break within one is written out, whoever it came from."""
    click.echo(f"vlsearch: {printable(message)}", err=True)
    for detail in details:
        click.echo(f"  {printable(detail)}", err=True)


@contextmanager
def status(what: str) -> Iterator[None]:
    """Says on stderr, if that is a terminal, what is being waited for."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function (what, done, total) that draws a bar with rate and time left on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for earlier in tasks.values():
                    bars.update(earlier, visible=False)
                tasks[what] = bars.add_task(what, total=total or None, rate="")
            task = bars.tasks[tasks[what]]
            rate = f"{task.speed:.0f}/s" if task.speed else ""
            bars.update(tasks[what], completed=done, total=total or None, rate=rate)

        yield show
