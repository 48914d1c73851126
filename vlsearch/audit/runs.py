"""Audits that were run: kept in the library, found by their number, repeated to the last digit.

A run is a row of the catalog, a Parquet file `audits/NAME.parquet` with a row for each query, and for retrieval a
second one, `NAME.gallery.parquet`, with the photos that were ranked.
"""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.audit.asked import Asked
from vlsearch.audit.report import Report, from_dict
from vlsearch.audit.run import Audited, Replay
from vlsearch.errors import LibraryDamaged, LibraryError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from vlsearch.catalog.audits import RunRow
    from vlsearch.library import Library

FOLDER = "audits"
CACHE = "cache"
"""the folder in it with vectors, which can be deleted at any time"""
ROWS, PHOTOS = ".parquet", ".gallery.parquet"


@dataclass(frozen=True)
class Run:
    row: RunRow
    library: Path

    @property
    def asked(self) -> Asked:
        return Asked.of(self.row.settings)

    @property
    def report(self) -> Report:
        """UsageError for a run of a vlsearch whose reports were others."""
        try:
            return from_dict(self.row.report)
        except (KeyError, TypeError):
            raise UsageError(
                f"audit {self.row.id} was run by vlsearch {self.row.version}, whose reports were others; run it again"
            ) from None

    def rows(self) -> pa.Table:
        """A row for each query. LibraryDamaged where the file is gone or damaged."""
        return self._read(ROWS)

    def replay(self) -> Replay | None:
        """What it takes to repeat it beside what was asked; None for a choice, whose data say all."""
        from vlsearch.audit.tasks.wording import known_in

        if self.report.task == "lists":
            queries = dict.fromkeys(self.rows()["query"].to_pylist())
            return Replay(queries=tuple(queries))
        if self.report.task == "choice":
            return None
        rows, gallery = self.rows(), self._read(PHOTOS)
        ids = None if gallery["id"].null_count else gallery["id"].to_numpy()
        place = {photo: n for n, photo in enumerate(gallery["photo"].to_pylist())}
        once = captions_once(rows)
        owner = np.array([place[photo] for photo in once["photo"].to_pylist()], np.int64)
        return Replay(ids, tuple(once["text"].to_pylist()), owner, known_in(rows))

    def _read(self, kind: str) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.row.file is None:
            raise UsageError(f"audit {self.row.id} was kept without its rows; run it again")
        path = self.library / (self.row.file.removesuffix(ROWS) + kind)
        try:
            with path.open("rb") as file:
                return pq.ParquetFile(file).read(use_threads=False)
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise LibraryDamaged(f"the rows of audit {self.row.id} cannot be read: {reason}; run it again") from error


def captions_once(rows: pa.Table) -> pa.Table:
    """Of a retrieval's rows those of each caption under one perturbation and seed, in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    asked = rows.filter(pc.equal(rows["direction"].cast(pa.string()), "text_to_image"))
    one = pc.and_(pc.equal(asked["perturbation"].cast(pa.string()), "identity"), pc.equal(asked["seed"], 0))
    return asked.filter(one)


def runs(library: Library) -> list[Run]:
    """All that are kept, the oldest first."""
    from vlsearch.catalog import audits

    with library.read() as c:
        return [Run(row, library.path) for row in audits.runs(c)]


def run_of(library: Library, number: str) -> Run:
    """The run of that number, or the "last" one. UsageError when there is none."""
    kept = runs(library)
    if not kept:
        raise UsageError(f"no audit is kept in {library.path}; `vlsearch audit` runs one")
    if number == "last":
        return kept[-1]
    for run in kept:
        if str(run.row.id) == number:
            return run
    known = ", ".join(str(run.row.id) for run in kept[-5:])
    raise UsageError(f"no audit {number}; the last ones are {known} (`vlsearch audit list` shows all)")


def keep(library: Library, audited: Audited, source: dict[str, Any]) -> int:
    """Keep a run in a library that is open for writing; its number. `source` says how the model is loaded again.

    LibraryError where that cannot be written; nothing is left of it then.
    """
    import vlsearch
    from vlsearch.audit.report.files import write_rows
    from vlsearch.catalog import audits
    from vlsearch.errors import VlsearchError

    stem = f"{FOLDER}/{uuid.uuid4().hex[:16]}"
    report = audited.report
    written = [library.path / (stem + ROWS), library.path / (stem + PHOTOS)]
    try:
        write_rows(written[0], audited.rows)
        if audited.photos:
            write_rows(written[1], _gallery(audited))
        with library.transaction() as c:
            return audits.add_run(
                c,
                at=time.time(),
                version=vlsearch.__version__,
                model=report.model,
                fingerprint=report.fingerprint,
                source=source,
                settings=audited.asked.to_dict(),
                report=report.to_dict(),
                file=stem + ROWS,
            )
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, UsageError):
            raise LibraryError(str(error)) from error
        if not isinstance(error, VlsearchError | OSError):
            raise
        raise LibraryError(f"cannot write to {os.fspath(library.path)}: {error}") from error


def drop(library: Library, run: Run) -> None:
    """Forget a run, in a library that is open for writing."""
    from vlsearch.catalog import audits

    with library.transaction() as c:
        audits.forget_run(c, run.row.id)
    if run.row.file is not None:
        for kind in (ROWS, PHOTOS):
            (library.path / (run.row.file.removesuffix(ROWS) + kind)).unlink(missing_ok=True)


def _gallery(audited: Audited) -> pa.Table:
    import pyarrow as pa

    from vlsearch.audit.tasks.rows import as_text

    ids = pa.nulls(len(audited.photos), pa.int64()) if audited.ids is None else pa.array(audited.ids, pa.int64())
    return pa.table({"id": ids, "photo": pa.array(map(as_text, audited.photos), pa.string())})
