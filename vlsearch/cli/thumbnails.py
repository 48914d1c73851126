"""Hits with their photos in the terminal: sixel or kitty's protocol where the terminal knows one, else half blocks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vlsearch.errors import UsageError, VlsearchError
from vlsearch.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from vlsearch.search.engine import Hit

ROWS = 10
"""of the terminal that a photo is high"""


def check_terminal() -> None:
    """UsageError where there is no terminal to show photos in, or none to ask what it can show; VlsearchError where the
    package for it is missing. To be called before anything slow is done."""
    from importlib.util import find_spec

    if not sys.stdout.isatty():
        raise UsageError("--thumbnails is for a terminal; --html FILE makes a page with the photos")
    if not sys.stdin.isatty() or not os.get_terminal_size(sys.stdout.fileno()).columns:
        raise UsageError("--thumbnails has to ask the terminal what it can show; run it without input from elsewhere")
    if find_spec("textual_image") is None:
        raise VlsearchError("--thumbnails needs a package more: pip install 'vlsearch[thumbnails]'")


def print_thumbnails(hits: Sequence[Hit], console: Console | None = None) -> None:
    """Each hit's line, and under it the photo, or why there is none. The terminal must have passed `check_terminal`."""
    from rich.console import Console
    from rich.text import Text

    from vlsearch.cli.answers import short

    image, console = image_class(), console or Console()
    for hit in hits:
        score = "" if hit.score is None else f"  {hit.score:.3f}"
        console.print(Text(f"{hit.rank}{score}  {printable(short(hit.path))}"))
        if hit.caption is not None:
            console.print(Text(printable(hit.caption)))
        console.print(picture(image, hit.path))


def image_class() -> Any:
    """What renders a photo for this terminal, which is asked by the import; that takes 0.2 s where it says nothing."""
    import logging

    logging.getLogger("textual_image").setLevel(logging.ERROR)
    from textual_image.renderable import Image

    return Image


def picture(image: Any, path: str) -> Any:
    """Something that rich prints. Decoders raise whatever they like on damaged files."""
    import io

    from PIL import Image
    from rich.text import Text

    from vlsearch.ingest.sources import read_address
    from vlsearch.ingest.thumbnail import thumbnail, why
    from vlsearch.search.heat import SIDE

    try:
        jpeg, _ = thumbnail(read_address(path), SIDE)
    except Exception as error:
        return Text(f"({why(error)})", style="dim")
    return image(Image.open(io.BytesIO(jpeg)), width="auto", height=ROWS)
