from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from PIL import Image

from tests.ingest.test_decode import SMALL, encoded, picture
from vlsearch.ingest.decode import Note, Photo, decode
from vlsearch.ingest.notes import Words, from_xmp, notes


def xmp(inner: str = "", attributes: str = "") -> bytes:
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" {attributes}>
{inner}</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def alternatives(name: str, **texts: str) -> str:
    items = "".join(f'<rdf:li xml:lang="{lang.replace("_", "-")}">{text}</rdf:li>' for lang, text in texts.items())
    return f"<{name}><rdf:Alt>{items}</rdf:Alt></{name}>"


def bag(*words: str, kind: str = "Bag") -> str:
    return f"<dc:subject><rdf:{kind}>{''.join(f'<rdf:li>{w}</rdf:li>' for w in words)}</rdf:{kind}></dc:subject>"


FULL = xmp(alternatives("dc:description", x_default="boats in a harbour") + bag("sea", "boat"))


def iim(*datasets: tuple[int, int, bytes]) -> bytes:
    return b"".join(
        struct.pack(">BBBH", 0x1C, record, number, len(value)) + value for record, number, value in datasets
    )


def jpeg(packet: bytes | None = None, record: bytes | None = None) -> bytes:
    """A JPEG with XMP in APP1 and IPTC-IIM in Photoshop's APP13."""
    data = encoded(picture(), "JPEG")
    blocks = b""
    if packet is not None:
        body = b"http://ns.adobe.com/xap/1.0/\0" + packet
        blocks += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    if record is not None:
        body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + bytes(len(record) % 2)
        blocks += b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    return data[:2] + blocks + data[2:]


def photo(packet: bytes | None = None, record: bytes | None = None, **options: Any) -> Photo:
    return decode(jpeg(packet, record), SMALL, **options)


# XMP


def test_description_and_keywords() -> None:
    assert from_xmp(FULL) == Words("boats in a harbour", "sea, boat", None)
    assert from_xmp(xmp(bag("sea", " sea ", "", "big\nboat", kind="Seq"))).keywords == "sea, big boat"
    assert from_xmp(xmp("<dc:description>plain text</dc:description>")).caption == "plain text"
    assert from_xmp(xmp(attributes='dc:description="an attribute"')).caption == "an attribute"
    assert from_xmp(xmp()) == Words()


def test_languages_and_titles() -> None:
    german_first = alternatives("dc:description", de="ein Hund", x_default="a dog", fr="un chien")
    assert from_xmp(xmp(german_first)).caption == "a dog"
    assert from_xmp(xmp(alternatives("dc:description", de="ein Hund", fr="un chien"))).caption == "ein Hund"
    title = alternatives("dc:title", x_default="Rex")
    assert from_xmp(xmp(title)).caption == "Rex"
    assert from_xmp(xmp(title + german_first)).caption == "a dog"
    assert from_xmp(xmp(title + alternatives("dc:description", x_default="  "))).caption == "Rex"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2019-07-14T18:03:59+02:00", "2019-07-14T18:03:59+02:00"),
        ("2019-07-14T18:03:59.25Z", "2019-07-14T18:03:59+00:00"),
        ("2019-07-14T18:03", "2019-07-14T18:03:00"),
        ("2019-07-14", "2019-07-14T00:00:00"),
        ("2019-07", None),
        ("2019-13-14T18:03:59", None),
        ("0000-00-00T00:00:00", None),
        ("yesterday", None),
    ],
)
def test_dates(value: str, expected: str | None) -> None:
    assert from_xmp(xmp(attributes=f'photoshop:DateCreated="{value}"')).taken_at == expected
    assert from_xmp(xmp(f"<xmp:CreateDate>{value}</xmp:CreateDate>")).taken_at == expected


def test_the_date_of_exposure_goes_first_and_exifs_own_before_it() -> None:
    packet = xmp(attributes='xmp:CreateDate="2020-01-01" exif:DateTimeOriginal="2019-07-14T18:03:59"')
    assert from_xmp(packet).taken_at == "2019-07-14T18:03:59"
    assert photo(packet).taken_at == "2019-07-14T18:03:59"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2018:01:02 03:04:05"
    data = encoded(picture(), "JPEG", exif=exif, xmp=packet)
    assert decode(data, SMALL).taken_at == "2018-01-02T03:04:05"


@pytest.mark.parametrize(
    "text",
    [
        *("OLYMPUS DIGITAL CAMERA", "SONY DSC", "MINOLTA DIGITAL CAMERA", "KONICA MINOLTA DIGITAL CAMERA", "   "),
        *(r"DCIM\100GOPRO\GOPR0123.JPG", "DCIM/100MEDIA/DJI_0001.JPG", "SAMSUNG", "Exif_JPEG_PICTURE", "DSC_0123"),
        *("IMG_1234.JPG", "DIGITAL CAMERA", "KODAK Digital Still Camera", "oznorCO", "Untitled"),
    ],
)
def test_what_cameras_write_by_themselves_is_no_caption(text: str) -> None:
    assert from_xmp(xmp(alternatives("dc:description", x_default=text))).caption == ""
    assert photo(record=iim((2, 120, text.encode()))).notes == ()


@pytest.mark.parametrize(
    "text", ["my new digital camera on a table", "Sony DSC-W830 in a shop", "a", "hdr of a church"]
)
def test_what_people_write_stays(text: str) -> None:
    assert from_xmp(xmp(alternatives("dc:description", x_default=text))).caption == text


