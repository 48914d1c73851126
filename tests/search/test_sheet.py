"""The contact sheet: one file, nothing from outside, any file name, any photo."""

from __future__ import annotations

import base64
import os
import re
import tarfile
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlsearch.errors import UsageError
from vlsearch.printable import printable
from vlsearch.search.explain import Explanation, Part
from vlsearch.search.heat import heat_of
from vlsearch.search.query import Term
from vlsearch.search.sheet import SIDE, Section, SheetHit, SheetPicture, asked, strength, write_sheet


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.html = file.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())

    def every(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self) -> list[Image.Image]:
        return [Image.open(BytesIO(base64.b64decode(img["src"].partition(",")[2]))) for img in self.every("img")]


def photo(path: Path, colour: str = "red", size: tuple[int, int] = (640, 400)) -> str:
    Image.new("RGB", size, colour).save(path)
    return str(path)


def sheet(tmp_path: Path, *hits: SheetHit, title: str = "a query", note: str = "", picture: str | None = None) -> Page:
    file = tmp_path / "sheet.html"
    write_sheet(file, [Section(title, note, hits, SheetPicture(picture) if picture else None)])
    return Page(file)


HEAT = heat_of(np.array([[0.05, 0.1], [0.2, 0.214]], np.float32), (320, 200), (0.0, 0.0, 1.0, 1.0))
WORDS = (Part("dog", 0.08), Part("on", 0.0), Part("beach", -0.03))


def full(tmp_path: Path, **changes: Any) -> Page:
    """A sheet with everything on it."""
    hits = [
        SheetHit(
            photo(tmp_path / "a.jpg"), 0.3, "a dog", 11, 3, Explanation(WORDS, (Part("dog on beach", 0.3),)), HEAT
        ),
        SheetHit(photo(tmp_path / "b.jpg", "blue"), None, None, 12, 2, Explanation((Part("dog", 0.16),))),
    ]
    terms = [Term("dog on beach"), Term("cat", weight=-2), Term(image=photo(tmp_path / "c.jpg", "lime"), weight=0.5)]
    section = {"terms": terms, "order": "this model hears a bag of words here", "page": 2, **changes}
    write_sheet(tmp_path / "full.html", [Section("dog on beach − 2:cat", "a note", hits, **section)])
    return Page(tmp_path / "full.html")


