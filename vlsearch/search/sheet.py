"""The contact sheet: results as one HTML file that needs no network, with the photos inside."""

from __future__ import annotations

import base64
import contextlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from vlsearch.errors import UsageError
from vlsearch.printable import printable

if TYPE_CHECKING:
    from PIL import Image

SIDE = 320
"""longest side of a thumbnail in pixels"""


@dataclass(frozen=True)
class SheetPicture:
    """The photo that was asked with."""

    path: str


@dataclass(frozen=True)
class SheetHit:
    path: str
    """as `os.fsdecode` gives it: bytes that are not UTF-8 are surrogates"""
    score: float
    caption: str | None = None


@dataclass(frozen=True)
class Section:
    """One query and its hits, best first."""

    title: str
    note: str
    hits: Sequence[SheetHit]
    picture: SheetPicture | None = None


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


def write_sheet(path: Path, sections: Sequence[Section], title: str = "vlsearch") -> None:
    """Write `sections` as one HTML file at `path`; a file that is already there is replaced as a whole.

    Photos that cannot be read get a tile with the reason. Raises UsageError where `path` cannot be written.
    """
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
    environment.filters["printable"] = printable
    template = environment.from_string(files(__package__).joinpath("sheet.html").read_text(encoding="utf-8"))
    tiles: dict[str, Tile] = {}
    for section in sections:
        shown = [hit.path for hit in section.hits] + ([section.picture.path] if section.picture else [])
        tiles.update((photo, tile(photo)) for photo in shown if photo not in tiles)
    return template.render(title=title, sections=sections, tiles=tiles)


def tile(path: str) -> Tile:
    from vlsearch.ingest.sources import container_of, read_address

    absolute = Path(path).absolute()
    opened = Path(container_of(path) or absolute).absolute()
    name, shown, link = printable(absolute.name), printable(str(absolute)), opened.as_uri()
    try:
        jpeg, (width, height) = thumbnail(read_address(path))
    # Decoders raise whatever they like on damaged files (OSError, SyntaxError, struct.error, ...), and one photo
    # must never cost the sheet.
    except Exception as error:
        return Tile(name, shown, link, "", why(error))
    data = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
    return Tile(name, shown, link, data, "", width, height)


def why(error: Exception) -> str:
    """One short line, without the path, which the tile shows anyway."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read"
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels to show here"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return printable(str(error).partition("\n")[0]) or type(error).__name__


def thumbnail(data: bytes) -> tuple[bytes, tuple[int, int]]:
    """A photo's bytes to a JPEG of at most SIDE pixels, turned upright, and its size (width, height). Raises what
    Pillow raises."""
    import pi_heif
    from PIL import Image, ImageOps

    pi_heif.register_heif_opener()
    with warnings.catch_warnings():
        # A large panorama is shown all the same; Pillow's own limit still stops a decompression bomb.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(BytesIO(data)) as photo:
            photo.draft("RGB", (2 * SIDE, 2 * SIDE))
            upright = flat(ImageOps.exif_transpose(photo))
            upright.thumbnail((SIDE, SIDE))
            profile = photo.info.get("icc_profile") if photo.mode == "RGB" else None
    buffer = BytesIO()
    # Phones' profiles (Display P3) are half a kilobyte and keep the colours true; scanners' go to megabytes.
    upright.save(buffer, "JPEG", quality=82, icc_profile=profile if profile and len(profile) <= 4096 else None)
    return buffer.getvalue(), upright.size


def flat(photo: Image.Image) -> Image.Image:
    """Any mode to RGB: 16 bits scaled, transparency on white."""
    from PIL import Image

    if photo.mode.startswith("I"):
        photo = photo.point(lambda value: value * (1 / 256)).convert("L")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return photo.convert("RGB")
