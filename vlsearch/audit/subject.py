"""What is audited: photos and captions of a library, or of a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.datasets import Captioned, Dataset, Photo, PhotoFolder
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
    """a photo's bytes by what `captioned`, or an item of a choice, calls it"""
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


def of_library(
    library: Library, model: AuditModel, earlier: tuple[Captioned, NDArray[np.int64]] | None = None
) -> Subject:
    """The photos of a library that can be seen, and their captions, or those of an earlier audit with the photos' ids.

    The model is one whose vectors the library has, or a file of vectors. UsageError where photos of that audit are
    gone.
    """
    from vlsearch.ingest.sources import read_address

    row = None if model.file is not None else library.model_of(model.encoder)
    among = [] if row is None else [library.vectors(row)[0]]
    if earlier is None:
        captioned, ids = captions_of(library, *among)
        return Subject(captioned, read_address, ids, row)
    captioned, ids = earlier
    now, known = captions_of(library, *among, ids)
    if len(known) < len(ids):
        raise UsageError(
            f"{len(ids) - len(known):,} of {len(ids):,} photos of that audit are no longer in the library "
            f"{library.path}; run a new one"
        )
    # Called as they were then, and read where they are now.
    path = dict(zip(captioned.photos, now.photos, strict=True))
    return Subject(captioned, lambda name: read_address(path[name]), ids, row)


def captions_of(library: Library, *among: NDArray[np.int64]) -> tuple[Captioned, NDArray[np.int64]]:
    """The photos that can be seen, and are among all of `among`, with their captions; and their ids (N,), ascending."""
    from vlsearch.catalog import queries

    with library.read() as c:
        places = queries.contents_by_path(c)
        rows = list(queries.all_captions(c))
    paths = {content_id: path for path, content_id in reversed(places.items())}
    known = np.array(sorted(paths), np.int64)
    for ids in among:
        known = np.intersect1d(known, ids)
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


def dataset_of(asked: Asked, *, names_only: bool) -> Dataset:
    """The dataset that is asked for, or with `available` the part of it whose photos are there. With `names_only` no
    photo needs to be there. UsageError for what is missing, with what to put where."""
    from vlsearch.audit import datasets

    assert asked.dataset is not None
    dataset = datasets.load(asked.dataset, Path(asked.data) if asked.data is not None else None)
    if asked.available:
        return datasets.available(dataset, image_folder(asked).__contains__)
    if not names_only:
        datasets.require(dataset, image_folder(asked).__contains__)
    return dataset


def image_folder(asked: Asked) -> PhotoFolder:
    """The photos of the dataset that is asked for, as given, else beside its data. UsageError for no folder."""
    beside = Path(asked.data or asked.dataset or "")
    return PhotoFolder(Path(asked.images or (beside if beside.is_dir() else beside.parent)))


def reader(asked: Asked) -> Callable[[str], bytes]:
    """Reads photos of the dataset that is asked for, by their names in it."""
    folder = image_folder(asked)

    def read(name: str) -> bytes:
        path = folder.find(name)
        if path is None:
            raise FileNotFoundError(2, os.strerror(2), name)
        return path.read_bytes()

    return read
