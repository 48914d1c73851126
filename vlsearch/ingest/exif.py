"""What a photo's EXIF says: orientation, time, camera, place. Whatever is missing or malformed is None."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from PIL import Image, ImageFile

ORIENTATION, XMP, _MAKE, _MODEL, _EXIF_IFD, _GPS_IFD = 0x0112, 0x02BC, 0x010F, 0x0110, 0x8769, 0x8825
_TAKEN_AT, _TAKEN_OFFSET, _LENS_MAKE, _LENS_MODEL = 0x9003, 0x9011, 0xA433, 0xA434


def read(image: ImageFile.ImageFile) -> Mapping[int, Any]:
    """All tags of an opened image, for the functions below."""
    try:
        return image.getexif()
    except Exception:
        return {}


def _ifd(exif: Mapping[int, Any], tag: int) -> Mapping[int, Any]:
    try:
        return cast("Image.Exif", exif).get_ifd(tag)
    except Exception:
        return {}


def orientation(exif: Mapping[int, Any]) -> int:
    """1 (upright) to 8; a TIFF comes upright, and without the tag, from Pillow."""
    value = exif.get(ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def taken_at(exif: Mapping[int, Any]) -> str | None:
    """DateTimeOriginal as ISO 8601 local time, with the offset from UTC where the camera wrote it."""
    exif_ifd = _ifd(exif, _EXIF_IFD)
    try:
        taken = datetime.strptime(_text(exif_ifd.get(_TAKEN_AT))[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None
    offset = _text(exif_ifd.get(_TAKEN_OFFSET))
    return taken + offset if re.fullmatch(r"[+-](0\d|1[0-4]):[0-5]\d", offset) else taken


def camera(exif: Mapping[int, Any]) -> str | None:
    """Make and model, the make once."""
    return _name(exif.get(_MAKE), exif.get(_MODEL))


def lens(exif: Mapping[int, Any]) -> str | None:
    """Make and model, the make once; cameras that know no lens write dashes or zeros."""
    exif_ifd = _ifd(exif, _EXIF_IFD)
    name = _name(exif_ifd.get(_LENS_MAKE), exif_ifd.get(_LENS_MODEL))
    return name if name and re.search(r"[a-zA-Z1-9]", name) else None


def _name(make: Any, model: Any) -> str | None:
    make, model = _text(make), _text(model)
    repeated = make and model.casefold().startswith(make.split()[0].casefold())
    return (model if repeated else f"{make} {model}".strip())[:100] or None


def position(exif: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees, north and east positive."""
    gps = _ifd(exif, _GPS_IFD)
    lat, lon = _degrees(gps.get(2), gps.get(1), "S", 90), _degrees(gps.get(4), gps.get(3), "W", 180)
    # Cameras without a fix write zeros; the sea there has few photos to lose.
    return (lat, lon) if lat is not None and lon is not None and (lat or lon) else (None, None)


def _degrees(parts: Any, reference: Any, negative: str, limit: int) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ArithmeticError):
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not 0 <= value <= limit:
        return None
    return -value if _text(reference).upper() == negative else value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in str(value or "")).split())
