"""What vlsearch asks the catalog about audits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from vlsearch.catalog.tables import AuditRun

if TYPE_CHECKING:
    from sqlalchemy import Select


class RunRow(NamedTuple):
    id: int
    at: float
    """Unix seconds"""
    version: str
    model: str
    fingerprint: str
    source: dict[str, Any]
    settings: dict[str, Any]
    report: dict[str, Any]
    file: str | None


def runs(c: Connection) -> list[RunRow]:
    """All audits, by id."""
    return [RunRow(*row) for row in c.execute(_all().order_by(AuditRun.id))]


def run(c: Connection, run_id: int) -> RunRow | None:
    found = c.execute(_all().where(AuditRun.id == run_id)).first()
    return None if found is None else RunRow(*found)


def add_run(c: Connection, **values: Any) -> int:
    return int(c.execute(insert(AuditRun).values(**values).returning(AuditRun.id)).scalar_one())


def forget_run(c: Connection, run_id: int) -> None:
    c.execute(delete(AuditRun).where(AuditRun.id == run_id))


def files(c: Connection) -> set[str]:
    """Those of all runs, relative to the library."""
    return {name for (file,) in c.execute(select(AuditRun.file)) if file is not None for name in files_of(file)}


def files_of(file: str) -> tuple[str, str]:
    """Its rows, as a run names them, and beside them the photos and captions that it was of."""
    return file, f"{file.removesuffix('.parquet')}.gallery.parquet"


def _all() -> Select[Any]:
    return select(*(getattr(AuditRun, name) for name in RunRow._fields))
