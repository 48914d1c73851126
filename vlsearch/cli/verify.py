"""`vlsearch verify`."""

from __future__ import annotations

from pathlib import Path

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json, progress
from vlsearch.printable import printable


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: clean, problems.")
@library_option
def command(as_json: bool, library_path: Path | None) -> int:
    """Check every byte of a library: shards, catalog, index. Exit code 1 when something is wrong."""
    from vlsearch.check import verify
    from vlsearch.library import open_library

    with open_library(library_path) as library, progress() as show:
        problems = verify(library, show)
    if as_json:
        print_json({"clean": not problems, "problems": [problem.what for problem in problems]})
    else:
        for problem in problems:
            click.echo(printable(problem.what))
        if not problems:
            click.echo(f"{library.path} is clean")
        elif not all(problem.lost for problem in problems):
            click.echo("`vlsearch repair` mends this")
    return 1 if problems else 0
