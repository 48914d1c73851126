"""`vlsearch ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlsearch.cli.options import check_weights, library_option, model_options
from vlsearch.cli.printing import print_json, progress, warn

if TYPE_CHECKING:
    from vlsearch.encoders.base import Encoder

SHOWN_FAILURES = 5


@click.command(no_args_is_help=True)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Skip files and folders whose name or path matches.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@library_option
@model_options
def command(
    paths: tuple[Path, ...],
    exclude: tuple[str, ...],
    as_json: bool,
    library_path: Path | None,
    model_name: str | None,
    weights: Path | None,
) -> int:
    """Embed the photos in folders. Run it again at any time: only what is new or changed costs anything.

    Moved, renamed and duplicate photos are recognised by their bytes. Photos that are gone are kept and marked
    missing (`vlsearch forget` drops them). A file that cannot be read is noted and not tried again until it changes.

    \b
      vlsearch ingest ~/photos --exclude '*/thumbs/*'
      vlsearch ingest ~/photos --model builtin
    """
    from vlsearch.encoders import registry
    from vlsearch.errors import UsageError
    from vlsearch.ingest.pipeline import ingest
    from vlsearch.library import open_library

    for path in paths:
        if not path.exists():
            raise UsageError(f"no such file or folder: {path}")
    check_weights(model_name, weights)
    with open_library(library_path, write=True, create=True) as library:
        rows = library.models()
        if model_name is None and rows:
            source, name = rows[0].source, rows[0].name
        else:
            source = registry.source_of(model_name or registry.DEFAULT, weights)
            name = registry.shown_name(source)

        def load() -> Encoder:
            return registry.load_source(source)

        with progress() as show:
            summary = ingest(library, paths, name, load, exclude=exclude, progress=show)
    for path_name, reason in summary.failures[:SHOWN_FAILURES]:
        warn(f"cannot read {path_name}: {reason}; skipped")
    if len(summary.failures) > SHOWN_FAILURES:
        warn(f"and {len(summary.failures) - SHOWN_FAILURES:,} more (vlsearch info --failures lists all)")
    if as_json:
        print_json(summary.to_dict())
    else:
        click.echo(str(summary))
    return 1 if summary.failed else 0
