"""Photos from the decoder processes through the model into the library: the part of an ingest where the time goes."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.catalog import queries
from vlsearch.encoders.base import Encoder
from vlsearch.errors import UnreadableFile
from vlsearch.ingest import sources
from vlsearch.ingest.committer import Embedded, commit
from vlsearch.ingest.decoder_child import Item, Jpeg, Settings
from vlsearch.ingest.decoders import Decoder, Read
from vlsearch.ingest.lanes import Lanes, Undecoded, Waiting
from vlsearch.ingest.readers import END, Readers
from vlsearch.ingest.spool import Spool
from vlsearch.ingest.summary import Summary
from vlsearch.optimize import merge_when_it_pays

if TYPE_CHECKING:
    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

log = logging.getLogger(__name__)

COMMIT_PHOTOS, COMMIT_SECONDS = 64, 1.0
"""a commit is made once there are so many photos and so much time has passed since the last one …"""
COMMIT_LATEST = 10.0
"""… or after so many seconds, however few there are"""
COMMIT_FILES = 4096
"""files in one commit, at most"""
AHEAD = 256
"""photos that may be decoded before they are embedded; more where the lanes' batches ask for it"""
LANES_PAY, FEW = 64, 4
"""photos from which on it pays to make lanes, which may mean to compute the model anew; how many of fewer at a time"""
PROBE_PAYS = 10_000
"""photos from which on it pays to try how the model runs best"""
MERGE_COMMITS = 4096
"""commits, an hour's or more, after which shards are merged and indexed in between: queries read those that are not"""
END_WITHIN = 1.2
"""seconds that a Ctrl-C waits for what is being embedded"""


