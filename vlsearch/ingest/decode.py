"""The bytes of one photo file to the pixels a model takes, and what the file says about itself.

Pixels leave as open_clip's inference transform would give them just before it divides by 255 and normalises, with two
differences that are meant: colours are converted to sRGB (open_clip drops the profile) and transparent parts are white
(open_clip shows whatever lies beneath).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.encoders.base import Preprocess, resized
from vlsearch.errors import UnreadableFile
from vlsearch.ingest import colour, exif, resize
from vlsearch.ingest.formats import open_image, own_pillow_settings
from vlsearch.ingest.notes import Note as Note
from vlsearch.ingest.notes import Words, from_iptc, from_xmp, notes
from vlsearch.ingest.raw import is_raw, open_raw

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageFile

MAX_PIXELS = 300_000_000
"""width × height; the largest phone cameras give 200 megapixels"""

LARGE_PIXELS = 50_000_000
"""photos that decode to more than this take up to a few gigabytes each"""

NO_PIXELS = np.empty((0, 0, 3), np.uint8)

Large = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, eq=False)
class Photo:
    """One decoded photo."""

    pixels: NDArray[np.uint8]
    """(height, width, 3) uint8 sRGB at the model's `preprocess.size`"""
    width: int
    """of the photo as displayed, after its EXIF orientation, in pixels"""
    height: int
    format: str
    """Pillow's name: "JPEG", "PNG", "HEIF", "AVIF" …"""
    taken_at: str | None
    """EXIF DateTimeOriginal as ISO 8601 local time, with the offset from UTC where the camera wrote it"""
    camera: str | None
    """make and model"""
    lens: str | None
    """make and model"""
    lat: float | None
    """degrees north (WGS 84)"""
    lon: float | None
    """degrees east"""
    notes: tuple[Note, ...]
    """captions first, then keywords"""


def decode(
    data: bytes,
    preprocess: Preprocess,
    *,
    max_pixels: int = MAX_PIXELS,
    sidecar: bytes | None = None,
    large: Large = nullcontext,
) -> Photo:
    """Decode the bytes of one image file; of several frames or pages the first. Safe to call from several threads.

    `sidecar` is the XMP beside the photo; what it says counts before what the photo itself says. `large` is entered
    around decoding more than LARGE_PIXELS.

    Raises `UnreadableFile`, and nothing else, with a short reason that does not name the file.
    """
    with own_pillow_settings(max_pixels):
        try:
            take = _raw if is_raw(data) else _picture
            pixels, about = take(data, preprocess, max_pixels, large)
        except UnreadableFile:
            raise
        except MemoryError:
            raise UnreadableFile("too large for this machine's memory") from None
        except Exception as error:
            raise UnreadableFile(_reason(error)) from None
        return _photo(pixels, about, sidecar)


def describe(data: bytes, *, max_pixels: int = MAX_PIXELS, sidecar: bytes | None = None) -> Photo:
    """What `decode` says of a file that is no RAW, but for its pixels, of which there are none: only headers are read.

    Raises `UnreadableFile`.
    """
    with own_pillow_settings(max_pixels):
        try:
            image = open_image(data)
            _check(*image.size, max_pixels)
            about = _about(image, exif.orientation(exif.read(image)))
        except UnreadableFile:
            raise
        except Exception as error:
            raise UnreadableFile(_reason(error)) from None
        return _photo(NO_PIXELS, about, sidecar)


@dataclass
class _About:
    """A photo's metadata, before it is read."""

    size: tuple[int, int]
    """width and height as displayed"""
    format: str
    tags: Mapping[int, Any]
    xmp: bytes | None
    iptc: Words


def _photo(pixels: NDArray[np.uint8], about: _About, sidecar: bytes | None) -> Photo:
    xmp = [from_xmp(packet) for packet in (sidecar, about.xmp) if packet]
    lat, lon = exif.position(about.tags)
    return Photo(
        pixels=pixels,
        width=about.size[0],
        height=about.size[1],
        format=about.format,
        taken_at=exif.taken_at(about.tags) or next((words.taken_at for words in xmp if words.taken_at), None),
        camera=exif.camera(about.tags),
        lens=exif.lens(about.tags),
        lat=lat,
        lon=lon,
        notes=notes(xmp, about.iptc) if xmp or any(about.iptc) else (),
    )


