"""Conditions as SQL: what each field is, and statements of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.search.catalog_rows import Photo, catalog
from vlsearch.catalog import conditions
from vlsearch.catalog.conditions import FIELDS, Sql
from vlsearch.catalog.reader import Reader

PATHS = ("/p/a.jpg", "/p/a.b/c", "/p/.hidden", "/p/a.tar.gz", "bare.png", "/p/end.", "/p/ü/é.JPG", "/p/\udcff.\udcfe")
FULL = Photo(
    PATHS,
    size=5,
    width=300,
    height=200,
    format="PNG",
    taken_at="2024-02-29T23:59:58+14:00",
    camera="c",
    lens="l",
    lat=-1.5,
    lon=2.5,
    captions=("x",),
    keywords="k",
    tags=("t", "u"),
)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = catalog(tmp_path / "catalog.sqlite", [FULL, Photo(("/e",), width=0, height=0, format="")])
    yield reader
    reader.close()


def values(reader: Reader, field: str, content_id: int) -> set[Any]:
    query = "FROM file JOIN content ON content.id = file.content_id WHERE content.id = ?"
    return {row[0] for row in reader.rows(f"SELECT CAST({FIELDS[field].sql} AS BLOB) {query}", (content_id,))}


@pytest.mark.parametrize(
    ("field", "value", "empty"),
    [
        ("width", b"300.0", None),
        ("height", b"200.0", None),
        ("megapixels", b"0.06", None),
        ("aspect", b"1.5", None),
        ("size", b"5.0", b"1000.0"),
        ("taken", b"2024-02-29T23:59:58+14:00", None),
        ("year", b"2024.0", None),
        ("month", b"2.0", None),
        ("day", b"29.0", None),
        ("hour", b"23.0", None),
        ("weekday", b"4.0", None),
        ("camera", b"c", None),
        ("lens", b"l", None),
        ("format", b"PNG", None),
        ("lat", b"-1.5", None),
        ("lon", b"2.5", None),
        ("captions", b"1.0", b"0.0"),
        ("tags", b"2.0", b"0.0"),
        ("ext", None, b""),
        ("name", None, b"e"),
        ("path", None, b"/e"),
    ],
)
def test_what_a_field_is(reader: Reader, field: str, value: bytes | None, empty: bytes | None) -> None:
    assert values(reader, field, 2) == {empty}
    if value is not None:
        assert values(reader, field, 1) == {value}


def test_every_field_is_tested() -> None:
    marks = test_what_a_field_is.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(FIELDS)


def test_names_and_their_ends(reader: Reader) -> None:
    names = [conditions.encoded(path).rpartition(b"/")[2] for path in PATHS]
    assert values(reader, "path", 1) == {conditions.encoded(path) for path in PATHS}
    assert values(reader, "name", 1) == set(names)
    assert values(reader, "ext", 1) == {name.rpartition(b".")[2] if b"." in name else b"" for name in names}


def test_text_of_any_kind_can_be_a_parameter() -> None:
    assert conditions.encoded("ß") == b"\xc3\x9f"
    assert conditions.encoded("\udcff") == b"\xff"
    assert conditions.encoded("\ud800") == b"\xed\xa0\x80"


@pytest.mark.parametrize("count", [1, 200, 201, 5000])
def test_a_thousand_conditions_are_not_too_deep(reader: Reader, count: int) -> None:
    never = [conditions.compare("=", conditions.field("size"), conditions.number(n)) for n in range(2000, count + 1999)]
    one = conditions.compare("=", conditions.field("size"), conditions.number(5))
    assert set(reader.numbers(*conditions.files([conditions.either([*never, one])]))) == {1}
    assert set(reader.numbers(*conditions.files([conditions.both([*map(conditions.no, never), one])]))) == {1}


def test_a_condition_is_true_or_false(reader: Reader) -> None:
    unknown = conditions.compare("=", conditions.field("camera"), conditions.words("c"))
    assert set(reader.numbers(*conditions.files([unknown]))) == {1}
    assert set(reader.numbers(*conditions.files([conditions.no(unknown)]))) == {2}


def test_only_what_is_needed_is_joined() -> None:
    assert "JOIN" not in conditions.files([Sql("file.size > ?", (3,))]).text
    assert "JOIN" in conditions.files([], ["lat", "lon"]).text
    assert "JOIN" in conditions.files([conditions.missing(conditions.field("camera"))]).text
