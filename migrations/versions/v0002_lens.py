"""the lens of a photo"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("content", sa.Column("lens", sa.String()))
