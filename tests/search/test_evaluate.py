from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ColourEncoder, unit
from vlsearch.audit.stats import paired_interval
from vlsearch.errors import UsageError
from vlsearch.library import Library
from vlsearch.search.evaluate import evaluate, evaluate_library, gain_interval, prompt_sets
from vlsearch.search.labels import Truth, truth_from_folders
from vlsearch.search.prompts import Prompts, embed_prompts


def test_figures_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    labels, n = [f"c{i}" for i in range(8)], 300
    true = rng.integers(0, 8, n)
    ranked = {name: np.stack([rng.permutation(8)[:5] for _ in range(n)]) for name in ("bare", "better")}
    ranked["better"][:150, 0] = true[:150]
    found = evaluate(labels, true, ranked, {"bare": 8, "better": 40}, Truth())
    matrix = [[0] * 8 for _ in range(8)]
    for name, figures in zip(ranked, found.figures, strict=True):
        top1 = sum(ranked[name][i][0] == true[i] for i in range(n)) / n
        top5 = sum(true[i] in ranked[name][i].tolist() for i in range(n)) / n
        assert (figures.prompts, figures.top1, figures.top5) == (name, pytest.approx(top1), pytest.approx(top5))
        assert figures.top1_interval[0] < top1 < figures.top1_interval[1]
    for i in range(n):
        matrix[true[i]][ranked["better"][i][0]] += 1
    assert found.matrix.tolist() == matrix
    bare, better = found.figures
    assert (bare.gain, bare.texts, better.texts) == (None, 8, 40)
    assert better.gain == pytest.approx(better.top1 - bare.top1)
    assert better.gain_interval is not None
    assert better.gain_interval[0] > 0
    worst = max((matrix[i][j], -i, -j) for i in range(8) for j in range(8) if i != j)
    first = found.confusions()[0]
    assert (first.photos, first.label, first.taken_for) == (worst[0], f"c{-worst[1]}", f"c{-worst[2]}")
    assert first.share == first.photos / sum(matrix[-worst[1]])
    assert json.loads(json.dumps(found.to_dict()))["matrix"] == matrix


def test_the_gain_is_resampled_as_an_audit_resamples() -> None:
    rng = np.random.default_rng(2)
    bare = rng.random(400) < 0.5
    right = np.where(rng.random(400) < 0.7, bare, rng.random(400) < 0.8)
    ours = gain_interval(right, bare)
    theirs = paired_interval(
        right[:, None].astype(float), bare[:, None, None].astype(float), np.ones(400), resamples=10_000
    )
    assert ours == pytest.approx((theirs[0][0], theirs[1][0]), abs=0.006)
    assert ours == gain_interval(right, bare)
    assert gain_interval(bare, bare) == (0, 0)


def test_prompt_sets_begin_with_the_name_and_end_with_what_was_asked_for() -> None:
    def names(*args: Any) -> list[str]:
        return [s.name for s in prompt_sets(["dog", "cat"], *args)]

    assert names(None, {}) == ["bare name", "clip7", "a photo of a {}"]
    assert names(Prompts(("the {}",)), {}) == ["bare name", "clip7", "a photo of a {}", "--prompts"]
    assert names(None, {"dog": ["It barks."]}) == ["bare name", "clip7", "a photo of a {}", "descriptions"]
    sets = prompt_sets(["dog", "cat"], Prompts(("the {}",)), {"dog": ["It barks."]})
    assert sets[0].texts == [["dog"], ["cat"]]
    assert sets[-1].texts == [["It barks."], ["the cat"]]


class Told(ColourEncoder):
    """Knows what the two descriptions look like; to any other text it is deaf."""

    def embed_texts(self, texts: Any) -> Any:
        rows = super().embed_texts(texts)
        flat = np.tile(np.array([1, 0, 0], np.float32), 16), np.tile(np.array([0, 0, 1], np.float32), 16)
        for row, text in zip(rows, texts, strict=True):
            for what, colour in zip(("It is red.", "It is blue."), flat, strict=True):
                if text == what:
                    row[:] = colour - 0.5
        return unit(rows)


def test_descriptions_that_fit_gain(library: Library, take: Callable[..., Any], tmp_path: Path) -> None:
    from PIL import Image

    for label, colour in (("poppy", (255, 0, 0)), ("gentian", (0, 0, 255)), ("nettle", (0, 255, 0))):
        (tmp_path / label).mkdir()
        for n in range(15):
            shade = tuple(max(0, c - 5 * n) for c in colour)
            Image.new("RGB", (16, 16), shade).save(tmp_path / label / f"{n}.png")
    take(tmp_path / "poppy", tmp_path / "gentian", tmp_path / "nettle")
    labels, encoder = ["poppy", "gentian"], Told()
    with library.read() as c:
        from vlsearch.catalog import queries

        truth = truth_from_folders(queries.contents_by_path(c), labels)
    sets = prompt_sets(labels, None, {"poppy": ["It is red."], "gentian": ["It is blue."]})
    classes = [embed_prompts(encoder.embed_texts, s.texts) for s in sets]
    found = evaluate_library(library, library.model(), truth, labels, sets, classes)
    assert (found.photos, truth.unknown) == (30, {"nettle": 15})
    last = found.figures[-1]
    assert (last.prompts, last.top1, last.top5) == ("descriptions", 1, 1)
    assert last.gain == pytest.approx(1 - found.figures[0].top1)
    assert found.matrix.tolist() == [[15, 0], [0, 15]]
    assert found.confusions() == []
    with pytest.raises(UsageError, match="no photo has one of these labels, but labels such as 'gentian', 'nettle'"):
        evaluate_library(library, library.model(), Truth(unknown={"nettle": 1, "gentian": 2}), labels, sets, classes)
