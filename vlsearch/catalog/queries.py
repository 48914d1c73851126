"""Every question that vlsearch asks the catalog. Functions take an open connection; the caller owns the transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, literal, select, update

from vlsearch.catalog.rows import IMAGE as IMAGE
from vlsearch.catalog.rows import TEXT as TEXT
from vlsearch.catalog.rows import ModelRow as ModelRow
from vlsearch.catalog.rows import ShardRow as ShardRow
from vlsearch.catalog.tables import AuditRun, Caption, Content, Failure, File, Model, Shard, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 500  # values in one IN (...): well under every database's limit


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


# models


def models(c: Connection) -> list[ModelRow]:
    columns = (Model.id, Model.name, Model.fingerprint, Model.dim, Model.preprocessing, Model.source)
    return [ModelRow(*row) for row in c.execute(select(*columns).order_by(Model.id))]


def add_model(c: Connection, **values: Any) -> int:
    return int(c.execute(insert(Model).values(**values).returning(Model.id)).scalar_one())


def complete_model(c: Connection, model_id: int, **values: Any) -> None:
    """Fill in what was not known when its vectors were imported."""
    c.execute(update(Model).where(Model.id == model_id).values(**values))


# shards and vectors


def shards(c: Connection, model_id: int | None = None, kind: str | None = None) -> list[ShardRow]:
    query = select(Shard.id, Shard.model_id, Shard.kind, Shard.file, Shard.rows, Shard.sha256).order_by(Shard.id)
    if model_id is not None:
        query = query.where(Shard.model_id == model_id)
    if kind is not None:
        query = query.where(Shard.kind == kind)
    return [ShardRow(*row) for row in c.execute(query)]


def add_shard(c: Connection, model_id: int, kind: str, file: str, sha256: str, item_ids: Sequence[int]) -> None:
    values = {"model_id": model_id, "kind": kind, "file": file, "rows": len(item_ids), "sha256": sha256}
    shard_id = c.execute(insert(Shard).values(**values).returning(Shard.id)).scalar_one()
    rows = [{"model_id": model_id, "kind": kind, "item_id": int(i), "shard_id": shard_id} for i in item_ids]
    c.execute(insert(Vector), rows)


def drop_shard(c: Connection, shard_id: int) -> None:
    c.execute(delete(Vector).where(Vector.shard_id == shard_id))
    c.execute(delete(Shard).where(Shard.id == shard_id))


def shard_items(c: Connection, shard_id: int) -> NDArray[np.int64]:
    """Ids of the vectors in a shard that are alive (not forgotten), sorted."""
    rows = c.execute(select(Vector.item_id).where(Vector.shard_id == shard_id).order_by(Vector.item_id))
    return np.fromiter((row[0] for row in rows), np.int64)


def live_counts(c: Connection, model_id: int, kind: str) -> dict[int, int]:
    """shard id -> how many of its vectors are alive; a shard without any is not in it."""
    query = select(Vector.shard_id, func.count()).where(Vector.model_id == model_id, Vector.kind == kind)
    return {shard_id: count for shard_id, count in c.execute(query.group_by(Vector.shard_id))}  # noqa: C416 - rows are typed


def next_id(c: Connection, table: type[Content] | type[Caption]) -> int:
    """The next id that was never given out, for rows whose shard is written before they are."""
    name = table.__tablename__
    if c.dialect.name == "sqlite":
        seen = c.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).scalar()
    else:
        seen = c.exec_driver_sql(f"SELECT last_value FROM {name}_id_seq").scalar()
    return int(seen or 0) + 1


# files and contents


class FileRow(NamedTuple):
    id: int
    size: int
    mtime_ns: int
    missing: bool
    has_vector: bool
    """its photo has a vector of the model that was asked for"""


def files_at(c: Connection, paths: Sequence[str] | None, model_id: int | None) -> dict[str, FileRow]:
    """path -> what is known of the file there; without `paths`, of every file."""
    joined = and_(Vector.model_id == model_id, Vector.kind == IMAGE, Vector.item_id == File.content_id)
    missing, has_vector = File.missing_since.is_not(None), Vector.item_id.is_not(None)
    columns = (File.path, File.id, File.size, File.mtime_ns, missing, has_vector)
    query = select(*columns).outerjoin(Vector, joined)
    parts = [query] if paths is None else [query.where(File.path.in_(part)) for part in chunks(paths)]
    return {
        path: FileRow(i, size, mtime, gone, has)
        for part in parts
        for path, i, size, mtime, gone, has in c.execute(part)
    }


def last_file_id(c: Connection) -> int:
    return int(c.execute(select(func.max(File.id))).scalar() or 0)


def present_files(c: Connection) -> Iterator[tuple[int, str]]:
    """(file id, path) of every file that is not marked missing, a few at a time."""
    query = select(File.id, File.path).where(File.missing_since.is_(None))
    yield from map(tuple, c.execution_options(yield_per=1000).execute(query))


def failures_at(c: Connection, paths: Sequence[str] | None) -> dict[str, tuple[int, int]]:
    """path -> (size, mtime_ns) of those that could not be read; without `paths`, of all."""
    query = select(Failure.path, Failure.size, Failure.mtime_ns)
    parts = [query] if paths is None else [query.where(Failure.path.in_(part)) for part in chunks(paths)]
    return {path: (size, mtime) for part in parts for path, size, mtime in c.execute(part)}


def content_by_sha256(c: Connection, sha256: Sequence[bytes], model_id: int | None) -> dict[bytes, tuple[int, bool]]:
    """sha256 -> (content id, whether it has a vector of this model), for those that are known."""
    found = {}
    joined = and_(Vector.model_id == model_id, Vector.kind == IMAGE, Vector.item_id == Content.id)
    for part in chunks(sha256):
        query = (
            select(Content.sha256, Content.id, Vector.item_id).outerjoin(Vector, joined).where(Content.sha256.in_(part))
        )
        found.update({sha: (i, vector is not None) for sha, i, vector in c.execute(query)})
    return found


def paths_of(c: Connection, content_ids: Sequence[int], missing: bool | None = None) -> dict[int, list[str]]:
    """content id -> its paths, sorted; `missing` False: only present ones, True: only missing ones."""
    found: dict[int, list[str]] = {}
    for part in chunks([int(i) for i in content_ids]):
        query = select(File.content_id, File.path).where(File.content_id.in_(part)).order_by(File.path)
        if missing is not None:
            query = query.where(File.missing_since.is_not(None) if missing else File.missing_since.is_(None))
        for content_id, path in c.execute(query):
            found.setdefault(content_id, []).append(path)
    return found


def add_contents(c: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        c.execute(insert(Content), list(rows))


def contents_by_path(c: Connection) -> dict[str, int]:
    """path -> content id, for every file that is present."""
    query = select(File.path, File.content_id).where(File.missing_since.is_(None)).order_by(File.path)
    return {path: content_id for path, content_id in c.execute(query)}  # noqa: C416 - rows are typed


def put_files(c: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or update files by path (path, size, mtime_ns, content_id); they are present and no longer failures."""
    if not rows:
        return
    paths = [row["path"] for row in rows]
    for part in chunks(paths):
        c.execute(delete(Failure).where(Failure.path.in_(part)))
        c.execute(delete(File).where(File.path.in_(part)))
    c.execute(insert(File), [{**row, "missing_since": None} for row in rows])


