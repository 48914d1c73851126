"""An index and its manifest: made from shards, added to when shards come, rebuilt when it cannot be trusted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.manifest import MAIN, TAIL, Manifest, PartRow
from vlsearch.vectors.part import Part
from vlsearch.vectors.recipes import RECALL, exact_up_to, recipe_for
from vlsearch.vectors.store import read_shard, write_durably

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.vectors.build import Progress
    from vlsearch.vectors.faiss_backend import FaissBackend

log = logging.getLogger(__name__)

DEAD = 0.1
"""the part of an index that may be forgotten vectors before it is written without them"""
TAIL_SHARE = 0.1
"""of the main part, that its tail may reach before the two become one"""


@dataclass(frozen=True)
class LiveShard:
    """A shard, and which of its vectors the catalog still names."""

    file: str
    sha256: str
    rows: int
    live: Callable[[], NDArray[np.int64]]
    """LibraryDamaged once the catalog no longer names the shard"""


class DerivedIndex:
    """The index `stem` of a library at `root`, over vectors of `dim` dimensions in `shards`.

    `gone` tells whether the catalog has stopped naming one of the shards: a writer merges them while others read.
    `live_count` counts the vectors in the shards that the catalog names; `texts` gives vectors (n, d) of what is asked
    for, where the library has some.
    """

    def __init__(
        self,
        root: Path,
        stem: str,
        dim: int,
        shards: Sequence[LiveShard],
        gone: Callable[[], bool] = lambda: False,
        live_count: Callable[[], int] | None = None,
        texts: Callable[[], NDArray[np.float32] | None] | None = None,
    ) -> None:
        self.root, self.stem, self.dim, self.shards, self.gone, self.texts = root, stem, dim, shards, gone, texts
        self.live_count = live_count or (lambda: sum(len(s.live()) for s in shards))
        self.file = root / "index" / f"{stem}.faiss"
        self.tail_file = root / "index" / f"{stem}.tail.faiss"
        self.manifest_file = root / "index" / f"{stem}.json"

    def open(self) -> FaissBackend:
        """The index over all shards; what its files lack is searched in memory. Forgotten vectors may be in it.

        LibraryDamaged for a shard that cannot be read, or that is `gone`.
        """
        from vlsearch.vectors.faiss_backend import FaissBackend

        manifest, trusted = self._trusted()
        held = manifest.held(self.named()) if manifest else {}
        parts = [trusted[name] for name in (MAIN, TAIL) if name in trusted]
        if any(s.file not in held for s in self.shards):
            parts.append(Part.in_memory(self.dim, self._lacking(held, parts)))
        return FaissBackend(self.dim, parts)

    def save(
        self, progress: Progress = lambda *_: None, *, target: float | None = None, anew: bool = False
    ) -> Manifest | None:
        """Write what the index lacks, unless it is up to date already. Without shards there is none.

        A small index is written whole. A large one gets a tail of what is new; main part and tail are written as one
        when the tail is large or much was forgotten, or when `anew` or another `target` (a recall@10) asks for it.
        """
        if not self.shards:
            for file in (self.manifest_file, self.tail_file, self.file):
                file.unlink(missing_ok=True)
            return None
        manifest, parts = self._trusted()
        if manifest is not None and target in (None, manifest.target) and not anew:
            held = manifest.held(self.named())
            new = sum(s.rows for s in self.shards if s.file not in held)
            if manifest.count + new - self.live_count() <= DEAD * (manifest.count + new):
                if not new:
                    self.settle()
                    return manifest.settled(self.named())
                tail = new + (parts[TAIL].count if TAIL in parts else 0)
                if parts[MAIN].lists > 1 and tail <= min(TAIL_SHARE * parts[MAIN].count, exact_up_to() // 2):
                    return self._write_tail(manifest, parts, held)
        return self._write_whole(manifest, parts, target, anew, progress)

    def up_to_date(self) -> bool:
        """Whether the manifest speaks of just these shards; what the files hold is not looked at."""
        try:
            held = self.manifest().held(self.named())
        except (OSError, LibraryDamaged):
            return False
        return self.file.exists() and len(held) == len(self.shards)

    def manifest(self) -> Manifest:
        """Raises OSError, LibraryDamaged."""
        return Manifest.decode(self.manifest_file.read_bytes())

    def foresee(self, shards: dict[str, str]) -> None:
        """Before the catalog names `shards` (file -> sha256), which hold the same live vectors as those it names now:
        let the manifest of an index that is up to date name both, so that it is right before and after."""
        settled = self.manifest().settled(self.named())
        write_durably(self.manifest_file, replace(settled, next=shards).encode())

    def settle(self) -> None:
        """End what `foresee` began, if anything: the manifest names the shards that the catalog names."""
        try:
            manifest = self.manifest()
            settled = manifest.settled(self.named())
        except (OSError, LibraryDamaged):
            return  # `open` says so and rebuilds
        if settled != manifest:
            write_durably(self.manifest_file, settled.encode())

    def load(self) -> tuple[Manifest, dict[str, Part]]:
        """The manifest and the parts that it speaks of. LibraryDamaged, with the reason: they do not match."""
        try:
            manifest = self.manifest()
        except OSError as error:
            raise LibraryDamaged(f"its manifest cannot be read ({error.strerror})") from error
        manifest.held(self.named())
        return manifest, {name: self.part(name, row) for name, row in manifest.parts.items()}

    def named(self) -> dict[str, str]:
        """file -> sha256 of the shards that the catalog names."""
        return {s.file: s.sha256 for s in self.shards}

    def part_file(self, name: str) -> Path:
        return {MAIN: self.file, TAIL: self.tail_file}[name]

    def part(self, name: str, row: PartRow) -> Part:
        probes = {int(k): lists for k, lists in row.probes.items()}
        return Part.open(
            self.part_file(name),
            self.dim,
            token=row.token,
            size=row.size,
            count=row.count,
            lists=row.lists,
            probes=probes,
        )

    def _trusted(self) -> tuple[Manifest | None, dict[str, Part]]:
        """What `load` gives, or less with a line that says why: nothing; or the main part alone, when only the tail
        does not match. The manifest then names no shards, and what the main part lacks is looked for in all of them."""
        if not (self.file.exists() or self.manifest_file.exists()):
            return None, {}
        try:
            try:
                return self.load()
            except LibraryDamaged:  # a writer may have replaced the files in between
                return self.load()
        except LibraryDamaged as error:
            if self.gone():
                raise
            log.warning(
                "index %s does not match its shards: %s; rebuilding it in memory, until an ingest or "
                "`vlsearch optimize --index` writes it",
                self.stem,
                error,
            )
        try:
            manifest = self.manifest()
            manifest.held(self.named())
            alone = Manifest({MAIN: manifest.parts[MAIN]}, {}, manifest.target)
            return alone, {MAIN: self.part(MAIN, manifest.parts[MAIN])}
        except (OSError, LibraryDamaged):
            return None, {}

    def _lacking(
        self, held: dict[str, str], parts: Sequence[Part]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Ids and vectors of the shards that the parts do not hold."""
        for shard in self.shards:
            if shard.file not in held:
                ids, vectors = read_shard(self.root / shard.file, shard.sha256)
                for part in parts:
                    new = part.places_of(ids) < 0
                    ids, vectors = ids[new], vectors[new]
                yield ids, vectors

    def _living(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Ids and vectors of all shards, without what was forgotten."""
        for shard in self.shards:
            ids, vectors = read_shard(self.root / shard.file, shard.sha256)
            live = shard.live()
            keep = slice(None) if len(live) == len(ids) else np.isin(ids, live)
            yield ids[keep], vectors[keep]

    def _write_tail(self, manifest: Manifest, parts: dict[str, Part], held: dict[str, str]) -> Manifest:
        from vlsearch.vectors.build import build_exact

        def pieces() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
            if TAIL in parts:
                yield parts[TAIL].ids, parts[TAIL].codes(parts[TAIL].places)
            yield from self._lacking(held, list(parts.values()))

        tail = build_exact(self.tail_file, self.dim, pieces, recipe_for(0).name)
        return self._write_manifest(Manifest({**manifest.parts, TAIL: tail}, self.named(), manifest.target))

    def _write_whole(
        self,
        manifest: Manifest | None,
        parts: dict[str, Part],
        target: float | None,
        anew: bool,
        progress: Progress,
    ) -> Manifest:
        from vlsearch.vectors.build import build_exact, build_lists

        count = self.live_count()
        recipe, target = recipe_for(count), target or (manifest.target if manifest else RECALL)
        if recipe.lists(count) == 1:
            main = build_exact(self.file, self.dim, self._living, recipe.name)
        else:
            log.info("index %s: writing %s vectors anew", self.stem, f"{count:,}")
            earlier = None
            if manifest is not None and parts[MAIN].lists > 1 and not anew:
                earlier = parts[MAIN], manifest.parts[MAIN].trained
            main = build_lists(
                self.file, self.dim, self._living, count, recipe, target,
                earlier=earlier, texts=self.texts, progress=progress,
            )  # fmt: skip
            log.info("index %s: %s lists, recall@10 %.4f, %.1f s", self.stem, main.lists, main.recall, main.seconds)
        written = self._write_manifest(Manifest({MAIN: main}, self.named(), target))
        self.tail_file.unlink(missing_ok=True)
        return written

    def _write_manifest(self, manifest: Manifest) -> Manifest:
        write_durably(self.manifest_file, manifest.encode())
        return manifest
