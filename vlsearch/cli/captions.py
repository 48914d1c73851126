"""`vlsearch captions import` and `vlsearch captions export`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json, progress, warn
from vlsearch.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vlsearch.ingest.captions import CaptionRow
    from vlsearch.library import Library


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
    from vlsearch.catalog import queries
    from vlsearch.errors import UnreadableFile
    from vlsearch.ingest.captions import match, read_captions, read_sidecars
    from vlsearch.library import open_library

    bad: list[str] = []

    def beside(photos: Iterable[str]) -> Iterator[CaptionRow]:
        """The captions beside each photo; a file that cannot be read costs its own photo only."""
        for photo in photos:
            try:
                yield from list(read_sidecars([photo]))
            except UnreadableFile as error:
                bad.append(str(error))
                warn(f"{error}; skipped")

    with open_library(library_path, write=True) as library:
        library.model()
        with library.read() as c:
            photos = queries.contents_by_path(c)
        rows: Iterable[CaptionRow]
        if source.is_dir():
            root = os.path.abspath(source).rstrip(os.sep) + os.sep
            rows = beside(path for path in photos if path.startswith(root))
        else:
            rows = read_captions(source)
        matched, unmatched = match(rows, photos)
        with library.transaction() as c:
            new = queries.add_captions(c, matched, "sidecar" if source.is_dir() else source.name)
        embed_all(library)
    if as_json:
        first = unmatched[0] if unmatched else None
        print_json({"matched": len(matched), "new": new, "unmatched": len(unmatched), "first_unmatched": first})
    else:
        of = len({content_id for content_id, _, _ in matched})
        click.echo(f"{len(matched):,} captions of {of:,} photos matched, {new:,} of them new")
    if unmatched:
        photos_without = list(dict.fromkeys(unmatched))
        warn(
            f"{len(unmatched):,} captions are of {len(photos_without):,} photos that are not in the library, the first "
            f"is {photos_without[0]}; ingest them, then import again"
        )
    return 1 if unmatched or bad or not matched else 0


def embed_all(library: Library) -> None:
    """Give every caption a vector of every model in the library."""
    from vlsearch.catalog import queries
    from vlsearch.encoders import registry
    from vlsearch.ingest.pipeline import embed_captions

    for model in library.models():
        with library.read() as c:
            lacking = queries.captions_without_vector(c, model.id)
        if lacking:
            encoder = registry.load_source(model.source)
            library.model_of(encoder)
            with progress() as show:
                embed_captions(library, encoder, model, lacking, show)
    library.save_indexes()


@command.command("export", no_args_is_help=True)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@library_option
def export(target: Path, library_path: Path | None) -> int:
    """Export all captions: .jsonl, .csv, .tsv, .parquet, or .json (COCO).

    \b
      vlsearch captions export captions.jsonl
    """
    from vlsearch.catalog import queries
    from vlsearch.ingest.captions import CaptionRow
    from vlsearch.ingest.export import write_captions
    from vlsearch.library import open_library

    with open_library(library_path) as library, library.read() as c:
        captions = list(queries.all_captions(c))
        paths = queries.paths_of(c, [content_id for _, content_id, _, _, _ in captions])
    rows = [CaptionRow(paths[i][0], text, language) for _, i, text, _, language in captions if i in paths]
    count = write_captions(rows, target)
    click.echo(f"{count:,} captions written to {printable(str(target))}")
    return 0
