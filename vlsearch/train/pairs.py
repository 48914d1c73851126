"""Captioned photos as a run takes them: what is held out, pixels and captions by number, the photos of each step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.datasets import Captioned
from vlsearch.encoders.base import Preprocess
from vlsearch.errors import UsageError
from vlsearch.train.decoded import Decoded, Pixels, Progress, decode_into, open_decoded
from vlsearch.train.negatives import folded

Ints = NDArray[np.int64]

Unreadable = tuple[tuple[str, str], ...]
"""photos that cannot be read, and why"""


@dataclass(frozen=True, eq=False)
class Pairs:
    """N photos, those with captions first, and M captions."""

    name: str
    photos: tuple[str, ...]
    pixels: Pixels
    """(N, height, width, 3), a file that is mapped"""
    texts: tuple[str, ...]
    owner: Ints
    """(M,) which of `photos` each text describes"""
    captioned: int
    """how many photos have captions"""
    digest: str
    """sha256 of all this: what a checkpoint belongs to"""

    def texts_of(self, photo: int) -> list[int]:
        """Numbers of the captions of a photo."""
        order, start = self._by_photo
        captions: list[int] = order[start[photo] : start[photo + 1]].tolist()
        return captions

    def caption_of(self, photos: Ints, seed: int, step: int) -> Ints:
        """(n,) one caption of each of these photos, all of which have some, drawn anew in each step."""
        order, start = self._by_photo
        count = start[photos + 1] - start[photos]
        if not count.all():
            raise ValueError(f"photo {photos[count == 0][0]} has no caption to draw")
        drawn: Ints = order[start[photos] + generator(seed, step, 1).integers(count)]
        return drawn

    @cached_property
    def _by_photo(self) -> tuple[Ints, Ints]:
        """(M,) captions by photo, and (N + 1,) where those of each photo begin."""
        order = np.argsort(self.owner, kind="stable")
        return order, np.searchsorted(self.owner[order], np.arange(len(self.photos) + 1))


def generator(seed: int, *place: int) -> np.random.Generator:
    """One of its own for each place (a step, an epoch, what is drawn in it), so that a run can go on from any."""
    return np.random.default_rng((seed % (1 << 64), *place))


def decode_photos(
    captioned: Captioned,
    read: Callable[[str], bytes],
    preprocess: Preprocess,
    file: Path,
    progress: Progress = lambda *_: None,
    *,
    uncaptioned: bool = True,
) -> tuple[Pairs, Unreadable]:
    """Decode photos into `file` (see `decode_into`), those without captions only if asked to; and what is left out.

    UsageError where none with a caption can be read, VlsearchError where the disk has no room.
    """
    names = _captioned_first(captioned, uncaptioned)
    return _pairs(captioned, names, decode_into(file, names, read, preprocess, progress))


def open_photos(
    captioned: Captioned, preprocess: Preprocess, file: Path, *, uncaptioned: bool = True
) -> tuple[Pairs, Unreadable]:
    """What `decode_photos` gave in another process of this run, without a look at the photos. VlsearchError where it
    has not yet."""
    names = _captioned_first(captioned, uncaptioned)
    return _pairs(captioned, names, open_decoded(file, names, preprocess))


def _captioned_first(captioned: Captioned, uncaptioned: bool) -> list[str]:
    known = set(captioned.owner.tolist())
    first = [name for n, name in enumerate(captioned.photos) if n in known]
    return first + [name for n, name in enumerate(captioned.photos) if n not in known and uncaptioned]


def _pairs(captioned: Captioned, names: list[str], decoded: Decoded) -> tuple[Pairs, Unreadable]:
    seen = list(zip(names, decoded.seen, strict=True))
    photos = [name for name, one in seen if not one.reason]
    unreadable = tuple((name, one.reason) for name, one in seen if one.reason)
    place = {name: n for n, name in enumerate(photos)}
    kept = [
        (text, place[captioned.photos[n]])
        for text, n in zip(captioned.texts, captioned.owner.tolist(), strict=True)
        if captioned.photos[n] in place
    ]
    if not kept:
        reason = f", such as '{unreadable[0][0]}': {unreadable[0][1]}" if unreadable else ""
        raise UsageError(
            f"no photo of {captioned.name} that has a caption can be read{reason}; there is nothing to train on"
        )
    texts, owner = tuple(text for text, _ in kept), np.array([n for _, n in kept], np.int64)
    digest = hashlib.sha256(owner.tobytes())
    for part in (*photos, *texts, *(one.digest for _, one in seen if not one.reason)):
        digest.update(b"\0" + part.encode("utf-8", "surrogatepass"))
    return (
        Pairs(
            name=captioned.name,
            photos=tuple(photos),
            pixels=decoded.pixels,
            texts=texts,
            owner=owner,
            captioned=len(np.unique(owner)),
            digest=digest.hexdigest(),
        ),
        unreadable,
    )


def split(captioned: Captioned, held_out: float) -> tuple[Captioned, Captioned]:
    """A part to train on, and a share of about `held_out` (0..1) to measure on, by the photos' names alone: photos that
    are added later move none of the others.

    Photos that share a caption, but for case, spaces and outer punctuation, stay together. UsageError where a part
    would be of no use: fewer than two photos with captions to train on, or none held out.
    """
    group = _groups(captioned)
    names = np.array([captioned.photos[n] for n in group.tolist()], object)
    is_held = np.array([_position(name) < held_out for name in names], np.bool_)
    with_caption = np.zeros(len(is_held), np.bool_)
    with_caption[captioned.owner] = True
    total, held = int(with_caption.sum()), int((with_caption & is_held).sum())
    together = "photos that share a caption stay together"
    if total - held < 2:
        raise UsageError(
            f"holding out {100 * held_out:g} % leaves {total - held} of {total:,} photos with captions to train on, "
            f"where two are needed ({together}); hold out less, or give more photos"
        )
    if not held:
        raise UsageError(
            f"none of {total:,} photos with captions is among the {100 * held_out:g} % held out ({together}); hold out "
            "more, give more photos, or hold out 0 and measure nothing"
        )
    return _part(captioned, ~is_held, "to train on"), _part(captioned, is_held, "held out")


def _position(name: str) -> float:
    """Where between 0 and 1 a name falls."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _groups(captioned: Captioned) -> Ints:
    """(N,) of each photo, the first by name of those that captions connect it with."""
    parent = np.arange(len(captioned.photos))

    def root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    first: dict[str, int] = {}
    for text, n in zip(captioned.texts, captioned.owner.tolist(), strict=True):
        one, other = root(first.setdefault(folded(text), n)), root(n)
        if captioned.photos[other] < captioned.photos[one]:
            one, other = other, one
        parent[other] = one
    return np.array([root(n) for n in range(len(parent))], np.int64)


