"""bin/reproduce-negclip: what its models learn from says nothing of what they are asked, and it runs to its end."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

BIN = Path(__file__).parents[2] / "bin"


class Scenes(NamedTuple):
    more: ModuleType
    collection: ModuleType
    nouns: ModuleType
    learnt: list[Any]
    """8,000 scenes, as many as the script has"""

    @property
    def pairs(self) -> list[Any]:
        return [scene for pair in self.collection.collection()[0] for scene in pair]

    def things(self, caption: str) -> Counter[str]:
        names = {name: name for name in self.nouns.NOUNS} | {self.nouns.plural(name): name for name in self.nouns.NOUNS}
        longest = sorted(names, key=len, reverse=True)
        return Counter(names[found] for found in re.findall(rf"\b(?:{'|'.join(longest)})\b", caption))


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    sys.path.insert(0, str(BIN))
    try:
        from scenes import collection, more, nouns  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(BIN))
    return Scenes(more, collection, nouns, list(more.more_scenes(8000, seed=1)))


def bag(caption: str) -> tuple[str, ...]:
    return tuple(sorted(caption.split()))


def test_the_same_seed_composes_the_same_scenes(scenes: Scenes) -> None:
    captions = [scene.caption for scene in scenes.learnt[:500]]
    assert [scene.caption for scene in scenes.more.more_scenes(500, seed=1)] == captions
    assert [scene.caption for scene in scenes.more.more_scenes(500, seed=2)] != captions


def test_no_scene_shows_two_things_that_a_pair_asks_about(scenes: Scenes) -> None:
    """But for what someone wears: there it is the colours that no scene has together."""

    def two(many: list[Any]) -> Iterator[frozenset[tuple[str, int]]]:
        for scene in many:
            if " with " not in scene.caption:
                yield frozenset(scenes.things(scene.caption).items())

    asked = set(two(scenes.pairs))
    assert len(asked) > 60
    assert asked.isdisjoint(two(scenes.learnt))


def test_no_caption_is_of_the_collection_in_whatever_order(scenes: Scenes) -> None:
    together, alone = scenes.collection.collection()
    asked = {bag(scene.caption) for scene in [*scenes.pairs, *alone]}
    assert len(asked) == len(together) + len(alone)
    assert [scene.caption for scene in scenes.learnt if bag(scene.caption) in asked] == []


def test_a_batch_hardly_ever_has_a_scene_and_its_partner(scenes: Scenes) -> None:
    """Two captions of the same words in another order, in a random batch of 128 of the 8,000."""
    by_bag: dict[tuple[str, ...], list[str]] = {}
    for scene in scenes.learnt:
        by_bag.setdefault(bag(scene.caption), []).append(scene.caption)
    partners = sum(a != b for captions in by_bag.values() for a, b in combinations(captions, 2))
    a_batch = partners * (128 * 127) / (8000 * 7999)
    assert 0 < a_batch < 0.1


def test_half_of_the_captions_depend_on_order(scenes: Scenes) -> None:
    two = sum(scenes.things(scene.caption).total() >= 2 for scene in scenes.learnt)
    assert 0.45 < two / len(scenes.learnt) < 0.55


def test_articles_fit(scenes: Scenes) -> None:
    for scene in scenes.learnt:
        for article, word in pairwise(scene.caption.split()):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou"), scene.caption


def test_every_kind_of_scene_can_be_drawn(scenes: Scenes, tmp_path: Path) -> None:
    kinds = [compose for compose, _ in (*scenes.more.KINDS, *scenes.more.SINGLE)]
    for n, compose in enumerate(kinds * 5):
        caption, place, paint = compose(random.Random(n))
        scenes.collection.draw(scenes.collection.Scene(caption, place, paint, "0"), 32, tmp_path / "scene.png")
    assert (tmp_path / "scene.png").stat().st_size > 100


@pytest.mark.slow
def test_it_runs_to_its_end_and_says_what_was_not_repeated(tmp_path: Path) -> None:
    """With next to no training: there is nothing to be found in its figures, and it says so."""
    command = [
        sys.executable,
        str(BIN / "reproduce-negclip"),
        "--out",
        str(tmp_path),
        "--scenes",
        "200",
        "--steps",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1].startswith("Not repeated: ")
    told = json.loads((tmp_path / "figures.json").read_text())
    assert {change["kind"] for change in told["all"]} == {"retrieval", "order"}
    assert all(change["n"] == 200 for change in told["alone"])
    assert (tmp_path / "figure.svg").read_text().rstrip().endswith("</svg>")
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.stdout.count("trained already") == 2
