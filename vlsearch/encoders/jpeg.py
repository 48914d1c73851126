"""JPEG files decoded on a GPU (nvJPEG, by way of torchvision) and brought to a model's size there.

Only the plain ones, which are nearly all that cameras write: baseline, 8 bits, grey or YCbCr, sRGB. The others are for
the decoders on the CPU, as are files that turn out to be damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vlsearch.encoders.base import Preprocess, resized
from vlsearch.errors import UnreadableFile

if TYPE_CHECKING:
    import torch

BASELINE, SCAN = 0xC0, 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SRGB = (b"sRGB", "sRGB".encode("utf-16-be"))
LARGEST = 64_000_000
"""pixels; what is larger would take much of the GPU's memory while it is resized"""


def orientation_if_plain(data: bytes) -> int | None:
    """The EXIF orientation, 1 to 8, of a JPEG file that a GPU decodes as the CPU would; None for any other file."""
    orientation, icc, plain = 1, b"", False
    for marker, body in segments(data):
        if marker in FRAMES:
            plain = marker == BASELINE and is_plain_frame(body)
        elif marker == 0xE1 and body[:6] == b"Exif\0\0":
            orientation = exif_orientation(body[6:])
        elif marker == 0xE2 and body[:12] == b"ICC_PROFILE\0":
            icc += body[14:]
        elif marker == 0xEE and body[:5] == b"Adobe" and body[11:12] == b"\0":
            return None
    if icc and not any(name in icc for name in SRGB):
        return None
    return orientation if plain else None


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and bodies up to the first scan; ends early where the file does not go on as a JPEG file does."""
    if data[:2] != b"\xff\xd8":
        return
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == SCAN:
            return
        (length,) = struct.unpack_from(">H", data, place + 2)
        yield marker, data[place + 4 : place + 2 + length]
        place += 2 + length


def is_plain_frame(body: bytes) -> bool:
    """8 bits, one component or three that are not called R, G and B, not too large."""
    if len(body) < 6:
        return False
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    names = body[6 : 6 + 3 * components : 3]
    return bits == 8 and components in (1, 3) and names != b"RGB" and 0 < height * width <= LARGEST


def exif_orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory; 1 where there is none, or it cannot be read."""
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == 0x0112:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1


def decode_plain(
    files: Sequence[bytes], orientations: Sequence[int], preprocess: Preprocess, device: torch.device
) -> list[torch.Tensor]:
    """Files for which `orientation_if_plain` gave `orientations`, to (height, width, 3) uint8 at the model's size.

    Raises UnreadableFile if one of them, it is not known which, cannot be decoded, or none can.
    """
    import numpy as np
    import torch

    encoded = [torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in files]
    try:
        from torchvision.io import ImageReadMode, decode_jpeg  # type: ignore[import-untyped, unused-ignore]

        images = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
    except (ImportError, RuntimeError) as error:
        raise UnreadableFile("damaged JPEG file") from error
    pairs = zip(images, orientations, strict=True)
    return [to_model_size(upright(image, orientation), preprocess) for image, orientation in pairs]


def upright(image: torch.Tensor, orientation: int) -> torch.Tensor:
    """(…, height, width) turned and mirrored as its EXIF orientation says."""
    if orientation >= 5:
        image = image.transpose(-2, -1)
    mirrored = [axis for axis, which in ((-1, (2, 3, 7, 6)), (-2, (4, 3, 7, 8))) if orientation in which]
    return image.flip(mirrored) if mirrored else image


def to_model_size(image: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    """(3, height, width) uint8 to (*preprocess.size, 3) uint8, to within two levels of what Pillow's resize gives."""
    from torch.nn import functional as F

    rows, columns = preprocess.size
    height, width = resized(image.shape[-2], image.shape[-1], preprocess)
    plain = preprocess.resize_mode == "shortest" and rows != columns
    mode = "bilinear" if preprocess.interpolation == "bilinear" and not plain else "bicubic"
    # First the rows, then the columns, with whole levels between, as Pillow has it; much less work than both at once.
    x = image[None]
    for shape in ((x.shape[2], width), (height, width)):
        x = F.interpolate(x.float(), shape, mode=mode, antialias=True).round_().clamp_(0, 255)
    top, left = round(max(0, height - rows) / 2), round(max(0, width - columns) / 2)
    x = x[0, :, top : top + rows, left : left + columns].byte()
    missing = rows - x.shape[1], columns - x.shape[2]
    if any(missing):
        above, before = missing[0] // 2, missing[1] // 2
        x = F.pad(x, (before, missing[1] - before, above, missing[0] - above), value=preprocess.fill_color)
    return x.permute(1, 2, 0)
