"""audits of any model, with the rows behind their figures"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.rename_table("audit_run", "audit_run_0003")
    op.create_table(
        "audit_run",
        sa.Column("id", ID, primary_key=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("file", sa.String(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.execute(
        "INSERT INTO audit_run (id, at, version, model, fingerprint, source, settings, report) "
        "SELECT a.id, a.at, '0.1.0', m.name, m.fingerprint, m.source, a.settings, a.report "
        "FROM audit_run_0003 AS a JOIN model AS m ON m.id = a.model_id"
    )
    op.drop_table("audit_run_0003")
