from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from vlsearch.encoders.base import Preprocess, resized
from vlsearch.errors import UnreadableFile
from vlsearch.ingest import colour, resize
from vlsearch.ingest import decode as decode_module
from vlsearch.ingest.decode import Photo, decode
from vlsearch.ingest.formats import FORMATS

MODEL = Preprocess(size=(224, 224), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
SMALL = dataclasses.replace(MODEL, size=(32, 32))


def picture(height: int = 61, width: int = 83, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3) smooth colours with some noise, no two sides or corners alike."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    ramps = np.stack([255 * x / width, 255 * y / height, 255 - 200 * (x + y) / (width + height)], axis=-1)
    return np.clip(ramps + noise, 0, 255).astype(np.uint8)


def encoded(image: Image.Image | NDArray[np.uint8], format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def distance(photo: Photo, other: Photo) -> float:
    return float(np.abs(photo.pixels.astype(int) - other.pixels.astype(int)).mean())


def png_header(width: int, height: int, idat: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


# Resizing, against open_clip's own transform


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(224, 224), (37, 37), (48, 96), (97, 41)])
def test_pixels_equal_open_clips_transform(resize_mode: str, interpolation: str, size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from open_clip.transform import image_transform
    model = dataclasses.replace(MODEL, size=size, resize_mode=resize_mode, interpolation=interpolation, fill_color=77)
    transform = image_transform(
        size, False, model.mean, model.std, resize_mode=resize_mode, interpolation=interpolation, fill_color=77
    )
    for height, width in [(61, 83), (83, 61), (300, 301), (480, 640), (224, 224), (501, 97), (31, 450)]:
        image = Image.fromarray(picture(height, width))
        tensor = np.asarray(transform(image)).transpose(1, 2, 0)
        theirs = tensor * np.array(model.std) + np.array(model.mean)
        ours = decode(encoded(image), model).pixels
        assert ours.shape == (*size, 3)
        assert ours.dtype == np.uint8
        assert np.abs(theirs - ours / 255.0).max() <= 1 / 255 / 2, (height, width)


def test_a_jpeg_is_shrunk_while_decoding_but_never_below_twice_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[int, int]] = []
    fit = resize.fit
    monkeypatch.setattr(resize, "fit", lambda image, model: (loaded.append(image.size), fit(image, model))[1])
    for height, width in [(1000, 1400), (2000, 900), (448, 448), (447, 900)]:
        data = encoded(picture(height, width), "JPEG", quality=95)
        for mode in ("shortest", "longest", "squash"):
            photo = decode(data, dataclasses.replace(SMALL, size=(112, 112), resize_mode=mode))
            rows, columns = resized(height, width, dataclasses.replace(SMALL, size=(112, 112), resize_mode=mode))
            assert loaded[-1][0] >= min(width, 2 * columns)
            assert loaded[-1][1] >= min(height, 2 * rows)
            assert (photo.height, photo.width) == (height, width)
    decode(encoded(picture(1000, 1400), "JPEG", quality=95), SMALL)
    assert loaded[-1] == (175, 125)


def test_shrinking_while_decoding_changes_little() -> None:
    array = picture(900, 1200)
    jpeg, png = encoded(array, "JPEG", quality=97), encoded(array)
    assert distance(decode(jpeg, MODEL), decode(png, MODEL)) < 2


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 200_000), (1, 1)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_strips_are_not_blown_up(shape: tuple[int, int], resize_mode: str) -> None:
    array = np.full((*shape, 3), 90, np.uint8)
    pixels = decode(encoded(array), dataclasses.replace(MODEL, resize_mode=resize_mode)).pixels
    assert pixels.shape == (224, 224, 3)
    assert (pixels[111, 111] == 90).all()


# Orientation


