from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from vlsearch.catalog import migrate
from vlsearch.catalog.engine import connect


def test_settings_of_every_connection(tmp_path: Path) -> None:
    engine = connect(tmp_path / "catalog.sqlite")
    with engine.connect() as one, engine.connect() as other:
        for c in (one, other):
            values = [
                c.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
            assert values == ["wal", 2, 1]
    engine.dispose()


def test_a_failing_transaction_is_undone_with_its_tables(tmp_path: Path) -> None:
    engine = connect(tmp_path / "catalog.sqlite")
    with pytest.raises(OperationalError), engine.begin() as c:  # noqa: PT012 - the first of the two must be undone
        c.execute(text("CREATE TABLE t (a INTEGER)"))
        c.execute(text("CREATE TABLE t (a INTEGER)"))
    with engine.connect() as c:
        assert c.execute(text("SELECT count(*) FROM sqlite_master")).scalar() == 0
    engine.dispose()


def test_a_row_without_its_parent_is_refused(tmp_path: Path) -> None:
    engine = connect(tmp_path / "catalog.sqlite")
    with engine.begin() as c:
        migrate.upgrade(c)
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), engine.begin() as c:
        c.execute(text("INSERT INTO file (path, size, mtime_ns, content_id) VALUES (x'00', 1, 1, 5)"))
    engine.dispose()


def test_a_folder_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "100 % of ?mode=memory & #more"
    folder.mkdir()
    engine = connect(folder / "catalog.sqlite")
    with engine.begin() as c:
        migrate.upgrade(c)
    engine.dispose()
    assert (folder / "catalog.sqlite").stat().st_size > 4096
