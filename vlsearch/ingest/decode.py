"""The bytes of one photo file to the pixels a model takes, and what the file says about itself.

Pixels leave as open_clip's inference transform would give them just before it divides by 255 and normalises, with two
differences that are meant: colours are converted to sRGB (open_clip drops the profile) and transparent parts are white
(open_clip shows whatever lies beneath).
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import math
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vlsearch.encoders.base import Preprocess
from vlsearch.errors import UnreadableFile
from vlsearch.ingest import exif

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageCms, ImageFile

MAX_PIXELS = 300_000_000
"""width × height; the largest phone cameras give 200 megapixels"""

LARGE_PIXELS = 50_000_000
"""photos that decode to more than this are decoded one at a time, whatever the number of threads: each takes up to a
few gigabytes"""

FORMATS = (
    *("JPEG", "PNG", "HEIF", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PSD", "PPM", "ICO", "CUR", "ICNS"),
    *("DDS", "QOI", "SGI", "SUN", "PCX", "DCX", "MSP", "XBM", "XPM", "PIXAR", "DIB", "PCD", "TGA"),
)
"""Pillow's names, in the order they are tried: those with a magic number first. EPS is not among them because Pillow
hands it to Ghostscript, which runs what the file says."""


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
    lat: float | None
    """degrees north (WGS 84)"""
    lon: float | None
    """degrees east"""


def decode(data: bytes, preprocess: Preprocess) -> Photo:
    """Decode the bytes of one image file; of several frames or pages the first. Safe to call from several threads.

    Raises `UnreadableFile`, and nothing else, with a short reason that does not name the file.
    """
    with _own_pillow_settings():
        try:
            return _decode(data, preprocess)
        except UnreadableFile:
            raise
        except MemoryError:
            raise UnreadableFile("too large for this machine's memory") from None
        except Exception as error:
            raise UnreadableFile(_reason(error)) from None


def _decode(data: bytes, preprocess: Preprocess) -> Photo:
    image = _open(data)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableFile(f"{width}x{height} pixels, over the limit of {MAX_PIXELS // 10**6} megapixels")
    if image.format == "JPEG":
        _draft(image, preprocess)
    icc = image.info.get("icc_profile")
    with _one_large_at_a_time if math.prod(image.size) > LARGE_PIXELS else contextlib.nullcontext():
        image.load()
        tags = exif.read(image)
        orientation = exif.orientation(tags)
        upright = _upright(_plain(image), orientation)
        small = _crop_centre(_resize(upright, preprocess), preprocess)
    if orientation >= 5:
        width, height = height, width
    lat, lon = exif.position(tags)
    return Photo(
        pixels=np.array(_pad(_srgb(small, icc), preprocess)),
        width=width,
        height=height,
        format=image.format or "",
        taken_at=exif.taken_at(tags),
        camera=exif.camera(tags),
        lat=lat,
        lon=lon,
    )


_settings_lock = threading.Lock()
_settings_undo = contextlib.ExitStack()
_decoding = 0
_one_large_at_a_time = threading.Lock()


@contextlib.contextmanager
def _own_pillow_settings() -> Iterator[None]:
    """While any thread decodes: our limit of pixels, and quiet.

    Pillow knows its limit (`Image.MAX_IMAGE_PIXELS`, half of what it refuses), its warnings and libtiff's error printer
    only as globals of the process. They are changed by the first thread in and put back by the last one out, so that a
    program that uses vlsearch as a library keeps its own settings in between. Setting them for good would take Pillow's
    guard away from that program; `warnings.catch_warnings` in each call would undo other threads' filters.
    """
    global _decoding
    from PIL import Image

    with _settings_lock:
        if not _decoding:
            _register_plugins()
            _settings_undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
            warnings.filterwarnings("ignore", module=r"PIL\.|pi_heif\.")
            filters = cast("list[Any]", warnings.filters)
            _settings_undo.callback(_discard, filters, filters[0])
            if (set_error_handler := _libtiff_error_handler()) is not None:
                _settings_undo.callback(set_error_handler, set_error_handler(None))
        _decoding += 1
    try:
        yield
    finally:
        with _settings_lock:
            _decoding -= 1
            if not _decoding:
                _settings_undo.close()


def _discard(filters: list[Any], item: Any) -> None:
    with contextlib.suppress(ValueError):
        filters.remove(item)


@cache
def _register_plugins() -> None:
    import pi_heif
    from PIL import Image

    # Without a handler Pillow's log of a bad TIFF goes to stderr; a program that wants it has set up its own.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    Image.init()
    pi_heif.register_heif_opener()


@cache
def _libtiff_error_handler() -> Any:
    """libtiff's TIFFSetErrorHandler, from the very library that Pillow is linked with, or None where that is hidden."""
    from PIL import _imaging

    try:
        function = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
    return function


def _open(data: bytes) -> ImageFile.ImageFile:
    """What `Image.open` does, but our own check of the size comes first, so that its message can tell the size."""
    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    if not data:
        raise UnreadableFile("empty file")
    reason = "not an image"
    for name in FORMATS:
        factory, accept = Image.OPEN.get(name, (None, None))
        try:
            accepted = factory is not None and (accept is None or accept(data[:16]))
        except Exception:  # fewer than 16 bytes
            accepted = False
        if isinstance(accepted, str):
            reason = accepted
        elif accepted and factory is not None:
            # Pillow's own entry for JPEG looks for further frames (MPO) and calls the file by another format's name.
            opener = JpegImageFile if name == "JPEG" else factory
            try:
                return opener(io.BytesIO(data), "")
            except MemoryError:
                raise
            except Image.DecompressionBombError:
                reason = f"over the limit of {MAX_PIXELS // 10**6} megapixels"
            except Exception:
                if accept is not None:
                    reason = f"truncated or damaged {name} file"
    raise UnreadableFile(reason)