def _picture(data: bytes, preprocess: Preprocess, max_pixels: int, large: Large) -> tuple[NDArray[np.uint8], _About]:
    image = open_image(data)
    size = image.size  # scaled decoding changes it
    _check(*size, max_pixels)
    pixels, orientation = _loaded(image, preprocess, large)
    return pixels, _about(image, orientation, size)


def _about(image: ImageFile.ImageFile, orientation: int, size: tuple[int, int] | None = None) -> _About:
    width, height = size or image.size
    iptc = from_iptc(image) if "photoshop" in image.info or image.format == "TIFF" else Words()
    shown = (height, width) if orientation >= 5 else (width, height)
    return _About(shown, image.format or "", exif.read(image), _packet(image.info.get("xmp")), iptc)


def _raw(data: bytes, preprocess: Preprocess, max_pixels: int, large: Large) -> tuple[NDArray[np.uint8], _About]:
    with open_raw(data) as raw:
        _check(*raw.size, max_pixels)
        about = _About(raw.size, "RAW", raw.tags, _packet(raw.tags.get(exif.XMP)), Words())
        if preview := raw.preview():
            # One that is damaged costs no more than the longer way.
            with suppress(Exception):
                image = open_image(preview)
                tags = exif.read(image)
                about.tags = raw.tags or tags
                orientation = exif.orientation(tags) if exif.ORIENTATION in tags else raw.orientation
                width, height = image.size[::-1] if orientation >= 5 else image.size
                if (width > height) != (raw.size[0] > raw.size[1]):
                    orientation, (width, height) = 1, image.size  # it has been turned already
                rows, columns = resized(height, width, preprocess)
                if width >= columns and height >= rows:
                    return _loaded(image, preprocess, large, orientation)[0], about
        with large() if math.prod(raw.size) > LARGE_PIXELS else nullcontext():
            return _fitted(raw.develop(), 1, preprocess, None), about


def _check(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UnreadableFile(f"{width}x{height} pixels, over the limit of {max_pixels / 10**6:g} megapixels")


def _packet(value: Any) -> bytes | None:
    """XMP as its format gives it; PNG's is text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return value if isinstance(value, bytes) else None


def _loaded(
    image: ImageFile.ImageFile, preprocess: Preprocess, large: Large, orientation: int | None = None
) -> tuple[NDArray[np.uint8], int]:
    """Pixels for the model, of an image that is opened and not yet loaded, and its orientation if that is not given."""
    if image.format == "JPEG":
        _draft(image, orientation or exif.orientation(exif.read(image)), preprocess)
    with large() if math.prod(image.size) > LARGE_PIXELS else nullcontext():
        icc = image.info.get("icc_profile")
        image.load()
        # PNG may tell only now, and a TIFF has been turned.
        orientation = orientation or exif.orientation(exif.read(image))
        return _fitted(image, orientation, preprocess, icc), orientation


def _fitted(image: Image.Image, orientation: int, preprocess: Preprocess, icc: bytes | None) -> NDArray[np.uint8]:
    plain = colour.plain(image)
    small = resize.fit(resize.upright(plain, orientation), preprocess)
    return resize.pad(colour.srgb(small, plain.mode, icc), preprocess)


def _draft(image: ImageFile.ImageFile, orientation: int, preprocess: Preprocess) -> None:
    """Let the JPEG decoder shrink, to no less than twice what `resize.fit` will ask for in both directions."""
    swapped = orientation >= 5
    width, height = image.size[::-1] if swapped else image.size
    rows, columns = resized(height, width, preprocess)
    image.draft(None, (2 * rows, 2 * columns) if swapped else (2 * columns, 2 * rows))


def _reason(error: Exception) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    if isinstance(error, EOFError) or re.search("truncat|not enough|unexpected end|end of file", text, re.IGNORECASE):
        return "truncated file"
    text = re.sub(r":?\s*b['\"].*", "", text)[:100]  # bytes of the file tell nobody anything
    return f"damaged file ({text})" if text and not isinstance(error, AssertionError) else "damaged file"
