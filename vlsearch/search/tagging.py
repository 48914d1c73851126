"""Zero-shot classes: each photo's nearest labels, from the vectors that the library holds. No photo is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlsearch.errors import LibraryDamaged
from vlsearch.search.labels import key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.catalog.reader import Reader
    from vlsearch.catalog.rows import ModelRow
    from vlsearch.library import Library
    from vlsearch.search.filters import Filters
    from vlsearch.search.prompts import Prompts

TEMPLATE = "a photo of a {}"
NEUTRAL = ("a photo", "an image", "a picture")
"""what independent tags are weighed against: texts that say nothing of what is to be seen"""
LOGIT_SCALE = 100.0
"""what CLIP's own training ends at, for models that do not say theirs"""
CELLS = 1 << 22
"""photos × labels, or photos × dimensions, that are held at a time: 16 MiB of float32"""
STORED = 1000
"""photos whose tags are stored at a time"""

Progress = Callable[[str, int, int], None]


class Tagged(NamedTuple):
    """A photo and one of its labels."""

    path: str
    id: int
    """the photo's id in the library"""
    label: str
    probability: float


def class_prompts(
    labels: Sequence[str], prompts: Prompts, descriptions: Mapping[str, Sequence[str]]
) -> tuple[list[list[str]], list[str]]:
    """Each label's texts: its descriptions, those of `prompts` too, or else the templates of `prompts` with the label.

    Returns them and the labels that have no description.
    """
    described = {key(label): list(texts) for label, texts in {**prompts.descriptions, **descriptions}.items()}
    lacking = [label for label in labels if not described.get(key(label))]
    return [described.get(key(label)) or prompts.expand(label) for label in labels], lacking


@dataclass(frozen=True)
class Tags:
    """Labels of photos, a row a photo and label: by photo id, then the most probable first."""

    photo: NDArray[np.int64]
    """(m,) content ids, ascending"""
    label: NDArray[np.int64]
    """(m,) place in the list of labels"""
    probability: NDArray[np.float32]
    """(m,) 0 to 1"""
    looked_at: NDArray[np.int64]
    """(n,) ids, ascending, of all photos whose vectors were weighed"""

    def rows(self, content_ids: Sequence[int]) -> Iterator[tuple[int, int, float]]:
        """(position in `content_ids`, label, probability) of each tag of these photos, in their order."""
        wanted = np.asarray(content_ids, np.int64)
        first = np.searchsorted(self.photo, wanted, "left").tolist()
        last = np.searchsorted(self.photo, wanted, "right").tolist()
        for position, (start, stop) in enumerate(zip(first, last, strict=True)):
            for row in range(start, stop):
                yield position, int(self.label[row]), float(self.probability[row])


