"""Threads that keep the decoder processes busy and hand over what they read, never too far ahead."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator

from vlsearch.encoders.lanes import quota
from vlsearch.ingest.decoder_child import Item, Settings
from vlsearch.ingest.decoders import Decoder, Lookup, Read

log = logging.getLogger(__name__)

FILES, BYTES = 16, 32 << 20
"""what one process is given at a time, at most (one file, if that alone is larger)"""

END = object()
"""said once by each thread when it has nothing left to read"""


def cores() -> int:
    """How many processors this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, quota())


class Readers:
    """Reads `items` in processes, one per core.

    `jpegs` says, of each chunk, whether what a GPU can decode is handed over as it is.
    `put` gets a Read for each, in any order, END from each thread, and what else is raised. At most `ahead` reads are
    out at a time: `release` tells that some have been dealt with.
    """

    def __init__(
        self,
        items: Iterator[Item | Read],
        count: int,
        settings: Settings,
        lookup: Lookup,
        put: Callable[[object], None],
        ahead: int,
        jpegs: Callable[[], bool] = lambda: False,
    ) -> None:
        self._jpegs = jpegs
        self._items, self._settings, self._lookup, self._put = items, settings, lookup, put
        self._taking, self._stopped = threading.Lock(), threading.Event()
        self._room = threading.Semaphore(ahead)
        wanted = min(cores(), count)
        self._at_a_time = max(1, min(FILES, count // (4 * wanted)))
        self._left_over: Item | Read | None = None
        self._threads = [threading.Thread(target=self._run, name=f"reader-{n}", daemon=True) for n in range(wanted)]
        for thread in self._threads:
            thread.start()
        log.info("%d decoders (%d files at a time), %d photos ahead at most", wanted, self._at_a_time, ahead)

    def __len__(self) -> int:
        return len(self._threads)

    def release(self, count: int) -> None:
        if count:
            self._room.release(count)

    def close(self) -> None:
        """End now; what has been read and not handed over is read again another time."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(1)

    def _run(self) -> None:
        decoder = Decoder(self._settings, self._lookup)
        try:
            while not self._stopped.is_set() and (chunk := self._next_chunk()):
                had = (one for one in chunk if isinstance(one, Read))
                items = [one for one in chunk if isinstance(one, Item)]
                for read in itertools.chain(had, decoder.read(items, jpegs=self._jpegs())):
                    while not self._room.acquire(timeout=0.1):
                        if self._stopped.is_set():
                            return
                    self._put(read)
                    if self._stopped.is_set():
                        return
        except BaseException as error:
            self._put(error)
        finally:
            decoder.close()
            self._put(END)

    def _next_chunk(self) -> list[Item | Read]:
        """The next files; one thread at a time opens containers."""
        chunk: list[Item | Read] = []
        size = 0
        with self._taking:
            while len(chunk) < self._at_a_time:
                one, self._left_over = self._left_over or next(self._items, None), None
                if one is None:
                    break
                weight = 0 if isinstance(one, Read) else one.found.size if one.data is None else len(one.data)
                if chunk and size + weight > BYTES:
                    self._left_over = one
                    break
                chunk.append(one)
                size += weight
        return chunk
