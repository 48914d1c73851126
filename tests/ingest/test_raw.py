from __future__ import annotations

import dataclasses
import io
import struct
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.ingest.raw_files import dng, tiff
from tests.ingest.test_decode import encoded, picture
from vlsearch.encoders.base import Preprocess
from vlsearch.errors import UnreadableFile
from vlsearch.ingest import raw
from vlsearch.ingest.decode import Note, decode

SMALL = Preprocess(size=(32, 32), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), resize_mode="squash")


def flat(rgb: NDArray[np.uint8]) -> NDArray[np.int_]:
    return decode(encoded(rgb), SMALL).pixels.astype(int)


@pytest.fixture
def rawpy() -> None:
    pytest.importorskip("rawpy", reason="the extra [raw] is not installed")


@pytest.mark.usefixtures("rawpy")
def test_without_a_preview_the_sensor_is_developed() -> None:
    rgb = picture(240, 360)
    photo = decode(dng(rgb), SMALL)
    assert (photo.width, photo.height, photo.format) == (360, 240, "RAW")
    assert np.abs(photo.pixels - flat(rgb)).mean() < 6
    turned = decode(dng(rgb, orientation=6), SMALL)
    assert (turned.width, turned.height) == (240, 360)
    assert np.abs(turned.pixels - np.rot90(flat(rgb), -1)).mean() < 6


@pytest.mark.usefixtures("rawpy")
def test_what_a_raw_file_says_about_itself() -> None:
    for data in (dng(picture(240, 360)), dng(picture(240, 360), encoded(picture(), "JPEG"), within=True)):
        photo = decode(data, SMALL)
        assert photo.taken_at == "2021-03-04T05:06:07+01:00"
        assert (photo.camera, photo.lens) == ("Acme Box 1", "Acme 50mm F1.8")
        assert (photo.lat, photo.lon) == (52.5, -13.25)
        assert photo.notes == (Note("a harbour", "xmp"),)


@pytest.mark.usefixtures("rawpy")
@pytest.mark.parametrize("within", [False, True])
def test_the_preview_is_taken_where_it_is_large_enough(within: bool) -> None:
    sensor, shown = np.full((240, 360, 3), 90, np.uint8), picture(150, 225)
    photo = decode(dng(sensor, encoded(shown, "JPEG", quality=95), within=within), SMALL)
    assert (photo.width, photo.height) == (360, 240)
    assert np.abs(photo.pixels - flat(shown)).mean() < 2
    thumbnail = encoded(picture(31, 200), "JPEG", quality=95)
    photo = decode(dng(sensor, thumbnail, within=within), SMALL)
    assert (photo.pixels == photo.pixels[0, 0]).all()


@pytest.mark.usefixtures("rawpy")
def test_the_model_input_decides_what_is_large_enough() -> None:
    sensor, shown = np.full((240, 360, 3), 90, np.uint8), picture(150, 225)
    wide = dataclasses.replace(SMALL, size=(160, 160))
    photo = decode(dng(sensor, encoded(shown, "JPEG")), wide)
    assert (photo.pixels == photo.pixels[0, 0]).all()


