"""From files to committed vectors: scan, read, decode, embed, commit. Whatever is killed goes on with the next run."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.catalog import queries
from vlsearch.catalog.tables import Content
from vlsearch.encoders.base import Encoder, Preprocess
from vlsearch.errors import UnreadableFile
from vlsearch.ingest.decode import Photo, decode
from vlsearch.ingest.scan import Found, Unreadable, scan

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

BATCH = 64  # photos embedded at once and committed together
COMMIT_FILES = 1000  # files that need no embedding are committed at this number at the latest

Progress = Callable[[str, int, int], None]
"""called with what is being done ("photos", "captions"), how many are done, how many there are"""


@dataclass
class Summary:
    """What an ingest did, in files."""

    added: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    failed: int = 0
    skipped: int = 0
    """failed before and unchanged since: not tried again"""
    embedded: int = 0
    """photos that went through the model"""
    seconds: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """path and reason of each failure of this run"""

    def __str__(self) -> str:
        counts = (self.added, self.unchanged, self.moved, self.missing, self.failed)
        named = zip(counts, ("added", "unchanged", "moved", "missing", "failed"), strict=True)
        parts = [f"{count:,} {name}" for count, name in named if count or name in ("added", "unchanged")]
        if self.skipped:
            parts.append(f"{self.skipped:,} skipped (failed before)")
        rate = f" ({self.embedded / self.seconds:.0f} photos/s)" if self.embedded and self.seconds else ""
        return f"{', '.join(parts)} in {duration(self.seconds)}{rate}"

    def to_dict(self) -> dict[str, Any]:
        row = asdict(self)
        del row["failures"]
        return row | {"seconds": round(self.seconds, 3)}


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass(frozen=True)
class Read:
    """A file that was read: its photo is known (`content`), newly decoded (`photo`), or cannot be had (`reason`)."""

    file: Found
    sha256: bytes = b""
    content: tuple[int, bool] | None = None
    """content id, and whether it has a vector of this model"""
    photo: Photo | None = None
    reason: str | None = None
    lasting: bool = True
    """the reason lies in the file's bytes: trying again makes no sense until they change"""


def ingest(
    library: Library,
    roots: Iterable[Path],
    name: str,
    load: Callable[[], Encoder],
    *,
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
) -> Summary:
    """Bring `library` up to what lies under `roots`, with the model `name` that `load` loads (once, if needed at all).

    Raises UsageError for a root that does not exist and what `load` and `Library.commit` raise; all batches before
    that are committed.
    """
    return Ingest(library, name, load, progress or (lambda *_: None)).run(roots, exclude)


