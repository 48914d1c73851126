"""From the scores of choice tasks to their figures: accuracy, macro accuracy, Winoground's three scores, AUC."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.datasets import Choice, Choices, Item, Pair, Statement
from vlsearch.audit.report import ChoiceResult
from vlsearch.audit.stats import bootstrap, detectable, wilson

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """Of each item a matrix (photos, texts), by the model and by its two controls."""

    model: Sequence[Floats]
    bag_of_words: Sequence[Floats]
    blind: Sequence[Floats] | None


@dataclass(frozen=True)
class _Metric:
    name: str
    pairs: Callable[[Floats], Sequence[tuple[float, float]]]
    """scores of an item to (true, false) scores: right when every true one is the greater"""
    chance: Callable[[Item], float]
    of_texts: bool = True

    def right(self, scores: Floats) -> bool:
        return all(true > false for true, false in self.pairs(scores))

    def tie(self, scores: Floats) -> bool:
        return any(true == false for true, false in self.pairs(scores))


def _accuracy(m: Floats) -> list[tuple[float, float]]:
    return [(m[0, 0], false) for false in m[0, 1:]]


def _text_score(m: Floats) -> list[tuple[float, float]]:
    return [(m[0, 0], m[0, 1]), (m[1, 1], m[1, 0])]


def _image_score(m: Floats) -> list[tuple[float, float]]:
    return [(m[0, 0], m[1, 0]), (m[1, 1], m[0, 1])]


def _group_score(m: Floats) -> list[tuple[float, float]]:
    return [*_text_score(m), *_image_score(m)]


_ACCURACY = _Metric("accuracy", _accuracy, lambda item: 1 / len(item.texts))
_GROUP_SCORE = _Metric("group score", _group_score, lambda _: 1 / 6)
# Thrush et al., Winoground, CVPR 2022, section 4: of the 24 orders of four scores, 6, 6 and 4 are right.
_OF_PAIRS = (
    _Metric("text score", _text_score, lambda _: 1 / 4),
    _Metric("image score", _image_score, lambda _: 1 / 4, of_texts=False),
    _GROUP_SCORE,
)


def solved(items: Sequence[Item], matrices: Sequence[Floats]) -> Bools:
    """(n,) whether each item is solved: its true text scores highest; a pair's texts and photos are all right; a
    statement is on its side of the median of the other kind, a true one above that of the false ones."""
    if isinstance(items[0], Statement):
        true = _true(items)
        score = np.array([matrix[0, 0] for matrix in matrices])
        of_false, of_true = np.median(score[~true]), np.median(score[true])
        return np.asarray((true & (score > of_false)) | (~true & (score < of_true)))
    metric = _GROUP_SCORE if isinstance(items[0], Pair) else _ACCURACY
    return np.array([metric.right(matrix) for matrix in matrices], np.bool_)


def results(choices: Choices, scores: Scores, *, resamples: int = 2000) -> tuple[ChoiceResult, ...]:
    """Every metric of every split, "all" last; the macro accuracy over groups where there are several.

    "all" is over all items, however large their splits are. Seeds ask the same question again: n counts it once, and
    the value is the mean over them. Statements must be true and false ones.
    """
    task = choices.task or choices.name
    if isinstance(choices.items[0], Statement):
        return (_auc_result(task, choices.items, scores, resamples),)
    splits: dict[str, list[int]] = {}
    for n, item in enumerate(choices.items):
        if item.split:
            splits.setdefault(item.split, []).append(n)
    everything = list(range(len(choices.items)))
    seeds = max(1, choices.seeds)
    found: list[ChoiceResult] = []
    for metric in (_ACCURACY,) if isinstance(choices.items[0], Choice) else _OF_PAIRS:
        verdicts = _Verdicts.of(metric, choices.items, scores)
        for split in sorted(splits):
            found.append(_share(task, split, metric, verdicts, np.array(splits[split]), seeds))
        groups = [item.group for item in choices.items]
        if metric is _ACCURACY and len(set(groups)) > 1:
            found.append(_macro(task, verdicts, groups, _photos(choices.items), resamples))
        found.append(_share(task, "all", metric, verdicts, np.array(everything), seeds))
    return tuple(found)


@dataclass(frozen=True)
class _Verdicts:
    """One metric of all items, each (n,)."""

    right: Bools
    tie: Bools
    chance: Floats
    blind: Bools | None
    bag_of_words: Bools | None

    @classmethod
    def of(cls, metric: _Metric, items: Sequence[Item], scores: Scores) -> _Verdicts:
        def right(matrices: Sequence[Floats]) -> Bools:
            return np.array([metric.right(m) for m in matrices], np.bool_)

        return cls(
            right=right(scores.model),
            tie=np.array([metric.tie(m) for m in scores.model], np.bool_),
            chance=np.array([metric.chance(item) for item in items]),
            blind=right(scores.blind) if scores.blind is not None else None,
            bag_of_words=right(scores.bag_of_words) if metric.of_texts else None,
        )


def _share(task: str, split: str, metric: _Metric, verdicts: _Verdicts, rows: Ints, seeds: int) -> ChoiceResult:
    n = len(rows) // seeds
    successes = int(np.count_nonzero(verdicts.right[rows]))
    low, high = wilson(round(successes / seeds), n)
    chance = verdicts.chance[rows]
    return ChoiceResult(
        task=task,
        split=split,
        metric=metric.name,
        value=successes / len(rows),
        low=low,
        high=high,
        n=n,
        chance=math.fsum(chance) / len(rows),
        blind=_mean(verdicts.blind, rows),
        bag_of_words=_mean(verdicts.bag_of_words, rows),
        ties=int(np.count_nonzero(verdicts.tie[rows])),
        detectable=detectable(math.sqrt(float(np.mean(chance * (1 - chance))) / n)),
    )


def _mean(right: Bools | None, rows: Ints) -> float | None:
    return None if right is None else int(np.count_nonzero(right[rows])) / len(rows)


def _macro(task: str, verdicts: _Verdicts, groups: Sequence[str], photo: Ints, resamples: int) -> ChoiceResult:
    names, group = np.unique(np.array(groups), return_inverse=True)
    group = group.reshape(-1)

    def value(right: Bools) -> float:
        hits = np.bincount(group, weights=right, minlength=len(names))
        return math.fsum(hits / size) / len(names)

    size = np.bincount(group, minlength=len(names))
    table = np.zeros((int(photo.max()) + 1, 2 * len(names)))
    np.add.at(table, (photo, group), verdicts.right)
    np.add.at(table, (photo, len(names) + group), 1.0)

    def statistic(counts: Floats) -> Floats:
        sums = counts @ table
        hits, sizes = sums[:, : len(names)], sums[:, len(names) :]
        # A group that a resample has no item of is not in its mean.
        share: Floats = np.divide(hits, sizes, out=np.zeros_like(hits), where=sizes > 0)
        return np.asarray(share.sum(axis=1, keepdims=True) / np.count_nonzero(sizes, axis=1, keepdims=True))

    low, high, _ = bootstrap(statistic, len(table), resamples=resamples)
    chance = np.bincount(group, weights=verdicts.chance, minlength=len(names)) / size
    return ChoiceResult(
        task=task,
        split="all",
        metric="macro accuracy",
        value=value(verdicts.right),
        low=float(low[0]),
        high=float(high[0]),
        n=len(groups),
        chance=math.fsum(chance) / len(names),
        blind=None if verdicts.blind is None else value(verdicts.blind),
        bag_of_words=None if verdicts.bag_of_words is None else value(verdicts.bag_of_words),
        ties=int(np.count_nonzero(verdicts.tie)),
        detectable=detectable(math.sqrt(float(np.sum(chance * (1 - chance) / size))) / len(names)),
    )


def _auc_result(task: str, items: Sequence[Item], scores: Scores, resamples: int) -> ChoiceResult:
    true = _true(items)
    m, n = int(np.count_nonzero(true)), int(np.count_nonzero(~true))
    score = np.array([matrix[0, 0] for matrix in scores.model])
    photo = _photos(items)
    low, high, _ = bootstrap(
        lambda counts: weighted_auc(score, true, counts[:, photo])[:, None], int(photo.max()) + 1, resamples=resamples
    )

    def value(matrices: Sequence[Floats] | None) -> float | None:
        return None if matrices is None else auc(np.array([matrix[0, 0] for matrix in matrices]), true)

    return ChoiceResult(
        task=task,
        split="all",
        metric="auc",
        value=auc(score, true),
        low=float(low[0]),
        high=float(high[0]),
        n=len(items),
        chance=0.5,
        blind=value(scores.blind),
        bag_of_words=value(scores.bag_of_words),
        ties=int(np.count_nonzero(np.isin(score[true], score[~true]))),
        # Without a difference the variance is that of Mann and Whitney's U, here of U / mn.
        detectable=detectable(math.sqrt((m + n + 1) / (12 * m * n))),
    )


def auc(score: Floats, true: Bools) -> float:
    """Area under the ROC curve: the share of pairs of a true and a false item whose true one scores higher, a tie
    counting half, as its definition has it (Hanley & McNeil, Radiology 143, 1982)."""
    return float(weighted_auc(score, true, np.ones((1, len(score))))[0])


def weighted_auc(score: Floats, true: Bools, weights: Floats) -> Floats:
    """`auc` of r resamples, (r,), in which the items count as `weights` (r, n) says; without both kinds there
    is nothing to tell apart: 0.5."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    positives = np.add.reduceat(weights[:, order] * true[order], starts, axis=1)
    negatives = np.add.reduceat(weights[:, order] * ~true[order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    won = (positives * (below + negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    share: Floats = np.divide(won, pairs, out=np.full(len(weights), 0.5), where=pairs > 0)
    return share


def _true(items: Sequence[Item]) -> Bools:
    return np.array([isinstance(item, Statement) and item.true for item in items], np.bool_)


def _photos(items: Sequence[Item]) -> Ints:
    """(n,) which photo an item is about."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(item.photos[0].path, len(places)) for item in items], np.int64)
