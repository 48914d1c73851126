"""The tables of the catalog. A change here needs a migration in migrations/versions."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

Id = BigInteger().with_variant(Integer(), "sqlite")  # only an INTEGER PRIMARY KEY counts up by itself there


class PathBytes(TypeDecorator[str]):
    """A path as the file system has it: str in Python (surrogateescape), bytes in SQL, so that no name is lost."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else os.fsdecode(value)


class Table(DeclarativeBase):
    pass


class Content(Table):
    """One row per distinct photo, by its bytes. Its id is the photo's id in shards and in the index."""

    __tablename__ = "content"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - an id is never given out twice: shards hold it
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str] = mapped_column(String(16))
    taken_at: Mapped[str | None] = mapped_column(String(32))
    camera: Mapped[str | None]
    lens: Mapped[str | None]
    lat: Mapped[float | None] = mapped_column(Double)
    lon: Mapped[float | None] = mapped_column(Double)


class File(Table):
    """Where a photo lies. `missing_since` (Unix seconds) is set once a walk over its folder did not find it."""

    __tablename__ = "file"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    path: Mapped[str] = mapped_column(PathBytes, unique=True)
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id", ondelete="CASCADE"), index=True)
    missing_since: Mapped[float | None] = mapped_column(Double)


class Failure(Table):
    """A file that could not be read; not tried again until its size or time changes."""

    __tablename__ = "failure"
    path: Mapped[str] = mapped_column(PathBytes, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]


class Caption(Table):
    """One text about one photo. Its id is the caption's id in shards and in the index."""

    __tablename__ = "caption"
    __table_args__ = (UniqueConstraint("content_id", "text"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id", ondelete="CASCADE"))
    text: Mapped[str]
    source: Mapped[str]
    language: Mapped[str | None] = mapped_column(String(35))


class Tag(Table):
    """A label that a photo was given, and how sure the model was of it, 0 to 1: among the labels, or against neutral
    texts."""

    __tablename__ = "tag"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy reads it
    content_id: Mapped[int] = mapped_column(ForeignKey("content.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True, index=True)
    score: Mapped[float] = mapped_column(Double)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="CASCADE"))


class Model(Table):
    """A model whose vectors the library holds. `source` says how to load it again."""

    __tablename__ = "model"
    __table_args__ = (UniqueConstraint("name", "fingerprint"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(String(64))
    dim: Mapped[int]
    preprocessing: Mapped[dict[str, Any]] = mapped_column(JSON)
    source: Mapped[dict[str, Any]] = mapped_column(JSON)


class Shard(Table):
    """One immutable Parquet file of vectors, `file` relative to the library."""

    __tablename__ = "shard"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(8))  # "image" | "text"
    file: Mapped[str] = mapped_column(unique=True)
    rows: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class Vector(Table):
    """Which shard holds the vector of a content (kind image) or of a caption (kind text)."""

    __tablename__ = "vector"
    __table_args__ = (Index("ix_vector_shard_id", "shard_id"), {"sqlite_with_rowid": False})
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    item_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    shard_id: Mapped[int] = mapped_column(ForeignKey("shard.id", ondelete="CASCADE"))


class AuditRun(Table):
    """One finished audit: what was asked and what came out, as JSON. It outlives its model's vectors."""

    __tablename__ = "audit_run"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - people write the number of a run down
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[float] = mapped_column(Double)
    version: Mapped[str] = mapped_column(String(16))
    """of vlsearch"""
    model: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(String(64))
    source: Mapped[dict[str, Any]] = mapped_column(JSON)
    """how to load the model again"""
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    file: Mapped[str | None]
    """the rows behind the figures, Parquet, relative to the library"""
