"""One writer at a time for a folder, and who it is."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vlsearch.errors import LibraryError, LibraryLocked

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK, HOLDER = "lock", "lock.json"


class WriterLock:
    """The lock on `folder`. The system frees it when its holder dies; `lock.json` says who holds it, for messages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: BaseFileLock | None = None

    @property
    def held(self) -> bool:
        return self._lock is not None

    def take(self) -> None:
        """Raises LibraryLocked, naming the holder, without waiting; LibraryError when the folder cannot be written."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise LibraryLocked(
                f"{self._holder()} is writing to {self.folder}; wait for it, then run this again"
            ) from None
        except OSError as error:
            raise LibraryError(f"cannot write to {self.folder}: {error.strerror}") from error
        self._lock = lock
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        try:
            (self.folder / HOLDER).write_text(json.dumps(holder))
        except OSError as error:
            raise LibraryError(
                f"cannot write to {self.folder}: {error.strerror}; run this again once that is mended, nothing stored "
                "is lost"
            ) from error

    def release(self) -> None:
        if self._lock is not None:
            (self.folder / HOLDER).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def _holder(self) -> str:
        for _ in range(20):  # the holder may be between taking the lock and saying who it is
            try:
                h = json.loads((self.folder / HOLDER).read_text())
                return f"process {h['pid']} on {h['host']} (`{h['command']}`, since {h['since']})"
            except (OSError, ValueError, KeyError):
                time.sleep(0.05)
        return "another process"