def oriented(array: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The stored array that `orientation` turns back into `array` (EXIF 2.32, tag 0x0112)."""
    undo = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.transpose(1, 0, 2),
        6: np.rot90(array, 1),
        7: array[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(array, -1),
    }
    return np.ascontiguousarray(undo[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        ("PNG", {}, 0.0),
        ("TIFF", {}, 0.0),
        ("TIFF", {"compression": "tiff_lzw"}, 0.0),
        ("WEBP", {"lossless": True}, 0.0),
        ("JPEG", {"quality": 97, "subsampling": 0}, 1.0),
        ("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 2.0),
    ],
)
def test_all_orientations_give_the_same_picture(
    orientation: int, format: str, options: dict[str, Any], tolerance: float
) -> None:
    array = picture(150, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = decode(encoded(oriented(array, orientation), format, exif=exif, **options), SMALL)
    assert (photo.width, photo.height) == (250, 150)
    assert photo.format == format
    assert distance(photo, decode(encoded(array), SMALL)) <= tolerance


def test_a_nonsense_orientation_is_no_orientation() -> None:
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = value
        assert distance(decode(encoded(picture(), exif=exif), SMALL), decode(encoded(picture()), SMALL)) == 0


# Kinds of pixels


def test_grey_one_bit_and_palette() -> None:
    grey = Image.fromarray(picture()).convert("L")
    expected = decode(encoded(grey.convert("RGB")), SMALL)
    assert distance(decode(encoded(grey), SMALL), expected) == 0
    assert distance(decode(encoded(grey.convert("P")), SMALL), expected) == 0
    bits = grey.point(lambda v: 255 * (v > 127)).convert("1")
    assert distance(decode(encoded(bits), SMALL), decode(encoded(bits.convert("RGB")), SMALL)) == 0


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = picture()[..., 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert deep.mode.startswith("I")
    expected = decode(encoded(grey), SMALL)
    for data in (encoded(deep), encoded(deep, "TIFF"), encoded(deep, "PPM")):
        assert distance(decode(data, SMALL), expected) == 0


def test_floats_and_wide_integers_are_scaled() -> None:
    grey = picture()[..., 0].copy()
    grey[0, 0], grey[0, 1] = 0, 255
    expected = decode(encoded(grey), SMALL)
    unit = Image.fromarray(grey.astype(np.float32) / 255)
    wide = Image.fromarray(grey.astype(np.int32) * 8_000_000)
    signed = Image.fromarray((grey.astype(np.float32) - 100) * 50)
    broken = np.full((40, 40), np.nan, np.float32)
    for image in (unit, wide, signed):
        assert distance(decode(encoded(image, "TIFF"), SMALL), expected) <= 0.5
    assert (decode(encoded(Image.fromarray(broken), "TIFF"), SMALL).pixels == 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_onto_white(mode: str) -> None:
    image = Image.new(mode, (64, 64), (10, 10, 10, 255) if mode == "RGBA" else (10, 255))
    image.paste((200, 0, 0, 0) if mode == "RGBA" else (0, 0), (0, 0, 32, 64))
    image.paste((10, 10, 10, 128) if mode == "RGBA" else (10, 128), (32, 32, 64, 64))
    pixels = decode(encoded(image), SMALL).pixels
    assert (pixels[:, :14] == 255).all()
    assert (pixels[:14, 18:] == 10).all()
    assert np.abs(pixels[18:, 18:].astype(int) - 132).max() <= 1


def test_transparent_palette_entries_and_colours_are_white() -> None:
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([200, 0, 0, 10, 20, 30])
    palette.paste(1, (32, 0, 64, 64))
    rgb = palette.convert("RGB")
    for data in (
        encoded(palette, transparency=0),
        encoded(palette, transparency=bytes([0, 255])),
        encoded(palette, "GIF", transparency=0),
        encoded(rgb, transparency=(200, 0, 0)),
    ):
        pixels = decode(data, SMALL).pixels
        assert (pixels[:, :14] == 255).all()
        assert (pixels[:, 18:] == (10, 20, 30)).all()


def test_cmyk_also_as_adobe_writes_it() -> None:
    rgb = Image.fromarray(picture(200, 300))
    expected = decode(encoded(rgb), SMALL)
    cmyk = rgb.convert("CMYK")
    jpeg = encoded(cmyk, "JPEG", quality=97)
    assert b"Adobe" in jpeg
    assert Image.open(io.BytesIO(jpeg)).mode == "CMYK"
    assert distance(decode(jpeg, SMALL), expected) < 3
    assert distance(decode(encoded(cmyk, "TIFF"), SMALL), expected) < 1


def test_of_several_frames_or_pages_the_first() -> None:
    first, second = Image.new("RGB", (40, 30), (200, 30, 30)), Image.new("RGB", (40, 30), (30, 30, 200))
    for format in ("GIF", "TIFF", "WEBP", "PNG", "AVIF"):
        data = encoded(first, format, save_all=True, append_images=[second])
        photo = decode(data, SMALL)
        assert photo.format == format
        assert np.abs(photo.pixels.astype(int) - (200, 30, 30)).max() <= 6


def test_a_jpeg_with_further_frames_is_a_jpeg() -> None:
    data = encoded(picture(), "MPO", save_all=True, append_images=[Image.fromarray(picture(seed=1))])
    assert decode(data, SMALL).format == "JPEG"


def test_a_format_of_games_and_one_of_telescopes() -> None:
    palette = Image.fromarray(picture()).quantize()
    photo = decode(encoded(palette, "BLP"), SMALL)
    assert photo.format == "BLP"
    assert distance(photo, decode(encoded(palette), SMALL)) < 1
    grey = picture()[..., 0]
    cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 83", "NAXIS2  = 61", "END")
    header = "".join(card.ljust(80) for card in cards).encode().ljust(2880)
    photo = decode(header + grey[::-1].tobytes(), SMALL)
    assert photo.format == "FITS"
    assert distance(photo, decode(encoded(grey), SMALL)) < 1


def test_jpeg_xl_is_read_where_its_plug_in_is_installed() -> None:
    pytest.importorskip("pillow_jxl", reason="the extra [jxl] is not installed")
    array = picture(150, 250)
    for options in ({"use_container": False}, {"use_container": True}):
        photo = decode(encoded(array, "JXL", quality=95, **options), SMALL)
        assert (photo.format, photo.width, photo.height) == ("JXL", 250, 150)
        assert distance(photo, decode(encoded(array), SMALL)) < 2
    data = encoded(array, "JXL")
    for length in np.linspace(12, len(data) * 0.9, 8).astype(int):
        with pytest.raises(UnreadableFile):
            decode(data[:length], SMALL)


@pytest.mark.parametrize("start", [b"\xff\x0a\x7a\x00", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl "])
def test_without_the_plug_in_it_is_said_what_to_install(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    decode(encoded(picture()), SMALL)
    monkeypatch.delitem(Image.OPEN, "JXL", raising=False)
    with pytest.raises(UnreadableFile, match=r"^JPEG XL needs a plug-in: pip install 'vlsearch\[jxl\]'$"):
        decode(start + bytes(100), SMALL)


# pi-heif cannot write. Made by hand for this test: a HEVC picture of 48 × 32 in six PCM blocks of 16 × 16, red, green,
# blue over white, black, yellow, with a box (irot) that turns it clockwise by a quarter. zlib, base 85.
HEIC = zlib.decompress(
    base64.b85decode(
        "c-muNV30^FsVvAy%}izhg51nBLkOGEDmS$xkpTh}Gg5MjplpVM%;XXVG{9GoS&|E8F#@q%W==lXI2RC~5hBVM#lXNR3S=v1X6B{A)rtZ+sZ3B_"
        "Mp?2Uh`BGbpr`;y&(ADK&Ii)zKnZ6?#sna90$8Wq2Zld?fBaxz;AdU{)F|%2$iw*mKS%*HNCh(p$$d~+2$Yj{Vq`><SdhdKf9+#=jKCtGJi80y"
        "fx?C*4M0;xGK&jRp*}JIVg(=;PR`FM%1h3v04n8WU;`=R%q+?;0h+`ho>`C!3nHLDSsIy`TY%ECxhaXj5aJZnU|iqU5IDj?GKJtOg`m5kX@mn0"
        "3V|hsU}A&e2nUp=;UWsbw1!_J95f6tnB5>U!ofhtz=DRYBOGW`2>K`l{~7?V&3nl"
    )
)


def test_heic_is_read_turned_and_refused_when_cut() -> None:
    photo = decode(HEIC, dataclasses.replace(MODEL, size=(48, 32), resize_mode="squash"))
    assert (photo.format, photo.width, photo.height) == ("HEIF", 32, 48)
    expected = np.array(
        [[[250, 250, 250], [200, 30, 30]], [[20, 20, 20], [30, 200, 30]], [[200, 200, 30], [30, 30, 200]]]
    )
    assert np.abs(photo.pixels.astype(int) - expected.repeat(16, axis=0).repeat(16, axis=1)).max() <= 2
    for length in np.linspace(1, len(HEIC) - 1, 20).astype(int):
        with pytest.raises(UnreadableFile):
            decode(HEIC[:length], SMALL)


# Colour profiles


def s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def matrix_profile(primaries: list[tuple[float, float, float]], gamma: float) -> bytes:
    """A minimal ICC v2 display profile: XYZ (D50) of the three primaries and one gamma (ICC.1:2001-04, 6.3.1.2)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(8) + bytes(3 + 67)
    tags = {b"desc": description, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = xyz(primary)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = curve
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", 0, b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + s15(0.9642) + s15(1.0) + s15(0.8249)
    header = header.ljust(128, b"\0")
    size = struct.pack(">I", len(header) + len(table) + len(body))
    return size + header[4:] + table + body


def xyz(value: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(s15, value))


# Columns of the Display P3 matrix, adapted to D50.
DISPLAY_P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]


def test_a_wide_gamut_profile_is_converted() -> None:
    # Display P3 (234, 51, 35) is about the sRGB red (255, 0, 0); gamma 2.2 for its curve moves it by little.
    flat = np.full((50, 50, 3), (234, 51, 35), np.uint8)
    profile = matrix_profile(DISPLAY_P3, 2.2)
    for format, options in (("PNG", {}), ("JPEG", {"quality": 98, "subsampling": 0}), ("TIFF", {})):
        pixels = decode(encoded(flat, format, icc_profile=profile, **options), SMALL).pixels
        assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 14, pixels[0, 0]
    white = np.full((50, 50, 3), 255, np.uint8)
    assert (decode(encoded(white, icc_profile=profile), SMALL).pixels >= 254).all()


def test_an_srgb_profile_a_broken_one_and_one_of_other_pixels_change_nothing() -> None:
    expected = decode(encoded(picture()), SMALL)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = Image.fromarray(picture()).convert("L")
    assert colour._to_srgb(srgb, "RGB") is None
    assert colour._to_srgb(matrix_profile(DISPLAY_P3, 2.2), "RGB") is not None
    for profile in (srgb, b"no profile", srgb[:200], bytes(500)):
        assert distance(decode(encoded(picture(), icc_profile=profile), SMALL), expected) == 0
    assert distance(decode(encoded(grey, "JPEG", icc_profile=srgb), SMALL), decode(encoded(grey, "JPEG"), SMALL)) == 0


def test_lab_is_converted() -> None:
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    rgb = Image.new("RGB", (40, 40), (180, 90, 40))
    pixels = decode(encoded(lab.apply(rgb), "TIFF"), SMALL).pixels
    assert np.abs(pixels.astype(int) - (180, 90, 40)).max() <= 3


# What the file says about itself


def with_exif(gps: dict[int, Any] | None = None, ifd: dict[int, Any] | None = None, **tags: str) -> Photo:
    exif = Image.Exif()
    for name, value in tags.items():
        exif[{"make": 0x010F, "model": 0x0110}[name]] = value
    if ifd:
        exif.get_ifd(0x8769).update(ifd)
    if gps:
        exif.get_ifd(0x8825).update(gps)
    return decode(encoded(picture(), "JPEG", exif=exif), SMALL)


def test_position() -> None:
    photo = with_exif({1: "S", 2: (33.0, 51.0, 24.12), 3: "W", 4: (151.0, 12.0, 36.0)})
    assert photo.lat == pytest.approx(-33.8567, abs=1e-6)
    assert photo.lon == pytest.approx(-151.21, abs=1e-6)
    north_east = with_exif({1: "N", 2: (33.5, 0.0, 0.0), 3: "E", 4: (0.0, 30.0, 0.0)})
    assert (north_east.lat, north_east.lon) == (33.5, 0.5)


@pytest.mark.parametrize(
    "gps",
    [
        {1: "N", 2: (33.0, 51.0, 24.0)},
        {1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)},
        {1: "N", 2: (1.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
        {1: "N", 2: (IFDRational(0, 0), 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)},
    ],
)
def test_half_a_position_is_none(gps: dict[int, Any]) -> None:
    photo = with_exif(gps)
    assert (photo.lat, photo.lon) == (None, None)


def test_time_and_camera() -> None:
    photo = with_exif(ifd={0x9003: "2019:07:14 18:03:59", 0x9011: "+02:00"}, make="Canon\0", model=" Canon  EOS 5D ")
    assert photo.taken_at == "2019-07-14T18:03:59+02:00"
    assert photo.camera == "Canon EOS 5D"
    assert with_exif(ifd={0x9003: "2019:07:14 18:03:59", 0x9011: "   :  "}).taken_at == "2019-07-14T18:03:59"
    assert with_exif(ifd={0x9003: "0000:00:00 00:00:00"}).taken_at is None
    assert with_exif(make="NIKON CORPORATION", model="NIKON D90").camera == "NIKON D90"
    assert with_exif(make="Apple", model="iPhone 12").camera == "Apple iPhone 12"
    assert with_exif(make="Apple\x1b[31m").camera == "Apple [31m"
    plain = decode(encoded(picture(), "JPEG"), SMALL)
    assert (plain.taken_at, plain.camera, plain.lat, plain.lon) == (None, None, None, None)


def test_lens() -> None:
    assert with_exif(ifd={0xA434: "EF50mm f/1.8 STM"}).lens == "EF50mm f/1.8 STM"
    assert with_exif(ifd={0xA433: "Apple", 0xA434: "iPhone 12 back camera"}).lens == "Apple iPhone 12 back camera"
    assert with_exif(ifd={0xA433: "SIGMA", 0xA434: "Sigma 35mm F1.4"}).lens == "Sigma 35mm F1.4"
    for nothing in ("", "----", "0.0", "\0\0"):
        assert with_exif(ifd={0xA434: nothing}).lens is None
    assert decode(encoded(picture()), SMALL).lens is None


def test_damaged_exif_does_not_cost_the_photo() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (1.0, 2.0, 3.0)})
    block = exif.tobytes()
    expected = decode(encoded(picture(), "JPEG"), SMALL)
    rng = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(block)
        for _ in range(4):
            damaged[rng.integers(6, len(damaged))] = rng.integers(256)
        photo = decode(
            encoded(picture(), "JPEG", exif=bytes(damaged)), dataclasses.replace(SMALL, resize_mode="squash")
        )
        assert photo.pixels.shape == expected.pixels.shape


