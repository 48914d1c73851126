"""`vlsearch models`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json
from vlsearch.printable import printable

HEADER = ("model", "where", "size", "parameters", "COCO", "Flickr30k", "licence")
FIGURES = ("size", "parameters", "COCO", "Flickr30k")
LESS_NEEDED = ("licence", "parameters", "Flickr30k")
"""what a narrow terminal goes without, first what it goes without first"""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON: one object a line.")
@library_option
def command(as_json: bool, library_path: Path | None) -> int:
    """Models: in the library, in the cache, built in, recommended.

    What stands first is at hand; what is only recommended is downloaded when it is first asked for. Recall@1 in
    percent, text to image / image to text, is from open_clip's own published table.
    """
    from vlsearch.encoders.catalogue import catalogue

    rows = catalogue(in_library(library_path))
    if as_json:
        for row in rows:
            print_json(row)
    elif sys.stdout.isatty():
        print_table(rows)
    else:
        print_plain(rows)
    return 0


def in_library(library_path: Path | None) -> list[dict[str, Any]]:
    """The models of the library; none where there is no library and none was named."""
    from vlsearch.errors import LibraryNotFound
    from vlsearch.library import default_path, open_library

    if library_path is None and not default_path().is_dir():
        return []
    from vlsearch.catalog import queries
    from vlsearch.encoders.catalogue import LIBRARY

    try:
        with open_library(library_path) as library, library.read() as c:
            return [
                {
                    "name": model.name,
                    "where": [LIBRARY],
                    "fingerprint": model.fingerprint,
                    "dim": model.dim,
                    "photos": sum(queries.live_counts(c, model.id, queries.IMAGE).values()),
                    "captions": sum(queries.live_counts(c, model.id, queries.TEXT).values()),
                }
                for model in queries.models(c)
            ]
    except LibraryNotFound:
        if library_path is None:
            return []
        raise


def cells(row: dict[str, Any]) -> list[str]:
    """One per column of HEADER."""
    name = printable(row["name"]) + (" (default)" if row["default"] else "")
    where = ", ".join(row["where"])
    if "photos" in row:
        where = where.replace("library", f"library ({row['photos']:,} photos)", 1)
    return [
        name,
        where,
        readable(row["bytes"]) if row.get("bytes") else "",
        f"{row['params_millions']:.0f} M" if "params_millions" in row else "",
        recalls(row, "coco"),
        recalls(row, "flickr30k"),
        row.get("licence", ""),
    ]


def recalls(row: dict[str, Any], data: str) -> str:
    found = [row.get(f"{data}_{direction}_r1") for direction in ("text_to_image", "image_to_text")]
    return " / ".join(f"{100 * share:.1f}" for share in found if share is not None)


def readable(size: int) -> str:
    """Bytes as people say them."""
    return (
        f"{size / 1e9:.1f} GB"
        if size >= 999.5e6
        else f"{size / 1e6:.1f} MB"
        if size < 100e6
        else f"{size / 1e6:.0f} MB"
    )


def notes(row: dict[str, Any]) -> str:
    missing = "requires" in row and find_spec(row["requires"]) is None
    return printable(row.get("note", "") + (f" (needs pip install {row['requires']})" if missing else ""))


def print_plain(rows: list[dict[str, Any]]) -> None:
    """Aligned columns, the note last; one model a line."""
    lines = [[*HEADER, "note"], *([*cells(row), notes(row)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_table(rows: list[dict[str, Any]]) -> None:
    """As many columns as the terminal has room for, so that names can be copied; the notes below."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    columns = dict(zip(HEADER, zip(*map(cells, rows), strict=True), strict=True))
    widths = {name: max(map(len, [name, *column])) for name, column in columns.items()}
    for name in LESS_NEEDED:
        if sum(widths.values()) + 2 * len(widths) > console.width:
            del widths[name]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in widths:
        right = name in FIGURES
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for line in zip(*(columns[name] for name in widths), strict=True):
        table.add_row(*map(Text, line))
    console.print(table)
    console.print("\nRecall@1 in %, text to image / image to text. `--model NAME` chooses one.\n", style="dim")
    for row in rows:
        if notes(row):
            console.print(Text(printable(row["name"]), "bold") + Text(f": {notes(row)}", "not bold"))
