"""The parent's side of one decoder process: what is said to and fro, and what its death means."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlsearch.encoders.base import Preprocess
from vlsearch.errors import VlsearchError
from vlsearch.ingest.decode import MAX_PIXELS
from vlsearch.ingest.scan import Found
from vlsearch.ingest.sources import container_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENVIRONMENT = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"),  # one process per core is enough
    # Else glibc gives every large image's memory back and asks for it again: hundreds of page faults a photo.
    **{"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)},
}

START = "import sys; sys.path[:] = {path!r}; from vlsearch.ingest.decoder_process import main; main()"


class Item(NamedTuple):
    """A file to read."""

    number: int
    """its place in the order of the walk"""
    found: Found
    data: bytes | None = None
    """its bytes, where a container had to be opened for them"""


class Jpeg(NamedTuple):
    """A JPEG file that a GPU can decode as we would."""

    data: bytes
    orientation: int
    """EXIF's, 1 to 8"""


class Died(Exception):
    """A child is gone; `reason` says why, in words for the one file that it was at."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Settings:
    """What a file may cost. One at a time decodes anything large, so that may take much."""

    preprocess: Preprocess
    max_pixels: int = MAX_PIXELS
    seconds: float = 10
    """processor time for one file"""
    large_seconds: float = 100
    """for one that is large"""
    hangs: float = 200
    """without an answer for so many seconds a decoder is given up, whatever it waits for"""
    memory: int = field(default_factory=lambda: half_of_memory())
    """bytes"""


def half_of_memory() -> int:
    try:
        return max(2 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    except (AttributeError, ValueError, OSError):
        return 4 << 30


class Child:
    """The process itself, and the lines that go to and fro."""

    too_long = "takes too long to decode"

    def __init__(self, settings: Settings) -> None:
        self._hangs = settings.hangs
        height, width = settings.preprocess.size
        self._shape = (height, width, 3)
        self._process = subprocess.Popen(
            [sys.executable, "-c", START.format(path=[os.path.abspath(p) for p in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | ENVIRONMENT,
            # Ctrl-C is for us: what is decoded already shall be kept
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        enlarge_pipe(self._from)
        watch(self)
        try:
            self._say(asdict(settings))
            self._answer()
        except Died as death:
            self.close()
            raise VlsearchError(
                f"cannot start a process that decodes photos: {death.reason}; is there memory left?"
            ) from None

    def read(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        self._say({"files": [described(item) for item in items]}, *(item.data for item in items if item.data))
        answers: list[dict[str, Any]] = self._answer(patient=True)["read"]  # a slow disk is no fault of the file
        return answers

    def ask(self, wanted: list[int], jpegs: bool) -> None:
        with contextlib.suppress(Died):  # the next answer, if there is one to come, will tell
            self._say({"decode": wanted, "jpegs": jpegs})

    def answer(self, leave: threading.Lock) -> tuple[dict[str, Any], NDArray[np.uint8] | Jpeg | None]:
        """What became of the next photo that was asked for; `leave` is held while one is large."""
        answer = self._answer()
        if "large" in answer:
            with leave:
                self._say({"go": True})
                answer = self._answer()
        if "error" in answer:
            return answer, None
        if (size := answer.pop("jpeg", None)) is not None:
            return answer, Jpeg(self._take(size).tobytes(), answer.pop("orientation"))
        return answer, self._take(math.prod(self._shape)).reshape(self._shape)

    def close(self) -> None:
        unwatch(self)
        self._process.kill()
        self._process.wait()
        self._from.close()
        with contextlib.suppress(OSError):  # what it did not read any more
            self._to.close()

    def kill_if_hanging(self, now: float) -> None:
        if self.deadline is not None and now > self.deadline:
            self._process.kill()

    deadline: float | None = None

    def _say(self, line: dict[str, Any], *data: bytes) -> None:
        try:
            self._to.write(b"".join((json.dumps(line).encode(), b"\n", *data)))
            self._to.flush()
        except OSError:
            raise self._death() from None

    def _answer(self, patient: bool = False) -> dict[str, Any]:
        self.deadline = None if patient else time.monotonic() + self._hangs
        line = self._from.readline()
        if not line.endswith(b"\n"):
            raise self._death()
        self.deadline = None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _take(self, count: int) -> NDArray[np.uint8]:
        """The next `count` bytes, (count,)."""
        taken = np.empty(count, np.uint8)
        view = memoryview(taken)  # type: ignore[arg-type]
        while len(view):
            got = self._from.readinto(view)  # type: ignore[attr-defined]
            if not got:
                raise self._death()
            view = view[got:]
        return taken

    def _death(self) -> Died:
        hung = self.deadline is not None and time.monotonic() > self.deadline
        self._process.kill()
        code = self._process.wait()
        if hung or code == -getattr(signal, "SIGPROF", 0):
            return Died(self.too_long)
        if code == -getattr(signal, "SIGKILL", 0):
            return Died("its decoder was killed, for lack of memory perhaps")
        return Died(f"its decoder crashed ({signal_name(code)})")


def signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def enlarge_pipe(pipe: IO[bytes]) -> None:
    """Room for several photos' pixels, so that the child does not wait for us; where the system can."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def described(item: Item) -> dict[str, Any]:
    """An item as the child is told of it."""
    found = item.found
    line = {"path": found.path, "size": found.size, "mtime_ns": found.mtime_ns}
    if item.data is not None:
        return {**line, "inline": len(item.data)}
    container = found.path if found.offset is None else container_of(found.path)
    return {**line, "container": container, "offset": found.offset}


_watched: set[Child] = set()
_watcher: threading.Thread | None = None
_watch_lock = threading.Lock()


def watch(child: Child) -> None:
    """Have the child killed once it has been silent for too long."""
    global _watcher
    with _watch_lock:
        _watched.add(child)
        if _watcher is None:
            _watcher = threading.Thread(target=_watch, name="decoder-watch", daemon=True)
            _watcher.start()


def unwatch(child: Child) -> None:
    with _watch_lock:
        _watched.discard(child)


def _watch() -> None:
    global _watcher
    while True:
        time.sleep(0.5)
        with _watch_lock:
            for child in _watched:
                child.kill_if_hanging(time.monotonic())
            if not _watched:
                _watcher = None
                return
