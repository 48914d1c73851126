"""One request, run in the circumstances of the command line that sent it, its output caught."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.daemon.protocol import LONGEST_ANSWER

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Handle = Callable[[Sequence[str]], int]
"""runs a command line, given without the program's name, and returns its exit code"""


class Caught(io.RawIOBase):
    """What is written to file descriptor 1 or 2, appended to `parts`."""

    def __init__(self, descriptor: int, terminal: bool, parts: list[tuple[int, bytearray]]) -> None:
        self._descriptor, self._terminal, self._parts = descriptor, terminal, parts

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._terminal

    def write(self, data: ReadableBuffer, /) -> int:
        if not self._parts or self._parts[-1][0] != self._descriptor:
            self._parts.append((self._descriptor, bytearray()))
        self._parts[-1][1].extend(memoryview(data).cast("B"))
        return memoryview(data).nbytes


def perform(request: dict[str, Any], handle: Handle) -> tuple[dict[str, Any], bytes]:
    """The answer to a request as `client.request` makes it. Whatever `handle` raises, or a request that is none."""
    parts: list[tuple[int, bytearray]] = []
    with circumstances(request, parts):
        code = handle(request["arguments"])
    body = b"".join(data for _, data in parts)
    if len(body) > LONGEST_ANSWER // 2:
        raise ValueError("an answer that is too long to be sent")
    return {"code": code, "parts": [[descriptor, len(data)] for descriptor, data in parts]}, body


@contextmanager
def circumstances(request: dict[str, Any], parts: list[tuple[int, bytearray]]) -> Iterator[None]:
    """Folder, environment, umask, streams and log of this process are those of the request meanwhile."""
    streams, folder, environment, umask = (sys.stdin, sys.stdout, sys.stderr), Path.cwd(), dict(os.environ), None
    root, own = logging.getLogger(), logging.getLogger("vlsearch")
    handlers, level = root.handlers, own.level
    try:
        os.chdir(request["folder"])
        umask = os.umask(request["umask"])
        size = {"COLUMNS": str(request["columns"]), "LINES": str(request["lines"])}
        become(size | request["environment"])
        sys.stdin = io.TextIOWrapper(io.BytesIO())
        sys.stdout = stream(Caught(1, request["terminal"], parts), request["encoding"])
        # An answer comes as a whole, so there is nobody to watch spinners and bars.
        sys.stderr = stream(Caught(2, False, parts), request["encoding"], line_buffering=True)
        root.handlers = []  # a handler holds on to the stream that was stderr when it was made
        yield
        sys.stdout.flush()
    finally:
        root.handlers = handlers
        own.setLevel(level)
        sys.stdin, sys.stdout, sys.stderr = streams
        become(environment)
        if umask is not None:
            os.umask(umask)
        os.chdir(folder)


def stream(caught: Caught, encoding: str, line_buffering: bool = False) -> io.TextIOWrapper:
    line_buffering |= caught.isatty()
    return io.TextIOWrapper(io.BufferedWriter(caught), encoding, "backslashreplace", line_buffering=line_buffering)


def become(environment: dict[str, str]) -> None:
    """Make `environment` this process's; what is the same already is left alone."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})