def classify(
    library: Library,
    model: ModelRow,
    content_ids: NDArray[np.int64],
    classes: NDArray[np.float32],
    *,
    logit_scale: float = LOGIT_SCALE,
    neutral: NDArray[np.float32] | None = None,
    k: int | None = 1,
    min_probability: float = 0.0,
    progress: Progress = lambda *_: None,
) -> Tags:
    """The k most probable labels (None: all) of photos content_ids (n,), of those of at least `min_probability`.

    classes: (c, d) unit vectors of the labels. The probabilities of a photo's labels sum to 1
    (`exclusive_probabilities`); with `neutral`, a unit vector (d,), each label stands for itself
    (`independent_probabilities`). Photos without a vector of this model, or with one that is not finite, are left out.
    """
    photos, labels, found, looked_at = [], [], [], []
    done = 0
    for ids, xb in vector_blocks(library, model, content_ids, CELLS // max(classes.shape)):
        if neutral is None:
            p = exclusive_probabilities(xb, classes, logit_scale)
        else:
            p = independent_probabilities(xb, classes, neutral, logit_scale)
        best = top(p, k)
        probability = np.take_along_axis(p, best, axis=1)
        row, column = np.nonzero(probability >= min_probability)
        photos.append(ids[row])
        labels.append(best[row, column])
        found.append(probability[row, column])
        looked_at.append(ids)
        done += len(ids)
        progress("photos", done, len(content_ids))
    photo = np.concatenate([np.empty(0, np.int64), *photos])
    order = np.argsort(photo, kind="stable")
    return Tags(
        photo[order],
        np.concatenate([np.empty(0, np.int64), *labels])[order],
        np.concatenate([np.empty(0, np.float32), *found])[order],
        np.sort(np.concatenate([np.empty(0, np.int64), *looked_at])),
    )


def exclusive_probabilities(
    xb: NDArray[np.float32], classes: NDArray[np.float32], logit_scale: float
) -> NDArray[np.float32]:
    """(n, c): softmax over the classes of logit_scale × cosine. Radford et al., Learning Transferable Visual Models
    From Natural Language Supervision, 2021, 3.1.2."""
    logits = logit_scale * (xb @ classes.T)
    logits -= logits.max(axis=1, keepdims=True)
    p: NDArray[np.float32] = np.exp(logits, out=logits)
    p /= p.sum(axis=1, keepdims=True)
    return p


def independent_probabilities(
    xb: NDArray[np.float32], classes: NDArray[np.float32], neutral: NDArray[np.float32], logit_scale: float
) -> NDArray[np.float32]:
    """(n, c): for each class the softmax of it and one text that says nothing of the photo, `neutral` (d,)."""
    difference = logit_scale * (xb @ (classes - neutral).T)
    p: NDArray[np.float32] = np.exp(-np.logaddexp(np.float32(0), -difference))
    return p


def top(scores: NDArray[np.float32], k: int | None) -> NDArray[np.int64]:
    """(n, min(k, c)): columns of the k largest of each row of scores (n, c), largest first, equal ones by column."""
    if k == 1:
        return np.asarray(scores.argmax(axis=1), np.int64)[:, None]
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def vector_blocks(
    library: Library, model: ModelRow, content_ids: NDArray[np.int64], rows: int = 8192
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Ids (n,) and vectors (n, d) of those of `content_ids` that have a finite one, at most `rows` at a time, each
    once. Where a writer merges shards meanwhile, it goes on with the new ones. Raises LibraryDamaged."""
    from vlsearch.catalog.rows import IMAGE
    from vlsearch.vectors.store import read_shard

    left = np.unique(content_ids)
    while True:
        derived = library.derived(model, IMAGE)
        try:
            for shard in derived.shards:
                ids, vectors = read_shard(library.path / shard.file, shard.sha256)
                wanted = np.flatnonzero(np.isin(ids, left) & np.isin(ids, shard.live()))
                left = np.setdiff1d(left, ids[wanted], assume_unique=True)
                for start in range(0, len(wanted), max(1, rows)):
                    part = wanted[start : start + max(1, rows)]
                    xb = vectors[part].astype(np.float32)
                    finite = np.isfinite(xb).all(axis=1)
                    if finite.any():
                        yield ids[part][finite], xb[finite]
            return
        except LibraryDamaged:
            if not derived.gone():
                raise


def photo_ids(reader: Reader, filters: Filters) -> NDArray[np.int64]:
    """Ids (n,), ascending, of the photos that lie somewhere at present and match."""
    return filters.content_ids(reader) if filters else reader.all_shown("image")


def places(reader: Reader, content_ids: NDArray[np.int64]) -> dict[str, int]:
    """path -> content id of these photos, wherever they lie at present."""
    wanted = set(content_ids.tolist())
    return {path: content_id for path, content_id in reader.places() if content_id in wanted}


def first_places(reader: Reader, filters: Filters, content_ids: NDArray[np.int64]) -> Iterator[tuple[str, int]]:
    """(path, content id) of photos, by path: of all, or where there are filters of content_ids (n,). Of a photo that
    lies in several places the first that matches."""
    if filters:
        return iter(sorted((path, photo) for photo, path in filters.paths(reader, content_ids.tolist()).items()))
    return reader.first_places()


def store(library: Library, model: ModelRow, tags: Tags, labels: Sequence[str]) -> int:
    """Keep the tags in the library, in place of those of `labels` that the same photos had; how many those were."""
    from vlsearch.catalog.tags import replace

    replaced, ids = 0, tags.looked_at.tolist()
    for start in range(0, len(ids), STORED):
        block = ids[start : start + STORED]
        rows = [(block[n], labels[label], p) for n, label, p in tags.rows(block)]
        with library.transaction() as c:
            replaced += replace(c, model.id, block, set(labels), rows)
    return replaced
