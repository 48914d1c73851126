"""The report as a page: whole, safe, alone, and the same from the same."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.audit.report_samples import (
    all_kinds,
    choice,
    choice_rows,
    everything,
    lists,
    lists_rows,
    retrieval,
    retrieval_rows,
)
from vlsearch.audit.perturb import PERTURBATIONS
from vlsearch.audit.report import Report
from vlsearch.audit.report.charts import Mark, forest, rank_density
from vlsearch.audit.report.html import render, write_report
from vlsearch.audit.report.tables import DIRECTIONS
from vlsearch.errors import UsageError

META = {"settings": {"perturbations": ["shuffle", "swap"], "seeds": 5}, "versions": {"torch": "2.6"}, "date": "today"}
SVG = "{http://www.w3.org/2000/svg}"


def text_of(page: str) -> str:
    """What a reader reads, without tags and with single spaces."""
    return " ".join(re.sub(r"<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def test_a_report_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    path = write_report(tmp_path / "new" / "report", retrieval(), retrieval_rows(), META)
    assert [*path.parent.iterdir()] == [path]
    assert path.name == "index.html"
    page = path.read_text(encoding="utf-8")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    addresses = set(re.findall(r"https?://[^\"' )<]*", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(script|link|iframe|object)", page)


@pytest.mark.parametrize(("report", "rows"), all_kinds())
def test_the_same_report_is_the_same_file(report: Report, rows: pa.Table) -> None:
    assert render(report, rows, META) == render(report, rows, META)


def test_it_opens_with_the_finding_and_goes_on_in_order() -> None:
    text = text_of(render(retrieval(), retrieval_rows(), META))
    places = [
        "Shuffling the words costs 3.9 points of Recall@10",
        "Drop of Recall@10",
        "Ranks, text → photo",
        "Ranks, photo → text",
        "Figures",
        "Controls, and how far to trust this",
        "The 4 queries that lost most",
        "The 4 queries that lost least",
        "How it was measured",
        "How to cite",
    ]
    at = [text.index(place) for place in places]
    assert at == sorted(at)


def test_how_it_was_measured_is_all_there() -> None:
    page = render(retrieval(), retrieval_rows(), META)
    told = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert (
        told.items()
        >= {
            "model": "builtin",
            "fingerprint": "ab12",
            "resamples": "2,000",
            "settings: perturbations": "shuffle, swap",
            "settings: seeds": "5",
            "versions: torch": "2.6",
            "date": "today",
        }.items()
    )


def test_a_part_is_told_before_the_finding() -> None:
    text = text_of(render(replace(retrieval(), part="3 of 5,000 photos"), retrieval_rows(), META))
    assert text.index("Only a part of library: 3 of 5,000 photos.") < text.index("Shuffling the words")


def test_what_captions_and_names_hold_is_only_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> & \"dogs\" on a 'sofa' \x1b[31m \u202e"
    photo = str(tmp_path / "<img src=x>.jpg")
    rows = retrieval_rows(captions=[evil], photos=[photo])
    page = render(replace(retrieval(), model="<b>m</b>", part="<i>p</i>"), rows, {"<u>k</u>": "<u>v</u>"})
    for tag in ("<script", "<b>m", "<i>p", "<u>", "<img src=x"):
        assert tag not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_photos_are_inside_and_lost_ones_say_why(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), "teal").save(tmp_path / "teal.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    photos = [str(tmp_path / name) for name in ("teal.jpg", "broken.jpg", "gone.jpg", "\ufffd\n.jpg")]
    page = render(retrieval(), retrieval_rows(photos=photos), META)
    assert re.findall(r'src="(data:image/jpeg;base64,)[^"]+" width="240" height="180" alt="teal.jpg"', page)
    assert "gone.jpg cannot be shown: no such file or directory" in page
    assert "broken.jpg cannot be shown: not a picture that can be read" in page
    assert "\ufffd\\n.jpg cannot be shown" in page


@pytest.mark.parametrize(
    ("report", "rows"),
    [
        (everything(), retrieval_rows(tuple(PERTURBATIONS), captions=["a dog with a red ball " * 2000])),
        (retrieval(("shuffle",), (1,)), retrieval_rows(("shuffle",))),
        (retrieval(("identity",)), retrieval_rows(("identity",))),
        (replace(retrieval(), results=(), ranks=()), retrieval_rows(()).slice(0, 0)),
        (
            replace(retrieval(), results=tuple(replace(r, unperturbable=1001) for r in retrieval().results)),
            retrieval_rows(captions=["x"]),
        ),
        (choice(()), choice_rows().slice(0, 0)),
        (choice(tuple(f"relation {n}" for n in range(48)), "macro accuracy"), choice_rows()),
        (lists(()), lists_rows().slice(0, 0)),
    ],
    ids=["all", "one", "controls", "nothing", "unperturbable", "no choices", "many splits", "no lists"],
)
def test_any_report_makes_a_page(report: Report, rows: pa.Table) -> None:
    page = render(report, rows, {})
    assert len(page) < 1_000_000
    assert page.count("<svg") == page.count("</svg>")


def test_choices_are_shown_beside_chance_and_blind() -> None:
    text = text_of(render(choice(("all", "add_obj")), choice_rows(), META))
    assert "│ chance, × a blind model of captions, ◆ the same model on alphabetically sorted words" in text
    assert "score 0.100 to 0.300" in text


def test_a_full_disk_leaves_the_old_report_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_report(tmp_path, retrieval(), retrieval_rows(), META)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"cannot write '.*index.html': no space left on device; choose another place"):
        write_report(tmp_path, choice(), choice_rows(), META)
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_report(tmp_path / "file", retrieval(), retrieval_rows(), META)


def drawn(svg: str) -> ElementTree.Element:
    assert not re.search("#01020[0-9]", svg), "a colour that should be the page's"
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in drawn(svg).iter(f"{SVG}text")]


def test_a_forest_has_text_for_its_labels_and_the_pages_colours() -> None:
    svg = forest([Mark("shuffle <1>", 3.9, 2.1, 5.6, True), Mark("identity", 0, 0, 0, quiet=True)], "points", (-1, 7))
    assert {"shuffle <1>", "identity", "points"} <= set(texts(svg))
    assert svg.count("fill: var(--accent)") == 1, "only what is sure is full"
    assert "var(--quiet)" in svg


def test_ranks_of_many_queries_are_a_small_figure() -> None:
    rng = np.random.default_rng(0)
    clean, perturbed = (rng.integers(1, 5001, 200_000).astype(np.int32) for _ in range(2))
    assert len(rank_density(clean, perturbed, 5000)) < 60_000


def test_ranks_fall_into_octaves() -> None:
    ranks = np.array([1, 2, 3, 4, 5, 8, 9], np.int32)
    svg = rank_density(ranks, ranks, 16)
    assert svg.count("fill: var(--accent)") == 5, "1, 2, 3-4, 5-8, 9-16"
    assert texts(svg) == 2 * ["1", "4", "16"]


def test_both_directions_are_on_one_scale() -> None:
    results = [replace(r, high=0.5) if r.direction == "image_to_text" else r for r in retrieval().results]
    page = render(replace(retrieval(), results=tuple(results)), retrieval_rows(), META)
    first, second = (texts(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)[: len(DIRECTIONS)])
    assert first == second


def test_meta_may_be_nested_and_odd() -> None:
    meta: dict[str, Any] = {"a": {"b": {"c": [1, "x"]}}, "none": None, "share": 0.5}
    page = render(retrieval(), retrieval_rows(), meta)
    assert "<dt>a: b: c</dt><dd>1, x</dd>" in page
    assert "<dt>share</dt><dd>0.5</dd>" in page
