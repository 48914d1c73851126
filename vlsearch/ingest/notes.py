"""What a file says in words about its photo: captions, keywords and the date, from XMP and IPTC-IIM."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from vlsearch.printable import JOINERS

if TYPE_CHECKING:
    from PIL import ImageFile

LONGEST = 10_000
"""characters that are kept of a caption"""

LARGEST = 16_000_000
"""bytes of XMP that are looked at; a history of edits makes megabytes"""

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_DATES = (
    "{http://ns.adobe.com/exif/1.0/}DateTimeOriginal",
    "{http://ns.adobe.com/photoshop/1.0/}DateCreated",
    "{http://ns.adobe.com/xap/1.0/}CreateDate",
)

_CHARSET, _CAPTION, _KEYWORDS = (1, 90), (2, 120), (2, 25)
_UTF8 = b"\x1b%G"

# What cameras, phones and drones write by themselves.
_FROM_THE_CAMERA = re.compile(
    r"((konica )?minolta|olympus|samsung|kodak|digimax|sanyo)?( \w+)? ?digital (still )?camera|kodak .*digital .*camera"
    r"|sony dsc|samsung( csc)?|<?kenox.*|casio computer co\.?, ?ltd\.?|exif_jpeg.*|jpeg|dcim[\\/]?.*|untitled|default"
    r"|(dsc|dscn|dscf|img|pict|pxl|gopr|dji|p)_?\d[\w-]*(\.\w{3,4})?"
    r"|((oznor|cof|btf|bty|dav|edf|fbt|hdr|mde|nor|ptr|rhdr|sdr|vivid)(co|wl|_soft|pm|ivbg|snc|vtr)?)"
)


class Note(NamedTuple):
    """A caption, or keywords joined by ", "."""

    text: str
    source: str
    """"iptc", "xmp" for captions; "iptc:keywords", "xmp:keywords"; a container's file name ("00001.tar") for captions
    that came with the photo there"""


class Words(NamedTuple):
    """What one block of metadata says; "" and None for what it leaves out."""

    caption: str = ""
    keywords: str = ""
    taken_at: str | None = None


def notes(xmp: Iterable[Words], iptc: Words) -> tuple[Note, ...]:
    """Captions, then keywords. Of several XMP packets the first that has a caption (or keywords) counts; IPTC's are
    left out where they repeat those of XMP, as they do in a file that one program has written both into."""
    xmp = list(xmp)
    found = [
        Note(next((words.caption for words in xmp if words.caption), ""), "xmp"),
        Note(iptc.caption, "iptc"),
        Note(next((words.keywords for words in xmp if words.keywords), ""), "xmp:keywords"),
        Note(iptc.keywords, "iptc:keywords"),
    ]
    return tuple(note for i, note in enumerate(found) if note.text and (i % 2 == 0 or note.text != found[i - 1].text))


def from_xmp(packet: bytes) -> Words:
    """dc:description, or dc:title without one, in the language x-default; dc:subject; when the photo was taken.

    Nothing of a packet that is malformed or has a DTD: no XMP has one, and only there could entities be declared that
    grow when they are expanded, or that name other files.
    """
    try:
        root = _parse(packet)
    except Exception:
        return Words()
    caption = _own_words(_alternative(root, _DC + "description") or _alternative(root, _DC + "title"))
    dates = (_date(value) for name in _DATES for _, value in _values(root, name))
    return Words(
        caption, _joined(text for _, text in _values(root, _DC + "subject")), next((d for d in dates if d), None)
    )


def _parse(packet: bytes) -> ElementTree.Element:
    wide = packet.startswith((b"\xfe\xff", b"\xff\xfe"))
    text = packet[:LARGEST].decode("utf-16" if wide else "utf-8", "replace").strip("\0\ufeff \t\r\n")
    if "<!DOCTYPE" in text:
        raise ValueError
    return ElementTree.fromstring(text)


def _values(root: ElementTree.Element, name: str) -> list[tuple[str | None, str]]:
    """(language, text) of a property: it may be an attribute, or an element that holds text or a list of items."""
    for description in root.iter(_RDF + "Description"):
        if name in description.attrib:
            return [(None, description.attrib[name])]
        if (element := description.find(name)) is not None:
            items = list(element.iter(_RDF + "li")) or [element]
            return [(item.get(_LANG), item.text or "") for item in items]
    return []


def _alternative(root: ElementTree.Element, name: str) -> str:
    values = [(language, text) for language, text in _values(root, name) if text.strip()]
    return dict(values[::-1]).get("x-default", values[0][1]) if values else ""


def _date(value: str) -> str | None:
    """ISO 8601 as XMP has it, with or without time, seconds, fractions and offset, to "2019-07-14T18:03:59+02:00"."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.\d+)?(Z|[+-]\d\d:\d\d)?)?", value.strip())
    if match is None:
        return None
    day, minute, second, offset = match.groups()
    try:
        taken = datetime.fromisoformat(f"{day}T{minute or '00:00'}{second or ':00'}").isoformat()
    except ValueError:
        return None
    return taken + ("+00:00" if offset == "Z" else offset or "")


def from_iptc(image: ImageFile.ImageFile) -> Words:
    """Caption and keywords of the IPTC-IIM record in a JPEG or TIFF (IIM 4.2, datasets 2:120 and 2:25)."""
    from PIL import IptcImagePlugin

    try:
        datasets = IptcImagePlugin.getiptcinfo(image) or {}
        utf8 = _bytes(datasets.get(_CHARSET))[:1] == [_UTF8]
        caption, keywords = ([_decoded(v, utf8) for v in _bytes(datasets.get(key))] for key in (_CAPTION, _KEYWORDS))
    except Exception:
        return Words()
    return Words(_own_words(" ".join(caption)), _joined(keywords))


def _bytes(value: bytes | list[bytes] | None) -> list[bytes]:
    return [] if value is None else [value] if isinstance(value, bytes) else value


def _decoded(value: bytes, utf8: bool) -> str:
    """Many programs write UTF-8 without saying so, and Latin-1 text with accents is hardly ever UTF-8 by chance."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace") if utf8 else value.decode("latin-1")


def _joined(keywords: Iterable[str]) -> str:
    """Each keyword once, by ", "."""
    return ", ".join(dict.fromkeys(filter(None, map(_one_line, keywords))))[:LONGEST]


def _own_words(caption: str) -> str:
    text = _one_line(caption)[:LONGEST]
    return "" if _FROM_THE_CAMERA.fullmatch(text.casefold()) else text


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() or c in JOINERS else " " for c in text).split())
