"""From files to committed vectors: find, read, decode, embed, commit. Whatever is killed goes on with the next run."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import numpy as np

from vlsearch.catalog import queries
from vlsearch.encoders.base import Encoder
from vlsearch.ingest import sources
from vlsearch.ingest.decode import MAX_PIXELS
from vlsearch.ingest.decoder_child import Settings
from vlsearch.ingest.decoder_process import preprocess_from
from vlsearch.ingest.scan import Found, Unreadable
from vlsearch.ingest.spool import Spool
from vlsearch.ingest.summary import Summary
from vlsearch.ingest.taking import Taking
from vlsearch.optimize import merge_when_it_pays

if TYPE_CHECKING:
    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

LOOKED_UP = 1000
"""files that are compared with the catalog at a time"""
Progress = Callable[[str, int, int], None]
"""called with what is being done ("files", "photos", "captions"), how many are done, how many there are (0: unknown)"""


def ingest(
    library: Library,
    roots: Iterable[str | Path],
    name: str,
    load: Callable[[], Encoder],
    *,
    exclude: Sequence[str] = (),
    stdin: TextIO | BinaryIO | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> Summary:
    """Bring `library` up to what lies under `roots`, with the model `name` that `load` loads (once, if needed at all).

    A root is a folder, a photo, a .tar or .parquet with photos, a glob of these, or "-" for a list of them on `stdin`.
    The first Ctrl-C (when called in the main thread) ends it within two seconds: what was embedded is committed and
    the summary says `interrupted`.
    Raises UsageError for a root that does not exist and what `load` and `Library.commit` raise; all batches before
    that are committed.
    """
    run = Ingest(library, name, load, max_pixels, progress or (lambda *_: None))
    return run.run([str(root) for root in roots], exclude, stdin)


class Ingest:
    """One run: `_find` fills a spool with what is new or changed, `_take_all` empties it into the library."""

    def __init__(
        self, library: Library, name: str, load: Callable[[], Encoder], max_pixels: int, progress: Progress
    ) -> None:
        self.library, self.load, self.max_pixels, self.progress = library, load, max_pixels, progress
        self.summary = Summary()
        self.row: ModelRow | None = next((m for m in library.models() if m.name == name), None)
        self.encoder: Encoder | None = None
        self.stop = threading.Event()

    def run(self, roots: Sequence[str], exclude: Sequence[str], stdin: TextIO | BinaryIO | None) -> Summary:
        began = time.monotonic()
        spool = Spool()
        try:
            with self._first_interrupt_stops():
                unreadable, seen = self._find(spool, sources.find(roots, exclude, stdin))
                if len(spool) and not self.stop.is_set():
                    self._take_all(spool)
            if self.stop.is_set():
                self.summary.interrupted = True
            else:
                self._note_missing(covered(roots), unreadable, seen)
                if self.row is not None:
                    self._embed_captions()
                    self.library.save_indexes(self.progress)
                    merge_when_it_pays(self.library)
        finally:
            spool.close()
        self.summary.seconds = time.monotonic() - began
        return self.summary

    def _find(self, spool: Spool, files: Iterator[Found | Unreadable]) -> tuple[list[str], np.ndarray]:
        """Put what is new or changed into the spool. Returns what could not be looked into, and a flag for each file
        row of the catalog: whether the walk met it."""
        unreadable: list[str] = []
        with self.library.read() as c:
            seen = np.zeros(queries.last_file_id(c) + 1, bool)
        met = 0
        while part := list(itertools.islice(files, LOOKED_UP)):
            met += len(part)
            self.progress("files", met, 0)
            if self.stop.is_set():
                break
            found = [item for item in part if isinstance(item, Found)]
            for item in part:
                if isinstance(item, Unreadable):
                    unreadable.append(item.path)
                    self.summary.fail(item.path, item.reason)
            self._compare(found, spool, seen)
        return unreadable, seen

    def _compare(self, found: Sequence[Found], spool: Spool, seen: np.ndarray) -> None:
        paths = [file.path for file in found]
        with self.library.read() as c:
            known = queries.files_at(c, paths, self.row.id if self.row else None)
            failed = queries.failures_at(c, [path for path in paths if path not in known])
        back: list[str] = []
        for file in found:
            stamp = (file.size, file.mtime_ns)
            row = known.get(file.path)
            if row is not None:
                seen[row.id] = True
            if row is not None and row.has_vector and stamp == (row.size, row.mtime_ns):
                self.summary.unchanged += 1
                if row.missing:
                    back.append(file.path)
            elif failed.get(file.path) == stamp:
                self.summary.skipped += 1
            else:
                spool.put(file)
        if back:
            with self.library.transaction() as c:
                queries.mark_present(c, back)

    def _take_all(self, spool: Spool) -> None:
        if self.row is None or not self.row.preprocessing:
            self._ready()
        assert self.row is not None
        settings = Settings(preprocess_from(self.row.preprocessing), self.max_pixels)
        taking = Taking(self.library, self.row, self._ready, self.summary, self.stop, partial(self.progress, "photos"))
        taking.run(spool, settings)

    def _note_missing(self, looked: Sequence[str], unreadable: Sequence[str], seen: np.ndarray) -> None:
        """Files under the roots that the walk should have met and did not: they are kept, and marked."""

        def gone(path: str) -> bool:
            return lies_under(path, looked) and not lies_under(path, unreadable) and not sources.exists(path)

        with self.library.read() as c:
            present = queries.present_files(c)
            missing = [path for i, path in present if i < len(seen) and not seen[i] and gone(path)]
            stale = [path for path, _ in queries.failures(c) if gone(path)]
        if missing or stale:
            with self.library.transaction() as c:
                queries.mark_missing(c, missing, time.time())
                queries.drop_failures(c, stale)
            self.summary.missing = len(missing)

    def _embed_captions(self) -> None:
        """Captions that lack a vector of this model get one."""
        assert self.row is not None
        with self.library.read() as c:
            lacking = queries.captions_without_vector(c, self.row.id)
        if lacking:
            embed_captions(self.library, self._ready(), self.row, lacking, self.progress)

    def _ready(self) -> Encoder:
        if self.encoder is None:
            with self._interrupts_at_once():
                self.encoder = self.load()
            self.row = self.library.add_model(self.encoder)
        return self.encoder

    @contextmanager
    def _first_interrupt_stops(self) -> Iterator[None]:
        """Ctrl-C asks the run to end; a second one ends it on the spot."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def stop(*_: Any) -> None:
            self.stop.set()
            signal.signal(signal.SIGINT, before)

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def _interrupts_at_once(self) -> Iterator[None]:
        """While nothing is embedded that would be lost, and loading a model cannot be asked to end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


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


def covered(roots: Sequence[str]) -> list[str]:
    """The folders, files and containers that a walk over `roots` has seen whole."""
    named = [root for root in roots if root != sources.STDIN]
    return [os.path.abspath(path) for root in named for path in sources.expand(root) or [root]]


def lies_under(path: str, roots: Iterable[str]) -> bool:
    """Whether a path is a root, lies in that folder, or in that container."""
    return any(path == root or path.startswith((root.rstrip(os.sep) + os.sep, root + "#")) for root in roots)
