"""Photos small enough to stand on a page or in a terminal."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

from vlsearch.printable import printable

if TYPE_CHECKING:
    from PIL import Image


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


def thumbnail(data: bytes, side: int) -> tuple[bytes, tuple[int, int]]:
    """A photo's bytes to a JPEG of at most `side` pixels, turned upright, and its size (width, height). Raises what
    Pillow raises."""
    import pi_heif
    from PIL import Image, ImageOps

    pi_heif.register_heif_opener()
    with warnings.catch_warnings():
        # A large panorama is shown all the same; Pillow's own limit still stops a decompression bomb.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(BytesIO(data)) as photo:
            photo.draft("RGB", (2 * side, 2 * side))
            upright = flat(ImageOps.exif_transpose(photo))
            upright.thumbnail((side, side))
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
