"""Photos small enough to stand in a report."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from vlsearch.ingest.sources import read_address
from vlsearch.ingest.thumbnail import thumbnail, why
from vlsearch.printable import printable

SIDE = 240


@dataclass(frozen=True)
class Thumbnail:
    """`data` is a JPEG data URI, or empty with the `reason` beside it."""

    name: str
    data: str
    reason: str
    width: int = SIDE
    height: int = SIDE


def thumbnail_of(path: str) -> Thumbnail:
    """The photo at `path`, a file or an address in a container; one that cannot be read has the reason instead."""
    name = printable(Path(path).name)
    try:
        jpeg, (width, height) = thumbnail(read_address(path), SIDE)
    # Decoders raise whatever they like on damaged files, and one photo must never cost the report.
    except Exception as error:
        return Thumbnail(name, "", why(error))
    return Thumbnail(name, "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"), "", width, height)
