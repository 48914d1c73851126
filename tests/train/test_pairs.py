"""What is held out, captions by photo, and which photos each step takes."""

from __future__ import annotations

import numpy as np
import pytest

from vlsearch.audit.datasets import Captioned
from vlsearch.errors import UsageError
from vlsearch.train.negatives import folded
from vlsearch.train.pairs import Order, Pairs, split


def captioned(captions: dict[str, list[str]]) -> Captioned:
    owner = [n for n, texts in enumerate(captions.values()) for _ in texts]
    texts = tuple(text for some in captions.values() for text in some)
    return Captioned("these", tuple(captions), texts, np.array(owner, np.int64))


def many(n: int) -> dict[str, list[str]]:
    return {f"{i}.jpg": [f"photo number {i}", f"what {i} shows"] for i in range(n)}


def captions_of(part: Captioned) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in part.photos}
    for text, n in zip(part.texts, part.owner.tolist(), strict=True):
        found[part.photos[n]].append(text)
    return found


def test_a_split_keeps_every_photo_with_its_captions_on_one_side() -> None:
    given = many(400)
    train, held = split(captioned(given), 0.2)
    assert captions_of(train) | captions_of(held) == given
    assert not set(train.photos) & set(held.photos)
    assert 50 < len(held.photos) < 110
    assert held.part == f"{len(held.photos)} of 400 photos, those held out"


def test_photos_that_are_added_move_none_of_the_others() -> None:
    _, few = split(captioned(many(200)), 0.2)
    _, more = split(captioned(dict(reversed(many(300).items()))), 0.2)
    assert set(few.photos) == {name for name in more.photos if int(name.removesuffix(".jpg")) < 200}


def test_photos_that_share_a_caption_stay_on_one_side() -> None:
    given = many(300)
    for i in range(0, 297, 3):  # a chain of three, no caption of which is in all
        given[f"{i}.jpg"].append(f"A dog, and {i} cats")
        given[f"{i + 1}.jpg"] += [f"a DOG,  and {i} cats.", f"rain {i}"]
        given[f"{i + 2}.jpg"].append(f"Rain {i}")
    train, held = split(captioned(given), 0.3)
    assert not set(map(folded, train.texts)) & set(map(folded, held.texts))
    sides = [{f"{i + k}.jpg" in held.photos for k in range(3)} for i in range(0, 297, 3)]
    assert all(len(side) == 1 for side in sides)
    assert 0.2 < sum(map(max, sides)) / len(sides) < 0.4  # as many as of photos that are alone


@pytest.mark.parametrize(
    ("captions", "share", "said"),
    [
        (many(2), 0.999, "holding out 99.9 % leaves 0 of 2 photos with captions to train on"),
        (many(4), 0.001, "none of 4 photos with captions is among the 0.1 % held out"),
        (many(60) | {f"plain {i}.jpg": [] for i in range(900)}, 1e-9, "none of 60 photos with captions"),
        ({f"{i}.jpg": ["the same"] for i in range(50)}, 0.5, "photos that share a caption stay together"),
    ],
)
def test_a_part_of_no_use_is_refused(captions: dict[str, list[str]], share: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        split(captioned(captions), share)


def pairs(owner: list[int], photos: int) -> Pairs:
    names = tuple(map(str, range(photos)))
    pixels = np.zeros((photos, 2, 2, 3), np.uint8)
    texts = tuple(f"text {i}" for i in range(len(owner)))
    return Pairs("these", names, pixels, texts, np.array(owner, np.int64), len(set(owner)), "")


def test_captions_of_a_photo_are_found_in_any_order() -> None:
    given = pairs([1, 0, 1, 2, 1], 4)
    assert [given.texts_of(n) for n in range(4)] == [[1], [0, 2, 4], [3], []]


def test_each_step_draws_captions_anew_and_the_same_again() -> None:
    given = pairs([i % 50 for i in range(200)], 50)
    photos = np.arange(50)
    first, second = (given.caption_of(photos, 7, step) for step in (3, 4))
    np.testing.assert_array_equal(given.owner[first], photos)
    np.testing.assert_array_equal(first, given.caption_of(photos, 7, 3))
    assert (first != second).mean() > 0.5
    assert (first != given.caption_of(photos, 8, 3)).mean() > 0.5
    drawn = np.concatenate([given.caption_of(photos, 7, step) for step in range(40)])
    assert np.bincount(drawn, minlength=200).min() >= 1
    with pytest.raises(ValueError, match="photo 3 has no caption"):
        pairs([0, 1, 2], 4).caption_of(np.array([0, 3]), 7, 0)


@pytest.mark.parametrize(("n", "batch"), [(10, 4), (7, 7), (5, 4), (12, 3), (9, 8)])
def test_every_photo_comes_once_in_an_epoch_and_once_in_a_batch(n: int, batch: int) -> None:
    steps = [Order(n, batch, 3).of(step) for step in range(6 * n)]
    assert all(len(set(step.tolist())) == batch for step in steps)
    epochs = np.concatenate(steps)[: 6 * n].reshape(6, n)
    np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.arange(n), (6, 1)))
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1 or n < 3


@pytest.mark.parametrize("weights", [None, np.linspace(0, 1, 23)])
def test_a_step_takes_the_same_photos_wherever_a_run_begins(weights: np.ndarray | None) -> None:
    order = Order(23, 5, -1, weights)
    in_turn = [order.of(step) for step in range(30)]
    for step in (29, 4, 5, 17, 0, 28):
        np.testing.assert_array_equal(order.of(step), in_turn[step])
        np.testing.assert_array_equal(Order(23, 5, -1, weights).of(step), in_turn[step])
    assert not np.array_equal(Order(23, 5, 1, weights).of(0), in_turn[0])


def test_photos_are_drawn_by_their_weights() -> None:
    weights = np.array([0, 1, 1, 4, 0, 2.0])
    drawn = np.array([Order(6, 1, 0, weights).of(step)[0] for step in range(4000)])
    shares = np.bincount(drawn, minlength=6) / 4000
    np.testing.assert_allclose(shares, weights / 8, atol=0.03)
    assert Order(6, 10, 0, weights).batch == 4
    assert sorted(Order(6, 10, 0, weights).of(9).tolist()) == [1, 2, 3, 5]


def test_a_batch_is_cut_to_the_photos_there_are() -> None:
    assert sorted(Order(3, 128, 0).of(5).tolist()) == [0, 1, 2]
