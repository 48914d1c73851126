"""What `vlsearch tag --evaluate` prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vlsearch.cli.printing import print_json, warn
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.search.evaluate import Evaluation, Figures


def some(names: Sequence[str], n: int = 5) -> str:
    return printable(", ".join(names[:n])) + (" …" if len(names) > n else "")


def print_evaluation(found: Evaluation, as_json: bool) -> None:
    truth = found.truth
    for count, what in (
        (len(truth.of) - found.photos, "photos have no vector of this model"),
        (truth.unlabelled, "photos have no known label"),
        (truth.contradicted, "photos are said to be of several labels"),
        (len(truth.unmatched), "photos of the file are not in the library, or several have that name"),
    ):
        if count:
            warn(f"left out: {count:,} {what}")
    if truth.unknown:
        names = sorted(truth.unknown, key=lambda name: (-truth.unknown[name], name))
        warn(f"left out: {sum(truth.unknown.values()):,} photos of labels that --labels does not have: {some(names)}")
    if as_json:
        print_json(found.to_dict())
    elif sys.stdout.isatty():
        print_evaluation_table(found)
    else:
        for figures in found.figures:
            click.echo("\t".join([figures.prompts, str(figures.texts), *cells(figures, found)]))
        for one in found.confusions():
            click.echo(f"{printable(one.label)}\t{printable(one.taken_for)}\t{one.photos}\t{percent(one.share)}")


def percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # + 0.0: no "-0.0"


def cells(figures: Figures, found: Evaluation) -> list[str]:
    """Top-1, top-5 and gain, each with its interval; empty where there is none to give."""

    def shown(value: float | None, interval: tuple[float, float] | None) -> str:
        return "" if value is None or interval is None else f"{percent(value)} [{', '.join(map(percent, interval))}]"

    few = len(found.labels) <= 5
    return [
        shown(figures.top1, figures.top1_interval),
        "" if few else shown(figures.top5, figures.top5_interval),
        shown(figures.gain, figures.gain_interval),
    ]


def print_evaluation_table(found: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False)
    for name in ("prompts", "texts", "top-1", "top-5", "gain over bare"):
        table.add_column(name, justify="left" if name == "prompts" else "right")
    for figures in found.figures:
        table.add_row(Text(figures.prompts), f"{figures.texts:,}", *cells(figures, found))
    console.print(table)
    confusions = Table(box=None, pad_edge=False)
    for name in ("label", "taken for", "photos", "%"):
        confusions.add_column(name, justify="right" if name in ("photos", "%") else "left", overflow="fold")
    for one in found.confusions():
        names = Text(printable(one.label)), Text(printable(one.taken_for))
        confusions.add_row(*names, f"{one.photos:,}", percent(one.share))
    console.print(f"\nMost frequent confusions ({found.figures[-1].prompts}):", highlight=False)
    console.print(confusions)
    console.print(
        f"\n{found.photos:,} photos, {len(found.labels):,} labels (chance {percent(1 / len(found.labels))} %). Percent "
        "with 95 % intervals: Wilson's; of the gain, a paired bootstrap over photos.",
        style="dim",
        highlight=False,
    )
