"""Opening the bytes of an image: which formats there are, and Pillow with settings of our own meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from vlsearch.errors import UnreadableFile

if TYPE_CHECKING:
    from PIL import ImageFile

FORMATS = (
    *("JPEG", "PNG", "HEIF", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "JXL", "PSD", "PPM", "ICO", "CUR"),
    *("ICNS", "DDS", "QOI", "SGI", "SUN", "PCX", "DCX", "MSP", "XBM", "XPM", "PIXAR", "DIB", "FITS", "BLP", "FTEX"),
    *("FLI", "GBR", "PCD", "TGA"),
)
"""Pillow's names, in the order they are tried: those with a magic number first. Left out are EPS (Pillow hands it to
Ghostscript, which runs what the file says), what Pillow names and does not decode (WMF, MPEG, HDF5, GRIB, BUFR), and
what has neither a magic number nor a file extension of photos, so that any text might pass for it (IM, IMT, IPTC,
MCIDAS, SPIDER, XVTHUMB)."""

_JXL = b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"


_settings_lock = threading.Lock()
_settings_undo = contextlib.ExitStack()
_decoding = 0


@contextlib.contextmanager
def own_pillow_settings(max_pixels: int) -> Iterator[None]:
    """While any thread decodes: our limit of pixels, and quiet.

    Pillow knows its limit (`Image.MAX_IMAGE_PIXELS`, half of what it refuses), its warnings and libtiff's error printer
    only as globals of the process. They are changed by the first thread in and put back by the last one out, so that a
    program that uses vlsearch as a library keeps its own settings in between. Setting them for good would take Pillow's
    guard away from that program; `warnings.catch_warnings` in each call would undo other threads' filters.
    """
    global _decoding
    from PIL import Image

    half = -(-max_pixels // 2)
    with _settings_lock:
        if not _decoding:
            _register_plugins()
            _settings_undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = half
            warnings.filterwarnings("ignore", module=r"PIL\.|pi_heif\.")
            filters = cast("list[Any]", warnings.filters)
            _settings_undo.callback(_discard, filters, filters[0])
            if (set_error_handler := _libtiff_error_handler()) is not None:
                _settings_undo.callback(set_error_handler, set_error_handler(None))
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, half)
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

    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401

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


def open_image(data: bytes) -> ImageFile.ImageFile:
    """What `Image.open` does, but only for FORMATS, and without its check of the size, so that ours can tell the size.

    Raises UnreadableFile; Pillow's settings should be ours meanwhile.
    """
    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    if not data:
        raise UnreadableFile("empty file")
    if data.startswith(_JXL) and "JXL" not in Image.OPEN:
        raise UnreadableFile("JPEG XL needs a plug-in: pip install 'vlsearch[jxl]'")
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
                reason = "more pixels than the limit (--max-pixels)"
            except Exception:
                if accept is not None:
                    reason = f"truncated or damaged {name} file"
    raise UnreadableFile(reason)
