"""Photos small enough to stand in a report."""

from __future__ import annotations

import base64
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

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


def thumbnail(path: str) -> Thumbnail:
    """The photo at `path`, at most SIDE pixels, turned upright; one that cannot be read has the reason instead."""
    import pi_heif
    from PIL import Image, ImageOps

    name = printable(Path(path).name)
    pi_heif.register_heif_opener()
    jpeg = BytesIO()
    try:
        with warnings.catch_warnings():
            # A large panorama is shown all the same; Pillow's own limit still stops a decompression bomb.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as photo:
                photo.draft("RGB", (2 * SIDE, 2 * SIDE))
                upright = ImageOps.exif_transpose(photo).convert("RGB")
                upright.thumbnail((SIDE, SIDE))
        upright.save(jpeg, "JPEG", quality=80)
    # Decoders raise whatever they like on damaged files, and one photo must never cost the report.
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a picture that can be read"
        return Thumbnail(name, "", printable(reason.lower()))
    data = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")
    return Thumbnail(name, data, "", *upright.size)