class Taking:
    """Reads come from the processes, go through the lanes in micro-batches, and are committed here, in this thread."""

    def __init__(
        self,
        library: Library,
        row: ModelRow,
        encoder: Callable[[], Encoder],
        summary: Summary,
        stop: threading.Event,
        progress: Callable[[int, int], None],
    ) -> None:
        self.library, self.row, self.encoder, self.summary = library, row, encoder, summary
        self.stop, self.progress = stop, progress
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.lanes: Lanes | None = None
        self.waiting: list[Waiting] = []
        """decoded, not yet a micro-batch"""
        self.waiting_jpegs: list[Waiting] = []
        """to be decoded where they are embedded"""
        self.under_way: set[bytes] = set()
        """sha256 of photos that are waiting, being embedded, or embedded and not committed"""
        self.vectors: dict[bytes, np.ndarray] = {}
        """of what is embedded and not committed"""
        self.read: dict[int, Read] = {}
        """by number: what is not committed"""
        self.next = 0
        """the first number that is not committed: photos get their ids in the order of the walk, whatever is first"""
        self.settled = self.submitted = self.commits = 0
        self.committed_at = self.shown_at = time.monotonic()

    def run(self, spool: Spool, settings: Settings) -> None:
        """Take everything in the spool, or what can be taken until `stop` is set."""
        self.count = len(spool)
        self.settings = settings
        self.readers = Readers(
            items_of(spool), self.count, settings, self._lookup, self.events.put, AHEAD, self._hungry
        )
        reading = len(self.readers)
        try:
            while reading or self.waiting or self.waiting_jpegs or self.submitted:
                try:
                    event = self.events.get(timeout=0.2)
                except queue.Empty:
                    event = None
                if self.stop.is_set():
                    break
                reading -= event is END
                self._take(event, last=not reading)
                self._commit_when_due()
                self._show()
            if self.stop.is_set():
                self._stop()
            else:
                self._commit()
        finally:
            self.readers.close()
            if self.lanes is not None:
                self.lanes.drop_waiting()
                self.lanes.close(patience=0 if self.stop.is_set() else None)
        self.progress(self.settled, self.count)

    def _lookup(self, sha256: list[bytes]) -> dict[bytes, tuple[int, bool]]:
        with self.library.read() as c:
            return queries.content_by_sha256(c, sha256, self.row.id)

    def _take(self, event: Any, last: bool) -> None:
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, Read):
            self._received(event)
        elif isinstance(event, list):
            self._embedded(event)
        elif isinstance(event, Undecoded):
            self.submitted -= 1
            self._decode_after_all(event.batch)
        for waiting in (self.waiting, self.waiting_jpegs):
            if waiting and (last or event is None or len(waiting) >= self._lanes().batch):
                self._lanes().submit(list(waiting))
                self.submitted += 1
                waiting.clear()

    def _received(self, read: Read) -> None:
        self.read[read.number] = read
        pixels, read.pixels = read.pixels, None  # they take memory, and must not wait for the commit
        if pixels is not None and read.sha256 not in self.under_way:
            self.under_way.add(read.sha256)
            waiting = self.waiting_jpegs if isinstance(pixels, Jpeg) else self.waiting
            waiting.append((read.sha256, pixels))
        else:  # there is nothing to embed, or the same photo is on its way
            self._settle(1)

    def _embedded(self, batch: list[tuple[bytes, np.ndarray]]) -> None:
        self.submitted -= 1
        self.vectors.update(batch)
        self._settle(len(batch))

    def _hungry(self) -> bool:
        """Whether the lanes could do some of the decoding, as they have little else to do (asked by any thread)."""
        lanes = self.lanes
        if lanes is None or not lanes.take_jpegs:
            return False
        ready = len(self.waiting) + len(self.waiting_jpegs) + self.submitted * lanes.batch
        return ready < lanes.batch * len(lanes)

    def _decode_after_all(self, batch: Sequence[Waiting]) -> None:
        """JPEG files that a GPU would not decode, each in a process of ours, which says what is wrong with which."""
        files = {sha256: photo.data for sha256, photo in batch if isinstance(photo, Jpeg)}
        first = {read.sha256: read for read in reversed(self.read.values()) if read.sha256 in files}
        items = [Item(read.number, read.file, files[sha256]) for sha256, read in first.items()]
        decoder = Decoder(self.settings, lambda _: {})
        try:
            for read in decoder.read(items):
                if read.pixels is not None:
                    self.waiting.append((read.sha256, read.pixels))
                    continue
                sha256 = self.read[read.number].sha256
                for same in [r for r in self.read.values() if r.sha256 == sha256]:
                    same.photo, same.reason = None, read.reason
                self.under_way.discard(sha256)
                self._settle(1)
        finally:
            decoder.close()

    def _settle(self, count: int) -> None:
        self.settled += count
        self.readers.release(count)

    def _lanes(self) -> Lanes:
        if self.lanes is None:
            encoder = self.encoder()
            if self.count >= PROBE_PAYS:
                encoder.probe()
            if self.count < LANES_PAY:
                self.lanes = Lanes([encoder.embed_images], FEW, self.events.put)
            else:
                lanes = encoder.image_lanes()
                self.lanes = Lanes(lanes, encoder.lane_batch, self.events.put)
            self.readers.release(max(0, 3 * self.lanes.batch * len(self.lanes) - AHEAD))
            log.info("%d lanes, %d photos at a time", len(self.lanes), self.lanes.batch)
        return self.lanes

    def _commit_when_due(self) -> None:
        passed = time.monotonic() - self.committed_at
        if (
            (len(self.vectors) >= COMMIT_PHOTOS and passed >= COMMIT_SECONDS)
            or len(self.read) - len(self.under_way) >= COMMIT_FILES
            or (self.read and passed >= COMMIT_LATEST)
        ):
            self._commit()

    def _commit(self) -> None:
        """Commit what is ready, up to the first file that is not."""
        batch: list[Read] = []
        while (read := self.read.get(self.next)) is not None and self._ready(read):
            batch.append(self.read.pop(self.next))
            self.next += 1
        self._store(batch)

    def _ready(self, read: Read) -> bool:
        return read.photo is None or read.sha256 in self.vectors or read.sha256 not in self.under_way

    def _store(self, batch: list[Read]) -> None:
        for start in range(0, len(batch), COMMIT_FILES):
            part = batch[start : start + COMMIT_FILES]
            new = {r.sha256: r for r in reversed(part) if r.photo is not None and r.sha256 in self.vectors}
            embedded = [Embedded(r, self.vectors[r.sha256]) for r in part if new.get(r.sha256) is r]
            others = [r for r in part if new.get(r.sha256) is not r]
            commit(self.library, self.row, embedded, others, self.summary)
            for sha256 in new:
                del self.vectors[sha256]
            self.under_way -= new.keys()
            self.commits += 1
            if self.commits % MERGE_COMMITS == 0:
                merge_when_it_pays(self.library)
        self.committed_at = time.monotonic()

    def _stop(self) -> None:
        """Take in what is being embedded at this moment and store all that is ready; drop the rest."""
        self.readers.close()
        until = time.monotonic() + END_WITHIN
        if self.lanes is not None:
            self.submitted -= self.lanes.drop_waiting()
        while self.submitted > 0 and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                event = self.events.get(timeout=left)
                if isinstance(event, list):
                    self._embedded(event)
        self._store([read for _, read in sorted(self.read.items()) if self._ready(read)])

    def _show(self) -> None:
        now = time.monotonic()
        if now - self.shown_at > 0.1:
            self.shown_at = now
            self.progress(self.settled, self.count)


def items_of(spool: Spool) -> Iterator[Item | Read]:
    """What is to be read, in the order of the walk; as a Read what its container could not give."""
    fetcher = sources.Fetcher()
    try:
        for number, found in enumerate(spool.take_all()):
            try:
                yield Item(number, found, fetcher.fetch(found))
            except UnreadableFile as error:
                yield Read(number, found, reason=str(error))
            except OSError as error:
                yield Read(number, found, reason=error.strerror or str(error), lasting=False)
    finally:
        fetcher.close()
