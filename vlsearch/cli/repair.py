"""`vlsearch repair`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import progress, warn

if TYPE_CHECKING:
    from vlsearch.catalog.queries import ModelRow
    from vlsearch.encoders.base import Encoder


@click.command()
@library_option
def command(library_path: Path | None) -> int:
    """Drop what is damaged, embed it again from the photos, rebuild the index."""
    from vlsearch.check import repair
    from vlsearch.encoders import registry
    from vlsearch.library import open_library

    def load(model: ModelRow) -> Encoder:
        return registry.load_source(model.source)

    with open_library(library_path, write=True) as library, progress() as show:
        done = repair(library, load, show)
    click.echo(
        f"{done.dropped_shards:,} damaged shards dropped, {done.embedded:,} photos and captions embedded again, "
        "indexes rebuilt"
    )
    if done.lost:
        click.echo(
            f"vlsearch: {done.lost:,} photos could not be embedded again: no file holds them any more; the next ingest "
            "takes them when they are back",
            err=True,
        )
    for what in done.audits:
        warn(what)
    return 1 if done.lost or done.audits else 0
