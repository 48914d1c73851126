"""What is audited: photos and captions of a library, or of a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.datasets import Captioned, Choices, Photo, PhotoFolder
from vlsearch.errors import UsageError

if TYPE_CHECKING:
    from vlsearch.audit.asked import Asked
    from vlsearch.audit.model import AuditModel
    from vlsearch.catalog.rows import ModelRow
    from vlsearch.library import Library

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    captioned: Captioned
    """photos are paths, or addresses in containers"""
    read: Callable[[str], bytes]
    """a photo's bytes by its path"""
    ids: NDArray[np.int64] | None = None
    """(N,) the photos' ids in the library; None for a dataset"""
    row: ModelRow | None = None
    """the model of the library that has their vectors; None where they are to be embedded"""

    def vectors(self, library: Library | None, model: AuditModel) -> Vectors:
        """(N, d) unit rows of the photos."""
        if self.row is not None and library is not None and self.ids is not None:
            ids, vectors = library.vectors(self.row)
            return vectors[np.searchsorted(ids, self.ids)]
        return self.embed(model)

    def embed(self, model: AuditModel, perturbation: str = "identity-photos", seed: int = 0) -> Vectors:
        """(N, d) unit rows of the photos as their files have them, perturbed or not."""
        plain = perturbation == "identity-photos"
        what = "photos" if plain else f"{perturbation}, seed {seed}"
        return model.embed_photos([Photo(path) for path in self.captioned.photos], self.read, perturbation, seed, what)


def of_library(library: Library, model: AuditModel, ids: NDArray[np.int64] | None = None) -> Subject:
    """The photos of a library that can be seen, or those of `ids`, and their captions.

    The model is one whose vectors the library has, or a file of vectors. UsageError where photos of `ids` are gone.
    """
    from vlsearch.ingest.sources import read_address

    row = None if model.file is not None else library.model_of(model.encoder)
    captioned, known = captions_of(library, None if row is None else library.vectors(row)[0], ids)
    if ids is not None and len(known) < len(ids):
        gone = len(ids) - len(known)
        raise UsageError(f"{gone:,} of {len(ids):,} photos of that audit are no longer in the library {library.path}")
    return Subject(captioned, read_address, known, row)


def captions_of(library: Library, *among: NDArray[np.int64] | None) -> tuple[Captioned, NDArray[np.int64]]:
    """The photos that can be seen, and are among all of `among`, with their captions; and their ids (N,), ascending."""
    from vlsearch.catalog import queries

    with library.read() as c:
        places = queries.contents_by_path(c)
        rows = list(queries.all_captions(c))
    paths = {content_id: path for path, content_id in reversed(places.items())}
    known = np.array(sorted(paths), np.int64)
    for ids in among:
        known = known if ids is None else np.intersect1d(known, ids)
    place = {content_id: n for n, content_id in enumerate(known.tolist())}
    # keywords have no order that could be lost
    captions = [(text, place[i]) for _, i, text, source, _ in rows if i in place and not source.endswith(":keywords")]
    captioned = Captioned(
        name="library",
        photos=tuple(paths[i] for i in known.tolist()),
        texts=tuple(text for text, _ in captions),
        owner=np.array([n for _, n in captions], np.int64),
    )
    return captioned, known


def dataset_of(asked: Asked, model: AuditModel) -> tuple[Captioned | Choices, Callable[[str], bytes]]:
    """The dataset that is asked for, with the photos that are there, and how these are read.

    Photos are looked for beside the data where no folder is given; with a file of vectors they are names only.
    UsageError for what is missing, with what to put where.
    """
    from vlsearch.audit import datasets

    assert asked.dataset is not None
    dataset = datasets.load(asked.dataset, Path(asked.data) if asked.data is not None else None)
    folder = image_folder(asked)
    exists = folder.__contains__
    if asked.available:
        dataset = datasets.available(dataset, exists)
    elif model.file is None:
        datasets.require(dataset, exists)

    def read(name: str) -> bytes:
        path = folder.find(name)
        if path is None:
            raise FileNotFoundError(2, os.strerror(2), name)
        return path.read_bytes()

    return dataset, read


def image_folder(asked: Asked) -> PhotoFolder:
    """The photos of the dataset that is asked for, as given, else beside its data. UsageError for no folder."""
    beside = Path(asked.data or asked.dataset or "")
    return PhotoFolder(Path(asked.images or (beside if beside.is_dir() else beside.parent)))


def with_captions(subject: Subject, texts: Sequence[str], owner: NDArray[np.int64]) -> Subject:
    """The same photos with the captions of an earlier audit."""
    return replace(subject, captioned=replace(subject.captioned, texts=tuple(texts), owner=owner))
