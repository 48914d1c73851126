"""Hard negative texts, drawn; hard negative photos, found."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.errors import UsageError
from vlsearch.train import negatives
from vlsearch.train.negatives import HardTexts, folded, hard_photos


def test_a_draw_depends_on_caption_and_seed_alone() -> None:
    texts = ["a black dog chasing a white cat behind a red house", "a man kicking a ball"]
    one, other = HardTexts(texts), HardTexts(texts[::-1], negatives.PARTS_OF_SPEECH[::-1])
    drawn = [one.draw(0, seed) for seed in range(50)]
    assert len(set(drawn)) > 5
    assert drawn == [HardTexts(texts).draw(0, seed) for seed in range(50)]
    assert one.draw(1, 0) == other.draw(0, 0) == "a ball kicking a man"


def test_kinds_are_equally_likely_whatever_they_allow() -> None:
    hard = HardTexts(["a black dog chasing a cat in a white house"], ["nouns", "adjectives"])
    adjectives = "a white dog chasing a cat in a black house"
    counts = Counter(hard.draw(0, seed) for seed in range(400))
    assert len(counts) > 3
    assert 150 < counts[adjectives] < 250


def test_a_perturbation_is_a_kind_too() -> None:
    hard = HardTexts(["two small dogs", "perro pequeño detrás de los árboles grandes"], ["reverse"])
    assert [hard.draw(i, 0) for i in range(2)] == ["dogs small two", "grandes árboles los de detrás pequeño perro"]
    assert {HardTexts(["a b c"], ["shuffle"]).draw(0, seed) for seed in range(50)} == {
        "a c b",
        "b a c",
        "b c a",
        "c a b",
        "c b a",
    }


def test_captions_without_a_negative_are_counted() -> None:
    hard = HardTexts(["a dog chasing a cat", "a dog", "", "a dog and a cat", "two red cars behind a blue van"])
    assert [hard.draw(i, 3) is None for i in range(5)] == [False, True, True, True, False]
    assert hard.without == 3
    assert hard.counts == {"nouns": 2, "adjectives": 1, "verbs": 0, "adverbs": 0}


@pytest.mark.parametrize("kinds", [["nouns", "verbs"], ["swap"]])
def test_parts_of_speech_are_for_english(kinds: list[str]) -> None:
    hard = HardTexts(["ein Hund jagt eine Katze über die Wiese", "a dog chasing a cat"], kinds)
    assert hard.draw(0, 0) is None
    assert hard.draw(1, 0) == "a cat chasing a dog"
    assert hard.without == 1


def test_a_caption_of_the_same_photo_is_no_negative() -> None:
    texts = ["a dog chasing a cat", "A  cat chasing a dog .", "a bird behind a tree"]
    hard = HardTexts(texts, ["nouns"], np.array([0, 0, 1]))
    assert [hard.draw(i, 0) for i in range(3)] == [None, None, "a tree behind a bird"]
    elsewhere = HardTexts(texts, ["nouns"], np.array([0, 1, 1]))
    assert elsewhere.draw(0, 0) == "a cat chasing a dog"
    shuffled = HardTexts(["red car", "Car red!", "a bird"], ["shuffle", "swap-adjacent"], np.array([0, 0, 1]))
    assert {shuffled.draw(0, seed) for seed in range(20)} == {None}


def test_a_photo_with_captions_in_every_order_has_no_shuffled_negative() -> None:
    texts = ["one two three", "one three two", "two one three", "two three one", "three one two", "three two one"]
    with pytest.raises(UsageError):
        HardTexts(texts, ["shuffle"], np.zeros(6, np.int64))
    assert HardTexts(texts, ["shuffle"], np.arange(6)).without == 0


@pytest.mark.parametrize("kind", ["nown", "identity", "shuffle-patches-9", "all"])
def test_an_unknown_kind_is_refused_with_those_there_are(kind: str) -> None:
    with pytest.raises(UsageError, match=f"no hard negative is called '{kind}'; there are nouns, .*, shuffle, "):
        HardTexts(["a dog chasing a cat"], [kind])


@pytest.mark.parametrize("texts", [["a dog", "a cat and a dog"], ["ein Hund jagt eine Katze über die Wiese"]])
def test_captions_without_any_negative_end_it_before_it_begins(texts: list[str]) -> None:
    with pytest.raises(UsageError, match=r"none of \d captions? has a hard negative .* English only; try shuffle"):
        HardTexts(texts, ["nouns", "adjectives"])


def test_words_beyond_what_a_model_reads_stay_where_they_are() -> None:
    long = " ".join(["a dog chasing a cat", *["very"] * 80, "behind a red house under a blue bridge"])
    hard = HardTexts([long], ["nouns", "adjectives"])
    assert {hard.draw(0, seed) for seed in range(20)} == {long.replace("a dog chasing a cat", "a cat chasing a dog")}


def test_no_captions_are_none_without() -> None:
    assert HardTexts([]).without == 0


def test_captions_fold_alike_but_for_case_space_and_marks() -> None:
    assert folded(' A "dog"  runs , fast .') == folded("a dog runs fast")
    assert folded("a dog runs fast") != folded("a dog runs")


def unit(rows: list[list[float]]) -> NDArray[np.float32]:
    found = np.array(rows, np.float32).reshape(len(rows), -1 if rows else 2)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def angles(*degrees: float) -> NDArray[np.float32]:
    return unit([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in degrees])


def test_hard_photos_are_the_nearest_but_itself_and_near_duplicates() -> None:
    found = hard_photos(angles(0, 1, 20, 45, 90), 2)
    assert found.dtype == np.int64
    assert found.tolist() == [[2, 3], [2, 3], [1, 0], [2, 1], [3, 2]]
    assert hard_photos(angles(0, 1, 20, 45, 90), 1, duplicate=1.1).tolist() == [[1], [0], [1], [2], [3]]


def test_photos_that_share_a_caption_are_none() -> None:
    texts, owner = ["A dog", "a cat", "a dog .", "a bird", "a cat"], np.array([0, 0, 1, 2, 3])
    assert hard_photos(angles(0, 20, 41, 63), 2, texts, owner).tolist() == [[2, -1], [2, 3], [1, 3], [2, 1]]


@pytest.mark.parametrize(("count", "k"), [(0, 2), (1, 2), (2, 3), (3, 3)])
def test_few_photos_have_few_neighbours(count: int, k: int) -> None:
    found = hard_photos(angles(*range(0, 40 * count, 40)), k)
    assert found.shape == (count, k)
    assert (found >= 0).sum(axis=1).tolist() == [max(count - 1, 0)] * count


def test_photos_are_looked_for_beyond_a_large_class() -> None:
    rng = np.random.default_rng(0)
    vectors = unit((np.eye(8)[[0] * 100 + [1] * 20] * 6 + rng.normal(size=(120, 8))).tolist())
    texts, owner = ["a dog"] * 100 + [f"cat {i}" for i in range(20)], np.arange(120)
    found = hard_photos(vectors, 3, texts, owner, duplicate=2)
    assert (found[:100] >= 100).all()
    scores = vectors[:100] @ vectors[100:].T
    best = 100 + np.argsort(-scores, axis=1)[:, :3]
    assert (found[:100] == best).mean() > 0.95, "half precision may change the order of two"


def test_an_approximate_index_finds_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = unit((rng.normal(size=(40, 16)).repeat(50, 0) + rng.normal(size=(2000, 16))).tolist())
    exact = hard_photos(vectors, 4)
    monkeypatch.setattr(negatives, "EXACT_UP_TO", 100)
    near = hard_photos(vectors, 4)
    assert not (near == np.arange(2000)[:, None]).any()
    assert np.mean([len({*a} & {*b}) / 4 for a, b in zip(exact.tolist(), near.tolist(), strict=True)]) > 0.9
