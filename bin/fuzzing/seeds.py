"""Small whole image files of every format, mode and compression that the decoder reads."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I;16B", "I", "F")
SUFFIXES = {
    **{"JPEG": "jpg", "MPO": "mpo", "PNG": "png", "GIF": "gif", "WEBP": "webp", "AVIF": "avif", "TIFF": "tif"},
    **{"BMP": "bmp", "DIB": "dib", "JPEG2000": "jp2", "ICO": "ico", "ICNS": "icns", "DDS": "dds", "QOI": "qoi"},
    **{"PPM": "ppm", "SGI": "sgi", "PCX": "pcx", "TGA": "tga", "MSP": "msp", "XBM": "xbm", "JXL": "jxl"},
}
"""Pillow's name of every format that it may write and the decoder reads, and the usual suffix."""

XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description
 rdf:about=""><dc:description><rdf:Alt><rdf:li xml:lang="x-default">A dog on a beach</rdf:li></rdf:Alt></dc:description>
 <dc:subject><rdf:Bag><rdf:li>dog</rdf:li><rdf:li>beach</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF>
 </x:xmpmeta><?xpacket end="w"?>"""

# Made by hand, as pi-heif cannot write: a HEVC picture of 48 × 32 in six PCM blocks, turned by a quarter.
HEIC = zlib.decompress(
    base64.b85decode(
        "c-muNV30^FsVvAy%}izhg51nBLkOGEDmS$xkpTh}Gg5MjplpVM%;XXVG{9GoS&|E8F#@q%W==lXI2RC~5hBVM#lXNR3S=v1X6B{A)rtZ+sZ3B_"
        "Mp?2Uh`BGbpr`;y&(ADK&Ii)zKnZ6?#sna90$8Wq2Zld?fBaxz;AdU{)F|%2$iw*mKS%*HNCh(p$$d~+2$Yj{Vq`><SdhdKf9+#=jKCtGJi80y"
        "fx?C*4M0;xGK&jRp*}JIVg(=;PR`FM%1h3v04n8WU;`=R%q+?;0h+`ho>`C!3nHLDSsIy`TY%ECxhaXj5aJZnU|iqU5IDj?GKJtOg`m5kX@mn0"
        "3V|hsU}A&e2nUp=;UWsbw1!_J95f6tnB5>U!ofhtz=DRYBOGW`2>K`l{~7?V&3nl"
    )
)


def seeds() -> dict[str, list[bytes]]:
    """By the usual suffix, without its dot: whole files, always in the same order."""
    import pi_heif

    Image.init()
    pi_heif.register_heif_opener()
    made: dict[str, list[bytes]] = {}
    for suffix, data in (*_every_mode(), *_variants(), *_by_hand(), *_raw()):
        if data and data not in made.setdefault(suffix, []):
            made[suffix].append(data)
    return made


def _raw() -> Iterator[tuple[str, bytes]]:
    from tests.ingest.raw_files import dng

    rgb = np.asarray(_picture())[:42, :60]
    preview = _saved(_picture(size=(160, 120)), "JPEG")
    for suffix in ("dng", "nef", "cr2", "arw", "raf"):
        yield from ((suffix, dng(rgb)), (suffix, dng(rgb, preview)), (suffix, dng(rgb, preview, within=True)))


def _picture(mode: str = "RGB", seed: int = 0, size: tuple[int, int] = (61, 43)) -> Image.Image:
    """A smooth picture with some grain, in any of Pillow's modes."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (5, 7, 4), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = rng.integers(-6, 7, (size[1], size[0], 4))
    rgba = Image.fromarray((np.asarray(coarse).astype(int) + grain).clip(0, 255).astype(np.uint8))
    if mode.startswith("I;16"):
        return Image.fromarray(np.asarray(rgba.convert("L")).astype("<u2") * 257).convert(mode)
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(rgba.convert("RGB"), srgb, lab, outputMode="LAB")
    return rgba if mode == "RGBA" else rgba.convert(mode if mode == "LA" else "RGB").convert(mode)