def test_needs_nothing_from_outside(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = sheet(tmp_path / "plain", SheetHit(photo(tmp_path / "a.jpg"), 0.3), picture=photo(tmp_path / "b.jpg"))
    for page, pictures in ((plain, 2), (full(tmp_path), 4)):
        assert not {"script", "link", "iframe", "base", "object", "form"} & {name for name, _ in page.tags}
        assert "//" not in re.sub('base64,[^"]*', "", page.html).replace("file:///", "")
        assert "@import" not in page.html
        assert "url(" not in page.html
        assert all(re.match("data:image/(jpeg|png);base64,", img["src"]) for img in page.every("img"))
        assert all(a["href"].startswith("file:///") for a in page.every("a"))
        assert len(page.every("img")) == pictures
        (policy,) = [meta["content"] for meta in page.every("meta") if meta.get("http-equiv")]
        assert policy.startswith("default-src 'none'; img-src data:;")


def test_pictures_that_were_asked_with_and_by_url(tmp_path: Path) -> None:
    url = "https://example.org/<pool>.jpg"
    page = full(tmp_path, terms=[Term("dog"), Term(image=url), Term(image=str(tmp_path / "gone.jpg"), weight=-1)])
    assert url in page.text
    assert not any("example" in a["href"] for a in page.every("a"))
    assert page.every("a")[0]["href"].endswith("/gone.jpg")
    assert len(page.every("img")) == 3


def test_terms_have_sign_and_weight(tmp_path: Path) -> None:
    page = full(tmp_path)
    start = page.text.index("+")
    assert page.text[start : start + 5] == ["+", "dog on beach", "− 2 ×", "cat", "+ 0.5 ×"]
    assert page.every("img")[0]["alt"] == "the photo asked with: c.jpg"
    assert asked([Term("dog", weight=2)]) == []
    assert [sign for sign, _ in asked([Term(image="a.jpg")])] == ["+"]


def test_words_are_shown_with_what_they_add(tmp_path: Path) -> None:
    page = full(tmp_path)
    start = page.text.index("on")
    assert page.text[start - 2 : start + 4] == ["dog", "+0.08", "on", "0.00", "beach", "−0.03"]
    chips = [span["class"] for span in page.every("span") if re.fullmatch("[pn][1-4]", span.get("class", ""))]
    # 0.08, 0 and −0.03 beside the strongest word of the page, 0.16; the only term is the strongest of terms.
    assert chips == ["p4", "p2", "n1", "p4"]
    assert [strength(w, 1.0) for w in (1, 0.5, 0.1, -0.3, -1, 0)] == ["p4", "p2", "", "n1", "n4", ""]
    assert strength(0, 0) == ""
    labels = [p["aria-label"] for p in page.every("p") if p.get("class") == "why"]
    assert (
        labels == ["what each part of the query adds to the score"] + ["how much the score falls without each word"] * 2
    )
    assert "Beside a word: how much the score falls without it." in page.text


def test_heat_lies_over_its_photo_and_can_be_switched_off_without_a_script(tmp_path: Path) -> None:
    page = full(tmp_path)
    (heat,) = [img for img in page.every("img") if img.get("class") == "heat"]
    thumbnails = [img for img in page.every("img") if img["alt"] == "a dog"]
    assert (heat["width"], heat["height"]) == (thumbnails[0]["width"], thumbnails[0]["height"])
    assert heat["alt"] == "heat map of the query: cosines from 0.05 to 0.21"
    (box,) = page.every("input")
    assert (box["type"], box["id"], "checked" in box) == ("checkbox", "heat", True)
    assert [label["for"] for label in page.every("label")] == ["heat"]
    assert "#heat:not(:checked) ~ main .heat { display: none; }" in page.html
    assert page.html.index('id="heat"') < page.html.index("<main>") < page.html.index('class="heat"')


def test_nothing_is_switched_where_there_is_no_heat(tmp_path: Path) -> None:
    page = sheet(tmp_path, SheetHit(photo(tmp_path / "a.jpg"), 0.3))
    assert page.every("input") == page.every("label") == page.every("ul") == []
    assert "Beside a word" not in " ".join(page.text)
    gone = sheet(tmp_path, SheetHit(str(tmp_path / "gone.jpg"), 0.3, heat=HEAT))
    assert gone.every("img") == []


def test_rank_page_order_and_near_duplicates_are_shown(tmp_path: Path) -> None:
    page = full(tmp_path)
    for text in ("11", "12", "page 2", "this model hears a bag of words here", "0.300"):
        assert page.text.count(text) == 1
    assert "stands for 2 near duplicates" in page.text
    assert "stands for 1 near duplicate" in page.text
    assert not any("None" in text for text in page.text)
    first = full(tmp_path, page=1, order="")
    assert "page 1" not in first.text
    assert not [p for p in first.every("p") if p.get("class") == "order"]


def test_everything_that_was_written_by_others_is_escaped(tmp_path: Path) -> None:
    evil = '"><script>x</script>\x1b'
    terms = [Term(evil), Term(image=f"http://{evil}")]
    section = Section(
        "q",
        "",
        [SheetHit(photo(tmp_path / "a.jpg"), 1, explanation=Explanation((Part(evil, 1.0),), (Part(evil, 1.0),)))],
        terms=terms,
        order=evil,
    )
    write_sheet(tmp_path / "evil.html", [section])
    page = Page(tmp_path / "evil.html")
    assert not page.every("script")
    assert "\x1b" not in page.html
    assert sum('"><script>x</script>\\x1b' in text for text in page.text) == 5


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio of two colours, #rrggbb."""

    def luminance(colour: str) -> float:
        c = np.array([*bytes.fromhex(colour[1:])]) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_on(tmp_path: Path) -> None:
    style = full(tmp_path).html.partition("</style>")[0]
    themes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{[^}]*--ink[^}]*", style)
    ]
    assert len(themes) == 2
    for theme in themes:
        for ground in ("page", "card", *(f"{sign}{step}" for sign in "pn" for step in (1, 2, 3, 4))):
            assert contrast(theme["ink"], theme[ground]) >= 4.5, ground
        assert contrast(theme["quiet"], theme["card"]) >= 4.5
    assert "@media screen and (prefers-color-scheme: dark)" in style  # not on paper