class Ingest:
    """One run. Files flow through a window of futures (read and decoded in threads) into batches (embedded here)."""

    def __init__(self, library: Library, name: str, load: Callable[[], Encoder], progress: Progress) -> None:
        self.library, self.name, self.load, self.progress = library, name, load, progress
        self.summary = Summary()
        self.row: ModelRow | None = next((m for m in library.models() if m.name == name), None)
        self.encoder: Encoder | None = None

    def run(self, roots: Iterable[Path], exclude: Sequence[str]) -> Summary:
        began = time.monotonic()
        roots = [Path(os.path.abspath(root)) for root in roots]
        with self.library.read() as c:
            known = queries.known_files(c, self.row.id if self.row else None)
            failed = queries.known_failures(c)
        todo: list[Found] = []
        seen: set[str] = set()
        back: list[str] = []
        unreadable: list[str] = []
        for found in scan(roots, exclude):
            if isinstance(found, Unreadable):
                unreadable.append(found.path)
                self._fail(found.path, found.reason)
                continue
            seen.add(found.path)
            stamp = (found.size, found.mtime_ns)
            size, mtime, missing, has_vector = known.get(found.path, (None, None, False, False))
            if has_vector and stamp == (size, mtime):
                self.summary.unchanged += 1
                if missing:
                    back.append(found.path)
            elif failed.get(found.path) == stamp:
                self.summary.skipped += 1
            else:
                todo.append(found)
        if back:
            with self.library.transaction() as c:
                queries.mark_present(c, back)
        if todo:
            self._take_all(todo)
        self._note_missing(roots, unreadable, seen, known, failed)
        if self.row is not None:
            self._embed_captions()
            self.library.save_indexes()
        self.summary.seconds = time.monotonic() - began
        return self.summary

    def _take_all(self, todo: list[Found]) -> None:
        if self.row is None:
            self._ready()
        assert self.row is not None
        preprocess = preprocess_from(self.row.preprocessing)
        batch: list[Read] = []
        to_embed = 0
        for done, read in enumerate(self._read_ahead(todo, preprocess)):
            self.progress("photos", done, len(todo))
            batch.append(read)
            to_embed += read.photo is not None
            if to_embed >= BATCH or len(batch) >= COMMIT_FILES:
                self._commit(batch)
                batch, to_embed = [], 0
        self._commit(batch)
        self.progress("photos", len(todo), len(todo))

    def _read_ahead(self, todo: list[Found], preprocess: Preprocess) -> Iterator[Read]:
        """Reads in the order of `todo`, at most two batches ahead of the consumer."""
        workers = max(2, os.cpu_count() or 2)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        window: deque[Future[Read]] = deque()
        try:
            for file in todo:
                window.append(pool.submit(self._read, file, preprocess))
                if len(window) >= 2 * BATCH:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, file: Found, preprocess: Preprocess) -> Read:
        assert self.row is not None
        try:
            file, data = read_steadily(file)
        except UnreadableFile as error:
            return Read(file, reason=str(error), lasting=False)
        except OSError as error:
            return Read(file, reason=error.strerror or str(error), lasting=False)
        sha256 = hashlib.sha256(data).digest()
        with self.library.read() as c:
            content = queries.content_by_sha256(c, [sha256], self.row.id).get(sha256)
        if content is not None and content[1]:
            return Read(file, sha256, content)
        try:
            return Read(file, sha256, content, decode(data, preprocess))
        except UnreadableFile as error:
            return Read(file, sha256, reason=str(error))

    def _commit(self, batch: list[Read]) -> None:
        """Embed what is new in the batch and store all of it, in one transaction."""
        if not batch:
            return
        fresh = {r.sha256: r for r in batch if r.photo is not None}
        content_ids = {r.sha256: r.content[0] for r in batch if r.content is not None}
        with self.library.read() as c:
            # a photo twice in one run may have been committed since it was read
            known = queries.content_by_sha256(c, list(fresh), self.row.id if self.row else None)
            next_id = queries.next_id(c, Content)
        content_ids.update({sha: content_id for sha, (content_id, _) in known.items()})
        fresh = {sha: r for sha, r in fresh.items() if not known.get(sha, (0, False))[1]}
        new_contents = []
        for sha, read in fresh.items():
            if sha not in content_ids:
                content_ids[sha] = next_id
                new_contents.append(content_row(next_id, read))
                next_id += 1
        moves, files, places = self._places(batch, content_ids)
        failures = [read for read in batch if read.reason is not None]

        def rows(c: Connection) -> None:
            queries.add_contents(c, new_contents)
            queries.move_files(c, moves)
            queries.put_files(c, files)
            queries.put_failures(c, [failure_row(r) for r in failures if r.lasting])

        if fresh:
            encoder = self._ready()
            vectors = encoder.embed_images(np.stack([r.photo.pixels for r in fresh.values() if r.photo is not None]))
            assert self.row is not None
            self.library.commit(self.row, queries.IMAGE, [content_ids[sha] for sha in fresh], vectors, rows)
        else:
            with self.library.transaction() as c:
                rows(c)
        touched = {r.file.path for r in batch if r.sha256 not in fresh} & places
        self.summary.added += len(files) - len(touched)
        self.summary.unchanged += len(touched)
        self.summary.moved += len(moves)
        self.summary.embedded += len(fresh)
        for read in failures:
            self._fail(read.file.path, read.reason or "")

    def _places(
        self, batch: list[Read], content_ids: dict[bytes, int]
    ) -> tuple[list[tuple[str, str, int, int]], list[dict[str, Any]], set[str]]:
        """Which files of the batch are moved ones (their photo is known and lies no longer where it lay), which are
        to be put at their path, and which of these paths held the same photo before."""
        with self.library.read() as c:
            places = queries.paths_of(c, [r.content[0] for r in batch if r.content is not None])
        moves, files = [], []
        same: set[str] = set()
        for read in batch:
            if read.reason is not None:
                continue
            path, size, mtime = read.file.path, read.file.size, read.file.mtime_ns
            content_id = content_ids[read.sha256]
            old = places.get(content_id, [])
            if path in old:
                same.add(path)
            gone = next((p for p in old if path not in old and not os.path.lexists(p)), None)
            if gone is not None:
                old.remove(gone)
                moves.append((gone, path, size, mtime))
            else:
                files.append({"path": path, "size": size, "mtime_ns": mtime, "content_id": content_id})
        return moves, files, same

    def _note_missing(
        self,
        roots: list[Path],
        unreadable: list[str],
        seen: set[str],
        known: dict[str, tuple[int, int, bool, bool]],
        failed: dict[str, tuple[int, int]],
    ) -> None:
        """Files under the roots that the walk should have met and did not: they are kept, and marked."""
        looked = tuple(str(root) for root in roots)

        def unseen(paths: Iterable[str]) -> list[str]:
            inside = [p for p in paths if p not in seen and lies_under(p, looked) and not lies_under(p, unreadable)]
            return [p for p in inside if not os.path.lexists(p)]

        gone = unseen(path for path, (_, _, missing, _) in known.items() if not missing)
        stale = unseen(failed)
        if gone or stale:
            with self.library.transaction() as c:
                still = queries.existing_paths(c, gone)  # a moved file left its old path
                queries.mark_missing(c, still, time.time())
                queries.drop_failures(c, stale)
            self.summary.missing = len(still)

    def _embed_captions(self) -> None:
        """Captions that lack a vector of this model get one."""
        assert self.row is not None
        with self.library.read() as c:
            lacking = queries.captions_without_vector(c, self.row.id)
        if lacking:
            embed_captions(self.library, self._ready(), self.row, lacking, self.progress)

    def _ready(self) -> Encoder:
        if self.encoder is None:
            self.encoder = self.load()
            self.row = self.library.add_model(self.encoder)
        return self.encoder

    def _fail(self, path: str, reason: str) -> None:
        self.summary.failed += 1
        self.summary.failures.append((path, reason))


