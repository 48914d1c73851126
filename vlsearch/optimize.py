"""Housekeeping: many small shards become few large ones, without what was forgotten; the catalog loses its slack; an
index is built anew and measured."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.catalog import housekeeping, queries
from vlsearch.errors import LibraryDamaged, LibraryError, UsageError
from vlsearch.vectors.report import IndexReport, measured
from vlsearch.vectors.store import read_shard, write_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.catalog.housekeeping import SizedShard
    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

log = logging.getLogger(__name__)

MAX_ROWS = 65_536
"""vectors in a merged shard: one of them is held in memory at a time"""
FEW = 16
"""so many shards of a tier are merged on their own, and tiers are so far apart"""

Progress = Callable[[str, int, int], None]


@dataclass
class Merged:
    """What was merged."""

    before: int = 0
    """shards that were taken"""
    after: int = 0
    """shards that came out of them"""
    dropped: int = 0
    """vectors of forgotten photos and captions that were left out"""
    freed: int = 0
    """bytes, over all files of the library"""
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.before:
            done = f"merged {self.before:,} shards into {self.after:,}, dropped {self.dropped:,} forgotten vectors"
        else:
            done = "nothing to merge"
        return f"{done}, {self.freed / 1e6:.1f} MB freed in {self.seconds:.1f} s"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": round(self.seconds, 3)}


def optimize(library: Library, progress: Progress = lambda *_: None) -> Merged:
    """Merge the shards of each model and kind into as few as it takes, of up to MAX_ROWS vectors, and tidy the catalog.

    Shards are taken whole, the smallest first, so any two that are left are together more than MAX_ROWS. What is killed
    in the middle is whole and goes on with the next call. LibraryDamaged for a shard that cannot be read.
    """
    return _housekeep(library, mergeable, progress)


def optimize_index(
    library: Library, recall: float | None = None, progress: Progress = lambda *_: None
) -> list[IndexReport]:
    """Build the index of each model and kind anew, for a recall@10 of `recall` (0 to 1; None: as it is), and measure
    it. Later savings keep to that recall. UsageError for a recall that is none."""
    if recall is not None and not 0 < recall <= 1:
        raise UsageError(f"--recall must be above 0 and at most 1, not {recall:g}")
    reports = []
    for model, kind in _sets(library):
        with library.writing():
            manifest = library.derived(model, kind).save(progress, target=recall, anew=True)
        if manifest is not None:
            reports.append(measured(library.derived(model, kind), model.name, kind, manifest))
    library.save_indexes()  # nothing is left to save: an index that is open lets go of the old files
    return reports


def merge_when_it_pays(library: Library) -> Merged | None:
    """What an ingest calls when it ends, after `save_indexes`. None, and next to no time, as long as it does not pay.

    Tiers of shards are 1–15, 16–255, 256–4,095 and 4,096–32,767 vectors; larger ones are left alone. A tier of at least
    16 shards is merged, 16 or more at a time or up to 32,768 vectors, so that a merge moves every vector at least one
    tier up: each is written again at most four times in the library's life, a cost of O(n log n) for n photos that came
    in any number of ingests, and at most 15 shards of each tier stay. A shard that is more than half dead is written
    anew for fewer vectors than it drops. Trouble is logged: it is no reason to fail what was ingested.
    """
    with library.read() as c:
        found = any(due(housekeeping.sized_shards(c, m.id, kind)) for m, kind in _sets(library))
    if not found:
        return None
    try:
        return _housekeep(library, due)
    except LibraryError as error:
        log.warning("shards are left unmerged: %s", error)
        return None


def expected(library: Library) -> Merged:
    """What `optimize` would merge now; `freed` and `seconds` are not known."""
    merged = Merged()
    with library.read() as c:
        for model, kind in _sets(library):
            for group in mergeable(housekeeping.sized_shards(c, model.id, kind)):
                _count(merged, group)
    return merged


def mergeable(shards: Sequence[SizedShard]) -> list[list[SizedShard]]:
    """Groups of shards, each to become one (or none, where nothing lives in it)."""
    empty = [s for s in shards if not s.live]
    groups = ([empty] if empty else []) + _pack([s for s in shards if s.live])
    return [group for group in groups if len(group) > 1 or group[0].dead]


def due(shards: Sequence[SizedShard]) -> list[list[SizedShard]]:
    """Those groups that pay; the rule is that of `merge_when_it_pays`."""
    groups = mergeable([s for s in shards if s.dead > s.live])
    tiers: dict[int, list[SizedShard]] = {}
    for s in shards:
        if s.dead <= s.live < MAX_ROWS // 2:
            tiers.setdefault((s.live.bit_length() - 1) // (FEW.bit_length() - 1), []).append(s)
    for tier in tiers.values():
        if len(tier) >= FEW:
            groups.extend(g for g in _pack(tier) if len(g) >= FEW or sum(s.live for s in g) >= MAX_ROWS // 2)
    return groups


def stored_bytes(library: Library) -> int:
    """Size of all files of a library."""
    size = 0
    for file in library.path.rglob("*"):
        with suppress(FileNotFoundError):  # a writer is at work
            size += file.stat().st_size if file.is_file() else 0
    return size


def _pack(shards: Sequence[SizedShard]) -> list[list[SizedShard]]:
    packed: list[list[SizedShard]] = []
    room = -1
    for s in sorted(shards, key=lambda s: (s.live, s.shard.id)):
        if s.live > room:
            packed.append([])
            room = MAX_ROWS
        packed[-1].append(s)
        room -= s.live
    return packed


def _sets(library: Library) -> list[tuple[ModelRow, str]]:
    return [(model, kind) for model in library.models() for kind in (queries.IMAGE, queries.TEXT)]


def _housekeep(
    library: Library,
    choose: Callable[[Sequence[SizedShard]], list[list[SizedShard]]],
    progress: Progress = lambda *_: None,
) -> Merged:
    began, size = time.monotonic(), stored_bytes(library)
    library.save_indexes()  # from an index that is up to date, merging changes the manifest only
    merged = Merged()
    todo: list[tuple[ModelRow, str, list[SizedShard]]] = []
    for model, kind in _sets(library):
        with library.read() as c:
            todo.extend((model, kind, group) for group in choose(housekeeping.sized_shards(c, model.id, kind)))
    total = sum(len(group) for _, _, group in todo)
    for model, kind, group in todo:
        progress("shards", merged.before, total)
        _merge(library, model, kind, group)
        _count(merged, group)
    library.save_indexes()
    with library.read() as c:
        engine = c.engine
    housekeeping.tidy(engine)
    merged.freed = max(0, size - stored_bytes(library))
    merged.seconds = time.monotonic() - began
    return merged


def _count(merged: Merged, group: Sequence[SizedShard]) -> None:
    merged.before += len(group)
    merged.after += int(any(s.live for s in group))
    merged.dropped += sum(s.dead for s in group)


def _merge(library: Library, model: ModelRow, kind: str, group: Sequence[SizedShard]) -> None:
    """The new shard, the manifest that knows it, one transaction, and only then the old files: whole at any moment."""
    old = [s.shard for s in group]
    derived = library.derived(model, kind)
    after = {s.file: s.sha256 for s in derived.shards if s.file not in {shard.file for shard in old}}
    file = library.next_file(model)
    ids, vectors = _live_vectors(library, group, model.dim)
    try:
        with library.writing():
            if len(ids):
                after[file] = write_shard(library.path / file, ids, vectors)
            if derived.up_to_date():
                derived.foresee(after)
        with library.transaction() as c:
            if len(ids):
                housekeeping.replace_shards(c, old, file, len(ids), after[file])
            else:
                housekeeping.drop_shards(c, old)
    except Exception:  # an interrupt may come once the rows are committed: then the sweep finds what is not named
        (library.path / file).unlink(missing_ok=True)
        raise
    for shard in old:
        with suppress(OSError):  # some systems keep what a reader has open; the next writer sweeps it
            Path(library.path / shard.file).unlink()


def _live_vectors(
    library: Library, group: Sequence[SizedShard], dim: int
) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """Ids (n,) ascending and vectors (n, d) of all that lives in the group."""
    count = sum(s.live for s in group)
    ids, vectors = np.empty(count, np.int64), np.empty((count, dim), np.float16)
    start = 0
    for shard, live in group:
        if not live:
            continue
        shard_ids, shard_vectors = read_shard(library.path / shard.file, shard.sha256)
        with library.read() as c:
            keep = np.isin(shard_ids, queries.shard_items(c, shard.id))
        if keep.sum() != live:
            raise LibraryDamaged(
                f"shard {library.path / shard.file} does not hold what the catalog says; `vlsearch repair` mends it"
            )
        ids[start : start + live], vectors[start : start + live] = shard_ids[keep], shard_vectors[keep]
        start += live
    if (ids[1:] > ids[:-1]).all():
        return ids, vectors  # as they mostly are: nothing to copy
    order = np.argsort(ids)
    return ids[order], vectors[order]
