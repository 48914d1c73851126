"""What a dataset is once it is read: captioned photos (tasks A and B), or items to choose between (tasks B and C)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlsearch.errors import UsageError


class Photo(NamedTuple):
    path: str
    """as the dataset has it, relative to the folder with the photos"""
    box: tuple[int, int, int, int] | None = None
    """the part of it that the texts are about: left, upper, right, lower in pixels"""


@dataclass(frozen=True)
class Captioned:
    """N photos and their M captions."""

    name: str
    photos: tuple[str, ...]
    """distinct, relative to the folder with the photos"""
    texts: tuple[str, ...]
    owner: NDArray[np.int64]
    """(M,) which of `photos` each text describes"""
    part: str = ""
    """"" for the whole of it, else what is left"""
    task: Literal["retrieval", "order"] = "retrieval"
    """what its name asks for: "coco" retrieval, "coco-order" the choice between a caption and its perturbed forms"""


@dataclass(frozen=True)
class Choice:
    """Which of the texts does the photo show?"""

    photo: Photo
    texts: tuple[str, ...]
    """the true one first"""
    split: str = ""
    group: str = ""
    """what a macro accuracy is the mean over, such as relations"""
    seed: int = 0

    @property
    def photos(self) -> tuple[Photo, ...]:
        return (self.photo,)


@dataclass(frozen=True)
class Pair:
    """Which of two photos belongs to which of two texts? The first text is of the first photo."""

    photos: tuple[Photo, Photo]
    texts: tuple[str, str]
    split: str = ""
    group: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Statement:
    """Does the photo show what the text says?"""

    photo: Photo
    text: str
    true: bool
    split: str = ""
    group: str = ""
    seed: int = 0

    @property
    def photos(self) -> tuple[Photo, ...]:
        return (self.photo,)

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,)


Item = Choice | Pair | Statement


@dataclass(frozen=True)
class Choices:
    """Items of one kind."""

    name: str
    items: tuple[Item, ...]
    part: str = ""
    """"" for the whole of it, else what is left"""
    left_out: tuple[str, ...] = ()
    """what the task leaves out by its definition, one line each"""
    task: str = ""
    """"order" for captions against their own perturbed forms; the name where this is empty"""
    seeds: int = 0
    """of the perturbations that made the false texts"""
    unperturbable: int = 0
    """captions that made no item, because a perturbation cannot change them"""


Dataset = Captioned | Choices


def photo_names(dataset: Dataset) -> tuple[str, ...]:
    """The distinct photos of `dataset`, in its order."""
    if isinstance(dataset, Captioned):
        return dataset.photos
    return tuple(dict.fromkeys(photo.path for item in dataset.items for photo in item.photos))


def available(dataset: Dataset, exists: Callable[[str], bool]) -> Dataset:
    """`dataset` without what lacks its photo; `part` then says how much is left. UsageError when nothing is."""
    there = {name for name in photo_names(dataset) if exists(name)}
    if not there:
        raise UsageError(
            f"none of the photos of {dataset.name} is there; give the folder that holds them with --images"
        )
    if isinstance(dataset, Captioned):
        kept = [n for n, name in enumerate(dataset.photos) if name in there]
        place = np.full(len(dataset.photos), -1, np.int64)
        place[kept] = np.arange(len(kept))
        owner = place[dataset.owner]
        return replace(
            dataset,
            photos=tuple(dataset.photos[n] for n in kept),
            texts=tuple(text for text, n in zip(dataset.texts, owner, strict=True) if n >= 0),
            owner=owner[owner >= 0],
            part=_part(dataset.part, len(kept), len(dataset.photos), "photos, those that are there"),
        )
    items = tuple(item for item in dataset.items if all(photo.path in there for photo in item.photos))
    if not items:
        raise UsageError(f"no item of {dataset.name} has all its photos; give the folder that has them with --images")
    part = _part(dataset.part, len(items), len(dataset.items), "items, those whose photos are there")
    return replace(dataset, items=items, part=part)


def _part(before: str, kept: int, of: int, what: str) -> str:
    if kept == of:
        return before
    return f"{kept:,} of {of:,} {what}" + (f"; {before}" if before else "")


def require(dataset: Dataset, exists: Callable[[str], bool]) -> None:
    """UsageError when photos of `dataset` are missing: how many, three of them, and what can be done."""
    names = photo_names(dataset)
    missing = [name for name in names if not exists(name)]
    if missing:
        raise UsageError(
            f"{len(missing):,} of {len(names):,} photos of {dataset.name} are not there, such as "
            f"{', '.join(missing[:3])}; give the folder that has them with --images, or --available for what is there"
        )
