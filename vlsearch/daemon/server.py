"""The daemon: a socket, a queue, and one request after the other, until nobody asks any more.

Every connection is read and answered by a thread of its own, so that a slow client keeps nobody waiting; what is asked
is done by the thread that calls `serve`, since folder, environment and streams belong to the process.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlsearch.daemon import protocol
from vlsearch.daemon.turn import Handle, perform
from vlsearch.memory import resident_bytes

LOOK = 1.0
"""seconds between looks whether the library is still there"""


@dataclass
class Job:
    """A request and its answer, once `done`."""

    request: dict[str, Any]
    connection: socket.socket
    done: threading.Event = field(default_factory=threading.Event)
    head: dict[str, Any] = field(default_factory=lambda: {"refused": "the daemon ends"})
    body: bytes = b""

    def is_awaited(self) -> bool:
        """Whether the client is still there: it says nothing more, so what there is to read is its end."""
        look = select.poll()
        look.register(self.connection, select.POLLIN)
        return not look.poll(0)


class Server:
    """Answers requests about the library at `library` with what `handle` does, until `idle` seconds have passed without
    one. `facts` are told by `--status`."""

    def __init__(self, library: Path, handle: Handle, idle: float, facts: dict[str, Any] | None = None) -> None:
        self._library, self._handle, self._idle = library, handle, idle
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._stopped: str | None = None
        self._answered, self._since, self._last = 0, time.time(), time.monotonic()
        self._facts = facts or {}

    def serve(self, ready: Callable[[], None] = lambda: None) -> str:
        """Listen, call `ready`, answer; returns why it ended. The socket's place must be this process's alone."""
        place = protocol.socket_path(str(self._library))
        with listening(place) as listener, self._signals():
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            ready()
            self._last = time.monotonic()
            while self._stopped is None:
                self._next()
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                job.done.set()
        for thread in list(self._threads):
            thread.join(protocol.PATIENCE)
        return self._stopped

    def stop(self, why: str) -> None:
        """End once the request that is being answered is; may be called from a signal handler or another thread."""
        self._stopped = why
        self._jobs.put(None)

    def _next(self) -> None:
        left = self._last + self._idle - time.monotonic()
        try:
            job = self._jobs.get(timeout=max(0.0, min(LOOK, left)))
        except queue.Empty:
            if not self._library.is_dir():
                self._stopped = f"{self._library} is no longer there"
            elif left <= 0:
                self._stopped = f"nobody asked for {self._idle:g} s"
            return
        if job is None:
            return
        if job.is_awaited():
            try:
                job.head, job.body = perform(job.request, self._handle)
                self._answered += 1
            except BaseException as error:  # the client does it itself, and so shows what is wrong
                job.head = {"refused": f"{type(error).__name__}: {error}"}
        job.done.set()
        self._last = time.monotonic()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                if listener.fileno() < 0 or self._stopped is not None:
                    return
                time.sleep(0.1)  # no file descriptor is free, say
                continue
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            self._threads.add(thread)
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        """A message, and its answer. What is wrong with a client is nobody else's concern."""
        with connection, suppress(OSError, EOFError, ValueError):
            connection.settimeout(protocol.PATIENCE)
            if protocol.is_peer_ours(connection):
                head, body = self._reply(connection, json.loads(protocol.receive(connection, protocol.LONGEST_REQUEST)))
                protocol.send(connection, json.dumps(head).encode() + b"\n" + body)
        self._threads.discard(threading.current_thread())

    def _reply(self, connection: socket.socket, request: Any) -> tuple[dict[str, Any], bytes]:
        if not isinstance(request, dict):
            return {"refused": "no request"}, b""
        if request.get("do") == "status":
            return self._status(), b""
        if request.get("do") == "stop":
            self.stop("asked to")
            return {"process": os.getpid()}, b""
        if request.get("build") != protocol.BUILD:
            return {"refused": "another version"}, b""
        if os.path.realpath(str(request.get("library"))) != os.path.realpath(self._library):
            return {"refused": "another library"}, b""
        job = Job(request, connection)
        self._jobs.put(job)
        while not job.done.wait(protocol.BEAT):
            protocol.send(connection, b"")
        return job.head, job.body

    def _status(self) -> dict[str, Any]:
        return {
            "process": os.getpid(),
            "library": str(self._library),
            **self._facts,
            "answered": self._answered,
            "since": self._since,
            "idle": self._idle,
            "memory": resident_bytes(),
        }

    @contextmanager
    def _signals(self) -> Iterator[None]:
        names = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(name, lambda number, _: self.stop(signal.Signals(number).name)) for name in names]
        try:
            yield
        finally:
            for name, handler in zip(names, before, strict=True):
                signal.signal(name, handler)


@contextmanager
def listening(place: str) -> Iterator[socket.socket]:
    """A socket at `place` that this user alone may connect to; what a killed daemon left there is replaced."""
    Path(place).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        umask = os.umask(0o177)
        try:
            listener.bind(place)
        finally:
            os.umask(umask)
        listener.listen(128)
        try:
            yield listener
        finally:
            Path(place).unlink(missing_ok=True)
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
