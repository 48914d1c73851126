"""What the system reports of changes under folders, kept as a bounded number of folders to look at again."""

from __future__ import annotations

import fnmatch
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vlsearch.ingest.scan import SKIPPED, SUFFIXES
from vlsearch.library import CATALOG

log = logging.getLogger(__name__)

MANY = 32
"""folders in one run; beyond that it takes their roots. It bounds the memory, and the roots that a run compares with"""
OVERFLOW = 4096
"""changes in one report; beyond that the system may have dropped some"""
POLL_MS = 10_000


class Changes:
    """Folders in which something has changed, a bounded number of them, filled by threads that listen."""

    def __init__(self, roots: Sequence[str], quiet: float) -> None:
        self.roots, self.quiet = roots, quiet
        self._folders: set[str] = set()
        self._lock = threading.Lock()
        self._since = self._last = self._not_before = 0.0

    def add(self, folders: Iterable[str], pause: float = 0.0) -> None:
        """With `pause`, in seconds: not due before that, unless something else changes."""
        with self._lock:
            self._folders.update(folders)
            if self._folders:
                self._last = time.monotonic()
                self._since = self._since or self._last
                self._not_before = self._last + pause
            if len(self._folders) > MANY:
                self._folders = set(cover(self._folders))
            if len(self._folders) > MANY:
                self._folders = set(cover(root for root in self.roots if any(lies_in(f, root) for f in self._folders)))

    def due(self) -> bool:
        now = time.monotonic()
        with self._lock:
            settled = now >= self._last + self.quiet or now >= self._since + 10 * self.quiet
            return bool(self._folders) and settled and now >= self._not_before

    def take(self) -> list[str]:
        with self._lock:
            folders, self._folders, self._since = self._folders, set(), 0.0
        return cover(folders)


class Listener:
    """A thread that hears of changes under one folder from the system. It listens once this returns."""

    def __init__(self, root: str, changes: Changes, exclude: Sequence[str]) -> None:
        self.root, self.changes, self.exclude = root, changes, exclude
        self._ended, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._listen, name="watch", daemon=True)
        self._thread.start()
        self._ready.wait()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _listen(self) -> None:
        try:
            for polling in (None, True):
                try:
                    self._hear(polling)
                    return
                except (OSError, RuntimeError) as error:
                    if not Path(self.root).is_dir():
                        return  # the watch sees that its root is gone
                    if polling:
                        log.warning("cannot follow %s any more: %s; start the watch again", self.root, error)
                        return
                    log.warning(
                        "the system cannot watch all folders of %s (%s); looking through them every %d s instead",
                        *(self.root, error, POLL_MS // 1000),
                    )
                    self.changes.add([self.root])  # for what was not heard in between
        finally:
            self._ready.set()

    def _hear(self, polling: bool | None) -> None:
        import watchfiles

        heard = watchfiles.watch(
            self.root,
            watch_filter=None,
            step=50,
            debounce=1000,
            stop_event=self._ended,
            rust_timeout=200,
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=polling,
            poll_delay_ms=POLL_MS,
            ignore_permission_denied=True,
        )
        for changes in heard:
            self._ready.set()
            if len(changes) > OVERFLOW:
                self.changes.add([self.root])
            elif changes:
                self.changes.add(self._folders(changes))

    def _folders(self, changes: Iterable[tuple[int, str]]) -> Iterator[str]:
        import watchfiles

        above = str(Path(self.root).parent)
        found: set[str] = set()
        for change, path in changes:
            if path != self.root and not self._passed_over(os.path.relpath(path, self.root)):
                if Path(path).suffix.lower() in SUFFIXES or change == watchfiles.Change.deleted:
                    found.add(str(Path(path).parent))  # what is deleted may have been a folder, whatever its name
                elif Path(path).is_dir():
                    found.add(path)
        for folder in found:
            inside = Path(folder)
            while str(inside) != above and not (inside / CATALOG).exists():
                inside = inside.parent
            if str(inside) == above:
                yield folder

    def _passed_over(self, relative: str) -> bool:
        parts = Path(relative).parts
        beginnings = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        globs = [os.path.normcase(glob.rstrip("/")) for glob in self.exclude]
        names = [os.path.normcase(name) for name in (*parts, *beginnings)]
        return any(part.startswith(".") or part in SKIPPED for part in parts) or any(
            fnmatch.fnmatchcase(name, glob) for name in names for glob in globs
        )


def lies_in(path: str, folder: str) -> bool:
    """Whether a path is `folder` or lies under it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def cover(folders: Iterable[str]) -> list[str]:
    """Those that lie in no other, sorted."""
    kept: list[str] = []
    for folder in sorted(folders, key=lambda folder: Path(folder).parts):
        if not kept or not lies_in(folder, kept[-1]):
            kept.append(folder)
    return kept
