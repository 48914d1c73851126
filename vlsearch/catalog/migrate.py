"""Bring a catalog to the schema of this vlsearch, or refuse one from a newer version."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from vlsearch.errors import LibraryTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0004"
"""The newest revision in migrations/versions; a test compares the two. Kept here so that opening a library that is
up to date imports no Alembic."""


def revision(connection: Connection) -> str | None:
    """The revision of an open catalog; None when it is empty."""
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def refuse_newer(current: str | None, where: str) -> None:
    """Raise LibraryTooNew for a revision that this version does not know. Revisions are numbered and compare."""
    if current is not None and current > HEAD:
        raise LibraryTooNew(
            f"the library {where} has schema {current}, this vlsearch knows up to {HEAD}: "
            "it was made by a newer version; upgrade vlsearch, or choose another --library"
        )


def upgrade(connection: Connection, target: str = HEAD) -> None:
    """Run the migrations from the catalog's revision up to `target` inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    with resources.as_file(resources.files("vlsearch.migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, target)
