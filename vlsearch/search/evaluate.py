"""How often zero-shot classes are right: top-1 and top-5 of several sets of prompts, and what each gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.audit.stats import wilson
from vlsearch.errors import UsageError
from vlsearch.search.labels import Truth
from vlsearch.search.prompts import NAMED, Prompts
from vlsearch.search.tagging import CELLS, TEMPLATE, Progress, class_prompts, top, vector_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.catalog.rows import ModelRow
    from vlsearch.library import Library

LEVEL = 0.95
RESAMPLES = 10_000
TOP = 5

Interval = tuple[float, float]


@dataclass(frozen=True)
class PromptSet:
    """One way to say the labels: the texts of each."""

    name: str
    texts: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figures:
    """How well one set of prompts does; shares of photos, 0 to 1, with 95 % intervals."""

    prompts: str
    texts: int
    """of all labels together"""
    top1: float
    top1_interval: Interval
    top5: float
    top5_interval: Interval
    gain: float | None = None
    """top-1 less that of the first set"""
    gain_interval: Interval | None = None


@dataclass(frozen=True)
class Confusion:
    label: str
    taken_for: str
    photos: int
    share: float
    """of the photos that are of `label`"""


@dataclass(frozen=True)
class Evaluation:
    """What came out. `matrix` is of the last set of prompts: a row a true label, a column a label given."""

    labels: tuple[str, ...]
    photos: int
    figures: tuple[Figures, ...]
    matrix: NDArray[np.int64]
    truth: Truth

    def confusions(self, n: int = 10) -> list[Confusion]:
        """The n most frequent, most photos first, then in the order of the labels."""
        wrong = self.matrix.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:n]
        size = self.matrix.sum(axis=1)
        return [
            Confusion(self.labels[i], self.labels[j], int(wrong[i, j]), float(wrong[i, j] / size[i]))
            for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
            if wrong[i, j]
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "photos": self.photos,
            "labels": list(self.labels),
            "unlabelled": self.truth.unlabelled,
            "contradicted": self.truth.contradicted,
            "unmatched": len(self.truth.unmatched),
            "unknown_labels": dict(sorted(self.truth.unknown.items())),
            "prompts": [asdict(figures) for figures in self.figures],
            "confusions": [asdict(confusion) for confusion in self.confusions()],
            "matrix": self.matrix.tolist(),
        }


def prompt_sets(
    labels: Sequence[str],
    prompts: Prompts | None,
    descriptions: Mapping[str, Sequence[str]],
) -> list[PromptSet]:
    """The sets to compare: the bare names first, last the one that labels are told by with these options."""
    ways = {"bare name": NAMED["plain"], "clip7": NAMED["clip7"], TEMPLATE: (TEMPLATE,)}
    sets = [PromptSet(name, class_prompts(labels, Prompts(templates), {})[0]) for name, templates in ways.items()]
    if prompts is not None:
        sets.append(PromptSet("--prompts", class_prompts(labels, prompts, {})[0]))
    if descriptions:
        templates = prompts or Prompts((TEMPLATE,))
        sets.append(PromptSet("descriptions", class_prompts(labels, templates, descriptions)[0]))
    return sets


def evaluate_library(
    library: Library,
    model: ModelRow,
    truth: Truth,
    labels: Sequence[str],
    sets: Sequence[PromptSet],
    classes: Sequence[NDArray[np.float32]],
    progress: Progress = lambda *_: None,
) -> Evaluation:
    """Compare sets of prompts on the photos whose label is known; classes: of each set (c, d) unit vectors.

    UsageError where no photo has a known label and a vector of this model.
    """
    wanted = np.array(sorted(truth.of), np.int64)
    true: list[NDArray[np.int64]] = []
    best: list[list[NDArray[np.int64]]] = [[] for _ in sets]
    done = 0
    for ids, xb in vector_blocks(library, model, wanted, CELLS // max(classes[0].shape)):
        true.append(np.array([truth.of[i] for i in ids.tolist()], np.int64))
        for found, vectors in zip(best, classes, strict=True):
            found.append(top(xb @ vectors.T, TOP))
        done += len(ids)
        progress("photos", done, len(wanted))
    if not true:
        says = f", but labels such as {', '.join(map(repr, sorted(truth.unknown)[:3]))}" if truth.unknown else ""
        raise UsageError(f"no photo has one of these labels{says}; give --evaluate what says them, or --labels others")
    ranked = {s.name: np.concatenate(found) for s, found in zip(sets, best, strict=True)}
    counts = {s.name: sum(map(len, s.texts)) for s in sets}
    return evaluate(labels, np.concatenate(true), ranked, counts, truth)


def evaluate(
    labels: Sequence[str],
    true: NDArray[np.int64],
    ranked: Mapping[str, NDArray[np.int64]],
    texts: Mapping[str, int],
    truth: Truth,
) -> Evaluation:
    """true: (n,) label of each photo; ranked: of each set of prompts (n, k) labels, best first, k ≤ 5. The gain is
    over the first set, the matrix of the last."""
    figures: list[Figures] = []
    bare: NDArray[np.bool_] | None = None
    for name, found in ranked.items():
        right = found[:, 0] == true
        among = (found[:, :TOP] == true[:, None]).any(axis=1)
        gain = {}
        if bare is None:
            bare = right
        else:
            gain = {"gain": float(right.mean() - bare.mean()), "gain_interval": gain_interval(right, bare)}
        figures.append(Figures(name, texts[name], *share(right), *share(among), **gain))  # type: ignore[arg-type]
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, (true, found[:, 0]), 1)
    return Evaluation(tuple(labels), len(true), tuple(figures), matrix, truth)


def share(right: NDArray[np.bool_]) -> tuple[float, Interval]:
    """With its 95 % score interval."""
    return float(right.mean()), wilson(int(right.sum()), len(right))


def gain_interval(right: NDArray[np.bool_], bare: NDArray[np.bool_], seed: int = 0) -> Interval:
    """Paired bootstrap percentile interval (95 %) of mean(right) − mean(bare), both (n,) over the same photos.

    A resample draws n photos with replacement, each with both its answers. As a photo's difference is −1, 0 or 1, all
    that a resample comes to is how often it drew each of the three, which is multinomial (n; their shares): drawn as
    such it is the same bootstrap, at a cost that does not grow with n. Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, ch. 13.
    """
    n = len(right)
    won, lost = int((right & ~bare).sum()), int((bare & ~right).sum())
    shares = np.array([won, lost, n - won - lost]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=RESAMPLES)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / n, [tail, 100 - tail])
    return float(low), float(high)
