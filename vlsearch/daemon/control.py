"""Starting, asking and ending the daemon of a library. One at a time: it holds a lock for as long as it lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlsearch.daemon import client, protocol
from vlsearch.errors import VlsearchError

ENDING = 30.0
"""seconds that a daemon has to finish its answer"""


def check_supported() -> None:
    if not hasattr(socket, "AF_UNIX") or os.name != "posix":
        raise VlsearchError("this system has no Unix sockets, so there is no daemon; queries work without it")


@contextmanager
def holding(library: Path) -> Iterator[None]:
    """The right to be the daemon of `library`, given back by the system when the process ends, however it ends.
    VlsearchError when another process has it, or the socket's folder cannot be had."""
    import fcntl

    folder = private_folder()
    with (folder / lock_name(library)).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VlsearchError(
                f"a daemon for {library} runs already (process {holder(library)}); `vlsearch daemon --stop` ends it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def holder(library: Path) -> str:
    """The process that is the daemon of `library`, as the lock names it; "" where there is none."""
    try:
        return (Path(protocol.socket_folder()) / lock_name(library)).read_text()
    except OSError:
        return ""


def lock_name(library: Path) -> str:
    return Path(protocol.socket_path(str(library))).with_suffix(".lock").name


def private_folder() -> Path:
    """The folder of the sockets, made when it is missing. VlsearchError unless it is this user's alone."""
    folder = Path(protocol.socket_folder())
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise VlsearchError(
            f"cannot make {folder} for the daemon's socket: {error.strerror}; "
            "set XDG_RUNTIME_DIR (or TMPDIR) to a folder that you may write to"
        ) from error
    if not protocol.is_ours_alone(str(folder)):
        raise VlsearchError(
            f"{folder} must be a folder of yours that nobody else may enter (mode 0700); remove it, or set "
            "XDG_RUNTIME_DIR to another place"
        )
    return folder


def tell(library: Path, what: str) -> dict[str, Any] | None:
    """What the daemon of `library` answers to "status" or "stop"; None where none does."""
    place = protocol.socket_path(str(library))
    if not protocol.is_ours_alone(str(Path(place).parent)):
        return None
    try:
        return client.ask(place, {"do": what})[0]
    except (OSError, EOFError, ValueError):
        return None


def stop(library: Path, patience: float = ENDING) -> int | None:
    """End the daemon of `library` and return its process's number; None where none runs. VlsearchError when it does
    not end within `patience` seconds."""
    told = tell(library, "stop")
    process = holder(library)
    if told is None and not is_held(library):
        return None
    until = time.monotonic() + patience
    while is_held(library):
        if time.monotonic() > until or told is None:
            raise VlsearchError(f"the daemon does not answer; end it with kill {process}")
        time.sleep(0.02)
    return int(told["process"]) if told else None


def is_held(library: Path) -> bool:
    import fcntl

    try:
        with (Path(protocol.socket_folder()) / lock_name(library)).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def start(library: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """`vlsearch daemon ARGUMENTS` as a process of its own that outlives this terminal; its status once it answers.
    VlsearchError with its last line when it ends instead."""
    log = private_folder() / Path(lock_name(library)).with_suffix(".log").name
    with log.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "vlsearch", "daemon", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            start_new_session=True,
        )
    while child.poll() is None:
        status = tell(library, "status")
        if status is not None and status.get("process") == child.pid:
            return status
        time.sleep(0.05)
    lines = log.read_text(errors="backslashreplace").strip().splitlines() or ["the daemon ended at once"]
    raise VlsearchError(lines[-1].removeprefix("vlsearch: "))
