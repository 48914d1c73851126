"""What importing and exporting ask the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, select

from vlsearch.catalog.queries import CHUNK, IMAGE, chunks
from vlsearch.catalog.tables import Caption, Content, File, Vector


class Place(NamedTuple):
    """A file as the catalog knows it."""

    content_id: int
    size: int
    mtime_ns: int
    missing: bool


def places_of(c: Connection, paths: Sequence[str]) -> dict[str, Place]:
    """path -> its file, for those that are known."""
    columns = (File.path, File.content_id, File.size, File.mtime_ns, File.missing_since.is_not(None))
    rows = (row for part in chunks(paths) for row in c.execute(select(*columns).where(File.path.in_(part))))
    return {path: Place(content_id, size, mtime, gone) for path, content_id, size, mtime, gone in rows}


def with_vector(c: Connection, model_id: int, content_ids: Sequence[int]) -> set[int]:
    """Those of the contents that have a vector of the model."""
    query = select(Vector.item_id).where(Vector.model_id == model_id, Vector.kind == IMAGE)
    return {i for part in chunks(content_ids) for i in c.execute(query.where(Vector.item_id.in_(part))).scalars()}


def content_details(c: Connection, content_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """content id -> its columns."""
    columns = [column for column in Content.__table__.columns if column.name != "id"]
    found = {}
    for part in chunks(content_ids):
        for content_id, *values in c.execute(select(Content.id, *columns).where(Content.id.in_(part))):
            found[content_id] = {column.name: value for column, value in zip(columns, values, strict=True)}
    return found


def captions_with_source(c: Connection, content_ids: Sequence[int]) -> dict[int, list[tuple[str, str]]]:
    """content id -> (text, source) of its captions, as they were added."""
    found: dict[int, list[tuple[str, str]]] = {}
    for part in chunks(content_ids):
        query = select(Caption.content_id, Caption.text, Caption.source).where(Caption.content_id.in_(part))
        for content_id, text, source in c.execute(query.order_by(Caption.id)):
            found.setdefault(content_id, []).append((text, source))
    return found


def present_contents(c: Connection, without_model: int | None = None) -> Iterator[list[int]]:
    """Ids of the photos that lie somewhere, by id, some at a time; `without_model`: that have no vector of it."""
    query = select(Content.id).where(exists().where(File.content_id == Content.id, File.missing_since.is_(None)))
    if without_model is not None:
        of_model = (Vector.model_id == without_model, Vector.kind == IMAGE, Vector.item_id == Content.id)
        query = query.where(~exists().where(*of_model))
    last = 0
    while ids := list(c.execute(query.where(Content.id > last).order_by(Content.id).limit(CHUNK)).scalars()):
        yield ids
        last = ids[-1]
