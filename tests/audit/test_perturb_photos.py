from __future__ import annotations

import hashlib
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlsearch.audit.perturb import PERTURBATIONS, perturb_photo

GRIDS = {name: known.grid for name, known in PERTURBATIONS.items() if known.grid}
MOVING = [name for name in GRIDS if name != "identity-photos"]
KEY = hashlib.sha256(b"a photo").hexdigest()


def numbered(h: int, w: int) -> NDArray[np.uint8]:
    """A photo in which every pixel says where it stands, and none is black."""
    y, x = np.mgrid[:h, :w]
    return np.stack([y + 1, x + 1, np.full((h, w), 255)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("name", "shape", "axis"), [("shuffle-rows-4", (8, 5), 0), ("shuffle-columns-4", (5, 8), 1)])
def test_rows_and_columns_reach_every_order_but_their_own(name: str, shape: tuple[int, int], axis: int) -> None:
    photo = numbered(*shape)
    parts = np.split(photo, 4, axis)
    orders = [list(order) for order in permutations(range(4))]
    expected = {np.concatenate([parts[i] for i in order], axis).tobytes() for order in orders} - {photo.tobytes()}
    assert {perturb_photo(photo, name, seed, KEY).tobytes() for seed in range(300)} == expected


def test_patches_are_those_of_the_photo_in_another_order() -> None:
    photo = numbered(6, 9)

    def patches(pixels: NDArray[np.uint8]) -> list[bytes]:
        return [pixels[y : y + 2, x : x + 3].tobytes() for y in (0, 2, 4) for x in (0, 3, 6)]

    moved = [patches(perturb_photo(photo, "shuffle-patches-9", seed, KEY)) for seed in range(100)]
    assert all(sorted(order) == sorted(patches(photo)) and order != patches(photo) for order in moved)
    assert len({tuple(order) for order in moved}) == 100
    assert all(len({order[place] for order in moved}) == 9 for place in range(9))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(MOVING), st.integers(0, 5))
def test_any_size_is_covered_by_windows_of_the_photo(h: int, w: int, name: str, seed: int) -> None:
    photo = numbered(h, w)
    kept = photo.copy()
    moved = perturb_photo(photo, name, seed, KEY)
    assert moved.shape == photo.shape
    assert moved.dtype == np.uint8
    assert np.array_equal(photo, kept)
    rows, columns = GRIDS[name]
    rows, columns = min(rows, h), min(columns, w)
    for i in range(rows):
        for j in range(columns):
            cell = moved[i * h // rows : (i + 1) * h // rows, j * w // columns : (j + 1) * w // columns]
            (y, x, _) = cell[0, 0].astype(int) - 1
            assert np.array_equal(cell, photo[y : y + cell.shape[0], x : x + cell.shape[1]])
    assert np.array_equal(moved, photo) == (rows * columns == 1)


def test_no_border_is_left_where_a_side_does_not_divide() -> None:
    assert perturb_photo(numbered(224, 224), "shuffle-patches-9", 0, KEY).all()


def test_the_control_moves_nothing() -> None:
    photo = numbered(7, 5)
    same = perturb_photo(photo, "identity-photos", 3, KEY)
    assert np.array_equal(same, photo)
    assert not np.shares_memory(same, photo)


def test_the_order_hangs_on_the_photo_the_perturbation_and_the_seed() -> None:
    photo = numbered(9, 9)

    def moved(seed: int, key: str) -> bytes:
        return perturb_photo(photo, "shuffle-patches-9", seed, key).tobytes()

    assert moved(0, KEY) == moved(0, KEY)
    assert len({moved(seed, key) for seed in range(10) for key in (KEY, KEY[::-1])}) == 20


# Fixed, because a published audit must come out the same under later versions.
def test_the_order_is_the_same_in_any_version() -> None:
    first_of_row = [perturb_photo(numbered(4, 1), "shuffle-rows-4", seed, KEY)[:, 0, 0].tolist() for seed in range(3)]
    assert first_of_row == [[3, 2, 1, 4], [1, 3, 2, 4], [4, 3, 2, 1]]
