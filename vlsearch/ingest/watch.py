"""Follow folders: one run over all of them, then one over the folders that changed, each time that something did."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vlsearch.errors import LibraryError, LibraryLocked, VlsearchError
from vlsearch.ingest.changes import Changes, Listener, cover, lies_in

log = logging.getLogger(__name__)

TICK = 0.2
LOOK_SECONDS = 2.0
RETRY_SECONDS = 60.0


def watch(
    roots: Sequence[Path],
    run: Callable[[Sequence[Path]], None],
    *,
    stop: threading.Event | None = None,
    debounce_ms: int = 1600,
    exclude: Sequence[str] = (),
) -> None:
    """Call `run(roots)`, then, until `stop` is set or Ctrl-C, `run` with the folders in which something has changed.

    A run begins when nothing has changed for `debounce_ms`, or has kept changing ten times as long. It gets whole
    folders, none inside another, because what a folder holds is decided together (a RAW file and its JPEG, links); with
    `exclude`, which is relative to the roots, or with links to folders inside, it gets the roots. What `scan` passes
    over is no change, nor is what a library writes into itself. A root that is a file is run when it changes.

    A root that vanishes, as a drive does, is left out, with a warning, until it is back; then all of it is run. What
    `run` raises of VlsearchError and OSError is logged and tried again at the next change, or after a minute; but what
    the first run raises, other than that the library is locked or cannot be written, passes through. So does
    KeyboardInterrupt in a run; while waiting it ends the watch. Where the system cannot watch that many folders, they
    are looked through every ten seconds.
    """
    _Watch([os.path.abspath(root) for root in roots], run, stop or threading.Event(), debounce_ms / 1000, exclude).go()


class _Watch:
    def __init__(
        self,
        roots: Sequence[str],
        run: Callable[[Sequence[Path]], None],
        stop: threading.Event,
        quiet: float,
        exclude: Sequence[str],
    ) -> None:
        self.roots, self.run, self.stop, self.exclude = roots, run, stop, exclude
        self.changes = Changes(roots, quiet)
        self.seen: dict[str, tuple[int, ...] | None] = {root: _identity(root, None) for root in roots}
        self.gone: set[str] = set()
        self.devices = {root: seen[0] for root, seen in self.seen.items() if seen}
        self.listeners: dict[str, Listener] = {}
        self.looked = time.monotonic()
        self.complaint = ""

    def go(self) -> None:
        waiting = False
        try:
            for root in self.roots:
                self._listen(root)
            self._run(self.roots, first=True)
            while True:
                waiting = True
                if self.stop.wait(TICK):
                    return
                waiting = False
                due = self.changes.due()
                if due or time.monotonic() >= self.looked + LOOK_SECONDS:
                    self._look_at_roots()
                if due:
                    self._run(self._places(self.changes.take()))
        except KeyboardInterrupt:
            if not waiting:
                raise
        finally:
            for listener in self.listeners.values():
                listener.end()

    def _run(self, places: Sequence[str], first: bool = False) -> None:
        if not places:
            return
        try:
            self.run([Path(place) for place in places])
            self.complaint = ""
        except (VlsearchError, OSError) as error:
            passing = isinstance(error, LibraryLocked) or type(error) is LibraryError
            if first and not passing:
                raise
            if str(error) != self.complaint:
                log.warning("%s; trying again at the next change, or in a minute", error)
            self.complaint = str(error)
            self.changes.add(places, pause=RETRY_SECONDS)

    def _places(self, folders: Iterable[str]) -> list[str]:
        """What a run has to take for these folders: those that are there, as a run over the roots would reach them."""
        places = set()
        for folder in folders:
            root = next((r for r in self.roots if r not in self.gone and lies_in(folder, r)), None)
            if root is not None:
                while folder != root and not Path(folder).is_dir():
                    folder = str(Path(folder).parent)
                folder = root if self.exclude else self._unlinked(folder)
                places.add(root if folder != root and _holds_links(folder) else folder)
        return cover(places)

    def _unlinked(self, folder: str) -> str:
        """The folder's real place, where a run over the roots lists it there."""
        real = os.path.realpath(folder)
        for root in self.roots:
            above = os.path.realpath(root)
            if lies_in(real, above):
                return os.path.normpath(Path(root, os.path.relpath(real, above)))
        return folder

    def _look_at_roots(self) -> None:
        for root in self.roots:
            before, now = self.seen[root], _identity(root, self.devices.get(root))
            if now == before:
                continue
            self.seen[root] = now
            if now is None:
                log.warning(
                    "%s is gone (is its drive unplugged?); its photos stay in the library as they are until it is back",
                    root,
                )
                self.gone.add(root)
                self._end(root)
                continue
            if root in self.gone:
                log.warning("%s is back", root)
                self.gone.remove(root)
            self.devices[root] = now[0]
            self._listen(root)
            self.changes.add([root])
        self.looked = time.monotonic()

    def _listen(self, root: str) -> None:
        self._end(root)
        if Path(root).is_dir():
            self.listeners[root] = Listener(root, self.changes, self.exclude)

    def _end(self, root: str) -> None:
        if root in self.listeners:
            self.listeners.pop(root).end()


def _holds_links(folder: str) -> bool:
    return any(
        Path(above, name).is_symlink() for above, folders, _ in os.walk(folder, followlinks=False) for name in folders
    )


def _identity(root: str, device: int | None) -> tuple[int, ...] | None:
    """What changes when a root is replaced (and, for a file, when it is written); None when it is not there.

    `device` is where it lay: a folder that is now on another one, and empty, is the mount point of an unplugged drive.
    """
    try:
        status = Path(root).stat()
        if not Path(root).is_dir():
            return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if device not in (None, status.st_dev) and not any(Path(root).iterdir()):
            return None
    except OSError:
        return None
    return status.st_dev, status.st_ino
