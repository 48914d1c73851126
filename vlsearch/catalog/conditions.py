"""SQL for conditions on photos and their files. A condition holds or does not: with an unknown value it does not.

Its text comes only from this module; whatever a user wrote is a parameter. What only SQLite has (instr, strftime, rtrim
with a set of characters, NOT INDEXED, bytes cast to text as they are) is here for another database to replace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from vlsearch.catalog.reader import Reader

Kind = Literal["number", "text", "date"]
Column = Literal["path", "lat", "lon"]

FLAT = 200
"""conditions in one chain of AND or OR: a database refuses expressions that are a thousand deep"""
BROAD, BROADER = 1 / 16, 1 / 100
"""the part of all files from which on reading the table is faster than looking each file up by its path, and how much
later that is for each place that every row is then compared with"""


class Sql(NamedTuple):
    """A piece of SQL and the values of its `?`."""

    text: str
    parameters: tuple[Any, ...] = ()


class Field(NamedTuple):
    kind: Kind
    sql: str


_PATH = "CAST(file.path AS TEXT)"
_FOLDER = f"rtrim({_PATH}, replace({_PATH}, '/', ''))"
_STEM = f"rtrim({_PATH}, replace(replace({_PATH}, '/', ''), '.', ''))"
_WIDTH, _HEIGHT = "CAST(NULLIF(content.width, 0) AS REAL)", "CAST(NULLIF(content.height, 0) AS REAL)"
_CAPTIONED = "SELECT caption.content_id FROM caption WHERE caption.source NOT LIKE '%:keywords'"


def _of_time(start: int, length: int) -> str:
    return f"CAST(substr(content.taken_at, {start}, {length}) AS REAL)"


def _count(table: str, condition: str = "") -> str:
    return f"CAST((SELECT count(*) FROM {table} WHERE {table}.content_id = content.id{condition}) AS REAL)"


FIELDS = {
    "width": Field("number", _WIDTH),
    "height": Field("number", _HEIGHT),
    "megapixels": Field("number", f"({_WIDTH} * {_HEIGHT} / 1e6)"),
    "aspect": Field("number", f"({_WIDTH} / {_HEIGHT})"),
    "size": Field("number", "CAST(file.size AS REAL)"),
    "taken": Field("date", "content.taken_at"),
    "year": Field("number", _of_time(1, 4)),
    "month": Field("number", _of_time(6, 2)),
    "day": Field("number", _of_time(9, 2)),
    "hour": Field("number", _of_time(12, 2)),
    "weekday": Field("number", "CAST((strftime('%w', substr(content.taken_at, 1, 10)) + 6) % 7 + 1 AS REAL)"),
    "camera": Field("text", "content.camera"),
    "lens": Field("text", "content.lens"),
    "format": Field("text", "NULLIF(content.format, '')"),
    "lat": Field("number", "content.lat"),
    "lon": Field("number", "content.lon"),
    "path": Field("text", _PATH),
    "name": Field("text", f"substr({_PATH}, length({_FOLDER}) + 1)"),
    "ext": Field("text", f"CASE WHEN {_STEM} LIKE '%.' THEN substr({_PATH}, length({_STEM}) + 1) ELSE '' END"),
    "captions": Field("number", _count("caption", " AND caption.source NOT LIKE '%:keywords'")),
    "tags": Field("number", _count("tag")),
}
"""What an expression can speak of. Numbers are real, so that 3 / 2 is 1.5; no width and no format (vectors imported
without their photos) are unknown; a weekday is 1 (Monday) to 7."""


def encoded(text: str) -> bytes:
    """As the file system and the catalog have it: bytes that are not UTF-8 are surrogates in `text` (os.fsdecode)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def field(name: str) -> Sql:
    return Sql(FIELDS[name].sql)


def number(value: float) -> Sql:
    return Sql("CAST(? AS REAL)", (value,))


def words(text: str) -> Sql:
    return Sql("CAST(? AS TEXT)", (encoded(text),))


def chain(first: Sql, rest: Iterable[tuple[Literal["+", "-", "*", "/"], Sql]]) -> Sql:
    """`first` and what is added to it, taken off, and so on, from the left. Divided by zero: unknown."""
    parts = [("", first), *rest]
    text = " ".join(f"{sign} {part.text}".strip() for sign, part in parts)
    return Sql(f"({text})", _parameters(part for _, part in parts))


def minus(operand: Sql) -> Sql:
    return Sql(f"(- {operand.text})", operand.parameters)


def compare(sign: Literal["=", "!=", "<", "<=", ">", ">="], left: Sql, right: Sql) -> Sql:
    return _known(f"{left.text} {sign} {right.text}", left, right)


def folded(text: Sql) -> Sql:
    """Text in which the case of A to Z does not count."""
    return Sql(f"lower({text.text})", text.parameters)


