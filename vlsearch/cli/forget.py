"""`vlsearch forget`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vlsearch.cli.options import library_option


@click.command()
@click.option(
    "--under", metavar="DIR", type=click.Path(path_type=Path), help="Only what was missing under this folder."
)
@library_option
def command(under: Path | None, library_path: Path | None) -> int:
    """Drop the photos that are marked missing, with their captions and vectors.

    \b
      vlsearch info --missing
      vlsearch forget --under ~/photos/2009
    """
    from vlsearch.catalog import queries
    from vlsearch.library import open_library

    with open_library(library_path, write=True) as library:
        with library.transaction() as c:
            files, contents = queries.forget_missing(c, os.path.abspath(under) if under is not None else None)
        library.save_indexes()
    click.echo(f"{files:,} missing files and {contents:,} photos forgotten")
    return 0
