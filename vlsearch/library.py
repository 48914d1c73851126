"""A library: one folder that holds a catalog, shards of vectors and the indexes made from them.

Many may read, one may write (`open_library(write=True)` takes the lock). See docs/library-format.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vlsearch.catalog.guard import guarded
from vlsearch.errors import (
    FingerprintMismatch,
    LibraryDamaged,
    LibraryError,
    LibraryNotFound,
    UsageError,
)
from vlsearch.lock import HOLDER, LOCK, WriterLock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection, Engine

    from vlsearch.catalog.reader import Reader
    from vlsearch.catalog.rows import ModelRow, ShardRow
    from vlsearch.encoders.base import Encoder, TextEncoder
    from vlsearch.vectors.backend import Backend
    from vlsearch.vectors.build import Progress
    from vlsearch.vectors.derived import DerivedIndex

CATALOG = "catalog.sqlite"

T = TypeVar("T")


def default_path() -> Path:
    """VLSEARCH_LIBRARY, or `library` in the user's data folder."""
    named = os.environ.get("VLSEARCH_LIBRARY")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("vlsearch", appauthor=False)) / "library"


def open_library(path: str | os.PathLike[str] | None = None, *, write: bool = False, create: bool = False) -> Library:
    """Open the library at `path` (default: `default_path()`), upgrading its catalog when it is older.

    Raises LibraryNotFound, LibraryTooNew, LibraryDamaged, and with `write` LibraryLocked.
    """
    return Library(Path(path).expanduser() if path is not None else default_path(), write=write, create=create)


