"""`vlsearch optimize`."""

from __future__ import annotations

from pathlib import Path

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json, progress


@click.command()
@click.option("--index", "index_only", is_flag=True, help="Build the search index anew instead, and measure it.")
@click.option("--recall", type=float, metavar="R", help="With --index: the recall@10 to build for, kept from then on.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: before, after, dropped, freed, seconds; with --index one for each index.",
)
@library_option
def command(index_only: bool, recall: float | None, as_json: bool, library_path: Path | None) -> int:
    """Merge small shards, drop the vectors of forgotten photos, give free space back.

    Ingests do so on their own when it pays; this does all of it. Queries may go on meanwhile, and it can be interrupted
    at any moment. `vlsearch info` shows how many shards there are.

    \b
        vlsearch optimize --index                 which index there is: recall, memory, time
        vlsearch optimize --index --recall 0.999  miss less, take longer
    """
    from vlsearch.library import open_library
    from vlsearch.optimize import optimize, optimize_index

    if recall is not None and not index_only:
        raise click.UsageError("--recall goes with --index")
    with open_library(library_path, write=True) as library, progress() as show:
        done = optimize_index(library, recall, show) if index_only else [optimize(library, show)]
    for report in done:
        if as_json:
            print_json(report.to_dict())
        else:
            click.echo(str(report))
    if not done:
        click.echo("there are no vectors to index", err=True)
    return 0
