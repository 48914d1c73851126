from __future__ import annotations

import json
from collections import Counter
from itertools import product
from math import log
from pathlib import Path

import numpy as np
import pytest

from vlsearch.audit.controls import FOLDS, Blind, _fold
from vlsearch.audit.perturb import perturb

CAPTIONS = ["a dog runs", "a dog sits", "a cat sits", "the cat runs", "a dog runs fast", "the dog sits"]


def photos_of_fold(fold: int, n: int) -> list[str]:
    found = (f"{i}.jpg" for i in range(100_000) if _fold(f"{i}.jpg") == fold)
    return [next(found) for _ in range(n)]


@pytest.fixture
def blind() -> Blind:
    """All captions in one fold, so that photos of another one are scored by the model of all of them."""
    return Blind(CAPTIONS, photos_of_fold(3, len(CAPTIONS)))


(ELSEWHERE,) = photos_of_fold(4, 1)


def plain(captions: list[str], text: str) -> float:
    """The same model from dictionaries, straight from its definition."""
    counts = [Counter[tuple[str, ...]]() for _ in range(4)]
    for caption in captions:
        words = ["<s>", "<s>", *caption.split(), "</s>"]
        counts[3].update(zip(words, words[1:], words[2:], strict=False))
    for n in (2, 1):
        counts[n].update(gram[1:] for gram in counts[n + 1])

    def p(gram: tuple[str, ...]) -> float:
        if not gram:
            return 1 / (len(counts[1]) + 1)
        seen = counts[len(gram)]
        after = {g: c for g, c in seen.items() if g[:-1] == gram[:-1]}
        if not after:
            return p(gram[1:])
        once, twice = (sum(c == times for c in seen.values()) for times in (1, 2))
        d = once / (once + 2 * twice)
        return (max(after.get(gram, 0) - d, 0) + d * len(after) * p(gram[1:])) / sum(after.values())

    words = ["<s>", "<s>", *text.split(), "</s>"]
    logs = [log(p(gram)) for gram in zip(words, words[1:], words[2:], strict=False)]
    return sum(logs) / len(logs)


@pytest.mark.parametrize("text", [*CAPTIONS, "a cat runs", "dog a sits", "the zebra sits", "zebra", "", "runs runs a"])
def test_scores_are_those_of_the_definition(blind: Blind, text: str) -> None:
    assert blind.scores([text], ELSEWHERE)[0] == pytest.approx(plain(CAPTIONS, text))


def test_probabilities_after_any_two_words_sum_to_one(blind: Blind) -> None:
    base = len(blind._ids)
    unknown, start, first = 0, 1, 3
    words = np.array([i for i in range(base) if i != start])
    model = blind._model(_fold(ELSEWHERE))
    for a, b in [(start, start), (start, first), *product([unknown, *range(first, base)], repeat=2)]:
        assert model.probability((a * base + b) * base + words).sum() == pytest.approx(1.0)


def test_words_are_the_same_without_case_and_marks_around_them(blind: Blind) -> None:
    scores = blind.scores(["a dog runs", "A dog runs.", "a “DOG” , runs !"], ELSEWHERE)
    assert scores[0] == scores[1] == scores[2]


def test_unknown_words_are_all_alike(blind: Blind) -> None:
    scores = blind.scores(["a zebra runs", "a giraffe runs", "zebra giraffe", "giraffe zebra"], ELSEWHERE)
    assert scores[0] == scores[1] < blind.scores(["a dog runs"], ELSEWHERE)[0]
    assert scores[2] == scores[3]


def test_texts_of_a_photo_are_scored_without_its_fold() -> None:
    """Other captions of the same fold are left out with it, and a photo without captions is treated as those with."""
    own, beside, without = photos_of_fold(2, 3)
    (other,) = photos_of_fold(7, 1)
    blind = Blind(["red zebra", "red zebra", "a dog runs", "a dog runs"], [own, beside, other, other])
    assert len({blind.scores(["red zebra"], photo)[0] for photo in (own, beside, without)}) == 1
    assert blind.scores(["red zebra"], own)[0] == blind.scores(["green giraffe"], own)[0]
    assert blind.scores(["red zebra"], other)[0] > blind.scores(["green giraffe"], other)[0]


def test_photos_spread_over_the_folds() -> None:
    sizes = np.bincount([_fold(f"{i:012d}.jpg") for i in range(5000)])
    assert len(sizes) == FOLDS
    assert sizes.min() > 400


def test_without_captions_outside_the_fold_no_text_is_preferred() -> None:
    own, beside = photos_of_fold(5, 2)
    assert len(set(Blind(["a dog runs"], [own]).scores(["a dog runs", "runs a", "cat"], beside).tolist())) == 1
    assert Blind([], []).scores([], own).tolist() == []


def test_a_true_caption_is_told_from_its_shuffled_words(shared: Path) -> None:
    """Of COCO's captions without their photos: no audit of word order is worth more than its blind control."""
    data = json.loads((shared / "data" / "captions" / "coco_captions_val2017.json").read_text(encoding="utf-8"))
    rows = [(row["caption"], str(row["image_id"])) for row in data["annotations"]]
    blind = Blind([text for text, _ in rows], [photo for _, photo in rows])
    told = []
    for text, photo in rows[::25]:
        shuffled = perturb(text, "shuffle", 0)
        true, false = blind.scores([text, shuffled.text], photo)
        told.append(true > false or not shuffled.changed)
    assert len(told) > 900
    assert np.mean(told) > 0.99
