"""Verify and repair a library: is every stored byte as it was written, and does everything agree with everything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.audit.runs import runs
from vlsearch.catalog import queries
from vlsearch.errors import LibraryDamaged, ModelError, UnreadableFile
from vlsearch.ingest.decode import decode
from vlsearch.ingest.pipeline import Progress, embed_captions
from vlsearch.ingest.sources import read_address
from vlsearch.vectors.faiss_backend import FaissBackend
from vlsearch.vectors.store import digest_of, read_shard

if TYPE_CHECKING:
    from vlsearch.catalog.queries import ModelRow, ShardRow
    from vlsearch.encoders.base import Encoder, Preprocess
    from vlsearch.library import Library


BATCH = 64  # photos embedded and committed at a time
COMPARED = 8192  # vectors of an index beside those of its shards at a time


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; with `shard` when that shard has to go; `lost` when nothing can bring it back."""

    what: str
    shard: ShardRow | None = None
    lost: bool = False


def verify(library: Library, progress: Progress = lambda *_: None) -> list[Problem]:
    """Everything that is wrong with a library; empty when it is clean.

    Checked: the catalog's own structure; every shard's checksum; every vector row of the catalog against the shards
    and the other way round; every photo has a vector of some model; each index file against its manifest, and
    the vectors in it against the shards; the files of audits.
    """
    problems = [*catalog_problems(library), *audit_problems(library)]
    for model in library.models():
        for kind in (queries.IMAGE, queries.TEXT):
            while True:
                derived = library.derived(model, kind)
                try:
                    found = list(vector_problems(library, model, kind, progress))
                except LibraryDamaged:
                    if not derived.gone():
                        raise
                    continue
                if not (found and derived.gone()):  # else a writer has merged shards meanwhile: look again
                    break
            problems.extend(found)
    return problems


def vector_problems(library: Library, model: ModelRow, kind: str, progress: Progress) -> Iterator[Problem]:
    stored: dict[int, np.ndarray] = {}
    with library.read() as c:
        shards = queries.shards(c, model.id, kind)
    for done, shard in enumerate(shards, 1):
        yield from shard_problems(library, shard, stored)
        progress(f"shards of {kind} vectors", done, len(shards))
    yield from index_problems(library, model, kind, stored)


def catalog_problems(library: Library) -> Iterator[Problem]:
    from sqlalchemy import text

    with library.read() as c:
        if c.dialect.name == "sqlite":
            for (line,) in c.execute(text("PRAGMA integrity_check")):
                if line != "ok":
                    yield Problem(f"catalog: {line}")
            for table, row, parent, _ in c.execute(text("PRAGMA foreign_key_check")):
                yield Problem(f"catalog: row {row} of {table} points to no row of {parent}")
        dangling, bare = queries.dangling_vectors(c), len(queries.contents_without_vector(c))
    if dangling:
        yield Problem(f"catalog: {dangling:,} vectors of photos or captions that are not there")
    if bare:
        yield Problem(f"{bare:,} photos without a vector")


def audit_problems(library: Library) -> Iterator[Problem]:
    for run in runs(library):
        try:
            if run.row.file is not None:
                run.rows()
                run.gallery()
        except LibraryDamaged as error:
            yield Problem(str(error), lost=True)


def shard_problems(library: Library, shard: ShardRow, stored: dict[int, np.ndarray]) -> Iterator[Problem]:
    """Compare a shard with its rows in the catalog; its live vectors are put into `stored`."""
    try:
        ids, vectors = read_shard(library.path / shard.file, shard.sha256)
    except LibraryDamaged as error:
        yield Problem(str(error).split(";")[0], shard)
        return
    with library.read() as c:
        live = queries.shard_items(c, shard.id)
    if len(ids) != shard.rows or len(np.unique(ids)) != len(ids) or not np.isin(live, ids).all():
        yield Problem(f"shard {library.path / shard.file} does not hold what the catalog says", shard)
        return
    row = {int(i): n for n, i in enumerate(ids)}
    for item in live.tolist():
        stored[item] = vectors[row[item]]
    norms = np.linalg.norm(vectors.astype(np.float32), axis=1)
    if not np.allclose(norms, 1, atol=5e-3):
        yield Problem(f"shard {library.path / shard.file} holds vectors that are not of unit length", shard)


