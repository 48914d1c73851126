"""Vectors that another program made to a library that can be searched, without running any model."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlsearch.catalog import imports, queries
from vlsearch.catalog.tables import Content
from vlsearch.encoders import registry
from vlsearch.errors import UsageError
from vlsearch.ingest.vector_source import Block, VectorSource

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from vlsearch.catalog.imports import Place
    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

NAMED = 1000
"""failures that are kept by name"""


@dataclass
class ImportSummary:
    """What an import did, in rows."""

    added: int = 0
    unchanged: int = 0
    """their photos have a vector of the model already"""
    failed: int = 0
    captions: int = 0
    """new ones"""
    seconds: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """photo or row, and reason, of the first NAMED that failed"""

    def __str__(self) -> str:
        parts = [f"{self.added:,} vectors added", f"{self.unchanged:,} unchanged"]
        parts += [f"{self.captions:,} captions"] * bool(self.captions) + [f"{self.failed:,} failed"] * bool(self.failed)
        return f"{', '.join(parts)} in {self.seconds:.1f} s"

    def to_dict(self) -> dict[str, Any]:
        row = asdict(self)
        del row["failures"]
        return row | {"seconds": round(self.seconds, 3)}


class Photo(NamedTuple):
    """A photo that a row is of."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    file: bool = False
    """it is there to be read"""


def import_vectors(
    library: Library,
    sources: Sequence[VectorSource],
    name: str,
    *,
    dim: int | None = None,
    images: Path | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> ImportSummary:
    """Add the vectors of `sources` as the vectors of the model called `name`, which is taken on the user's word.

    Photos are found under `images`; without it, and where they are not there, their paths are kept as they are given.
    A photo that is known by its path or its bytes is not added again, and keeps the vector that it has. Each block is
    committed on its own.
    Raises UsageError when the sources, the model that the library has, or `dim` differ in dimensions.
    """
    began = time.monotonic()
    known = next((row for row in library.models() if row.name == name), None)
    wanted = dim or (known.dim if known else sources[0].dim)
    if known and known.dim != wanted:
        raise UsageError(
            f"the library's vectors of {name} have {known.dim} dimensions, not {wanted}; give another --model"
        )
    for source in sources:
        if source.dim != wanted:
            raise UsageError(
                f"the vectors of {str(source.path)!r} have {source.dim} dimensions, not {wanted}; import those of "
                "another model under its own --model"
            )
    run = VectorImport(library, known or add_model(library, name, wanted), images)
    total, done = sum(source.rows for source in sources), 0
    for source in sources:
        for block in source.blocks():
            progress("vectors", done, total)
            run.take(source, block)
            done += len(block.photos)
    progress("vectors", total, total)
    library.save_indexes(progress)
    run.summary.seconds = time.monotonic() - began
    return run.summary


def add_model(library: Library, name: str, dim: int) -> ModelRow:
    """The row of a model of which nothing is known but the name: its fingerprint is empty."""
    with library.transaction() as c:
        source = registry.source_of(name)
        queries.add_model(c, name=name, fingerprint="", dim=dim, preprocessing={}, source=source)
    return library.model(name)


class VectorImport:
    """One run."""

    def __init__(self, library: Library, model: ModelRow, images: Path | None) -> None:
        self.library, self.model = library, model
        self.images = Path(os.path.abspath(images)) if images is not None else None
        self.summary = ImportSummary()

    def take(self, source: VectorSource, block: Block) -> None:
        """Store what is good and new in a block, in one transaction."""
        norms = np.linalg.norm(block.vectors, axis=1)
        rows, photos = [], []
        for row, (photo, norm) in enumerate(zip(block.photos, norms.tolist(), strict=True)):
            where = f"row {block.first + row} of {source.path}"
            if not storable(photo):
                self._fail(where, "nothing that can be a path names its photo")
            elif not np.isfinite(norm):
                self._fail(
                    f"{photo} ({where})", f"its vector is missing, not finite, or not of {self.model.dim} numbers"
                )
            elif not norm:
                self._fail(f"{photo} ({where})", "its vector is zero")
            else:
                rows.append(row)
                photos.append(self._photo(photo))
        if rows:
            vectors = block.vectors[rows] / norms[rows, np.newaxis]
            self._commit(photos, vectors, [block.captions[row] for row in rows], source.path.name)

    def _photo(self, name: str) -> Photo:
        """Where the photo of this name lies."""
        if self.images is not None:
            for path in (os.path.abspath(self.images / name), os.path.abspath(self.images / Path(name).name)):
                if os.path.isfile(path) and os.access(path, os.R_OK):  # noqa: PTH113 - Path raises for long names
                    status = Path(path).stat()
                    return Photo(path, status.st_size, status.st_mtime_ns, True)
        return Photo(name)

    def _commit(
        self, photos: list[Photo], vectors: NDArray[np.float32], captions: list[Sequence[str]], source: str
    ) -> None:
        with self.library.read() as c:
            places = imports.places_of(c, [photo.path for photo in photos])
            digests = {p: digest(p) for p in dict.fromkeys(photos) if not same_file(p, places.get(p.path))}
            known = queries.content_by_sha256(c, list(digests.values()), self.model.id)
            next_id = queries.next_id(c, Content)
            ids = {sha256: content_id for sha256, (content_id, _) in known.items()}
            contents = []
            for sha256 in dict.fromkeys(digests.values()):
                if sha256 not in ids:
                    ids[sha256] = next_id
                    contents.append({"id": next_id, "sha256": sha256, "width": 0, "height": 0, "format": ""})
                    next_id += 1
            of_row = [ids[digests[p]] if p in digests else places[p.path].content_id for p in photos]
            have = imports.with_vector(c, self.model.id, list(dict.fromkeys(of_row)))
        fresh: dict[int, int] = {}
        for row, content_id in enumerate(of_row):
            if content_id not in have:
                fresh.setdefault(content_id, row)
        files = {
            p.path: {"path": p.path, "size": p.size, "mtime_ns": p.mtime_ns, "content_id": content_id}
            for p, content_id in zip(photos, of_row, strict=True)
            if p in digests
        }
        texts = [(i, text, None) for i, own in zip(of_row, captions, strict=True) for text in own]
        new_captions = 0

        def store(c: Connection) -> None:
            nonlocal new_captions
            queries.add_contents(c, contents)
            queries.put_files(c, list(files.values()))
            new_captions = queries.add_captions(c, texts, source)

        if fresh:
            self.library.commit(self.model, queries.IMAGE, list(fresh), vectors[list(fresh.values())], store)
        else:
            with self.library.transaction() as c:
                store(c)
        self.summary.added += len(fresh)
        self.summary.unchanged += len(photos) - len(fresh)
        self.summary.captions += new_captions

    def _fail(self, what: str, reason: str) -> None:
        self.summary.failed += 1
        if len(self.summary.failures) < NAMED:
            self.summary.failures.append((what, reason))


def storable(name: str) -> bool:
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def same_file(photo: Photo, place: Place | None) -> bool:
    """Whether the catalog's file of that path is this photo; where no file is at hand, the path alone says so."""
    if place is None or not photo.file:
        return place is not None
    return not place.missing and (photo.size, photo.mtime_ns) == (place.size, place.mtime_ns)


def digest(photo: Photo) -> bytes:
    """sha256 of the photo's file; where there is none, of its path, so that the same row is the same photo again."""
    if not photo.file:
        return hashlib.sha256(b"vlsearch import\0" + os.fsencode(photo.path)).digest()
    with Path(photo.path).open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.digest()