def _saved(image: Image.Image, name: str, **options: Any) -> bytes:
    """b"" where this Pillow cannot write that."""
    buffer = io.BytesIO()
    try:
        image.save(buffer, name, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return b""
    return buffer.getvalue()


def _every_mode() -> Iterator[tuple[str, bytes]]:
    for name, suffix in SUFFIXES.items():
        if name in Image.SAVE:
            # An ICNS holds ten pictures, up to 1024 × 1024: one of them takes as long as a hundred other seeds.
            for mode in MODES if name != "ICNS" else ("RGBA",):
                yield suffix, _saved(_picture(mode), name)


def _variants() -> Iterator[tuple[str, bytes]]:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "Maker", "Maker One"
    exif.get_ifd(0x8769).update({0x9003: "2021:03:04 05:06:07", 0x9011: "+02:00", 0xA434: "Maker 24-70mm"})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    metadata: list[dict[str, Any]] = [{"exif": exif}, {"icc_profile": icc}, {"xmp": XMP}]
    frames = {"save_all": True, "append_images": [_picture(seed=1), _picture(seed=2)]}
    options: dict[str, list[dict[str, Any]]] = {
        "JPEG": [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}, {"comment": b"x" * 99}],
        "PNG": [{"compress_level": 0}, frames],
        "GIF": [frames, {"interlace": False}],
        "WEBP": [{"lossless": True}, {"quality": 10}, frames],
        "AVIF": [{"subsampling": "4:4:4"}, {"subsampling": "4:0:0"}, {"range": "limited"}, frames],
        "TIFF": [{"big_tiff": True}, frames],
        "JPEG2000": [{"no_jp2": True}, {"irreversible": True, "quality_layers": [20]}, {"tile_size": (32, 32)}],
        "MPO": [frames],
        "ICO": [{"bitmap_format": "bmp"}, {"sizes": [(16, 16), (32, 32)]}],
        "TGA": [{"compression": "tga_rle"}, {"orientation": 1}],
        "DDS": [{"pixel_format": kind} for kind in ("DXT1", "DXT3", "DXT5", "BC2", "BC3", "BC5")],
        "XBM": [{"hotspot": (1, 2)}],
    }
    for name in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "JPEG2000", "MPO", "JXL"):
        options[name] = options.get(name, []) + metadata
    for name, choices in options.items():
        for choice in choices:
            for mode in ("RGB", "RGBA", "L"):
                yield SUFFIXES[name], _saved(_picture(mode), name, **choice)
    # Pairs that libtiff cannot write are left out, as it says so on stderr.
    any_mode = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd")
    for compression in any_mode:
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "F"):
            yield "tif", _saved(_picture(mode), "TIFF", compression=compression)
    for mode in ("L", "RGB", "CMYK", "YCbCr"):
        yield "tif", _saved(_picture(mode), "TIFF", compression="jpeg")
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield "tif", _saved(_picture("1"), "TIFF", compression=compression)
    yield "jpg", _with_iptc(_saved(_picture(), "JPEG"))


def _with_iptc(jpeg: bytes) -> bytes:
    """With a caption and two keywords in a Photoshop segment."""
    fields = ((25, b"dog"), (25, b"beach"), (120, "A dog on a beach, été".encode()))
    iptc = b"\x1c\x01\x5a\x00\x03\x1b%G" + b"".join(struct.pack(">BBBH", 28, 2, n, len(v)) + v for n, v in fields)
    block = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def _by_hand() -> Iterator[tuple[str, bytes]]:
    """What Pillow reads and does not write, and bombs: small files that claim to be huge."""
    rng = random.Random(0)
    yield "heic", HEIC
    rgb = _picture(size=(16, 16)).tobytes()
    planes = b"".join(rgb[channel::3] for channel in range(3))
    psd = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 16, 16, 8, 3) + bytes(12)
    yield "psd", psd + struct.pack(">H", 0) + planes
    packed = [b"\x0f" + planes[i : i + 16] for i in range(0, len(planes), 16)]
    yield "psd", psd + struct.pack(">H", 1) + b"".join(struct.pack(">H", 17) for _ in packed) + b"".join(packed)
    for depth, kind, data in ((24, 1, rgb), (8, 1, rgb[:256]), (8, 2, bytes(range(1, 127)) * 4), (1, 1, bytes(32))):
        yield "ras", struct.pack(">8I", 0x59A66A95, 16, 16, depth, len(data), kind, 0, 0) + data
    yield "pxr", b"\200\350\000\000" + bytes(412) + struct.pack("<HH4xHH", 16, 16, 14, 2) + bytes(596) + rgb
    cursor = _saved(_picture("RGBA", size=(16, 16)), "ICO", bitmap_format="bmp")
    yield "cur", cursor[:2] + b"\x02" + cursor[3:]
    pcx = _saved(_picture("L"), "PCX")
    yield "dcx", struct.pack("<III", 987654321, 12, 0) + pcx
    yield "pcd", (bytes(2048) + b"PCD_" + bytes(1540)).ljust(96 * 2048, b"\0") + rng.randbytes(768 * 512 * 3 // 2)
    palette = "".join(f'"{chr(97 + i)} c #{i * 20:02x}{i * 9:02x}{255 - i * 20:02x}",\n' for i in range(8))
    rows = ",\n".join('"' + "".join(rng.choice("abcdefgh") for _ in range(16)) + '"' for _ in range(16))
    yield "xpm", f'/* XPM */\nstatic char *p[] = {{\n"16 16 8 1",\n{palette}{rows}\n}};\n'.encode()
    for magic, body in ((b"P1", b"1 0 " * 128), (b"P2", b"7 200 " * 128), (b"P3", b"9 99 255 " * 256)):
        yield "pnm", magic + b"\n# a comment\n16 16\n" + (b"" if magic == b"P1" else b"255\n") + body
    yield "pfm", b"Pf\n16 16\n-1.0\n" + np.linspace(-1, 9, 256, dtype="<f4").tobytes()
    yield "png", png((16, 16), zlib.compress(_adam7(rgb)), interlace=1)
    yield "png", png((17_000, 17_000), zlib.compress(bytes(17_001 * 170)))
    yield "png", png((30_000, 30_000), b"")
    yield (
        "gif",
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\2\0;",
    )
    yield "bmp", b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0)
    yield "tif", _saved(Image.new("1", (9_000, 9_000)), "TIFF", compression="group4")


def _adam7(rgb: bytes) -> bytes:
    """The seven passes of an interlaced PNG of 16 × 16, each row behind a zero for "no filter"."""
    pixels = np.frombuffer(rgb, np.uint8).reshape(16, 16, 3)
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = [pixels[row::down, column::across] for row, column, down, across in starts]
    return b"".join(b"\0" + line.tobytes() for part in passes for line in part)


def png(size: tuple[int, int], body: bytes, interlace: int = 0) -> bytes:
    """An RGB PNG of 8 bits with this compressed body."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, interlace)), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