def test_hits_keep_their_order(tmp_path: Path) -> None:
    colours = ["red", "lime", "blue", "white"]
    hits = [SheetHit(photo(tmp_path / f"{c}.png", c), 0.1 * i, f"caption {c}") for i, c in enumerate(colours)]
    page = sheet(tmp_path, *hits)
    assert [img["alt"] for img in page.every("img")] == [f"caption {c}" for c in colours]
    shown = [p.convert("RGB").getpixel((20, 20)) for p in page.pictures()]
    wanted = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    assert all(abs(a - b) < 6 for s, w in zip(shown, wanted, strict=True) for a, b in zip(s, w, strict=True))
    assert [t for t in page.text if t in {"1", "2", "3", "4"}] == ["1", "2", "3", "4"]
    assert [t for t in page.text if t.startswith("0.")] == ["0.000", "0.100", "0.200", "0.300"]


def test_thumbnails_are_small_and_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright: to be turned a quarter clockwise
    lying = Image.new("RGB", (1200, 600), "blue")
    lying.paste("red", (0, 0, 600, 600))
    lying.save(tmp_path / "turned.jpg", exif=exif)
    (shown,) = sheet(tmp_path, SheetHit(str(tmp_path / "turned.jpg"), 1)).pictures()
    assert shown.size == (SIDE // 2, SIDE)
    top, bottom = shown.getpixel((80, 40)), shown.getpixel((80, 280))
    assert top[0] > 200 > 60 > top[2]  # type: ignore[index, operator]
    assert bottom[2] > 200 > 60 > bottom[0]  # type: ignore[index, operator]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I"])
def test_every_mode_becomes_a_jpeg(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("x.tif" if mode in {"CMYK", "I"} else "x.png")
    white = {"1": 1, "LA": (255, 0), "RGBA": (0, 0, 0, 0), "CMYK": (0, 0, 0, 0), "I;16": 65535, "I": 65535, "P": 1}
    picture = Image.new(mode, (40, 40), white.get(mode, 255))
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(file)
    (shown,) = sheet(tmp_path, SheetHit(str(file), 1)).pictures()
    assert min(shown.convert("L").tobytes()) > 250


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.new("I;16", (40, 40), 32768).save(tmp_path / "grey.png")
    (shown,) = sheet(tmp_path, SheetHit(str(tmp_path / "grey.png"), 1)).pictures()
    assert abs(shown.convert("L").getpixel((20, 20)) - 128) <= 2  # type: ignore[operator]


def test_palettes_are_scaled_smoothly(tmp_path: Path) -> None:
    stripes = Image.new("1", (1280, 640))
    stripes.paste(1, (640, 0, 1280, 640))
    stripes.paste(1, (0, 0, 321, 640))
    stripes.convert("P").save(tmp_path / "stripes.png")
    (shown,) = sheet(tmp_path, SheetHit(str(tmp_path / "stripes.png"), 1)).pictures()
    assert any(30 < value < 225 for value in shown.convert("L").crop((70, 80, 90, 81)).tobytes())


def test_names_and_texts_are_escaped(tmp_path: Path) -> None:
    name = '<b>"it\'s" & \x1b[31m\n\u202egpj.png'
    path = photo(tmp_path / name)
    page = sheet(tmp_path, SheetHit(path, 1, "<script>x</script>"), title="<i>t</i>", note="a\x07 & b")
    assert not {"b", "script", "i"} & {tag for tag, _ in page.tags}
    for hidden in ("\x1b", "\x07", "\u202e"):
        assert hidden not in page.html
    assert "<script>x</script>" in page.text
    assert "<i>t</i>" in page.text
    assert "a\\x07 & b" in page.text
    assert '<b>"it\'s" & \\x1b[31m\\n\\u202egpj.png' in page.text
    (link,) = page.every("a")
    assert unquote_to_bytes(link["href"].removeprefix("file://")) == os.fsencode(path)
    assert link["href"].isascii()


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9 \xff.png"
    try:
        Path(os.fsdecode(raw)).write_bytes(Path(photo(tmp_path / "x.png")).read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    page = sheet(tmp_path, SheetHit(os.fsdecode(raw), 0.5, "caption \udcff"))
    assert "caf\\xe9 \\xff.png" in page.text
    assert "caption \\xff" in page.text
    assert page.every("a")[0]["href"].endswith("/caf%E9%20%FF.png")
    assert len(page.pictures()) == 1


def test_printable_leaves_writing_alone() -> None:
    for text in ("Zoë 犬.jpg", "👩‍👧.png", "می‌خواهم", "a\u3000b"):
        assert printable(text) == text
    assert printable("a\u2028b\ud800") == "a\\u2028b\\ud800"


def test_unreadable_photos_get_a_tile_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a photo")
    whole = BytesIO()
    Image.effect_noise((200, 200), 90).save(whole, "PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:9000])
    good = photo(tmp_path / "good.jpg")
    page = sheet(
        tmp_path,
        SheetHit(str(tmp_path / "text.jpg"), 0.9),
        SheetHit(str(tmp_path / "cut.png"), 0.8),
        SheetHit(str(tmp_path / "gone.jpg"), 0.7),
        SheetHit(str(tmp_path), 0.6),
        SheetHit(good, 0.5),
        picture=str(tmp_path / "gone too.jpg"),
    )
    assert len(page.every("img")) == 1
    labels = [div["aria-label"] for div in page.every("div") if div.get("role") == "img"]
    assert labels[0].startswith("gone too.jpg cannot be shown: no such file")
    assert labels[1] == "text.jpg cannot be shown: not a picture that can be read"
    assert labels[2].startswith("cut.png cannot be shown: ")
    assert "truncated" in labels[2]
    assert labels[3].startswith("gone.jpg cannot be shown: no such file")
    assert len(labels) == 5
    assert str(tmp_path) not in "".join(labels)


def test_an_enormous_picture_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photo(tmp_path / "big.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    assert "too many pixels to show here" in sheet(tmp_path, SheetHit(path, 1)).text
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6000)
    assert len(sheet(tmp_path, SheetHit(path, 1)).every("img")) == 1


def test_nothing_found_is_said(tmp_path: Path) -> None:
    assert "Nothing found." in sheet(tmp_path).text


def test_a_sheet_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "old.html"
    file.mkdir()
    (file / "kept").touch()
    with pytest.raises(UsageError, match=r"^cannot write '.*old\.html': .*; choose another place$"):
        write_sheet(file, [Section("q", "", [])])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.html"]
    with pytest.raises(UsageError, match="cannot write"):
        write_sheet(Path(os.devnull) / "sheet.html", [Section("q", "", [])])


def test_folders_are_made(tmp_path: Path) -> None:
    write_sheet(tmp_path / "a" / "b.html", [Section("one", "", []), Section("two", "", [])], title="the sheet")
    page = Page(tmp_path / "a" / "b.html")
    assert [t for t in page.text if t in {"one", "two"}] == ["one", "two"]
    assert "the sheet" in page.text
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.html"]


def test_photos_in_containers(tmp_path: Path) -> None:
    data = Path(photo(tmp_path / "a.png", "blue")).read_bytes()
    shard, table = tmp_path / "x.tar", tmp_path / "t.parquet"
    with tarfile.open(shard, "w") as archive:
        archive.add(tmp_path / "a.png", "d/./0.png")
    pq.write_table(pa.table({"image": [None, data]}), table)
    hits = [SheetHit(f"{shard}#d/./0.png", 0.5), SheetHit(f"{table}#1", 0.4), SheetHit(f"{table}#0", 0.3)]
    page = sheet(tmp_path, *hits, SheetHit(f"{shard}#1.png", 0.2))
    assert [picture.convert("RGB").getpixel((9, 9)) for picture in page.pictures()] == [(0, 0, 254)] * 2
    links = [unquote_to_bytes(a["href"].removeprefix("file://")) for a in page.every("a")]
    assert links == [os.fsencode(container) for container in (shard, table, table, shard)]
    assert sum(text.startswith("its row holds no image bytes") for text in page.text) == 1
