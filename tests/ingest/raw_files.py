"""RAW files written by hand: a DNG of a Bayer sensor, with what cameras write about it."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = {"B": 1, "s": 1, "H": 2, "I": 4, "r": 8, "R": 8}  # struct's letters; r and R are signed and unsigned rationals
TYPES = {"B": 1, "s": 2, "H": 3, "I": 4, "R": 5, "r": 10}


def tiff(*pages: list[tuple[int, str, Any]], magic: bytes = b"II*\0", start: int = 8) -> bytes:
    """A little-endian TIFF: each page a list of (tag, type, values). A value that is a page number under the tags of
    IFDs becomes that page's offset, bytes under StripOffsets are appended; only the first page is in the chain."""
    offsets, at = [], start
    for page in pages:
        offsets.append(at)
        at += 2 + 12 * len(page) + 4
    body, extra = b"", b""
    for page in pages:
        body += struct.pack("<H", len(page))
        for tag, kind, value in sorted(page, key=lambda entry: entry[0]):
            if tag in (0x014A, 0x8769, 0x8825):
                value = offsets[value]
            if tag == 0x0111:
                value, extra = at + len(extra), extra + value
            values = value if isinstance(value, (list, bytes)) else [value]
            if kind == "s":
                data = bytes(values)
            elif kind in "rR":
                code = "<i" if kind == "r" else "<I"
                data = b"".join(struct.pack(code, round(v * 10_000)) + struct.pack(code, 10_000) for v in values)
            else:
                data = struct.pack(f"<{len(values)}{kind}", *values)
            body += struct.pack("<HHI", tag, TYPES[kind], len(data) // SIZES[kind])
            if len(data) > 4:
                body += struct.pack("<I", at + len(extra))
                extra += data + bytes(len(data) % 2)
            else:
                body += data.ljust(4, b"\0")
        body += bytes(4)
    return magic + struct.pack("<I", start) + bytes(start - 8) + body + extra


def mosaic(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(h, w) linear 16-bit samples behind an RGGB filter."""
    linear = (rgb.astype(np.float64) / 255) ** 2.2 * 65535
    bayer = linear[..., 1].copy()
    bayer[::2, ::2] = linear[::2, ::2, 0]
    bayer[1::2, 1::2] = linear[1::2, 1::2, 2]
    return bayer.astype(np.uint16)


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>a harbour</dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def dng(rgb: NDArray[np.uint8], preview: bytes | None = None, orientation: int = 1, within: bool = False) -> bytes:
    """A DNG of a Bayer sensor; its pixels in the first page, or, `within`, in a page that the first one, a thumbnail,
    holds, as most cameras do."""
    height, width = rgb.shape[:2]
    samples = mosaic(rgb).tobytes()
    sensor = [
        (0x00FE, "I", 0),
        (0x0100, "I", width),
        (0x0101, "I", height),
        (0x0102, "H", 16),
        (0x0103, "H", 1),
        (0x0106, "H", 32803),
        (0x0111, "I", samples),
        (0x0115, "H", 1),
        (0x0116, "I", height),
        (0x0117, "I", len(samples)),
        (0x828D, "H", [2, 2]),
        (0x828E, "B", [0, 1, 1, 2]),
        (0xC61D, "I", 65535),
    ]
    about: list[tuple[int, str, Any]] = [
        (0x010F, "s", b"Acme\0"),
        (0x0110, "s", b"Box 1\0"),
        (0x0112, "H", orientation),
        (0x02BC, "B", list(XMP)),
        (0x8769, "I", 1),
        (0x8825, "I", 2),
        (0xC612, "B", [1, 4, 0, 0]),
        (0xC614, "s", b"Acme Box 1\0"),
        (0xC621, "r", [3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572]),  # XYZ to sRGB
        (0xC628, "R", [1.0, 1.0, 1.0]),
        (0xC65A, "H", 21),
    ]
    exif: list[tuple[int, str, Any]] = [
        (0x9003, "s", b"2021:03:04 05:06:07\0"),
        (0x9011, "s", b"+01:00\0"),
        (0xA433, "s", b"Acme\0"),
        (0xA434, "s", b"50mm F1.8\0"),
    ]
    gps: list[tuple[int, str, Any]] = [
        (1, "s", b"N\0"),
        (2, "R", [52.0, 30.0, 0.0]),
        (3, "s", b"W\0"),
        (4, "R", [13.0, 15.0, 0.0]),
    ]
    if preview is None:
        return tiff(about + sensor, exif, gps)
    small = Image.open(io.BytesIO(preview))
    thumbnail = [
        (0x00FE, "I", 1),
        (0x0100, "I", small.width),
        (0x0101, "I", small.height),
        (0x0102, "H", [8, 8, 8]),
        (0x0103, "H", 7),
        (0x0106, "H", 6),
        (0x0111, "I", preview),
        (0x0115, "H", 3),
        (0x0116, "I", small.height),
        (0x0117, "I", len(preview)),
    ]
    if within:
        return tiff([*about, *thumbnail, (0x014A, "I", 3)], exif, gps, sensor)
    return tiff([*about, *sensor, (0x014A, "I", 3)], exif, gps, thumbnail)
