"""`--where`: what it means, by an evaluator of its own in Python, and what it says of what it cannot read."""

from __future__ import annotations

import math
import operator
import pickle
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.search.catalog_rows import Photo, catalog
from vlsearch.catalog import conditions
from vlsearch.catalog.conditions import FIELDS
from vlsearch.catalog.reader import Reader
from vlsearch.errors import UsageError
from vlsearch.search.expression import (
    Among,
    And,
    Chain,
    Compare,
    Date,
    Expression,
    Field,
    Minus,
    Missing,
    Not,
    Number,
    Operand,
    Or,
    Text,
    compiled,
)
from vlsearch.search.filters import Filters, interval
from vlsearch.search.mistake import Mistake
from vlsearch.search.where import DEEPEST, LONGEST, parse

PHOTOS = [
    Photo(("/p/holiday/IMG_0001.JPG",), size=2_500_000, width=4000, height=3000, taken_at="2021-06-15T18:00:00",
          camera="Canon EOS R5", lens="RF24-105mm", lat=52.5, lon=13.4, captions=("a dog", "a cat"), keywords="dog"),
    Photo(("/p/holiday/a.b/noext",), size=10, width=3000, height=4000, format="HEIF",
          taken_at="2021-06-15T23:59:59+02:00", camera="Apple iPhone 14", lat=-33.5, lon=-70.0, tags=("beach", "sea")),
    Photo(("/p/Straße/x.heic", "/q/other.png"), size=1_000, width=100, height=100, format="HEIF",
          taken_at="2021-06-13T00:00:00-05:00", camera="SONY ILCE-7M3", lens="E 50mm", keywords="only, keywords"),
    Photo(("imported/001.jpg",), size=0, width=0, height=0, format=""),
    Photo(("/data/00001.tar#000.jpg",), size=300_000, width=1, height=3, format="PNG", taken_at="2020-02-29T12:30:00",
          camera='a "quoted" one', lat=0.0, lon=0.0),
    Photo(("/p/\udcff\udcfe.png",), size=7, width=7, height=2, format="PNG", taken_at="1999-12-31T23:59:59"),
    Photo(("/p/gone.jpg",), missing=("/p/old.jpg",), width=12, height=12, camera="canon eos r5"),
    Photo((), missing=("/p/missing.jpg",), width=12, height=12),
]  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = catalog(tmp_path_factory.mktemp("where") / "catalog.sqlite", PHOTOS)
    yield reader
    reader.close()