def _reason(error: Exception) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    if isinstance(error, EOFError) or re.search("truncat|not enough|unexpected end|end of file", text, re.IGNORECASE):
        return "truncated file"
    return f"damaged file ({text[:100] or type(error).__name__})"


def _draft(image: ImageFile.ImageFile, preprocess: Preprocess) -> None:
    """Let the JPEG decoder shrink, to no less than twice what `_resize` will ask for in both directions."""
    swapped = exif.orientation(exif.read(image)) >= 5
    width, height = image.size[::-1] if swapped else image.size
    rows, columns = _resized(height, width, preprocess)
    image.draft(None, (2 * rows, 2 * columns) if swapped else (2 * columns, 2 * rows))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    T = Transpose
    turns = (T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_270, T.TRANSVERSE, T.ROTATE_90)
    return image if orientation == 1 else image.transpose(turns[orientation - 2])


def _plain(image: Image.Image) -> Image.Image:
    """To one of the modes L, RGB, CMYK, LAB, LA, RGBA, whose samples are 8 bits and may be averaged."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_to_8_bit(np.asarray(image), image.mode))
    if image.mode in ("LA", "La"):
        return image.convert("LA")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _to_8_bit(samples: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """(h, w) samples of more than 8 bits to uint8: 0 to 65535, for floats 0 to 1, else lowest to highest."""
    values = np.nan_to_num(samples.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    top = 1.0 if mode == "F" else 65535.0
    if low >= 0 and high <= top:
        low, high = 0.0, top
    scaled: NDArray[np.uint8] = np.rint((values - low) * (255.0 / max(high - low, 1e-30))).astype(np.uint8)
    return scaled


def _resized(height: int, width: int, preprocess: Preprocess) -> tuple[int, int]:
    """Height and width before cropping or padding: torchvision's `Resize`, or open_clip's `ResizeKeepRatio`."""
    rows, columns = preprocess.size
    if preprocess.resize_mode == "squash":
        return rows, columns
    if preprocess.resize_mode == "shortest" and rows == columns:
        if width <= height:
            return int(rows * height / width), rows
        return rows, int(rows * width / height)
    ratios = height / rows, width / columns
    ratio = max(ratios) if preprocess.resize_mode == "longest" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _resize(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    from PIL.Image import Resampling

    rows, columns = preprocess.size
    height, width = _resized(image.height, image.width, preprocess)
    if height * width > 10_000_000:
        # A strip of 1 × 1,000,000 would be enlarged to 224 × 224,000,000 only to have its middle cut out.
        keep_rows = min(image.height, math.ceil(image.height * 16 * rows / height))
        keep_columns = min(image.width, math.ceil(image.width * 16 * columns / width))
        left, top = (image.width - keep_columns) // 2, (image.height - keep_rows) // 2
        image = image.crop((left, top, left + keep_columns, top + keep_rows))
        height, width = _resized(image.height, image.width, preprocess)
    # open_clip does not pass the interpolation on where it resizes the shorter side for an input that is not square.
    always_bicubic = preprocess.resize_mode == "shortest" and rows != columns
    bilinear = preprocess.interpolation == "bilinear" and not always_bicubic
    return image.resize((width, height), Resampling.BILINEAR if bilinear else Resampling.BICUBIC)


def _crop_centre(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    rows, columns = (min(p) for p in zip(preprocess.size, (image.height, image.width), strict=True))
    left, top = round((image.width - columns) / 2), round((image.height - rows) / 2)
    return image.crop((left, top, left + columns, top + rows))


def _pad(image: Image.Image, preprocess: Preprocess) -> Image.Image:
    from PIL import Image

    rows, columns = preprocess.size
    if image.size == (columns, rows):
        return image
    padded = Image.new("RGB", (columns, rows), (preprocess.fill_color,) * 3)
    padded.paste(image, ((columns - image.width) // 2, (rows - image.height) // 2))
    return padded


def _srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """To RGB in sRGB, on white. Done on the small image: a phone's photos all carry a profile."""
    from PIL import Image

    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    opaque = image if alpha is None else image.convert(image.mode[:-1])
    transform = _to_srgb(icc or b"", opaque.mode)
    rgb = opaque.convert("RGB") if transform is None else transform.apply(opaque)
    if alpha is None:
        return rgb
    white = Image.new("RGB", rgb.size, (255, 255, 255))
    white.paste(rgb, mask=alpha)
    return white


@lru_cache(maxsize=16)
def _to_srgb(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where there is nothing to do: no profile, a broken one, one for another kind of pixels, or sRGB itself."""
    from PIL import Image, ImageCms

    try:
        if mode == "LAB":
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
                return None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:
        return None
    if mode in ("L", "RGB"):
        levels = np.arange(0, 256, 51, dtype=np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        probe = Image.fromarray(grid if mode == "RGB" else np.ascontiguousarray(grid[..., 0]))
        change = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
        if int(np.abs(change).max()) <= 2:
            return None
    return transform
