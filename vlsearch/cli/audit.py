"""`vlsearch audit`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlsearch.cli.options import encoder_for, library_option, model_options
from vlsearch.cli.printing import print_json, progress, warn

if TYPE_CHECKING:
    from vlsearch.audit.report import AuditReport
    from vlsearch.catalog.queries import ModelRow

DIRECTIONS = {"text_to_image": "text → photo", "image_to_text": "photo → text"}


@click.command()
@click.option("--perturb", "perturbations", metavar="NAME", multiple=True, default=("shuffle",), show_default=True)
@click.option("-k", "ks", type=click.IntRange(min=1), multiple=True, default=(1, 5, 10), show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Perturb so many times.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: model, photos, captions, seeds, results.")
@library_option
@model_options
def command(
    perturbations: tuple[str, ...],
    ks: tuple[int, ...],
    seeds: int,
    as_json: bool,
    library_path: Path | None,
    model_name: str | None,
    weights: Path | None,
) -> int:
    """Measure how far the answers depend on the order of words.

    Every caption of the library looks for its photo, and every photo for its captions, as written and with the words
    moved. The drop in Recall@k comes with a 95 % interval from a paired bootstrap over photos and seeds.

    \b
      vlsearch audit --perturb shuffle
      vlsearch audit --perturb shuffle --perturb swap --seeds 10 --json

    Perturbations: shuffle (all words), swap (two noun phrases change places), identity (nothing, the control).
    """
    from vlsearch.audit.perturb import lookup
    from vlsearch.audit.run import audit_library
    from vlsearch.library import open_library

    for name in perturbations:  # before a model is loaded
        lookup(name)
    with open_library(library_path) as library:
        encoder = encoder_for(library, model_name, weights)
        row = library.model_of(encoder)
        with progress() as show:
            report = audit_library(
                library,
                encoder,
                perturbations,
                seeds=seeds,
                ks=ks,
                progress=lambda done, total: show("texts", done, total),
            )
    settings = {"task": "retrieval", "perturbations": list(perturbations), "seeds": seeds, "k": list(ks)}
    store(library_path, row, settings, report)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
    return 0


def store(library_path: Path | None, row: ModelRow, settings: dict[str, Any], report: AuditReport) -> None:
    """Keep the run in the library; without the lock the result is shown all the same."""
    from vlsearch.catalog import queries
    from vlsearch.errors import LibraryError
    from vlsearch.library import open_library

    try:
        with open_library(library_path, write=True) as library, library.transaction() as c:
            queries.add_audit_run(c, at=time.time(), model_id=row.id, settings=settings, report=report.to_dict())
    except LibraryError as error:
        warn(f"this audit is not kept in the library: {error}")


def print_report(report: AuditReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("perturbation")
    for name in ("k", "clean", "perturbed", "drop", "95 % interval", "p (Holm)", "chance"):
        table.add_column(name, justify="right", no_wrap=True)
    last: tuple[str, ...] = ("", "")
    for r in report.results:
        if r.direction != last[0]:
            table.add_row(f"[bold]{DIRECTIONS[r.direction]}[/]")
        table.add_row(
            r.perturbation if (r.direction, r.perturbation) != last else "",
            str(r.k),
            *(percent(share) for share in (r.clean, r.perturbed, r.drop)),
            f"{percent(r.low)} … {percent(r.high)}",
            "control" if r.p_holm is None else f"{r.p_holm:.4f}",
            percent(r.chance),
            style="dim" if r.p_holm is None else None,
        )
        last = (r.direction, r.perturbation)
    console.print(
        f"Recall@k in percent of {report.captions:,} captions and {report.photos:,} photos, model {report.model}\n"
    )
    console.print(table)
    console.print(f"\n{report.finding()}\n", highlight=False)
    for line in footnotes(report):
        console.print(line, style="dim", highlight=False)


def percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # + 0.0: no "-0.0"


def footnotes(report: AuditReport) -> list[str]:
    """What a reader needs to trust the table: how intervals were made, what could not be moved, ties."""
    kept = {r.perturbation: r.unperturbable for r in report.results if r.p_holm is not None}
    ties = sum({(r.direction, r.perturbation): r.ties for r in report.results}.values())
    same = ", ".join(f"{name} {count:,}" for name, count in kept.items())
    return [
        f"95 % intervals: {report.resamples:,} paired bootstrap resamples over photos and {report.seeds} seeds.",
        f"Captions that cannot change: {same or 'none'}. Queries with a tie (which never helps): {ties:,}.",
        "identity is the control: tokenised and joined, nothing moved.",
    ]
