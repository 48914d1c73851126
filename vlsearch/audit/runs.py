"""Audits that were run: kept in the library, found by their number, repeated to the last digit.

A run is a row of the catalog, a Parquet file `audits/NAME.parquet` with a row for each query, and a second one,
`NAME.gallery.parquet`, with the photos and captions that it was of.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.audit.asked import Asked
from vlsearch.audit.datasets import Captioned, Choice, Choices, Photo
from vlsearch.audit.report import AuditReport, ChoiceReport, ListsReport, Report, from_dict
from vlsearch.audit.run import Audited, Replay
from vlsearch.errors import LibraryDamaged, LibraryError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from vlsearch.catalog.audits import RunRow
    from vlsearch.library import Library

FOLDER = "audits"
CACHE = "cache"
"""the folder in it with vectors, which can be deleted at any time"""


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
        return self._read(0)

    def gallery(self) -> pa.Table:
        """A row for each photo: id (null for a dataset's), photo, captions. LibraryDamaged as `rows`."""
        return self._read(1)

    def replay(self) -> Replay:
        """What it takes to repeat it beside what was asked."""
        from vlsearch.audit.tasks.wording import known_in

        report, rows = self.report, self.rows()
        captioned, ids = _captioned(self.gallery(), report)
        if isinstance(report, ListsReport):
            queries = tuple(dict.fromkeys(rows["query"].to_pylist()))
            return Replay(captioned, ids, known_in(rows), queries=queries)
        if isinstance(report, AuditReport):
            return Replay(captioned, ids, known_in(rows))
        return Replay(captioned, ids, choices=_choices(report, rows) if self.asked.task == "order" else None)

    def _read(self, which: int) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from vlsearch.catalog import audits

        if self.row.file is None:
            raise UsageError(f"audit {self.row.id} was kept without its rows; run it again")
        path = self.library / audits.files_of(self.row.file)[which]
        try:
            with path.open("rb") as file:
                return pq.ParquetFile(file).read(use_threads=False)
        except (OSError, pa.ArrowException) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise LibraryDamaged(
                f"the rows of audit {self.row.id} cannot be read from {path}: {reason}; run it again, or "
                f"`vlsearch audit forget {self.row.id}`"
            ) from error


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

    file, report = f"{FOLDER}/{uuid.uuid4().hex[:16]}.parquet", audited.report
    written = [library.path / name for name in audits.files_of(file)]
    try:
        write_rows(written[0], audited.rows)
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
                file=file,
            )
    except Exception as error:  # an interrupt may come once the row is committed: files without one are swept
        for path in written:
            path.unlink(missing_ok=True)
        cause = error.__cause__ if isinstance(error, UsageError) else error
        if not isinstance(cause, OSError):
            raise
        raise LibraryError(
            f"cannot write to {library.path}: {cause.strerror or cause}; run this again once that is mended"
        ) from error


def drop(library: Library, run: Run) -> None:
    """Forget a run, in a library that is open for writing."""
    from vlsearch.catalog import audits

    with library.transaction() as c:
        audits.forget_run(c, run.row.id)
    if run.row.file is not None:
        for name in audits.files_of(run.row.file):
            (library.path / name).unlink(missing_ok=True)


def _gallery(audited: Audited) -> pa.Table:
    import pyarrow as pa

    from vlsearch.audit.tasks.rows import as_text

    captioned, ids = audited.captioned, audited.ids
    captions: list[list[str]] = [[] for _ in captioned.photos]
    for text, owner in zip(captioned.texts, captioned.owner.tolist(), strict=True):
        captions[owner].append(text)
    return pa.table(
        {
            "id": pa.nulls(len(captions), pa.int64()) if ids is None else pa.array(ids, pa.int64()),
            "photo": pa.array(map(as_text, captioned.photos), pa.string()),
            "captions": pa.array(captions, pa.list_(pa.string())),
        }
    )


def _captioned(gallery: pa.Table, report: Report) -> tuple[Captioned, NDArray[np.int64] | None]:
    captions = gallery["captions"].to_pylist()
    captioned = Captioned(
        name=report.subject,
        photos=tuple(gallery["photo"].to_pylist()),
        texts=tuple(text for texts in captions for text in texts),
        owner=np.repeat(np.arange(len(captions)), [len(texts) for texts in captions]),
        part="" if isinstance(report, ListsReport) else report.part,
    )
    return captioned, None if gallery["id"].null_count else gallery["id"].to_numpy()


def _choices(report: ChoiceReport, rows: pa.Table) -> Choices:
    """The items that perturbations made, from the rows behind their report."""
    columns = (rows[name].to_pylist() for name in ("photo", "texts", "split", "group", "seed"))
    return Choices(
        name=report.subject,
        items=tuple(
            Choice(Photo(photo), tuple(texts), split, group, seed)
            for photo, texts, split, group, seed in zip(*columns, strict=True)
        ),
        part=report.part,
        left_out=report.left_out,
        task=rows["task"][0].as_py(),
        seeds=report.seeds,
        unperturbable=report.unperturbable,
    )
