"""Open the catalog's database with the settings that the commit protocol relies on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY_SECONDS = 30


def connect(path: Path) -> Engine:
    """An engine on the SQLite file `path`: WAL, foreign keys on, every commit synced, transactions where we say."""
    from sqlalchemy import URL, create_engine, event

    url = URL.create("sqlite", database=str(path))  # written out, a `?` in a folder's name would begin its options
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # the driver of its own would begin only at the first write: reads would not be of one state
        connection.exec_driver_sql("BEGIN")

    return engine