def found(reader: Reader, text: str) -> list[int]:
    return Filters.of(where=text).content_ids(reader).tolist()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("width > height", [1, 6]),
        ("width>height and not(width<1000)", [1]),
        ("megapixels >= 12", [1, 2]),
        ("aspect = 4/3", [1]),
        ("aspect * 3 = 4 or 1 = 2", [1]),
        ("size >= 2.5MB", [1]),
        ("size between 1", None),
        ("size < 1kB and size > 0", [2, 6]),
        ("size == 1000", [3, 7]),
        ("taken = 2021-06-15", [1, 2]),
        ("taken != 2021-06-15", [3, 5, 6]),
        ("taken > 2021-06-14", [1, 2]),
        ("taken > 2021-06-15", []),
        ("taken >= 2021-06-15T18:00 and taken <= 2021-06-15T18:00", [1]),
        ("2021-06-14 >= taken", [3, 5, 6]),
        ("2021-06-14 < taken", [1, 2]),
        ("taken in (2021-06-13, 2020-02-29)", [3, 5]),
        ("taken not in (2021-06-13, 2020-02-29)", [1, 2, 6]),
        ("year = 2021 and month = 6 and day >= 15", [1, 2]),
        ("hour >= 22 or hour < 6", [2, 3, 6]),
        ("weekday >= 6", [3, 5]),
        ('camera ~ "canon"', [1, 7]),
        ("camera = 'CANON EOS R5'", [1, 7]),
        ("camera ~ '\"quoted\"'", [5]),
        ('camera != "Canon EOS R5"', [2, 3, 5]),
        ('not (camera = "Canon EOS R5")', [2, 3, 4, 5, 6]),
        ('not camera = "Canon EOS R5" and camera is not missing', [2, 3, 5]),
        ("camera is null", [4, 6]),
        ("camera IS NOT NULL", [1, 2, 3, 5, 7]),
        ('lens in ("e 50MM", "RF24-105mm")', [1, 3]),
        ('lens not in ("E 50mm")', [1]),
        ('format = "heic"', [2, 3]),
        ('"jpg" = format', [1, 7]),
        ('format in ("jpeg", "png")', [1, 5, 6, 7]),
        ('format ~ "pe"', [1, 7]),
        ("format is missing", [4]),
        ("width is missing and aspect is missing", [4]),
        ("lat < 0 and lon < -69.5", [2]),
        ("-lat > 33", [2]),
        ("width / lat > 0", [1]),
        ("width / lat is missing", [3, 4, 5, 6, 7]),
        ("lat = -0", [5]),
        ('path ~ "HOLIDAY"', [1, 2]),
        ('path ~ "straße"', [3]),
        ('path = "/q/other.png"', [3]),
        ('path ~ "/Q/" and path ~ "/p/"', []),
        ('name = "img_0001.jpg"', [1]),
        ('name = "noext" and ext = ""', [2]),
        ('name ~ "#000.jpg"', [5]),
        ('name = "001.jpg"', [4]),
        ('ext = "jpg"', [1, 4, 5, 7]),
        ('ext in ("heic", "png")', [3, 6]),
        ('name = "\udcff\udcfe.png"', [6]),
        ("captions > 0", [1]),
        ("captions = 0 and tags = 0", [3, 4, 5, 6, 7]),
        ("tags = 2", [2]),
        ("1 + 2 * 3 - 4 / 2 = 5 and 2 - 3 - 4 = -5 and width = 7", [6]),
        ("(1 + 2) * 3 = 9 and width = 7", [6]),
        ("size = 1e3", [3, 7]),
        ("WIDTH > Height AND Camera IS missing", [6]),
    ],
)
def test_what_an_expression_finds(reader: Reader, text: str, ids: list[int] | None) -> None:
    if ids is None:
        with pytest.raises(UsageError):
            parse(text)
    else:
        assert found(reader, text) == ids


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("", "empty", "^"),
        ("width >", "not the end", "       ^"),
        ("widht > 3", "did you mean width?", "^"),
        ("beach", "text stands in quotes", "^"),
        ("width", "expected a comparison, such as width > 1000, but this is a number", "^"),
        ("width > 3 and height", "expected a comparison", "              ^"),
        ("width + 3", "expected a comparison", "^"),
        ('width = "x"', "cannot compare a number with text", "        ^"),
        ("camera = canon", "there is no field 'canon'", "         ^"),
        ('camera < "x"', "text is compared by =, != and ~", "       ^"),
        ("width ~ 3", "~ looks for text in text", "      ^"),
        ("taken >= 2021", "a date is written 2021-06-15", "         ^"),
        ("taken = 2021-02-30", "there is no date '2021-02-30'", "        ^"),
        ("taken > 2021-06-15T25:00", "there is no date", "        ^"),
        ("2021-06-15 < 2021-06-16", "a date is compared with a field", "             ^"),
        ("taken < taken", "a date is compared with a field", "        ^"),
        ("1 < width < 5", "expected an and, an or or the end, not '<'", "          ^"),
        ("(width > 3", "expected ')', not the end", "          ^"),
        ("width > 3)", "not ')'", "         ^"),
        ('camera = "x', "this quote is not closed", "         ^"),
        ("width > 3 'x", "this quote is not closed", "          ^"),
        ("width > 5km", "'5km' is no number; units are kB", "        ^"),
        ("width > 1e999", "too large", "        ^"),
        ("width is 3", "expected null or missing, not '3'", "         ^"),
        ("width in 3", "expected '('", "         ^"),
        ("width in ()", "expected a field", "          ^"),
        ('width in (3, "x")', "cannot compare a number with text", "             ^"),
        ("width not 3", "expected 'in'", "          ^"),
        ("not width", "expected a comparison", "    ^"),
        ("-camera = 3", "expected a number, but this is text", " ^"),
        ("camera + 1 = 3", "expected a number, but this is text", "^"),
        ("(width > 3) is null", "join comparisons", "^"),
        ("(width > 3) = (height > 3)", "join comparisons", "^"),
        ('format = "jepg"', "did you mean jp", "         ^"),
        ("width > 3; drop table file", "not ';'", "         ^"),
        ("and", "not 'and'", "^"),
        ("日本 > 3", "not '日'", "^"),
        ('camera = "日本" , 3', "not ','", "                ^"),
        ('camera = "a\nb" x', "not 'x'", "                ^"),
        ("width > 3 and " * 20, "not the end", None),
    ],
)  # fmt: skip
def test_errors_say_what_and_where(text: str, message: str, caret: str | None) -> None:
    with pytest.raises(Mistake) as raised:
        parse(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    shown, place = raised.value.details
    assert "\n" not in shown + place
    assert place.endswith("^")
    if caret is not None:
        assert place == caret
    assert len(shown) <= 130
    assert pickle.loads(pickle.dumps(raised.value)).details == raised.value.details


def test_depth_and_length_are_limited(reader: Reader) -> None:
    deep = "(" * DEEPEST + "width" + ")" * DEEPEST + " > 0"
    assert 1 in found(reader, deep)
    for text in (f"({deep})", "not " * (DEEPEST + 1) + "width > 3", "-" * (DEEPEST + 1) + "3 > 2", "(" * 100_000):
        with pytest.raises(Mistake, match="more than"):
            parse(text)
    assert found(reader, " and ".join(["(--width < (9))"] * (DEEPEST + 2))) == [5, 6]
    many = " or ".join(["width=1"] * (LONGEST // 4))
    assert found(reader, many) == [5]
    with pytest.raises(Mistake, match="more than"):
        parse(f"{many} or {many}")
    assert found(reader, "+".join(["1"] * (LONGEST // 2 - 4)) + ">0 and width=1") == [5]
    assert found(reader, f"width in ({','.join(['1'] * (LONGEST // 2 - 4))})") == [5]


@pytest.mark.parametrize(
    "level",
    ["width > 0 or width > 0 and (", "width > 0 or width > 0 and not (", "1 + 2 * (", "1 + 2 * -(", "not not(", "- -("],
)
@pytest.mark.parametrize("leaf", ["name", "ext", "megapixels", "captions"])
def test_what_may_be_written_is_not_too_deep_for_the_database(reader: Reader, level: str, leaf: str) -> None:
    times = DEEPEST // (1 + level.count("not") + level.count("-"))
    nested = (level * times + "{}" + ")" * times).format
    if leaf in ("name", "ext"):
        compared = [f'{leaf} ~ "x"', f'"x" ~ {leaf}', f'{leaf} in ("x", {leaf})', f"{leaf} = {leaf}"]
    else:
        compared = [f"1 + 2 * {leaf} > {leaf} + 2 * {leaf}", f"{leaf} + 1 in (2, 1 + 2 * {leaf})"]
    if level[0] in "1-":
        compared += [f"{nested(leaf)} != 0.5"] if leaf in ("megapixels", "captions") else []
    else:
        compared = [nested(text) for text in compared]
    for text in compared:
        Filters.of(where=text, under=["/p", "/q"], camera="canon", has_caption=True).content_ids(reader)


# random trees, by a second evaluator

Row = dict[str, Any]


def rows_of(photo: Photo) -> list[Row]:
    """What the fields are for each present file, worked out in Python."""
    taken = photo.taken_at
    wide = photo.width and photo.height
    common: Row = {
        "width": photo.width or None,
        "height": photo.height or None,
        "megapixels": photo.width * photo.height / 1e6 if wide else None,
        "aspect": photo.width / photo.height if wide else None,
        "size": photo.size,
        "taken": taken,
        "year": int(taken[:4]) if taken else None,
        "month": int(taken[5:7]) if taken else None,
        "day": int(taken[8:10]) if taken else None,
        "hour": int(taken[11:13]) if taken else None,
        "weekday": date.fromisoformat(taken[:10]).isoweekday() if taken else None,
        "camera": photo.camera,
        "lens": photo.lens,
        "format": photo.format or None,
        "lat": photo.lat,
        "lon": photo.lon,
        "captions": len(photo.captions),
        "tags": len(photo.tags),
    }
    names = [(path, path.rpartition("/")[2]) for path in photo.paths]
    return [
        common | {"path": path, "name": name, "ext": name.rpartition(".")[2] if "." in name else ""}
        for path, name in names
    ]


def folded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape").lower()


def value(node: Operand, row: Row) -> Any:
    match node:
        case Field(name):
            held = row[name]
            return folded(held) if isinstance(held, str) and name != "taken" else held
        case Number(number):
            return number
        case Text(text):
            return folded(text)
        case Minus(operand):
            held = value(operand, row)
            return None if held is None else -held
        case Chain(first, rest):
            total = value(first, row)
            for step, operand in rest:
                other = value(operand, row)
                if total is None or other is None or (step == "/" and other == 0):
                    total = None
                    continue
                total = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[step](
                    float(total), other
                )
                total = None if math.isnan(total) else total
            return total
    raise TypeError(node)


def holds(node: Expression, row: Row) -> bool:
    match node:
        case Compare(sign, left, Date(start, end)):
            taken = value(left, row)
            return (
                taken is not None
                and {
                    "=": start <= taken < end,
                    "!=": not start <= taken < end,
                    "<": taken < start,
                    "<=": taken < end,
                    ">": taken >= end,
                    ">=": taken >= start,
                }[sign]
            )
        case Compare(sign, left, right):
            a, b = value(left, row), value(right, row)
            signs: dict[str, Callable[[Any, Any], bool]] = {
                "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
                ">": operator.gt, ">=": operator.ge, "~": operator.contains,
            }  # fmt: skip
            return a is not None and b is not None and signs[sign](a, b)
        case Among(operand, values, negated):
            sign = "!=" if negated else "="
            each = [holds(Compare(sign, operand, other), row) for other in values]  # type: ignore[arg-type]
            return all(each) if negated else any(each)
        case Missing(operand):
            return value(operand, row) is None
        case Not(operand):
            return not holds(operand, row)
        case And(parts):
            return all(holds(part, row) for part in parts)
        case Or(parts):
            return any(holds(part, row) for part in parts)
    raise TypeError(node)


def fields(kind: str) -> st.SearchStrategy[Operand]:
    return st.sampled_from([Field(name) for name, field in FIELDS.items() if field.kind == kind])


words = st.sampled_from(
    ["", "canon", "a", "JPG", "png", "heif", "/p/", "ß", "\udcff", "noext", ".", "Canon EOS R5", "'"]
)
numbers: st.SearchStrategy[Operand] = st.recursive(
    fields("number")
    | st.builds(Number, st.integers(0, 20) | st.floats(0, 1e300) | st.sampled_from([640, 4000, 3000, 12.0, 2021])),
    lambda inner: (
        st.builds(Minus, inner)
        | st.builds(Chain, inner, st.lists(st.tuples(st.sampled_from("+-"), inner), min_size=1, max_size=2).map(tuple))
        | st.builds(Chain, inner, st.lists(st.tuples(st.sampled_from("*/"), inner), min_size=1, max_size=2).map(tuple))
    ),
    max_leaves=4,
)
texts: st.SearchStrategy[Operand] = fields("text") | st.builds(Text, words)
dates = st.sampled_from(["2021-06-15", "2021-06-15T18:00", "2020-02-29", "1999-12-31"]).map(
    lambda d: Date(*interval(d))
)
taken = st.just(Field("taken"))
order = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, min_size=1, max_size=3).map(tuple)


comparisons = (
    st.builds(Compare, order, numbers, numbers)
    | st.builds(Compare, st.sampled_from(["=", "!=", "~"]), texts, texts)
    | st.builds(Compare, order, taken, dates)
    | st.builds(Among, numbers, several(numbers), st.booleans())
    | st.builds(Among, texts, several(texts), st.booleans())
    | st.builds(Among, taken, several(dates), st.booleans())
    | st.builds(Missing, numbers | texts | taken)
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    comparisons,
    lambda inner: st.builds(Not, inner) | st.builds(And, several(inner)) | st.builds(Or, several(inner)),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expressions)
@example(Compare("=", Chain(Field("lat"), (("/", Field("lon")),)), Number(1.0)))
@example(Compare("<", Chain(Number(1e300), (("*", Number(1e300)), ("-", Number(1.0)))), Number(1.0)))
def test_sql_agrees_with_python(reader: Reader, node: Expression) -> None:
    expected = [i for i, photo in enumerate(PHOTOS, 1) if any(holds(node, row) for row in rows_of(photo))]
    assert Filters(where=node).content_ids(reader).tolist() == expected


def written(node: Any) -> str:
    """A tree as a user writes it, with every bracket."""
    match node:
        case Field(name):
            return name
        case Number(number):
            return repr(float(number))
        case Text(text):
            return f'"{text}"'
        case Date(start, _):
            return start
        case Minus(operand):
            return f"-({written(operand)})"
        case Chain(first, rest):
            return f"({written(first)}" + "".join(f" {sign} ({written(part)})" for sign, part in rest) + ")"
        case Compare(sign, left, right):
            return f"{written(left)} {sign} {written(right)}"
        case Among(operand, values, negated):
            return f"{written(operand)} {'not ' * negated}in ({', '.join(map(written, values))})"
        case Missing(operand):
            return f"{written(operand)} is missing"
        case Not(operand):
            return f"not ({written(operand)})"
        case And(parts) | Or(parts):
            return f"({(' and ' if isinstance(node, And) else ' or ').join(f'({written(part)})' for part in parts)})"
    raise TypeError(node)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expressions)
def test_what_is_written_is_read_as_it_was_meant(reader: Reader, node: Expression) -> None:
    text = written(node)
    try:
        read = parse(text)
    except Mistake as error:
        # formats that do not exist, times to the second where a day was meant, brackets of brackets
        assert "format" in str(error) or "within each other" in str(error)  # noqa: PT017
        return
    if "format" not in text and "taken" not in text:
        got = [i for i, photo in enumerate(PHOTOS, 1) if any(holds(read, row) for row in rows_of(photo))]
        meant = [i for i, photo in enumerate(PHOTOS, 1) if any(holds(node, row) for row in rows_of(photo))]
        assert got == meant
    Filters(where=read).content_ids(reader)


pieces = st.sampled_from(
    [*FIELDS, "and", "or", "not", "in", "is", "null", "(", ")", "<", "=", "~", "+", "-", "/", ",", "3", "4kB", "'x'",
     '"', "2021-06-15", "--", ";", "\0", "日"]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40) | st.lists(pieces, max_size=12).map(" ".join) | st.lists(pieces, max_size=6).map("".join))
@example("\ud800")
@example('camera = "\ud800"')
@example('camera ~ "\0"')
def test_garbage_is_a_usage_error_or_an_expression(reader: Reader, text: str) -> None:
    try:
        node = parse(text)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    Filters(where=node).content_ids(reader)


@given(words | st.text(max_size=20), st.floats(0, 1e9))
def test_nothing_of_the_user_is_in_the_sql(text: str, number: float) -> None:
    node = And((Compare("~", Field("camera"), Text(text)), Compare(">", Field("width"), Number(number))))
    plain = And((Compare("~", Field("camera"), Text("x")), Compare(">", Field("width"), Number(1.0))))
    assert compiled(node).text == compiled(plain).text
    assert compiled(node).parameters == (conditions.encoded(text), number)


def test_every_field_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")
    assert [name for name in FIELDS if f"`{name}`" not in page] == []
