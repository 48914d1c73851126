"""photos, files, captions, models, shards, vectors, audits"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def owner(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{table}.id"], ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "content",
        sa.Column("id", ID, primary_key=True),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("taken_at", sa.String(32)),
        sa.Column("camera", sa.String()),
        sa.Column("lat", sa.Double()),
        sa.Column("lon", sa.Double()),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "file",
        sa.Column("id", ID, primary_key=True),
        sa.Column("path", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("content_id", ID, nullable=False, index=True),
        sa.Column("missing_since", sa.Double()),
        owner("content", "content_id"),
    )
    op.create_table(
        "failure",
        sa.Column("path", sa.LargeBinary(), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
    )
    op.create_table(
        "caption",
        sa.Column("id", ID, primary_key=True),
        sa.Column("content_id", ID, nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("language", sa.String(35)),
        owner("content", "content_id"),
        sa.UniqueConstraint("content_id", "text"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "model",
        sa.Column("id", ID, primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("preprocessing", sa.JSON(), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.UniqueConstraint("name", "fingerprint"),
    )
    op.create_table(
        "shard",
        sa.Column("id", ID, primary_key=True),
        sa.Column("model_id", ID, nullable=False, index=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("file", sa.String(), nullable=False, unique=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        owner("model", "model_id"),
    )
    op.create_table(
        "vector",
        sa.Column("model_id", ID, primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("item_id", sa.BigInteger(), primary_key=True),
        sa.Column("shard_id", ID, nullable=False, index=True),
        owner("model", "model_id"),
        owner("shard", "shard_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_run",
        sa.Column("id", ID, primary_key=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        owner("model", "model_id"),
    )
