"""The audit's zero and its full scale, on the captions of bin/make-scenes, whose answer is known.

A bag of words by construction must lose exactly nothing when words are shuffled and must be at exactly chance between
the two pictures of a pair, whose captions are the same words in another order. An oracle that reads the order must
lose everything, one that reads it in pairs only must lose those, and a mixture of both must lose what lies between.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit import AuditReport, audit_retrieval, metrics
from vlsearch.audit.perturb import perturb

if TYPE_CHECKING:
    import pyarrow as pa

Vectors = NDArray[np.float32]
Encoder = Callable[[Sequence[str]], Vectors]


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


def oracle(scenes: Scenes, reads: Callable[[str], bool] = lambda _: True) -> Encoder:
    """Known captions point at their photo, everything else at no photo: what is left after a change is exactly 0.

    The order of words counts in captions that it `reads`; of others it knows the words.
    """

    def key(text: str) -> tuple[str, ...]:
        return tuple(words(text) if reads(text) else sorted(words(text)))

    known = {key(text): int(i) for text, i in zip(scenes.texts, scenes.owner, strict=True)}
    directions = np.eye(scenes.photos + 1, dtype=np.float32)
    return lambda texts: directions[[known.get(key(text), scenes.photos) for text in texts]]


def mixture(weight: float, order: Encoder) -> Encoder:
    """Scores are weight · those of `order` + (1 - weight) · those of a bag of words."""
    a, b = np.sqrt([weight, 1 - weight]).astype(np.float32)
    return lambda texts: np.hstack([a * order(texts), b * bag(texts)])


def audit(
    scenes: Scenes, embed: Encoder, perturbations: Sequence[str] = ("shuffle", "swap", "reverse", "sort")
) -> tuple[AuditReport, pa.Table]:
    """Photos are where their captions are."""
    xb = embed(scenes.first_captions())
    return audit_retrieval(embed, xb, scenes.texts, scenes.owner, perturbations=perturbations, seeds=3, resamples=200)


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
    report, rows = audit(scenes, bag)
    assert {r.perturbation for r in report.results} == {"shuffle", "swap", "reverse", "sort", "identity"}
    assert rows["rank"] == rows["rank_clean"]
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
    report, _ = audit(scenes, bag)
    in_pairs = {i for pair in scenes.pairs for i in pair}
    for r in report.results:
        if r.direction == "image_to_text" and r.perturbation == "identity":
            assert r.ties == r.ties_clean >= len(in_pairs)
            assert r.k > 1 or r.clean == 1 - r.ties / r.queries


def test_a_reader_of_the_order_loses_everything(scenes: Scenes) -> None:
    report, _ = audit(scenes, oracle(scenes))
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
    report, _ = audit(scenes, reader)
    (r,) = (r for r in report.results if (r.direction, r.perturbation, r.k) == ("text_to_image", "shuffle", 1))
    assert r.effective_perturbed == pytest.approx(r.chance, abs=0.02)
    assert r.order_sensitivity == pytest.approx(1.0, abs=0.03)


def test_an_oracle_loses_the_half_that_depends_on_the_order_and_nothing_of_the_other(scenes: Scenes) -> None:
    first = scenes.first_captions()
    in_pairs = {i for pair in scenes.pairs for i in pair}
    bags = {tuple(sorted(words(first[i]))) for i in in_pairs}
    report, rows = audit(scenes, oracle(scenes, lambda text: tuple(sorted(words(text))) in bags))
    lost: dict[tuple[str, str], list[bool]] = {}
    for row in rows.to_pylist():
        photo, name = int(row["photo"]), row["perturbation"]
        loses = photo in in_pairs and perturb(first[photo], name, row["seed"]).text != first[photo]
        # What points at no photo is as far from its own as from any.
        assert (row["rank_clean"], row["rank"]) == (1, scenes.photos if loses else 1)
        lost.setdefault((row["direction"], name), []).append(loses)
    for r in report.results:
        assert r.drop == pytest.approx(np.mean(lost[r.direction, r.perturbation]), abs=1e-12)
        if r.perturbation == "shuffle":
            assert (r.effective_drop, 2 * len(in_pairs)) == (0.5, scenes.photos)
            assert r.low < 0.5 < r.high


@pytest.mark.parametrize("order", ["oracle", "reader"])
def test_the_more_a_mixture_reads_the_order_the_more_it_loses(scenes: Scenes, order: str) -> None:
    """Scores are linear in the weight: a competitor overtakes the true one once and stays before it."""
    reads = oracle(scenes) if order == "oracle" else reader
    curves: dict[tuple[str, int], list[float]] = {}
    for weight in np.linspace(0, 1, 11):
        for r in audit(scenes, mixture(weight, reads), ["shuffle"])[0].results:
            if r.perturbation == "shuffle":
                curves.setdefault((r.direction, r.k), []).append(r.drop)
    for (_, k), curve in curves.items():
        assert len(curve) == 11
        assert curve == sorted(curve)
        assert curve[0] == 0.0
        if order == "oracle":
            # Any weight tells the two of a pair apart, and none but the whole drowns the words of the others.
            assert curve[1:] == [0.5 if k == 1 else 0.0] * 9 + [1.0]
        else:
            assert curve[-1] == pytest.approx(1 - k / scenes.photos, abs=0.02)
            assert len(set(curve)) >= 5
