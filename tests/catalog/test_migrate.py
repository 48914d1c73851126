from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from vlsearch.catalog import migrate
from vlsearch.catalog.engine import connect
from vlsearch.catalog.tables import Table
from vlsearch.errors import LibraryTooNew


def scripts() -> ScriptDirectory:
    with resources.as_file(resources.files("vlsearch.migrations")) as folder:
        return ScriptDirectory(str(folder))


REVISIONS = [(s.down_revision, s.revision) for s in reversed(list(scripts().walk_revisions()))]


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    made = connect(tmp_path / "catalog.sqlite")
    yield made
    made.dispose()


def test_head_is_the_newest_script_and_revisions_count_up() -> None:
    assert scripts().get_heads() == [migrate.HEAD]
    numbers = [revision for _, revision in REVISIONS]
    assert numbers == sorted(numbers)
    assert numbers == [f"{n:04d}" for n in range(1, len(numbers) + 1)]
    assert [before for before, _ in REVISIONS] == [None, *numbers[:-1]]


def test_the_migrated_catalog_is_what_the_tables_say(engine: Engine) -> None:
    with engine.begin() as c:
        migrate.upgrade(c)
        context = MigrationContext.configure(c, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []


def test_ids_of_photos_and_captions_are_never_reused(engine: Engine, tmp_path: Path) -> None:
    """compare_metadata does not look at what only SQLite has."""

    def having(c: Connection, words: str) -> set[str]:
        tables = c.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        return {name for name, sql in tables if words in sql}

    other = connect(tmp_path / "from the tables.sqlite")
    with engine.begin() as migrated, other.begin() as made:
        migrate.upgrade(migrated)
        Table.metadata.create_all(made)
        for c in (migrated, made):
            assert having(c, "AUTOINCREMENT") == {"content", "caption", "audit_run"}
            assert having(c, "WITHOUT ROWID") == {"vector", "tag"}
    other.dispose()


OF_0001 = (
    "INSERT INTO content (id, sha256, width, height, format) VALUES (7, x'aa', 640, 480, 'JPEG')",
    "INSERT INTO file (path, size, mtime_ns, content_id) VALUES (CAST('/a/b.jpg' AS BLOB), 9, 11, 7)",
    "INSERT INTO failure (path, size, mtime_ns, reason) VALUES (CAST('/a/c.jpg' AS BLOB), 1, 2, 'cut short')",
    "INSERT INTO caption (id, content_id, text, source) VALUES (3, 7, 'a dog', 'coco.json')",
    "INSERT INTO model (id, name, fingerprint, dim, preprocessing, source) VALUES (1, 'm', 'f', 4, '{}', '{}')",
    "INSERT INTO shard (id, model_id, kind, file, rows, sha256) VALUES (1, 1, 'image', 'vectors/1-m/1', 1, 's')",
    "INSERT INTO vector (model_id, kind, item_id, shard_id) VALUES (1, 'image', 7, 1)",
    "INSERT INTO audit_run (at, model_id, settings, report) VALUES (0.5, 1, '{}', '{}')",
)


def fill_0001(c: Connection) -> None:
    """One row of everything, as revision 0001 had it."""
    for statement in OF_0001:
        c.execute(text(statement))


def fill_0003(c: Connection) -> None:
    fill_0001(c)
    c.execute(text("INSERT INTO tag (content_id, name, score, model_id) VALUES (7, 'dog', 0.9, 1)"))


def fill_0004(c: Connection) -> None:
    columns = "id, at, version, model, fingerprint, source, settings, report, file"
    for statement in OF_0001[:-1]:
        c.execute(text(statement))
    c.execute(text("INSERT INTO tag (content_id, name, score, model_id) VALUES (7, 'dog', 0.9, 1)"))
    c.execute(
        text(f"INSERT INTO audit_run ({columns}) VALUES (3, 0.5, '0.1.0', 'm', 'f', '{{}}', '{{}}', '{{}}', 'a')")
    )


FILL: dict[str | None, Callable[[Connection], None]] = {
    None: lambda _: None,
    "0001": fill_0001,
    "0002": fill_0001,
    "0003": fill_0003,
}
"""How a catalog of each revision is filled before it is brought to the next one; a new revision adds its own."""


@pytest.mark.parametrize(("before", "revision"), REVISIONS, ids=[revision for _, revision in REVISIONS])
def test_each_migration_from_the_state_before(engine: Engine, before: str | None, revision: str) -> None:
    def counts(c: Connection) -> dict[str, int]:
        names = [name for name in inspect(c).get_table_names() if name != "alembic_version"]
        return {name: c.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names}

    with engine.begin() as c:
        if before is not None:
            migrate.upgrade(c, before)
        FILL[before](c)
        held = counts(c)
    with engine.begin() as c:
        migrate.upgrade(c, revision)
    with engine.begin() as c:
        assert migrate.revision(c) == revision
        assert held.items() <= counts(c).items()
        assert c.execute(text("PRAGMA foreign_key_check")).all() == []


def test_audits_of_before_keep_their_model(engine: Engine) -> None:
    with engine.begin() as c:
        migrate.upgrade(c, "0003")
        fill_0001(c)
    with engine.begin() as c:
        migrate.upgrade(c)
        (row,) = c.execute(text("SELECT id, at, model, fingerprint, settings, file FROM audit_run")).all()
    assert tuple(row) == (1, 0.5, "m", "f", "{}", None)


def test_a_full_catalog_of_the_newest_revision(engine: Engine) -> None:
    with engine.begin() as c:
        migrate.upgrade(c)
        fill_0004(c)
        for table in Table.metadata.sorted_tables:
            assert len(c.execute(table.select()).all()) == 1


def test_a_failing_migration_leaves_the_catalog_as_it_was(engine: Engine) -> None:
    with engine.begin() as c:
        c.execute(text("CREATE TABLE shard (id INTEGER)"))
    with pytest.raises(Exception, match="already exists"), engine.begin() as c:
        migrate.upgrade(c)
    with engine.begin() as c:
        assert migrate.revision(c) is None
        assert inspect(c).get_table_names() == ["shard"]


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    for _ in range(2):
        with engine.begin() as c:
            migrate.upgrade(c)
            assert migrate.revision(c) == migrate.HEAD


def test_older_and_equal_pass_newer_is_refused() -> None:
    for known in (None, "0001", migrate.HEAD):
        migrate.refuse_newer(known, "/library")
    with pytest.raises(LibraryTooNew, match="/library has schema 0999"):
        migrate.refuse_newer("0999", "/library")