def embed_captions(
    library: Library, encoder: Encoder, row: ModelRow, captions: Sequence[tuple[int, str]], progress: Progress
) -> None:
    """Embed and commit (caption id, text) pairs, 2,048 at a time."""
    step = 2048
    for start in range(0, len(captions), step):
        progress("captions", start, len(captions))
        part = captions[start : start + step]
        library.commit(row, queries.TEXT, [i for i, _ in part], encoder.embed_texts([text for _, text in part]))
    progress("captions", len(captions), len(captions))


def read_steadily(file: Found) -> tuple[Found, bytes]:
    """The file's bytes, and its size and time as they were before and after reading. Tried twice when they differ."""
    for _ in range(2):
        with Path(file.path).open("rb") as handle:
            before = os.fstat(handle.fileno())
            data = handle.read()
            after = os.fstat(handle.fileno())
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and len(data) == after.st_size:
            return Found(file.path, after.st_size, after.st_mtime_ns), data
    raise UnreadableFile("it changes while it is being read; the next run tries it again")


def preprocess_from(row: dict[str, Any]) -> Preprocess:
    """The Preprocess that a model row keeps as JSON."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Preprocess(**fields)


def content_row(content_id: int, read: Read) -> dict[str, Any]:
    photo = read.photo
    assert photo is not None
    columns = ("width", "height", "format", "taken_at", "camera", "lat", "lon")
    return {"id": content_id, "sha256": read.sha256} | {column: getattr(photo, column) for column in columns}


def failure_row(read: Read) -> dict[str, Any]:
    return {"path": read.file.path, "size": read.file.size, "mtime_ns": read.file.mtime_ns, "reason": read.reason}


def lies_under(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)
