"""An index file and its manifest: made from shards, added to when shards come, rebuilt when it cannot be trusted."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.recipes import recipe_for
from vlsearch.vectors.store import read_shard, write_durably

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.vectors.backend import Backend

log = logging.getLogger(__name__)

ADDED = 8192
"""vectors that are turned into float32 at a time"""


@dataclass(frozen=True)
class LiveShard:
    """A shard, and which of its vectors the catalog still names."""

    file: str
    sha256: str
    live_count: int
    live: Callable[[], NDArray[np.int64]]
    """LibraryDamaged once the catalog no longer names the shard"""


class DerivedIndex:
    """The index `stem` of a library at `root`, over vectors of `dim` dimensions in `shards`.

    `gone` tells whether the catalog has stopped naming one of the shards: a writer merges them while others read.
    """

    def __init__(
        self,
        root: Path,
        stem: str,
        dim: int,
        shards: Sequence[LiveShard],
        gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self.root, self.stem, self.dim, self.shards, self.gone = root, stem, dim, shards, gone
        self.file = root / "index" / f"{stem}.faiss"
        self.manifest_file = root / "index" / f"{stem}.json"

    def open(self) -> Backend:
        """The index over all shards; those that the file lacks are added in memory, forgotten vectors taken out.

        LibraryDamaged for a shard that cannot be read, or that is `gone`.
        """
        from vlsearch.vectors.faiss_backend import FaissBackend

        backend: Backend | None = None
        held: set[str] = set()
        if self.file.exists() or self.manifest_file.exists():
            try:
                backend, held = self._load_twice()
                self._drop_dead(backend, held)
            except LibraryDamaged as error:
                if self.gone():
                    raise
                backend, held = None, set()
                log.warning("index %s does not match its shards: %s; rebuilding it", self.stem, error)
        if backend is None:
            backend = FaissBackend.create(self.dim, recipe_for(sum(s.live_count for s in self.shards)))
        for shard in self.shards:
            if shard.file not in held:
                ids, vectors = read_shard(self.root / shard.file, shard.sha256)
                keep = slice(None) if shard.live_count == len(ids) else np.isin(ids, shard.live())
                ids, vectors = ids[keep], vectors[keep]
                for start in range(0, len(ids), ADDED):
                    part = slice(start, start + ADDED)
                    backend.add(ids[part], vectors[part].astype(np.float32))
        return backend

    def save(self) -> None:
        """Write the index and its manifest, unless they are up to date already. Without shards there are none."""
        if not self.shards:
            self.file.unlink(missing_ok=True)
            self.manifest_file.unlink(missing_ok=True)
            return
        if self.up_to_date():
            self.settle()
        else:
            backend, digest = self.open(), hashlib.sha256()

            def write(file: IO[bytes]) -> None:
                def both(part: bytes) -> None:
                    digest.update(part)
                    file.write(part)

                backend.dump(both)

            write_durably(self.file, write)
            write_durably(self.manifest_file, self.manifest(digest.hexdigest()))

    def up_to_date(self) -> bool:
        """Whether the manifest speaks of just these shards and their live vectors; the bytes are not read."""
        try:
            manifest = json.loads(self.manifest_file.read_bytes())
            held, count = self._held(manifest), manifest["count"]
        except (OSError, ValueError, KeyError, TypeError, LibraryDamaged):
            return False
        live = sum(s.live_count for s in self.shards)
        return self.file.exists() and len(held) == len(self.shards) and bool(count == live)

    def manifest(self, sha256: str) -> bytes:
        """The manifest of an index file with this checksum that holds all shards."""
        count = sum(s.live_count for s in self.shards)
        manifest = {
            "recipe": recipe_for(count).name,
            "count": count,
            "shards": {s.file: s.sha256 for s in self.shards},
            "sha256": sha256,
        }
        return _encoded(manifest)

    def foresee(self, shards: dict[str, str]) -> None:
        """Before the catalog names `shards` (file -> sha256), which hold the same live vectors as those it names now:
        let the manifest of an index that is up to date name both, so that it is right before and after."""
        manifest = json.loads(self.settled())
        write_durably(self.manifest_file, _encoded(manifest | {"next": shards}))

    def settle(self) -> None:
        """End what `foresee` began, if anything: the manifest names the shards that the catalog names."""
        try:
            now, settled = self.manifest_file.read_bytes(), self.settled()
        except (OSError, ValueError, KeyError, TypeError, LibraryDamaged):
            return  # `open` says so and rebuilds
        if now != settled:
            write_durably(self.manifest_file, settled)

    def settled(self) -> bytes:
        """The manifest as `settle` leaves it."""
        data = self.manifest_file.read_bytes()
        manifest = json.loads(data)
        if "next" not in manifest:
            return data
        held = self._held(manifest)
        del manifest["next"]
        return _encoded(manifest | {"shards": held})

    def load(self) -> tuple[Backend, set[str]]:
        """The index as its file has it, and the shards in it. LibraryDamaged, with the reason: it does not match."""
        from vlsearch.vectors.faiss_backend import FaissBackend

        try:
            manifest: dict[str, Any] = json.loads(self.manifest_file.read_bytes())
            data = self.file.read_bytes()
            recipe, count = manifest["recipe"], manifest["count"]
            held, sha256 = self._held(manifest), manifest["sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LibraryDamaged(f"its manifest cannot be read ({error})") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise LibraryDamaged("its checksum differs")
        backend = FaissBackend.load(data, self.dim)
        if backend.count != count:
            raise LibraryDamaged(f"it holds {backend.count} vectors, its manifest says {count}")
        if recipe != recipe_for(sum(s.live_count for s in self.shards)).name:
            raise LibraryDamaged("its size asks for another recipe")
        return backend, set(held)

    def _held(self, manifest: dict[str, Any]) -> dict[str, str]:
        """The shards (file -> sha256) that a manifest says the index holds, all of them among ours."""
        ours = {(s.file, s.sha256) for s in self.shards}
        named = [dict(manifest["shards"])] + ([dict(manifest["next"])] if "next" in manifest else [])
        held = next((shards for shards in named if shards.items() <= ours), None)
        if held is None:
            raise LibraryDamaged("it holds shards that are no longer there")
        return held

    def _drop_dead(self, backend: Backend, held: set[str]) -> None:
        """Take out what was forgotten since the index was written."""
        shards = [s for s in self.shards if s.file in held]
        count = sum(s.live_count for s in shards)
        if backend.count > count:
            live = [s.live() for s in shards]
            backend.remove(np.setdiff1d(backend.ids(), np.concatenate(live)))
        if backend.count != count:
            raise LibraryDamaged(f"it holds {backend.count} vectors, its shards hold {count}")

    def _load_twice(self) -> tuple[Backend, set[str]]:
        try:
            return self.load()
        except LibraryDamaged:  # a writer may have replaced the two files in between
            return self.load()


def _encoded(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=1) + "\n").encode()
