"""Hits handed to the user's folders and programs: --copy-to and --open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlsearch.cli.printing import warn
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.search.engine import Hit


def copy_to(folder: Path, hits: Sequence[Hit]) -> int:
    """Copy the photos of the hits into `folder`, say what became of them, and return the exit code."""
    from vlsearch.search.copying import copy_hits

    done = copy_hits([hit.path for hit in hits], folder)
    for path, reason in done.failed:
        warn(f"cannot copy '{path}': {reason}")
    warn(f"{done} ({folder})")
    return 1 if done.failed else 0


def sheet_to_open() -> Path:
    """Where --open without --html writes the contact sheet: a new file of the system's folder for such."""
    import os
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix="vlsearch-", suffix=".html")
    os.close(descriptor)
    return Path(name)


def open_file(file: Path) -> None:
    """Show a file in the program that the user has for its kind. VlsearchError where there is none."""
    from vlsearch.errors import VlsearchError

    if click.launch(str(file.absolute())) != 0:
        raise VlsearchError(f"nothing here can open {printable(str(file))}; open it yourself")
    warn(f"opened {file}")