# Bad input


def test_no_image() -> None:
    with pytest.raises(UnreadableFile, match=r"^empty file$"):
        decode(b"", SMALL)
    for data in (b"Not a photo at all, just text.\n" * 50, b"<!DOCTYPE html><html>", b"\0" * 5000, b"%PDF-1.7\n"):
        with pytest.raises(UnreadableFile, match=r"^not an image$"):
            decode(data, SMALL)


def test_postscript_is_never_handed_to_ghostscript() -> None:
    with pytest.raises(UnreadableFile, match=r"^not an image$"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", SMALL)
    assert not {"EPS", "WMF", "MPEG", "PDF", "HDF5", "GRIB", "BUFR"} & set(FORMATS)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_a_cut_jpeg(options: dict[str, Any]) -> None:
    data = encoded(picture(200, 300), "JPEG", **options)
    for length in np.linspace(1, len(data) - 12, 20).astype(int):
        with pytest.raises(UnreadableFile) as caught:
            decode(data[:length], SMALL)
        expected = "not an image" if length < 3 else "truncated"
        assert expected in str(caught.value), (length, str(caught.value))


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM", "TGA"])
def test_other_cut_files(format: str) -> None:
    data = encoded(picture(), format)
    for length in np.linspace(0, len(data) * 0.9, 12).astype(int):
        with pytest.raises(UnreadableFile):
            decode(data[:length], SMALL)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    body = zlib.compress(bytes(30_000 // 8 * 30_000 + 30_000), 9)
    bomb = png_header(30_000, 30_000, body)
    assert len(bomb) > 80_000
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(UnreadableFile, match=r"^30000x30000 pixels, over the limit of 300 megapixels$"):
        decode(bomb, SMALL)


def test_the_limit_of_pixels_is_the_callers() -> None:
    data = encoded(picture(61, 83), "TIFF")
    assert decode(data, SMALL, max_pixels=61 * 83).width == 83
    with pytest.raises(UnreadableFile, match=r"^83x61 pixels, over the limit of 0.005 megapixels$"):
        decode(data, SMALL, max_pixels=5000)
    gif = encoded(picture(61, 83), "GIF")
    with pytest.raises(UnreadableFile):
        decode(gif, SMALL, max_pixels=5000)
    assert decode(gif, SMALL, max_pixels=5063).width == 83


def test_a_photo_of_200_megapixels_is_within_the_limit() -> None:
    # Pillow refuses more than 179 megapixels; for a TIFF it asks once more while loading.
    width, height = 16_320, 12_240
    data = encoded(Image.new("1", (width, height), 1), "TIFF", compression="group4")
    photo = decode(data, SMALL)
    assert (photo.width, photo.height) == (width, height)
    assert (photo.pixels == 255).all()


def hostile() -> list[tuple[str, bytes]]:
    array = picture()
    return [
        ("jpeg", encoded(array, "JPEG")),
        ("png", encoded(array)),
        ("gif", encoded(array, "GIF")),
        ("webp", encoded(array, "WEBP")),
        ("avif", encoded(array, "AVIF")),
        ("tiff", encoded(array, "TIFF")),
        ("tiff-lzw", encoded(array, "TIFF", compression="tiff_lzw")),
        ("tiff-jpeg", encoded(array, "TIFF", compression="jpeg")),
        ("jp2", encoded(array, "JPEG2000")),
        ("bmp", encoded(array, "BMP")),
        ("ico", encoded(array, "ICO")),
        ("heic", HEIC),
        ("tga", encoded(array, "TGA")),
    ]


@pytest.mark.parametrize(("name", "data"), hostile(), ids=[name for name, _ in hostile()])
def test_hostile_bytes_raise_nothing_else_and_print_nothing(
    name: str, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(len(name))
    reasons = []
    for attempt in range(60):
        damaged = bytearray(data)
        reach = len(damaged) if attempt % 2 else min(len(damaged), 200)
        for _ in range(rng.integers(1, 8)):
            damaged[rng.integers(reach)] = rng.integers(256)
        try:
            assert decode(bytes(damaged), SMALL).pixels.shape == (32, 32, 3)
        except UnreadableFile as error:
            reasons.append(str(error))
    assert reasons
    assert all(len(reason) < 130 and "\n" not in reason for reason in reasons)
    assert capfd.readouterr() == ("", "")


def test_a_program_without_logging_set_up_stays_quiet() -> None:
    data = encoded(picture(8, 8), "TIFF")
    samples = struct.pack("<HHI", 277, 3, 1)  # the tag SamplesPerPixel, and no image has that many
    damaged = data.replace(samples + b"\x03\0", samples + b"\xff\xff")
    assert damaged != data
    code = f"""
from vlsearch.encoders.base import Preprocess, resized
from vlsearch.ingest.decode import decode
try:
    decode({damaged!r}, Preprocess((32, 32), (0, 0, 0), (1, 1, 1)))
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("UnreadableFile\n", "")


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise MemoryError

    data = encoded(picture())
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(UnreadableFile, match=r"^too large for this machine's memory$"):
        decode(data, SMALL)


@pytest.mark.parametrize("error", [struct.error("x"), OverflowError("a\nb"), RecursionError(), KeyError(3)])
def test_any_error_of_a_decoder_becomes_a_reason(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise error

    data = encoded(picture())
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(UnreadableFile) as caught:
        decode(data, SMALL)
    assert "\n" not in str(caught.value)


# Threads, and the settings of others


def test_threads_give_the_same_pixels() -> None:
    profile = matrix_profile(DISPLAY_P3, 2.2)
    files = [
        encoded(picture(200 + i, 300, seed=i), f, icc_profile=profile)
        for i in range(6)
        for f in ("JPEG", "PNG", "TIFF")
    ]
    alone = [decode(data, SMALL).pixels for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data, SMALL).pixels, files * 4))
    for i, pixels in enumerate(together):
        assert (pixels == alone[i % len(files)]).all()


def test_large_photos_are_decoded_within_large(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[str] = []
    fit = resize.fit
    monkeypatch.setattr(resize, "fit", lambda image, model: (entered.append("resized"), fit(image, model))[1])

    @contextlib.contextmanager
    def large() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    decode(encoded(picture()), SMALL, large=large)
    assert entered == ["resized"]
    monkeypatch.setattr(decode_module, "LARGE_PIXELS", 10)
    decode(encoded(picture()), SMALL, large=large)
    assert entered == ["resized", "in", "resized", "out"]


def test_pillows_settings_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12_345)
    filters = list(warnings.filters)
    decode(encoded(picture()), SMALL)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda data: decode(data, SMALL), [encoded(picture(), "TIFF")] * 20))
    with pytest.raises(UnreadableFile):
        decode(b"x", SMALL)
    assert Image.MAX_IMAGE_PIXELS == 12_345
    assert filters == list(warnings.filters)