def with_entities(declared: str, used: str) -> bytes:
    start, rest = xmp(f"<dc:description>{used}</dc:description>").split(b"?>", 1)
    return start + f"?><!DOCTYPE x [{declared}]>".encode() + rest


def bomb() -> bytes:
    grow = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    return with_entities(f'<!ENTITY e0 "lol">{grow}', "&e9;")


@pytest.mark.parametrize(
    "packet",
    [
        *(b"", b"\0" * 50, b"not XML", FULL[:400], FULL.replace(b"</rdf:RDF>", b""), b"\xff\xfe\xff", b"<a/>"),
        FULL.replace(b"boats", b"boats \x01"),
        FULL.replace(b"boats", b"&undefined;"),
        bomb(),
        with_entities('<!ENTITY e "harmless">', "&e;"),
        with_entities('<!ENTITY e SYSTEM "file:///etc/passwd">', "a &e; b"),
        bomb().decode().encode("utf-16"),
    ],
)
def test_malformed_and_malicious_packets_say_nothing_and_cost_nothing(packet: bytes) -> None:
    assert from_xmp(packet) == Words()
    if len(packet) < 60_000:
        assert photo(packet).notes == ()


def test_deep_nesting_is_survived() -> None:
    assert from_xmp(b"<a>" * 200_000 + b"</a>" * 200_000) == Words()


def test_encodings() -> None:
    text = FULL.decode().replace("boats", "Bögen 🚣‍♀️")
    expected = "Bögen 🚣‍♀️ in a harbour"
    assert from_xmp(text.encode()).caption == expected
    assert from_xmp(text.encode("utf-16")).caption == expected
    assert from_xmp(b"\xef\xbb\xbf" + text.encode() + bytes(2000)).caption == expected
    declared = '<?xml version="1.0" encoding="UTF-16"?>' + text
    assert from_xmp(declared.encode()).caption == expected
    assert from_xmp(FULL.replace(b"boats", b"b\xf6gen")).caption == "b�gen in a harbour"


def test_long_texts_are_cut() -> None:
    assert len(from_xmp(xmp(f"<dc:description>{'x y ' * 10_000}</dc:description>")).caption) == 10_000


# IPTC-IIM


def test_iptc_encodings() -> None:
    utf8 = iim((1, 90, b"\x1b%G"), (2, 120, "Bögen".encode()), (2, 25, "Fluß".encode()), (2, 25, b"boat"))
    assert photo(record=utf8).notes == (Note("Bögen", "iptc"), Note("Fluß, boat", "iptc:keywords"))
    latin = iim((2, 120, "Bögen".encode("latin-1")), (2, 25, "Fluß".encode("latin-1")))
    assert photo(record=latin).notes == (Note("Bögen", "iptc"), Note("Fluß", "iptc:keywords"))
    assert photo(record=iim((2, 120, "Bögen".encode()))).notes == (Note("Bögen", "iptc"),)
    assert photo(record=iim((1, 90, b"\x1b%G"), (2, 120, b"B\xf6gen"))).notes == (Note("B�gen", "iptc"),)


def test_a_tiffs_iptc_and_xmp() -> None:
    tags = {33723: iim((2, 120, b"boats")), 700: FULL}
    data = encoded(picture(), "TIFF", tiffinfo=tags)
    assert decode(data, SMALL).notes == (
        Note("boats in a harbour", "xmp"),
        Note("boats", "iptc"),
        Note("sea, boat", "xmp:keywords"),
    )


@pytest.mark.parametrize(
    "record", [b"", b"\x1c", b"\x1c\x02\x78\xff\xff", bytes(40), iim((2, 120, b""))[:4], b"\x1c\xff\xff"]
)
def test_malformed_iptc_does_not_cost_the_photo(record: bytes) -> None:
    assert photo(record=record).notes == ()


# Both, and where they are found


def test_the_same_words_in_both_count_once() -> None:
    record = iim((2, 120, b"boats in a harbour"), (2, 25, b"sea"), (2, 25, b"boat"))
    both = (Note("boats in a harbour", "xmp"), Note("sea, boat", "xmp:keywords"))
    assert photo(FULL, record).notes == both
    other = iim((2, 120, b"Hamburg"), (2, 25, b"sea"))
    assert photo(FULL, other).notes == (both[0], Note("Hamburg", "iptc"), both[1], Note("sea", "iptc:keywords"))
    assert notes([], Words()) == ()


def test_a_sidecar_counts_first_in_what_it_says() -> None:
    sidecar = xmp(alternatives("dc:description", x_default="edited"), 'photoshop:DateCreated="1999-01-02"')
    edited = photo(FULL, sidecar=sidecar)
    assert edited.notes == (Note("edited", "xmp"), Note("sea, boat", "xmp:keywords"))
    assert edited.taken_at == "1999-01-02T00:00:00"
    assert photo(FULL, sidecar=b"<broken").notes == photo(FULL).notes
    assert photo(sidecar=FULL).notes == photo(FULL).notes


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "PNG"])
def test_xmp_in_several_formats(format: str) -> None:
    if format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", FULL.decode())
        data = encoded(picture(), format, pnginfo=info)
    else:
        data = encoded(picture(), format, xmp=FULL)
    assert decode(data, SMALL).notes == (Note("boats in a harbour", "xmp"), Note("sea, boat", "xmp:keywords"))


def test_pixels_stay_the_same() -> None:
    assert (photo(FULL, iim((2, 120, b"x"))).pixels == decode(encoded(picture(), "JPEG"), SMALL).pixels).all()
    assert Image.open(io.BytesIO(jpeg(FULL))).info["xmp"] == FULL
