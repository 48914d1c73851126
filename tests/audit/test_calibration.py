"""The audit's zero and its full scale, on the captions of bin/make-scenes, whose answer is known.

A bag of words by construction must lose exactly nothing when words are shuffled and must be at exactly chance between
the two pictures of a pair, whose captions are the same words in another order. An oracle that reads the order must
lose everything.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit import AuditReport, audit_retrieval, metrics
from vlsearch.audit.perturb import perturb

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Scenes:
    texts: list[str]
    owner: NDArray[np.int64]
    pairs: list[tuple[int, int]]
    """rows of photos"""

    @property
    def photos(self) -> int:
        return int(self.owner.max()) + 1

    def first_captions(self) -> list[str]:
        return [self.texts[int(np.flatnonzero(self.owner == i)[0])] for i in range(self.photos)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    folder = tmp_path_factory.mktemp("scenes")
    script = Path(__file__).parents[2] / "bin" / "make-scenes"
    subprocess.run([sys.executable, str(script), str(folder), "--size", "64"], check=True, capture_output=True)
    told = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    row = {image["id"]: i for i, image in enumerate(told["images"])}
    return Scenes(
        texts=[a["caption"] for a in told["annotations"]],
        owner=np.array([row[a["image_id"]] for a in told["annotations"]]),
        pairs=[(row[a], row[b]) for a, b in told["pairs"]],
    )


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@cache
def hashed(text: str, dim: int = 256) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(dim)


def unit(rows: Sequence[NDArray[np.float64]]) -> Vectors:
    x = np.array(rows)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def bag(texts: Sequence[str]) -> Vectors:
    """Sum of word vectors, in alphabetical order so that the sum is the same to the last bit."""
    return unit([sum((hashed(word) for word in sorted(words(text))), np.zeros(256)) for text in texts])


def reader(texts: Sequence[str]) -> Vectors:
    """A vector of its own for every order of words."""
    return unit([hashed(" ".join(words(text)), 1024) for text in texts])


def audit(scenes: Scenes, embed: object, xb: Vectors) -> AuditReport:
    return audit_retrieval(
        embed, xb, scenes.texts, scenes.owner, perturbations=["shuffle", "swap"], seeds=3, resamples=200
    )[0]  # type: ignore[arg-type]


def test_the_scenes_are_what_the_calibration_needs(scenes: Scenes) -> None:
    assert scenes.photos >= 100
    assert len(scenes.pairs) >= 20
    first = scenes.first_captions()
    for a, b in scenes.pairs:
        assert sorted(words(first[a])) == sorted(words(first[b]))
        assert words(first[a]) != words(first[b])


def test_swap_makes_the_one_caption_of_a_pair_into_the_other(scenes: Scenes) -> None:
    """Wherever two phrases stand in a relation that is not symmetric, such as "a dog chasing a cat"."""
    first = scenes.first_captions()
    related = [(first[a], first[b]) for a, b in scenes.pairs if not {"and", "with"} & {*words(first[a])}]
    assert len(related) >= 20
    assert [perturb(a, "swap", 0).text for a, _ in related] == [b for _, b in related]
    assert [perturb(b, "swap", 0).text for _, b in related] == [a for a, _ in related]


def test_a_bag_of_words_loses_exactly_nothing(scenes: Scenes) -> None:
    report = audit(scenes, bag, bag(scenes.first_captions()))
    for r in report.results:
        assert (r.drop, r.low, r.high, r.p, r.order_sensitivity) == (0.0, 0.0, 0.0, 1.0, 0.0)
        assert r.clean > r.chance
        assert r.effective_drop == 0.0
    for r in report.ranks:
        assert (r.mrr_perturbed, r.median_rank_perturbed) == (r.mrr_clean, r.median_rank_clean)
    assert "no drop that this audit can tell from 0" in report.finding()


def test_a_bag_of_words_is_at_exactly_chance_between_the_two_of_a_pair(scenes: Scenes) -> None:
    first = scenes.first_captions()
    for pair in scenes.pairs:
        captions = [first[i] for i in pair]
        for texts in (captions, [perturb(text, "shuffle", 0).text for text in captions]):
            for ranks in metrics.ranks(bag(texts), bag(captions), np.arange(2)):
                # Both score the same: a coin decides, and the rank never takes its luck.
                assert ranks.ties.tolist() == [1, 1]
                assert ranks.rank.tolist() == [2, 2]


def test_a_bag_of_words_ties_each_pair_in_the_whole_collection(scenes: Scenes) -> None:
    report = audit(scenes, bag, bag(scenes.first_captions()))
    in_pairs = {i for pair in scenes.pairs for i in pair}
    for r in report.results:
        if r.direction == "image_to_text" and r.perturbation == "identity":
            assert r.ties == r.ties_clean >= len(in_pairs)
            assert r.k > 1 or r.clean == 1 - r.ties / r.queries


def test_a_reader_of_the_order_loses_everything(scenes: Scenes) -> None:
    """Known captions point at their photo, everything else at no photo: what is left after a change is exactly 0."""
    known = {" ".join(words(text)): int(i) for text, i in zip(scenes.texts, scenes.owner, strict=True)}
    nowhere = scenes.photos
    directions = np.eye(scenes.photos + 1, dtype=np.float32)

    def oracle(texts: Sequence[str]) -> Vectors:
        return directions[[known.get(" ".join(words(text)), nowhere) for text in texts]]

    report = audit(scenes, oracle, directions[: scenes.photos])
    for r in report.results:
        assert r.clean == 1.0
        if r.perturbation == "identity":
            assert r.drop == 0.0
        elif r.direction == "image_to_text" and r.unperturbable:
            # A photo is found by the captions that did not change.
            assert r.effective_drop is not None
            assert r.effective_drop >= r.drop > 0
        else:
            assert (r.effective_clean, r.effective_perturbed, r.effective_drop) == (1.0, 0.0, 1.0)
            assert r.drop == pytest.approx(1 - r.unperturbable / report.captions)
            if not r.unperturbable:
                assert (r.low, r.high) == (1.0, 1.0)
                assert r.order_sensitivity == 1 / (1 - r.chance)


def test_a_reader_without_a_place_for_disorder_falls_to_chance(scenes: Scenes) -> None:
    """Here a changed caption points at random: order sensitivity 1, but for what the unperturbable captions keep."""
    report = audit(scenes, reader, reader(scenes.first_captions()))
    (r,) = (r for r in report.results if (r.direction, r.perturbation, r.k) == ("text_to_image", "shuffle", 1))
    assert r.effective_perturbed == pytest.approx(r.chance, abs=0.02)
    assert r.order_sensitivity == pytest.approx(1.0, abs=0.03)