@pytest.mark.usefixtures("rawpy")
def test_a_damaged_preview_is_passed_over() -> None:
    sensor, preview = np.full((240, 360, 3), 90, np.uint8), encoded(picture(150, 225), "JPEG", quality=95)
    photo = decode(dng(sensor, preview[: len(preview) // 2]), SMALL)
    assert (photo.pixels == photo.pixels[0, 0]).all()


@pytest.mark.usefixtures("rawpy")
def test_the_orientation_of_the_raw_file_the_preview_or_neither() -> None:
    sensor, shown = np.full((240, 360, 3), 90, np.uint8), picture(150, 225)
    upright = np.rot90(flat(shown), -1)
    says_so, says_else = Image.Exif(), Image.Exif()
    says_so[0x0112], says_else[0x010F] = 6, "Acme"
    turned = encoded(np.rot90(shown, -1), "JPEG", quality=95)
    # LibRaw writes EXIF with its own orientation into a preview that does not begin with some.
    plain, *with_exif = (encoded(shown, "JPEG", quality=95, **o) for o in ({}, {"exif": says_so}, {"exif": says_else}))
    silent = with_exif[1][:2] + with_exif[1][20:]
    assert silent[6:10] == b"Exif"
    for preview in (plain, *with_exif, silent, turned):
        photo = decode(dng(sensor, preview, orientation=6), SMALL)
        assert (photo.width, photo.height) == (240, 360)
        assert np.abs(photo.pixels - upright).mean() < 3


@pytest.mark.usefixtures("rawpy")
def test_limits_and_large(monkeypatch: pytest.MonkeyPatch) -> None:
    data = dng(picture(240, 360))
    with pytest.raises(UnreadableFile, match=r"^360x240 pixels, over the limit of 0.05 megapixels$"):
        decode(data, SMALL, max_pixels=50_000)
    entered = []

    def large() -> Any:
        entered.append(1)
        return io.BytesIO()

    monkeypatch.setattr("vlsearch.ingest.decode.LARGE_PIXELS", 50_000)
    decode(data, SMALL, large=large)
    decode(dng(picture(240, 360), encoded(picture(150, 225), "JPEG")), SMALL, large=large)
    assert entered == [1]


def test_without_rawpy_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(UnreadableFile, match=r"^RAW needs rawpy: pip install 'vlsearch\[raw\]'$"):
        decode(dng(picture(), encoded(picture(), "JPEG"), within=True), SMALL)


@pytest.mark.usefixtures("rawpy")
def test_damaged_raw_files() -> None:
    data = dng(picture(60, 80))
    rng = np.random.default_rng(1)
    reasons = []
    for attempt in range(60):
        damaged = bytearray(data if attempt % 3 else data[: rng.integers(200, len(data))])
        for _ in range(rng.integers(0, 6)):
            damaged[rng.integers(200)] = rng.integers(256)
        try:
            assert decode(bytes(damaged), SMALL).pixels.shape == (32, 32, 3)
        except UnreadableFile as error:
            reasons.append(str(error))
    assert reasons
    assert all(len(reason) < 130 and "\n" not in reason for reason in reasons)
    with pytest.raises(UnreadableFile, match="LibRaw does not know"):
        decode(b"FUJIFILMCCD-RAW 0201" + bytes(5000), SMALL)


# Telling RAW from TIFF


def test_what_is_raw() -> None:
    assert raw.is_raw(dng(picture()))
    sub = [(0x00FE, "I", 0), (0x0106, "H", 32803)]
    thumbnail = [(0x0100, "I", 16), (0x0106, "H", 2)]
    assert raw.is_raw(tiff([*thumbnail, (0x014A, "I", 1)], sub))
    assert raw.is_raw(tiff([*thumbnail, (0x00FE, "I", 1), (0x014A, "I", 1)], [(0x0106, "H", 2)]))
    assert raw.is_raw(tiff(thumbnail, start=16, magic=b"II*\0")[:8] + b"CR\2\0" + bytes(100))
    assert raw.is_raw(b"\0\0\0\x18ftypcrx \0\0\0\1")
    for magic in (b"IIRO\x08\0\0\0", b"IIU\0\x18\0\0\0", b"FUJIFILMCCD-RAW 0201", b"II\x1a\0\0\0HEAPCCDR"):
        assert raw.is_raw(magic + bytes(100))


def test_what_is_not_raw() -> None:
    page = [(0x00FE, "I", 0), (0x0106, "H", 2), (0x014A, "I", 1)]
    assert not raw.is_raw(tiff(page, [(0x00FE, "I", 1), (0x0106, "H", 2)]))  # a pyramid: the first page is the largest
    for format in ("TIFF", "JPEG", "PNG", "AVIF"):
        assert not raw.is_raw(encoded(picture(), format))
    data = dng(picture())
    for length in range(0, 40, 3):
        assert not raw.is_raw(data[:length])
    looped = bytearray(tiff([(0x0106, "H", 2), (0x014A, "I", 0)]))
    assert not raw.is_raw(bytes(looped))


# Tags of the kinds that are no TIFF; no such file is at hand, so only what is read of them


def test_tags_of_a_cr3() -> None:
    def box(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + name + body

    data = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(
        b"moov",
        box(b"CMT1", tiff([(0x010F, "s", b"Canon\0"), (0x0110, "s", b"Canon EOS R5\0"), (0x0112, "H", 8)]))
        + box(b"CMT2", tiff([(0x9003, "s", b"2022:01:02 03:04:05\0"), (0xA434, "s", b"RF50mm F1.2L USM\0")]))
        + box(
            b"CMT4", tiff([(1, "s", b"S\0"), (2, "R", [1.0, 30.0, 0.0]), (3, "s", b"E\0"), (4, "R", [2.0, 0.0, 0.0])])
        ),
    )
    from vlsearch.ingest import exif

    tags = raw._tags(data)
    assert exif.camera(tags) == "Canon EOS R5"
    assert exif.taken_at(tags) == "2022-01-02T03:04:05"
    assert exif.lens(tags) == "RF50mm F1.2L USM"
    assert exif.position(tags) == (-1.5, 2.0)
    assert dict(raw._tags(data[:60])) == {}


@pytest.mark.parametrize("magic", [b"IIRO", b"IIRS", b"IIU\0"])
def test_tags_of_an_orf_and_rw2(magic: bytes) -> None:
    tags = raw._tags(tiff([(0x010F, "s", b"Panasonic\0"), (0x0110, "s", b"DC-G9\0")], magic=magic, start=24))
    assert (tags[0x010F], tags[0x0110]) == ("Panasonic", "DC-G9")
