"""`vlsearch captions import` and `vlsearch captions export`."""

from __future__ import annotations

from pathlib import Path

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json, progress, warn
from vlsearch.printable import printable


@click.group(no_args_is_help=True)
def command() -> None:
    """Import and export what is known in words about photos."""


@command.command("import", no_args_is_help=True)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object: matched, new, unmatched, first_unmatched.")
@library_option
def import_(source: Path, as_json: bool, library_path: Path | None) -> int:
    """Import captions of photos that the library has.

    FILE is COCO or Karpathy JSON, a Flickr8k/30k token file, or CSV, TSV, JSONL or Parquet with the columns path (or
    file_name) and caption. A folder instead of a file takes photo.txt beside each photo.jpg in it, a caption a line.

    \b
      vlsearch captions import captions_val2017.json
      vlsearch captions import ~/photos
    """
    from vlsearch.encoders import registry
    from vlsearch.ingest.caption_import import import_captions
    from vlsearch.library import open_library

    with open_library(library_path, write=True) as library, progress() as show:
        done = import_captions(library, source, lambda row: registry.load_source(row.source), show, warn)
    first = done.unmatched[0] if done.unmatched else None
    if as_json:
        unmatched = len(done.unmatched)
        print_json({"matched": done.matched, "new": done.new, "unmatched": unmatched, "first_unmatched": first})
    else:
        click.echo(f"{done.matched:,} captions of {done.photos:,} photos matched, {done.new:,} of them new")
    if first is not None:
        warn(
            f"{len(done.unmatched):,} captions are of {len(set(done.unmatched)):,} photos that are not in the library, "
            f"the first is {first}; ingest them, then import again"
        )
    return 1 if done.unmatched or done.unreadable or not done.matched else 0


@command.command("export", no_args_is_help=True)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@library_option
def export(target: Path, library_path: Path | None) -> int:
    """Export all captions: .jsonl, .csv, .tsv, .parquet, or .json (COCO).

    \b
      vlsearch captions export captions.jsonl
    """
    from vlsearch.ingest.export import export_captions
    from vlsearch.library import open_library

    with open_library(library_path) as library:
        count = export_captions(library, target)
    click.echo(f"{count:,} captions written to {printable(str(target))}")
    return 0