def contains(text: Sql, part: Sql) -> Sql:
    """The case of A to Z does not count."""
    return _known(f"instr(CAST(lower({text.text}) AS BLOB), CAST(lower({part.text}) AS BLOB)) > 0", text, part)


def among(operand: Sql, values: Sequence[Sql], negated: bool = False) -> Sql:
    listed = ", ".join(value.text for value in values)
    return _known(f"{operand.text} {'NOT ' if negated else ''}IN ({listed})", operand, *values)


def between(text: Sql, low: str, high: str) -> Sql:
    """low <= text < high."""
    return _known(f"{text.text} >= ? AND {text.text} < ?", Sql("", (*text.parameters, low, *text.parameters, high)))


def missing(operand: Sql) -> Sql:
    return Sql(f"({operand.text}) IS NULL", operand.parameters)


def no(condition: Sql) -> Sql:
    return Sql(f"NOT ({condition.text})", condition.parameters)


def both(conditions: Sequence[Sql]) -> Sql:
    """All of one or more."""
    return _joined(" AND ", conditions)  # binds closer than OR: no brackets, of which a parser holds only so many


def either(conditions: Sequence[Sql]) -> Sql:
    """At least one of one or more."""
    joined = _joined(" OR ", conditions)
    return joined if len(conditions) == 1 else Sql(f"({joined.text})", joined.parameters)


def lies_in(folder: str, container: bool) -> list[Sql]:
    """One of them holds: the file is `folder` or lies in it; a `container` holds its photos behind a "#". The
    catalog's index of paths answers each."""
    path = encoded(folder)
    if path == b"/":
        return [Sql("file.path >= ?", (path,))]
    parts = [Sql("file.path = ?", (path,)), _begins(path + b"/")]
    return [*parts, _begins(path + b"#")] if container else parts


def _begins(start: bytes) -> Sql:
    """`start` ends in "/" or "#"."""
    return Sql("file.path >= ? AND file.path < ?", (start, start[:-1] + bytes([start[-1] + 1])))


def box(south: float, north: float, west: float, east: float) -> Sql:
    """In degrees; over the date line where `west` lies east of `east`."""
    by_lon = "content.lon >= ? AND content.lon <= ?" if west <= east else "(content.lon >= ? OR content.lon <= ?)"
    return Sql(f"content.lat >= ? AND content.lat <= ? AND {by_lon}", (south, north, west, east))


def tagged(name: str) -> Sql:
    return Sql("file.content_id IN (SELECT tag.content_id FROM tag WHERE tag.name = CAST(? AS TEXT))", (encoded(name),))


def captioned(wanted: bool) -> Sql:
    """With a caption or without one; keywords are none."""
    return Sql(f"file.content_id {'' if wanted else 'NOT '}IN ({_CAPTIONED})")


def in_contents(ids: Sequence[int]) -> Sql:
    return Sql(f"file.content_id IN ({', '.join('?' * len(ids))})", tuple(ids))


def files(conditions: Sequence[Sql], columns: Sequence[Column] = (), by_path: bool = True) -> Sql:
    """The statement for the files that are present and meet all the conditions: content id, then `columns`.

    `by_path`: whether the index of paths may be used; it is slower where it finds a good part of all files.
    """
    where = both([Sql("file.missing_since IS NULL"), *conditions])
    table = "file" if by_path else "file NOT INDEXED"
    if "content." in where.text or "lat" in columns:
        table += " JOIN content ON content.id = file.content_id"
    shown = {"path": "file.path", "lat": "content.lat", "lon": "content.lon"}
    selected = ", ".join(["file.content_id", *(shown[column] for column in columns)])
    return Sql(f"SELECT {selected} FROM {table} WHERE {where.text}", where.parameters)


def is_broad(reader: Reader, places: Sequence[Sql]) -> bool:
    """Whether so many files lie in one of `places` (of `lies_in`) that their table is better read than looked up in."""
    part = BROAD + BROADER * len(places)
    least = int(reader.numbers("SELECT coalesce(max(id), 0) FROM file")[0] * part) + 1
    found = 0
    for place in places:
        query = f"SELECT count(*) FROM (SELECT 1 FROM file WHERE {place.text} LIMIT ?)"
        found += int(reader.numbers(query, (*place.parameters, least))[0])
        if found >= least:
            return True
    return False


def _known(comparison: str, *operands: Sql) -> Sql:
    return Sql(f"({comparison}) IS TRUE", _parameters(operands))


def _joined(word: str, conditions: Sequence[Sql]) -> Sql:
    parts = list(conditions)
    while len(parts) > FLAT:
        pieces = (_joined(word, parts[start : start + FLAT]) for start in range(0, len(parts), FLAT))
        parts = [Sql(f"({text})", parameters) for text, parameters in pieces]
    return Sql(word.join(part.text for part in parts), _parameters(parts))


def _parameters(parts: Iterable[Sql]) -> tuple[Any, ...]:
    return tuple(value for part in parts for value in part.parameters)
