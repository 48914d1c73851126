"""Threads that embed, one per core or per GPU, all at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.encoders.base import Encoder


Waiting = tuple[bytes, "NDArray[np.uint8]"]
"""a photo's sha256 and its pixels (height, width, 3)"""


class Lanes:
    """Takes micro-batches of photos; `done` gets for each a list of (sha256, unit vector (d,)), or the exception that
    came instead.

    Daemon threads: a micro-batch of a large model must not hold up the end of a program that was interrupted.
    """

    def __init__(self, encoder: Encoder, done: Callable[[object], None]) -> None:
        self.batch = encoder.lane_batch
        self._done = done
        self._todo: queue.SimpleQueue[Sequence[Waiting] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._embed, args=(lane,), name=f"lane-{n}", daemon=True)
            for n, lane in enumerate(encoder.image_lanes())
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

    def _embed(self, lane: Callable[[np.ndarray], np.ndarray]) -> None:
        while (batch := self._todo.get()) is not None:
            try:
                vectors = lane(np.stack([pixels for _, pixels in batch]))
                self._done([(sha256, vector) for (sha256, _), vector in zip(batch, vectors, strict=True)])
            except BaseException as error:
                self._done(error)