def _part(captioned: Captioned, kept: NDArray[np.bool_], what: str) -> Captioned:
    place = np.cumsum(kept) - 1
    part = f"{int(kept.sum()):,} of {len(kept):,} photos, those {what}"
    return replace(
        captioned,
        photos=tuple(name for name, is_kept in zip(captioned.photos, kept, strict=True) if is_kept),
        texts=tuple(text for text, n in zip(captioned.texts, captioned.owner, strict=True) if kept[n]),
        owner=place[captioned.owner[kept[captioned.owner]]],
        part=part + (f"; {captioned.part}" if captioned.part else ""),
    )


class Order:
    """Which photos each step takes: (batch,) int64 of 0..n-1, each at most once in a batch.

    Without `weights` every photo comes once in an epoch, in an order of its own; a batch that an epoch leaves short
    takes photos of the next. With `weights` (n,) photos are drawn in proportion to them, without replacement within a
    batch (Efraimidis and Spirakis 2006). `batch` is cut to the photos there are, those of weight 0 not counted.
    """

    def __init__(self, n: int, batch: int, seed: int, weights: NDArray[np.float64] | None = None) -> None:
        self._n, self._seed, self._weights = n, seed, weights
        self.batch = min(batch, n if weights is None else int(np.count_nonzero(weights)))
        if self.batch < 1:
            raise ValueError("no photos to take")
        self._epoch = -1
        self._now = self._before = np.empty(0, np.int64)

    def of(self, step: int) -> Ints:
        """The same for the same step, in whatever order steps are asked for."""
        if self._weights is not None:
            return self._drawn(self._weights, step)
        start = step * self.batch
        epoch, last = start // self._n, (start + self.batch - 1) // self._n
        self._go_to(last)
        start -= epoch * self._n
        if epoch == last:
            return np.array(self._now[start : start + self.batch])
        return np.concatenate([self._before[start:], self._now[: start + self.batch - self._n]])

    def _drawn(self, weights: NDArray[np.float64], step: int) -> Ints:
        with np.errstate(divide="ignore"):
            keys = np.log(weights) + generator(self._seed, step, 2).gumbel(size=self._n)
        return np.argsort(-keys)[: self.batch].astype(np.int64)

    def _go_to(self, epoch: int) -> None:
        if epoch < self._epoch:
            self._epoch = -1
        while self._epoch < epoch:
            self._epoch += 1
            order = generator(self._seed, self._epoch, 3).permutation(self._n)
            left = self._epoch * self._n % self.batch
            if left:
                # What the last batch of the epoch before has already cannot be taken into it once more.
                free = np.isin(order, self._now[-left:], invert=True)
                first = order[free][: self.batch - left]
                order = np.concatenate([first, order[np.isin(order, first, invert=True)]])
            self._before, self._now = self._now, order