class Library:
    """An open library; a context manager. `path` is its folder."""

    def __init__(self, path: Path, *, write: bool = False, create: bool = False) -> None:
        self.path = Path(os.path.abspath(path))
        self._indexes: dict[tuple[int, str], tuple[tuple[ShardRow, ...], Backend]] = {}
        self._lock = WriterLock(self.path)
        self._engine: Engine | None = None
        self._closed = False
        if not self._exists():
            if not create:
                raise LibraryNotFound(f"no library at {self.path}; `vlsearch ingest FOLDER` makes one")
            self._make_folder()
        try:
            if write:
                self._lock.take()
            self._upgrade(write)
            if write:
                self._sweep()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self._closed = True
        self._lock.release()

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """One state of the catalog, for queries."""
        from vlsearch.catalog.reader import Reader

        self._check_open()
        with guarded(self.path / CATALOG), closing(Reader(self.path / CATALOG)) as reader:
            yield reader

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose reads are all of one state of the catalog."""
        with guarded(self.path / CATALOG), self._open_engine().connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection whose writes are committed together, or not at all."""
        if not self._lock.held:
            raise LibraryError("this library is open for reading only; open it with write=True")
        with guarded(self.path / CATALOG), self._open_engine().begin() as connection:
            yield connection

    # models

    def models(self) -> list[ModelRow]:
        with self.snapshot() as reader:
            return reader.models()

    def model(self, name: str | None = None) -> ModelRow:
        """The model called `name`, by default the first that was used here. UsageError when there is none."""
        from vlsearch.encoders.names import shown_name, source_of

        found = self.models()
        if not found:
            raise UsageError(f"the library {self.path} is empty; `vlsearch ingest FOLDER` fills it")
        if name is None:
            return found[0]
        name = shown_name(source_of(name))
        rows = [row for row in found if row.name == name]
        if not rows:
            names = ", ".join(row.name for row in found)
            raise UsageError(
                f"the library {self.path} has no vectors of model {name}, only of {names}; "
                f"`vlsearch ingest --model {name} FOLDER` adds them"
            )
        return rows[-1]

    def source_for(self, name: str | None = None, weights: Path | None = None) -> dict[str, Any]:
        """How to load the model that is asked for, or else the library's own, or else the default."""
        from vlsearch.encoders.names import DEFAULT, source_of

        rows = self.models()
        if name is None and rows:
            return rows[0].source
        return source_of(name or DEFAULT, weights)

    def model_of(self, encoder: TextEncoder) -> ModelRow:
        """The row of the model whose vectors this encoder makes; FingerprintMismatch when only its name is known.

        Vectors that were imported have no fingerprint: that they are of the model they are said to be of is taken on
        the user's word.
        """
        named = [row for row in self.models() if row.name == encoder.name]
        for row in named:
            if row.fingerprint == encoder.fingerprint or (not row.fingerprint and row.dim == encoder.dim):
                return row
        if named:
            raise FingerprintMismatch(
                f"the library {self.path} holds vectors of {encoder.name} with fingerprint "
                f"{named[-1].fingerprint[:12] or 'unknown'}, this model has {encoder.fingerprint[:12]}: other weights, "
                "preprocessing or tokenizer, so their vectors do not compare; use the same weights or another --library"
            )
        return self.model(encoder.name)

    def add_model(self, encoder: Encoder) -> ModelRow:
        """The row of this encoder's model, made when the library has not seen it, completed when its vectors were
        imported."""
        from dataclasses import asdict

        from vlsearch.catalog import queries

        known = {
            "fingerprint": encoder.fingerprint,
            "preprocessing": asdict(encoder.preprocess),
            "source": encoder.source,
        }
        named = [row for row in self.models() if row.name == encoder.name]
        with self.transaction() as c:
            if not named:
                queries.add_model(c, name=encoder.name, dim=encoder.dim, **known)
            for row in named:
                if not row.fingerprint and row.dim == encoder.dim:
                    queries.complete_model(c, row.id, **known)
        return self.model_of(encoder)

    # vectors

    def commit(
        self,
        model: ModelRow,
        kind: str,
        ids: Sequence[int],
        vectors: NDArray[np.float32],
        rows: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        """Store vectors (n, d) of items ids (n,), n > 0: first the shard, then one transaction that names it and
        does what `rows` does. A kill in between leaves a shard that nothing names; it is swept on the next open."""
        import numpy as np

        from vlsearch.catalog import queries
        from vlsearch.vectors.store import write_shard

        file = self.next_file(model)
        with self.writing():
            sha256 = write_shard(self.path / file, np.asarray(ids, np.int64), vectors.astype(np.float16))
        try:
            with self.transaction() as c:
                rows(c)
                queries.add_shard(c, model.id, kind, file, sha256, ids)
        except Exception:  # an interrupt may come once the rows are committed: then the shard is left to the sweep
            (self.path / file).unlink(missing_ok=True)
            raise

    def index(self, model: ModelRow, kind: str = "image") -> Backend:
        """The index over all committed vectors of a kind ("image" or "text"), kept until there are other shards."""
        with self.snapshot() as reader:
            shards = tuple(reader.shards(model.id, kind))
        known = self._indexes.get((model.id, kind))
        if known is None or known[0] != shards:
            known = shards, self._of_one_state(model, kind, lambda derived: derived.open())
            self._indexes[model.id, kind] = known
        return known[1]

    def vectors(self, model: ModelRow, kind: str = "image") -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """All live vectors of a kind, from the shards: ids (n,) ascending and vectors (n, d)."""
        import numpy as np

        from vlsearch.vectors.store import read_shard

        def read(derived: DerivedIndex) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            ids, vectors = [np.empty(0, np.int64)], [np.empty((0, model.dim), np.float32)]
            for shard in derived.shards:
                shard_ids, shard_vectors = read_shard(self.path / shard.file, shard.sha256)
                live = np.isin(shard_ids, shard.live())
                ids.append(shard_ids[live])
                vectors.append(shard_vectors[live].astype(np.float32))
            order = np.argsort(np.concatenate(ids))
            return np.concatenate(ids)[order], np.concatenate(vectors)[order]

        return self._of_one_state(model, kind, read)

    def photo_vectors(self, model: ModelRow) -> dict[str, NDArray[np.float32]]:
        """path -> vector (d,) of every photo that is present."""
        from vlsearch.catalog import queries

        ids, vectors = self.vectors(model)
        row = {content_id: n for n, content_id in enumerate(ids.tolist())}
        with self.read() as c:
            places = queries.contents_by_path(c)
        return {path: vectors[row[content_id]] for path, content_id in places.items() if content_id in row}

    def derived(self, model: ModelRow, kind: str) -> DerivedIndex:
        """The index files of a model and what they are made from, as the catalog stands now."""
        from functools import partial

        from vlsearch.vectors.derived import DerivedIndex, LiveShard

        with self.snapshot() as reader:
            shards = reader.shards(model.id, kind)
        stem = self.folder_of(model) + ("" if kind == "image" else ".text")
        parts = [LiveShard(s.file, s.sha256, s.rows, partial(self._live_items, s)) for s in shards]

        def gone() -> bool:
            with self.snapshot() as reader:
                return not set(shards) <= set(reader.shards(model.id, kind))

        def live_count() -> int:
            with self.snapshot() as reader:
                return reader.live_count(model.id, kind)

        def texts() -> NDArray[np.float32] | None:
            from vlsearch.vectors.store import read_shard

            with self.snapshot() as reader:
                first = next(iter(reader.shards(model.id, "text")), None)
            return None if first is None else read_shard(self.path / first.file, first.sha256)[1].astype("float32")

        return DerivedIndex(self.path, stem, model.dim, parts, gone, live_count, texts if kind == "image" else None)

    def next_file(self, model: ModelRow) -> str:
        """Where the next shard of a model goes, relative to the library."""
        from vlsearch.catalog import queries

        with self.read() as c:
            number = max((int(Path(s.file).stem) for s in queries.shards(c, model.id)), default=0) + 1
        return f"vectors/{self.folder_of(model)}/{number:06d}.parquet"

    def save_indexes(self, progress: Progress = lambda *_: None) -> None:
        """Bring the index files of every model up to the shards; a new one takes a minute a million vectors."""
        self._indexes.clear()
        for model in self.models():
            for kind in ("image", "text"):
                with self.writing():
                    self.derived(model, kind).save(progress)

    @staticmethod
    def folder_of(model: ModelRow) -> str:
        """A model's folder under vectors/ and the stem of its files under index/."""
        return f"{model.id}-" + re.sub(r"[^A-Za-z0-9.-]+", "_", model.name)[:80]

    # private

    def _of_one_state(self, model: ModelRow, kind: str, read: Callable[[DerivedIndex], T]) -> T:
        """What `read` makes of the shards. Where a writer merges them meanwhile, it looks again."""
        while True:
            derived = self.derived(model, kind)
            try:
                return read(derived)
            except LibraryDamaged:
                if not derived.gone():
                    raise

    def _live_items(self, shard: ShardRow) -> NDArray[np.int64]:
        with self.snapshot() as reader:
            items = reader.shard_items(shard)
        if items is None:
            raise LibraryDamaged(f"shard {self.path / shard.file} is no longer there; run this again")
        return items

    def _open_engine(self) -> Engine:
        self._check_open()
        if self._engine is None:
            from vlsearch.catalog.engine import connect

            self._engine = connect(self.path / CATALOG)
        return self._engine

    def _check_open(self) -> None:
        if self._closed:
            raise LibraryError("this library is closed")

    def _exists(self) -> bool:
        try:
            return (self.path / CATALOG).exists()
        except OSError as error:
            raise LibraryError(f"cannot read {self.path}: {error.strerror}") from error

    def _make_folder(self) -> None:
        ours = {LOCK, HOLDER}  # left by one that was killed before there was a catalog
        try:
            if self.path.is_dir() and any(file.name not in ours for file in self.path.iterdir()):
                raise UsageError(f"{self.path} is a folder that is no library; give --library another place")
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryError(f"cannot make a library at {self.path}: {error.strerror}") from error

    def _upgrade(self, write: bool) -> None:
        from vlsearch.catalog import migrate

        current = None
        if self._exists():
            with self.snapshot() as reader:
                current = reader.revision()
        migrate.refuse_newer(current, str(self.path))
        if current == migrate.HEAD:
            return
        if current is None and any(self.path.glob("vectors/*/*")):
            raise LibraryDamaged(
                f"the catalog {self.path / CATALOG} is damaged (it is empty, and there are vectors); put back a "
                "copy of it, or move the library away and ingest again"
            )
        if not write:
            self._lock.take()
        try:
            with self.transaction() as c:
                if migrate.revision(c) != migrate.HEAD:
                    migrate.upgrade(c)
        finally:
            if not write:
                self._lock.release()

    def _sweep(self) -> None:
        """Delete files that no row names, and let manifests name those that rows do: what a commit or a merge leaves
        that was killed between its two halves."""
        from vlsearch.catalog import audits, queries

        with self.read() as c:
            named = {s.file for s in queries.shards(c)} | audits.files(c)
        for file in [*self.path.glob("vectors/*/*"), *self.path.glob("audits/*.parquet*")]:
            if file.relative_to(self.path).as_posix() not in named:
                file.unlink(missing_ok=True)
        with self.writing():
            if any(b'"next"' in file.read_bytes() for file in self.path.glob("index/*.json")):
                for model in self.models():
                    for kind in (queries.IMAGE, queries.TEXT):
                        self.derived(model, kind).settle()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the file system raises into one line that says what to do."""
        try:
            yield
        except OSError as error:
            raise LibraryError(
                f"cannot write to {self.path}: {error.strerror}; run this again once that is mended, nothing stored is "
                "lost"
            ) from error
