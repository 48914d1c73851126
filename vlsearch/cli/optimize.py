"""`vlsearch optimize`."""

from __future__ import annotations

from pathlib import Path

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json, progress


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: before, after, dropped, freed, seconds.")
@library_option
def command(as_json: bool, library_path: Path | None) -> int:
    """Merge small shards, drop the vectors of forgotten photos, give free space back.

    Ingests do so on their own when it pays; this does all of it. Queries may go on meanwhile, and it can be interrupted
    at any moment. `vlsearch info` shows how many shards there are.
    """
    from vlsearch.library import open_library
    from vlsearch.optimize import optimize

    with open_library(library_path, write=True) as library, progress() as show:
        merged = optimize(library, show)
    if as_json:
        print_json(merged.to_dict())
    else:
        click.echo(str(merged))
    return 0
