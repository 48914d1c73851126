"""Threads that embed, one per core or per GPU, all at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlsearch.errors import UnreadableFile
from vlsearch.ingest.decoder_child import Jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray


Waiting = tuple[bytes, "NDArray[np.uint8] | Jpeg"]
"""a photo's sha256 and its pixels (height, width, 3), or the file that the lane shall decode"""


class Undecoded(NamedTuple):
    """A micro-batch of JPEG files among which is one that the lane cannot decode."""

    batch: Sequence[Waiting]


class Lanes:
    """Takes micro-batches of photos, either of pixels or (`take_jpegs`) of files; `done` gets for each a list of
    (sha256, unit vector (d,)), Undecoded, or the exception that came instead.

    Daemon threads: a micro-batch of a large model must not hold up the end of a program that was interrupted.
    """

    def __init__(
        self,
        lanes: Sequence[Callable[[NDArray[np.uint8]], NDArray[np.float32]]],
        batch: int,
        done: Callable[[object], None],
    ) -> None:
        self.batch = batch
        self.take_jpegs = all(hasattr(lane, "embed_jpegs") for lane in lanes)
        self._done = done
        self._todo: queue.SimpleQueue[Sequence[Waiting] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._embed, args=(lane,), name=f"lane-{n}", daemon=True)
            for n, lane in enumerate(lanes)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._threads)

    def submit(self, batch: Sequence[Waiting]) -> None:
        self._todo.put(batch)

    def close(self, patience: float | None = None) -> None:
        """End the threads once they have done what was submitted, waiting for at most `patience` seconds."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(patience)

    def drop_waiting(self) -> int:
        """Take back what no thread has begun; returns the number of micro-batches."""
        dropped = 0
        while True:
            try:
                dropped += self._todo.get_nowait() is not None
            except queue.Empty:
                return dropped

    def _embed(self, lane: Any) -> None:
        while (batch := self._todo.get()) is not None:
            try:
                vectors = vectors_of(lane, [photo for _, photo in batch])
                self._done([(sha256, vector) for (sha256, _), vector in zip(batch, vectors, strict=True)])
            except UnreadableFile:
                self._done(Undecoded(batch))
            except BaseException as error:
                self._done(error)


def vectors_of(lane: Any, photos: Sequence[NDArray[np.uint8] | Jpeg]) -> NDArray[np.float32]:
    """(n, d) unit rows; raises UnreadableFile for JPEG files, one of which the lane cannot decode."""
    files = [photo for photo in photos if isinstance(photo, Jpeg)]
    rows: NDArray[np.float32]
    if files:
        rows = lane.embed_jpegs([file.data for file in files], [file.orientation for file in files])
    else:
        rows = lane(np.stack([photo for photo in photos if not isinstance(photo, Jpeg)]))
    return rows
