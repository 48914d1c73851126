"""Tags: the labels that photos were given. Functions take an open connection; the caller owns the transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, select

from vlsearch.catalog.queries import chunks
from vlsearch.catalog.tables import File, Model, Tag


class TagCount(NamedTuple):
    name: str
    model: str
    """whose vectors it was told from"""
    photos: int
    """photos that have it and lie somewhere at present"""


def replace(
    c: Connection,
    model_id: int,
    content_ids: Sequence[int],
    names: Collection[str],
    rows: Sequence[tuple[int, str, float]],
) -> int:
    """Take the tags `names` from the photos `content_ids`, then give them those in `rows` (content id, name, score).

    Other tags of these photos stay, and the same tags of other photos. Returns how many were taken away.
    """
    old = []
    for part in chunks(content_ids):
        # Told apart here: for two IN (...) SQLite would look up each pair of values.
        found = c.execute(select(Tag.content_id, Tag.name).where(Tag.content_id.in_(part)))
        old += [{"photo": content_id, "tag": name} for content_id, name in found if name in names]
    if old:
        c.execute(delete(Tag).where(Tag.content_id == bindparam("photo"), Tag.name == bindparam("tag")), old)
    if rows:
        values = [
            {"content_id": content_id, "name": name, "score": score, "model_id": model_id}
            for content_id, name, score in rows
        ]
        c.execute(insert(Tag), values)
    return len(old)


def tag_counts(c: Connection) -> list[TagCount]:
    """Every tag, by name and model, with the number of its photos."""
    present = exists().where(File.content_id == Tag.content_id, File.missing_since.is_(None))
    query = select(Tag.name, Model.name, func.count()).join(Model, and_(Model.id == Tag.model_id, present))
    return [TagCount(*row) for row in c.execute(query.group_by(Tag.name, Model.name).order_by(Tag.name, Model.name))]


def clear(c: Connection, name: str | None = None) -> int:
    """Delete the tag `name` from every photo, or all tags; returns how many rows went."""
    statement = delete(Tag) if name is None else delete(Tag).where(Tag.name == name)
    return int(c.execute(statement).rowcount)
