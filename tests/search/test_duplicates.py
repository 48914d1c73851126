from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import ColourEncoder, unit
from vlsearch.ingest.pipeline import Summary
from vlsearch.library import Library
from vlsearch.search import duplicates as module
from vlsearch.search.duplicates import Group, duplicates, exact_duplicates, near

Take = Callable[..., Summary]
Photos = Callable[..., Path]


def drawn(n: int, d: int, seed: int, mean: float = 0.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return unit((rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5 + mean).astype(np.float32))


def partition(labels: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def reference(xb: NDArray[np.float32], threshold: float) -> set[frozenset[int]]:
    groups = [{i} for i in range(len(xb))]
    for i, j in itertools.combinations(range(len(xb)), 2):
        if xb[i] @ xb[j] >= threshold and groups[i] is not groups[j]:
            groups[i] |= groups[j]
            for member in groups[j]:
                groups[member] = groups[i]
    return {frozenset(group) for group in groups}


# Groups of vectors


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.9, 0.98])
@pytest.mark.parametrize("mean", [0.0, 0.2])
def test_as_a_plain_comparison_of_all_pairs_has_it(
    threshold: float, mean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", (7, 50))
    xb = drawn(300, 64, seed=1, mean=mean)
    noise = np.repeat([0.01, 0.1, 0.3, 1.0], 25)[:, None] * drawn(100, 64, seed=2)
    xb[200:] = unit(xb[:100] + noise.astype(np.float32))
    labels = near(xb, threshold)
    assert partition(labels) == reference(xb, threshold)
    assert all(labels[label] == label for label in labels)


def test_few_leading_dimensions_rule_most_pairs_out() -> None:
    xb = drawn(2_000, 512, seed=3)
    xb[1_000:1_100] = xb[:100]
    assert module._leading(xb, 0.98) <= 64
    assert module._leading(xb, 0.1) == 512
    assert len(partition(near(xb, 0.98))) == 1_900


def test_chains_are_one_group() -> None:
    angles = np.radians(np.arange(0, 40, 4))
    xb = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert len(partition(near(xb, 0.99))) == 1, "4 degrees have a cosine of 0.9976"
    assert len(partition(near(xb, 0.998))) == 10


def test_none_and_one() -> None:
    assert near(np.empty((0, 8), np.float32), 0.9).tolist() == []
    assert near(drawn(1, 8, seed=0), 0.9).tolist() == [0]


def test_all_alike() -> None:
    assert len(partition(near(np.repeat(drawn(1, 8, seed=0), 1_000, axis=0), 0.98))) == 1


# Groups of photos


@pytest.fixture
def folder(photos: Photos, take: Take) -> Path:
    """00000–00005.jpg; of 00001 two copies, of 00002 a larger version and a copy of that."""
    from PIL import Image

    made = photos(6)
    shutil.copy(made / "00001.jpg", made / "a copy.jpg")
    shutil.copy(made / "00001.jpg", made / "Z copy.jpg")
    with Image.open(made / "00002.jpg") as image:
        image.resize((64, 64), Image.Resampling.NEAREST).save(made / "large.png")
    shutil.copy(made / "large.png", made / "large too.png")
    take(made)
    return made


def named(groups: list[Group]) -> list[list[tuple[str, float, bool]]]:
    return [[(Path(c.path).name, round(c.similarity, 2), c.exact) for c in group.copies] for group in groups]


def test_exact_ones(library: Library, folder: Path) -> None:
    assert folder.is_dir()
    assert named(exact_duplicates(library)) == [
        [("00001.jpg", 1.0, True), ("Z copy.jpg", 1.0, True), ("a copy.jpg", 1.0, True)],
        [("large too.png", 1.0, True), ("large.png", 1.0, True)],
    ]


def test_near_and_exact_ones(library: Library, folder: Path) -> None:
    assert folder.is_dir()
    groups = duplicates(library, library.model())
    assert named(groups) == [
        [("00001.jpg", 1.0, True), ("Z copy.jpg", 1.0, True), ("a copy.jpg", 1.0, True)],
        [("large too.png", 1.0, True), ("large.png", 1.0, True), ("00002.jpg", 1.0, False)],
    ]
    assert [(c.width, c.height) for c in groups[1].copies] == [(64, 64), (64, 64), (32, 32)]
    assert groups[1].copies[2].similarity < 1


def test_files_that_are_gone_do_not_count(library: Library, folder: Path, take: Take) -> None:
    for name in ("a copy.jpg", "Z copy.jpg", "large.png"):
        (folder / name).unlink()
    take(folder)
    assert exact_duplicates(library) == []
    assert [[name for name, _, _ in group] for group in named(duplicates(library, library.model()))] == [
        ["large too.png", "00002.jpg"]
    ]


def test_a_photo_without_a_vector_of_the_model(library: Library, folder: Path, take: Take, photos: Photos) -> None:
    other = ColourEncoder("other", "salt")
    take(photos(1, "elsewhere", seed=5), model=other)
    groups = duplicates(library, library.model("other"))
    assert named(groups)[0] == [("00001.jpg", 1.0, True), ("Z copy.jpg", 1.0, True), ("a copy.jpg", 1.0, True)]
    assert len(groups) == 2, "only what has the same bytes"
    assert folder.is_dir()


def test_an_empty_library_has_none(library: Library, encoder: ColourEncoder) -> None:
    assert duplicates(library, library.add_model(encoder)) == []
    assert exact_duplicates(library) == []
