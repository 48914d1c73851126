"""Put what was read and embedded into the library: photos, where they lie, what failed, what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlsearch.catalog import queries
from vlsearch.catalog.tables import Content
from vlsearch.ingest.decoders import Read
from vlsearch.ingest.sources import exists
from vlsearch.ingest.summary import Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

CONTENT_COLUMNS = ("width", "height", "format", "taken_at", "camera", "lens", "lat", "lon")


class Embedded(NamedTuple):
    """A photo and its unit vector (d,)."""

    read: Read
    vector: NDArray[np.float32]


class Places(NamedTuple):
    moves: list[tuple[str, str, int, int]]
    """old path, new path, size, mtime_ns of files that lie elsewhere now"""
    files: list[dict[str, Any]]
    """rows of files to put at their path"""
    same: set[str]
    """paths that held the same photo before"""


def commit(
    library: Library, row: ModelRow, embedded: Sequence[Embedded], others: Sequence[Read], summary: Summary
) -> None:
    """Store new vectors and all files in one transaction. `others` needed no embedding: their photo is known (here or
    among `embedded`), or could not be had. What another commit has stored meanwhile is not stored twice."""
    batch = [*(e.read for e in embedded), *others]
    if not batch:
        return
    vectors = {e.read.sha256: e.vector for e in embedded}
    with library.read() as c:
        known = queries.content_by_sha256(c, list({r.sha256 for r in batch if r.reason is None}), row.id)
        next_id = queries.next_id(c, Content)
    content_ids = {sha256: content_id for sha256, (content_id, _) in known.items()}
    fresh = {e.read.sha256: e.read for e in embedded if not known.get(e.read.sha256, (0, False))[1]}
    contents = []
    for sha256, read in fresh.items():
        if sha256 not in content_ids:
            content_ids[sha256] = next_id
            contents.append(content_row(next_id, read))
            next_id += 1
    places = places_of(library, batch, content_ids, {content_id for content_id, _ in known.values()})
    failures = [read for read in batch if read.reason is not None]

    def rows(c: Connection) -> None:
        queries.add_contents(c, contents)
        queries.move_files(c, places.moves)
        queries.put_files(c, places.files)
        queries.put_failures(c, [failure_row(read) for read in failures if read.lasting])
        for source, notes in notes_of(batch, content_ids).items():
            queries.add_captions(c, notes, source)

    if fresh:
        new = np.stack([vectors[sha256] for sha256 in fresh])
        library.commit(row, queries.IMAGE, [content_ids[sha256] for sha256 in fresh], new, rows)
    else:
        with library.transaction() as c:
            rows(c)
    touched = {read.file.path for read in batch if read.sha256 not in fresh} & places.same
    summary.added += len(places.files) - len(touched)
    summary.unchanged += len(touched)
    summary.moved += len(places.moves)
    summary.embedded += len(fresh)
    for read in failures:
        summary.fail(read.file.path, read.reason or "")


def places_of(library: Library, batch: Sequence[Read], content_ids: dict[bytes, int], known: set[int]) -> Places:
    """Which files of the batch are moved ones (their photo is known and lies no longer where it lay), which are to be
    put at their path, and which of these paths held the same photo before."""
    with library.read() as c:
        before = queries.paths_of(c, sorted(known))
    moves, files = [], []
    same: set[str] = set()
    for read in batch:
        if read.reason is not None:
            continue
        path, size, mtime_ns = read.file.path, read.file.size, read.file.mtime_ns
        content_id = content_ids[read.sha256]
        old = before.get(content_id, [])
        if path in old:
            same.add(path)
        gone = next((p for p in old if path not in old and not exists(p)), None)
        if gone is not None:
            old.remove(gone)
            moves.append((gone, path, size, mtime_ns))
        else:
            files.append({"path": path, "size": size, "mtime_ns": mtime_ns, "content_id": content_id})
    return Places(moves, files, same)


def notes_of(batch: Sequence[Read], content_ids: dict[bytes, int]) -> dict[str, list[tuple[int, str, str | None]]]:
    """source -> (content id, text, language) of what files and containers say about the photos."""
    found: dict[str, list[tuple[int, str, str | None]]] = {}
    for read in batch:
        if read.reason is None:
            for text, source in (*(read.photo.notes if read.photo else ()), *read.file.notes):
                found.setdefault(source, []).append((content_ids[read.sha256], text, None))
    return found


def content_row(content_id: int, read: Read) -> dict[str, Any]:
    photo = read.photo
    return {"id": content_id, "sha256": read.sha256} | {name: getattr(photo, name) for name in CONTENT_COLUMNS}


def failure_row(read: Read) -> dict[str, Any]:
    return {"path": read.file.path, "size": read.file.size, "mtime_ns": read.file.mtime_ns, "reason": read.reason}