def move_files(c: Connection, moves: Sequence[tuple[str, str, int, int]]) -> None:
    """(old path, new path, size, mtime_ns): the row goes with the file."""
    if not moves:
        return
    new_paths = [new for _, new, _, _ in moves]
    for part in chunks(new_paths):
        c.execute(delete(File).where(File.path.in_(part)))
        c.execute(delete(Failure).where(Failure.path.in_(part)))
    statement = (
        update(File)
        .where(File.path == bindparam("old"))
        .values(path=bindparam("new"), size=bindparam("s"), mtime_ns=bindparam("m"), missing_since=None)
    )
    c.execute(statement, [{"old": old, "new": new, "s": s, "m": m} for old, new, s, m in moves])


def put_failures(c: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or replace failures by path (path, size, mtime_ns, reason). What the file held before is gone from it."""
    if not rows:
        return
    for part in chunks([row["path"] for row in rows]):
        c.execute(delete(Failure).where(Failure.path.in_(part)))
        c.execute(delete(File).where(File.path.in_(part)))
    c.execute(insert(Failure), list(rows))


def mark_missing(c: Connection, paths: Sequence[str], when: float) -> None:
    for part in chunks(paths):
        c.execute(update(File).where(File.path.in_(part), File.missing_since.is_(None)).values(missing_since=when))


def mark_present(c: Connection, paths: Sequence[str]) -> None:
    for part in chunks(paths):
        c.execute(update(File).where(File.path.in_(part)).values(missing_since=None))


def drop_failures(c: Connection, paths: Sequence[str]) -> None:
    for part in chunks(paths):
        c.execute(delete(Failure).where(Failure.path.in_(part)))


def under(path_column: Any, folder: str) -> Any:
    """SQL condition: the path is `folder` or lies under it. Paths are bytes, so a range does it."""
    if folder == os.sep:
        return path_column >= literal(os.sep, path_column.type)
    low, high = folder + os.sep, folder + chr(ord(os.sep) + 1)
    return (path_column == folder) | and_(path_column >= low, path_column < high)


def hidden_contents(c: Connection) -> NDArray[np.int64]:
    """Ids of contents that lie nowhere at present: they are kept, but no answer shows them."""
    present = exists().where(File.content_id == Content.id, File.missing_since.is_(None))
    return np.fromiter((row[0] for row in c.execute(select(Content.id).where(~present))), np.int64)


# captions


def captions_of(c: Connection, content_ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for part in chunks([int(i) for i in content_ids]):
        query = select(Caption.content_id, Caption.text).where(Caption.content_id.in_(part)).order_by(Caption.id)
        for content_id, text in c.execute(query):
            found.setdefault(content_id, []).append(text)
    return found


def all_captions(c: Connection) -> Iterator[tuple[int, int, str, str, str | None]]:
    """(caption id, content id, text, source, language), by id."""
    columns = (Caption.id, Caption.content_id, Caption.text, Caption.source, Caption.language)
    yield from map(tuple, c.execute(select(*columns).order_by(Caption.id)))


def add_captions(c: Connection, rows: Sequence[tuple[int, str, str | None]], source: str) -> int:
    """(content id, text, language); texts that the content has already are passed over. Returns how many are new."""
    known = captions_of(c, sorted({content_id for content_id, _, _ in rows}))
    seen = {(content_id, text) for content_id, texts in known.items() for text in texts}
    new = []
    for content_id, text, language in rows:
        if (content_id, text) not in seen:
            seen.add((content_id, text))
            new.append({"content_id": content_id, "text": text, "source": source, "language": language})
    if new:
        c.execute(insert(Caption), new)
    return len(new)


def captions_without_vector(c: Connection, model_id: int) -> list[tuple[int, str]]:
    has_vector = exists().where(Vector.model_id == model_id, Vector.kind == TEXT, Vector.item_id == Caption.id)
    query = select(Caption.id, Caption.text).where(~has_vector).order_by(Caption.id)
    return [(i, text) for i, text in c.execute(query)]


def contents_without_vector(c: Connection) -> list[int]:
    """Photos that no model has a vector of."""
    embedded = select(Vector.item_id).where(Vector.kind == IMAGE)  # a list: no index finds an item without its model
    return list(c.execute(select(Content.id).where(Content.id.not_in(embedded)).order_by(Content.id)).scalars())


def sha256_of(c: Connection, content_ids: Sequence[int]) -> list[tuple[int, bytes]]:
    """(content id, sha256), by id."""
    rows = [
        (i, sha)
        for part in chunks(content_ids)
        for i, sha in c.execute(select(Content.id, Content.sha256).where(Content.id.in_(part)))
    ]
    return sorted(rows)


def _dangling() -> Any:
    of_photo = exists().where(Content.id == Vector.item_id)
    of_caption = exists().where(Caption.id == Vector.item_id)
    return ((Vector.kind == IMAGE) & ~of_photo) | ((Vector.kind == TEXT) & ~of_caption)


def dangling_vectors(c: Connection) -> int:
    """How many vector rows belong to no photo and no caption."""
    return int(c.execute(select(func.count()).select_from(Vector).where(_dangling())).scalar_one())


def drop_dangling_vectors(c: Connection) -> None:
    c.execute(delete(Vector).where(_dangling()))


# forgetting


def forget_missing(c: Connection, folder: str | None = None) -> tuple[int, int]:
    """Delete missing files (under `folder`), then contents without any file, their captions and vectors.

    Returns the numbers of files and of contents. Their rows in shards are dead from then on.
    """
    gone: Any = File.missing_since.is_not(None)
    if folder is not None:
        gone = and_(gone, under(File.path, folder))
    files = c.execute(delete(File).where(gone)).rowcount
    orphans = list(c.execute(select(Content.id).where(~exists().where(File.content_id == Content.id))).scalars())
    of_any_model = Vector.model_id.in_(select(Model.id))  # else every vector is looked at
    for part in chunks(orphans):
        texts = select(Caption.id).where(Caption.content_id.in_(part))
        c.execute(delete(Vector).where(of_any_model, Vector.kind == TEXT, Vector.item_id.in_(texts)))
        c.execute(delete(Vector).where(of_any_model, Vector.kind == IMAGE, Vector.item_id.in_(part)))
        c.execute(delete(Content).where(Content.id.in_(part)))
    return files, len(orphans)


# counts and runs


def counts(c: Connection) -> dict[str, int]:
    def number(query: Any) -> int:
        return int(c.execute(query).scalar_one())

    return {
        "photos": number(select(func.count()).select_from(Content)),
        "files": number(select(func.count()).select_from(File).where(File.missing_since.is_(None))),
        "missing": number(select(func.count()).select_from(File).where(File.missing_since.is_not(None))),
        "failures": number(select(func.count()).select_from(Failure)),
        "captions": number(select(func.count()).select_from(Caption)),
        "audits": number(select(func.count()).select_from(AuditRun)),
    }


def failures(c: Connection) -> list[tuple[str, str]]:
    return [(path, reason) for path, reason in c.execute(select(Failure.path, Failure.reason).order_by(Failure.path))]


def missing_files(c: Connection) -> list[tuple[str, float]]:
    query = select(File.path, File.missing_since).where(File.missing_since.is_not(None)).order_by(File.path)
    return [(path, when or 0.0) for path, when in c.execute(query)]
