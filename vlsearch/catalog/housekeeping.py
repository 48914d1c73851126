"""What housekeeping asks of the catalog and changes in it: shards and their sizes, copies of photos, free pages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, delete, exists, insert, select, update

from vlsearch.catalog.queries import ShardRow, chunks, live_counts, shards
from vlsearch.catalog.tables import Content, File, Shard, Vector

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

SLACK = 0.25
"""the part of a SQLite file that has to be free before it is written anew without"""
SLACK_BYTES = 1 << 20


class SizedShard(NamedTuple):
    shard: ShardRow
    live: int
    """how many of its vectors the catalog still names"""

    @property
    def dead(self) -> int:
        return self.shard.rows - self.live


class Place(NamedTuple):
    """Where a photo lies at present."""

    content_id: int
    path: str
    width: int
    height: int


def sized_shards(c: Connection, model_id: int, kind: str) -> list[SizedShard]:
    live = live_counts(c, model_id, kind)
    return [SizedShard(shard, live.get(shard.id, 0)) for shard in shards(c, model_id, kind)]


def names(c: Connection, shard: ShardRow) -> bool:
    """Whether the catalog (still) has this shard."""
    return c.execute(select(Shard.sha256).where(Shard.id == shard.id)).scalar() == shard.sha256


def replace_shards(c: Connection, old: Sequence[ShardRow], file: str, rows: int, sha256: str) -> None:
    """Put one shard of `rows` vectors, all that live in `old` (of one model and kind), in the place of those."""
    values = {"model_id": old[0].model_id, "kind": old[0].kind, "file": file, "rows": rows, "sha256": sha256}
    merged = c.execute(insert(Shard).values(**values).returning(Shard.id)).scalar_one()
    for part in chunks([shard.id for shard in old]):
        c.execute(update(Vector).where(Vector.shard_id.in_(part)).values(shard_id=merged))
    drop_shards(c, old)


def drop_shards(c: Connection, dead: Sequence[ShardRow]) -> None:
    """Forget shards in which no vector lives."""
    for part in chunks([shard.id for shard in dead]):
        c.execute(delete(Shard).where(Shard.id.in_(part)))


def places(c: Connection, copies_only: bool = False) -> list[Place]:
    """Every file that is present, by content id and path; with `copies_only` those whose bytes lie elsewhere too."""
    query = select(Content.id, File.path, Content.width, Content.height).join(File, File.content_id == Content.id)
    if copies_only:
        other = File.__table__.alias()
        same = (other.c.content_id == Content.id) & (other.c.id != File.id) & other.c.missing_since.is_(None)
        query = query.where(exists().where(same))
    query = query.where(File.missing_since.is_(None)).order_by(Content.id, File.path)
    return [Place(*row) for row in c.execute(query)]


def tidy(engine: Engine) -> None:
    """Let SQLite refresh its statistics, empty its log and, where a good part of its file is free, write it anew.

    Never waits for readers: what they are in the way of is left to the next time.
    """
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    connection.detach()  # its settings are not for others
    with closing(connection), closing(connection.cursor()) as cursor:

        def pragma(what: str) -> int:
            row = cursor.execute(f"PRAGMA {what}").fetchone()
            return int(row[0]) if row else 0

        try:
            pragma("busy_timeout=0")
            pragma("optimize")
            free, pages, size = (pragma(what) for what in ("freelist_count", "page_count", "page_size"))
            if free > SLACK * pages and free * size > SLACK_BYTES:
                cursor.execute("VACUUM")
            pragma("wal_checkpoint(TRUNCATE)")
        except engine.dialect.loaded_dbapi.Error as error:
            log.warning("the catalog was left as it is: %s", error)