def index_problems(library: Library, model: ModelRow, kind: str, stored: dict[int, np.ndarray]) -> Iterator[Problem]:
    """What is wrong with an index file. That it lacks shards is not: whoever reads it adds them."""
    derived = library.derived(model, kind)
    if not derived.shards or not (derived.file.exists() or derived.manifest_file.exists()):
        return
    name = f"index {derived.file}"
    try:
        manifest = derived.manifest()
        for which, row in manifest.parts.items():  # before FAISS sees them: it trusts what it reads
            if digest_of(derived.part_file(which)) != row.sha256:
                yield Problem(f"index {derived.part_file(which)}: its checksum differs")
                return
        backend, held = FaissBackend(model.dim, list(derived.load()[1].values())), manifest.held(derived.named())
    except (OSError, LibraryDamaged) as error:
        yield Problem(f"{name}: {error}")
        return
    ids = np.sort(backend.ids())
    live = {shard.file: shard.live() for shard in derived.shards}
    inside = np.concatenate([np.empty(0, np.int64), *(live[file] for file in held)])
    outside = np.concatenate([np.empty(0, np.int64), *(live[file] for file in live if file not in held)])
    if not np.isin(inside, ids).all() or np.isin(outside, ids).any() or (ids[1:] == ids[:-1]).any():
        yield Problem(f"{name} holds other ids than its shards")
        return
    ids = np.array([i for i in inside.tolist() if i in stored], np.int64)  # those of a damaged shard are not
    for start in range(0, len(ids), COMPARED):
        part = ids[start : start + COMPARED]
        if not np.array_equal(backend.vectors(part), np.stack([stored[int(i)] for i in part])):
            yield Problem(f"{name} holds other vectors than its shards")
            return


@dataclass
class Repaired:
    """What a repair did. `lost` counts photos whose vector could not be made again: no readable file is left; `audits`
    says which of those that are kept lack their rows."""

    dropped_shards: int = 0
    embedded: int = 0
    lost: int = 0
    audits: tuple[str, ...] = ()


def repair(library: Library, load: Callable[[ModelRow], Encoder], progress: Progress = lambda *_: None) -> Repaired:
    """Drop damaged shards, embed again what they held and whatever lacks a vector, rebuild the indexes.

    `load` gives the encoder of a model of the library, when it is needed. ModelError passes through after the indexes
    of everything that is whole are rebuilt.
    """
    done = Repaired(audits=tuple(problem.what for problem in audit_problems(library)))
    problems = verify(library, progress)
    damaged = {p.shard.id: p.shard for p in problems if p.shard is not None}
    lacking: dict[int, list[int]] = {}
    for shard in damaged.values():
        with library.transaction() as c:
            if shard.kind == queries.IMAGE:
                lacking.setdefault(shard.model_id, []).extend(queries.shard_items(c, shard.id).tolist())
            queries.drop_shard(c, shard.id)
        (library.path / shard.file).unlink(missing_ok=True)
        done.dropped_shards += 1
    with library.transaction() as c:
        queries.drop_dangling_vectors(c)
        bare = queries.contents_without_vector(c)
    for file in (library.path / "index").glob("*"):
        file.unlink()
    failed: ModelError | None = None
    for model in library.models():
        wanted = lacking.get(model.id, [])
        if model == library.model():
            wanted = sorted({*wanted, *bare})
        try:
            embed_again(library, model, wanted, load, done, progress)
        except ModelError as error:
            failed = error
    library.save_indexes(progress)
    if failed is not None:
        raise failed
    return done


def embed_again(
    library: Library,
    model: ModelRow,
    content_ids: Sequence[int],
    load: Callable[[ModelRow], Encoder],
    done: Repaired,
    progress: Progress,
) -> None:
    with library.read() as c:
        photos = queries.sha256_of(c, content_ids)
        captions = queries.captions_without_vector(c, model.id)
    if not photos and not captions:
        return
    encoder = load(model)
    library.model_of(encoder)
    for start in range(0, len(photos), BATCH):
        progress("photos", start, len(photos))
        ids, pixels = decode_again(library, photos[start : start + BATCH], encoder.preprocess)
        done.lost += len(photos[start : start + BATCH]) - len(ids)
        if ids:
            library.commit(model, queries.IMAGE, ids, encoder.embed_images(np.stack(pixels)))
            done.embedded += len(ids)
    if captions:
        embed_captions(library, encoder, model, captions, progress)
        done.embedded += len(captions)


def decode_again(
    library: Library, photos: Sequence[tuple[int, bytes]], preprocess: Preprocess
) -> tuple[list[int], list[np.ndarray]]:
    """Read each (content id, sha256) from any of its files that still holds those bytes."""
    with library.read() as c:
        paths = queries.paths_of(c, [i for i, _ in photos])
    ids, pixels = [], []
    for content_id, sha256 in photos:
        for path in paths.get(content_id, []):
            try:
                data = read_address(path)
                if hashlib.sha256(data).digest() == sha256:
                    pixels.append(decode(data, preprocess).pixels)
                    ids.append(content_id)
                    break
            except (OSError, UnreadableFile):
                continue
    return ids, pixels
