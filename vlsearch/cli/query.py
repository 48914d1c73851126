"""`vlsearch query`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlsearch.cli.options import encoder_for, library_option, model_options
from vlsearch.cli.printing import print_json
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.search.engine import Hit


@click.command(no_args_is_help=True)
@click.argument("text", required=False)
@click.option("--image", metavar="FILE", type=click.Path(path_type=Path), help="Look for what resembles this photo.")
@click.option("--to", type=click.Choice(["photos", "captions"]), default="photos", show_default=True)
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="How many answers.")
@click.option("--min-score", type=float, metavar="COSINE", help="Leave out answers below this score (-1 to 1).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: rank, score, path, id, captions.")
@click.option("--paths", is_flag=True, help="Paths only, one a line, as the file system has them.")
@click.option("-0", "null", is_flag=True, help="With --paths: end each with a null byte, for xargs -0.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a contact sheet as well.")
@library_option
@model_options
def command(
    text: str | None,
    image: Path | None,
    to: str,
    k: int,
    min_score: float | None,
    as_json: bool,
    paths: bool,
    null: bool,
    html: Path | None,
    library_path: Path | None,
    model_name: str | None,
    weights: Path | None,
) -> int:
    """Find photos by words or by a photo.

    \b
      vlsearch query "dog on the beach" -k 20
      vlsearch query --image pool.jpg
      vlsearch query --image pool.jpg --to captions
      vlsearch query "receipt" --paths -0 | xargs -0 cp -t receipts/
    """
    from vlsearch.errors import UsageError
    from vlsearch.ingest.sources import exists
    from vlsearch.library import open_library
    from vlsearch.search.engine import Engine

    if (text is None) == (image is None):
        raise UsageError("give either words or --image FILE")
    if text is not None and not text.strip():
        raise UsageError('the query is empty; say what to look for, as in vlsearch query "dog on the beach"')
    if image is not None and not exists(str(image)):
        raise UsageError(f"no such file: {image}")
    with open_library(library_path) as library:
        engine = Engine(library, encoder_for(library, model_name, weights))
        if text is not None:
            hits = engine.text(text, k, to=to, min_score=min_score)
        else:
            assert image is not None
            hits = engine.image(image, k, to=to, min_score=min_score)
    if html is not None:
        write_html(html, text or str(image), hits)
    if as_json:
        for hit in hits:
            print_json(hit.to_dict())
    elif paths or null:
        print_paths(hits, "\0" if null else "\n")
    elif hits:
        print_table(hits, to)
    elif min_score is not None:
        click.echo("vlsearch: nothing scores that high; try a lower --min-score", err=True)
    else:
        click.echo(f"vlsearch: the library holds no {to} to answer with", err=True)
    return 0


def print_paths(hits: Sequence[Hit], end: str) -> None:
    sys.stdout.flush()
    for hit in hits:
        sys.stdout.buffer.write(os.fsencode(hit.path) + end.encode())


def print_table(hits: Sequence[Hit], to: str) -> None:
    """Columns for a person on a terminal; tab-separated lines without decoration for a pipe."""
    if not sys.stdout.isatty():
        for hit in hits:
            cells = [str(hit.rank), f"{hit.score:.4f}", printable(hit.path)]
            click.echo("\t".join([*cells, printable(hit.caption)] if hit.caption is not None else cells))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right")
    if to == "captions":
        table.add_column("caption", overflow="fold")
    table.add_column("photo", overflow="fold")
    for hit in hits:
        texts = (
            [printable(short(hit.path))]
            if hit.caption is None
            else [printable(hit.caption), printable(short(hit.path))]
        )
        table.add_row(str(hit.rank), f"{hit.score:.3f}", *map(Text, texts))
    Console().print(table)


def short(path: str) -> str:
    """Relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) and not relative.startswith("..") else path


def write_html(file: Path, title: str, hits: Sequence[Hit]) -> None:
    from vlsearch.search.sheet import Section, SheetHit, write_sheet

    tiles = [SheetHit(hit.path, hit.score, hit.caption or (hit.captions[0] if hit.captions else None)) for hit in hits]
    write_sheet(file, [Section(title, "", tiles)])
