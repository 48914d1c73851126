"""The contact sheet: results as one HTML file that needs no network, with the photos inside."""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from vlsearch.errors import UsageError
from vlsearch.printable import printable
from vlsearch.search.explain import signed
from vlsearch.search.heat import COLOURS, SIDE

if TYPE_CHECKING:
    from vlsearch.search.explain import Explanation, Part
    from vlsearch.search.heat import Heat
    from vlsearch.search.query import Term

URL = re.compile("[a-z][a-z0-9+.-]+://", re.IGNORECASE)
STEPS = 4
"""strengths in which a word's weight is coloured"""


@dataclass(frozen=True)
class SheetPicture:
    """The photo that was asked with."""

    path: str


@dataclass(frozen=True)
class SheetHit:
    path: str
    """as `os.fsdecode` gives it: bytes that are not UTF-8 are surrogates"""
    score: float | None
    """None where nothing was asked but a filter"""
    caption: str | None = None
    rank: int | None = None
    """1 is best; None: its place in the list"""
    copies: int = 1
    """photos that it stands for, itself included"""
    explanation: Explanation | None = None
    heat: Heat | None = None


@dataclass(frozen=True)
class Section:
    """One query and its hits, best first."""

    title: str
    note: str
    hits: Sequence[SheetHit]
    picture: SheetPicture | None = None
    terms: Sequence[Term] = ()
    """what was asked, shown where it is more than one text"""
    order: str = ""
    """what the order check says, one sentence"""
    page: int = 1


@dataclass(frozen=True)
class Tile:
    """A photo as the template shows it: `data` is a JPEG data URI, or empty with the `reason` beside it."""

    name: str
    path: str
    link: str
    data: str
    reason: str
    width: int = SIDE
    height: int = SIDE


@dataclass(frozen=True)
class Chip:
    """A word or term with its weight, as the template shows it."""

    text: str
    figure: str
    strength: str
    """"p1" … "p4" for what adds to the score, "n1" … "n4" for what takes away from it, "" for what does neither"""


def write_sheet(path: Path, sections: Sequence[Section], title: str = "vlsearch") -> None:
    """Write `sections` as one HTML file at `path`; a file that is already there is replaced as a whole.

    Photos that cannot be read get a tile with the reason. Raises UsageError where `path` cannot be written.
    """
    if not path.name:
        raise UsageError(f"cannot write '{printable(str(path))}': that names no file; choose another place")
    page = render(sections, title)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(page, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        reason = error.strerror or str(error)
        raise UsageError(f"cannot write '{printable(str(path))}': {reason}; choose another place") from error


def render(sections: Sequence[Section], title: str) -> str:
    """The page as text that UTF-8 can hold, whatever the names of the photos hold."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(printable=printable, chips=chips, asked=asked, local=is_local)
    template = environment.from_string(files(__package__).joinpath("sheet.html").read_text(encoding="utf-8"))
    hits = [hit for section in sections for hit in section.hits]
    pictures = [section.picture.path for section in sections if section.picture]
    pictures += [term.image for section in sections for term in section.terms if is_local(term.image)]
    tiles = {path: tile(path) for path in dict.fromkeys([*(hit.path for hit in hits), *pictures])}
    return template.render(
        title=title,
        sections=sections,
        tiles=tiles,
        heated=any(hit.heat for hit in hits),
        explained=any(hit.explanation and hit.explanation.words for hit in hits),
        colours=COLOURS,
    )


def chips(explanation: Explanation, kind: str, hits: Sequence[SheetHit]) -> list[Chip]:
    """One hit's "words" or "terms", coloured by the strongest of all `hits`, so that hits compare."""
    shown: list[Sequence[Part]] = [getattr(hit.explanation, kind) for hit in hits if hit.explanation]
    strongest = max((abs(part.weight) for parts in shown for part in parts), default=0.0)
    return [
        Chip(part.text, signed(part.weight).replace("-", "−"), strength(part.weight, strongest))
        for part in getattr(explanation, kind)
    ]


def strength(weight: float, strongest: float) -> str:
    step = round(STEPS * abs(weight) / strongest) if strongest else 0
    return f"{'p' if weight > 0 else 'n'}{step}" if step else ""


def asked(terms: Sequence[Term]) -> list[tuple[str, Term]]:
    """Terms with sign and weight, "+", "−", "+ 0.5 ×"; [] for a single text, which the title shows already."""
    if len(terms) < 2 and all(term.image is None for term in terms):
        return []
    sizes = ["" if abs(term.weight) == 1 else f" {abs(term.weight):g} ×" for term in terms]
    return [(("−" if term.weight < 0 else "+") + size, term) for size, term in zip(sizes, terms, strict=True)]


def is_local(picture: str | None) -> TypeGuard[str]:
    """Whether a term's picture is one that can be shown: it is there, and no URL."""
    return picture is not None and not URL.match(picture)


def tile(path: str) -> Tile:
    from vlsearch.ingest.sources import container_of, read_address
    from vlsearch.ingest.thumbnail import thumbnail, why

    absolute = Path(path).absolute()
    opened = Path(container_of(path) or absolute).absolute()
    name, shown, link = printable(absolute.name), printable(str(absolute)), opened.as_uri()
    try:
        jpeg, (width, height) = thumbnail(read_address(path), SIDE)
    # Decoders raise whatever they like on damaged files (OSError, SyntaxError, struct.error, ...), and one photo
    # must never cost the sheet.
    except Exception as error:
        return Tile(name, shown, link, "", why(error))
    data = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
    return Tile(name, shown, link, data, "", width, height)
