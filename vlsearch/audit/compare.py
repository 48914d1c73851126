"""Two runs of one task on what both have: differences of figures, paired query by query."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb import PERTURBATIONS, lookup
from vlsearch.audit.report.comparison import Comparison, Difference, DropDifference, ValueDifference
from vlsearch.audit.stats import bootstrap, holm, ratio_interval, sign_flip_p
from vlsearch.audit.tasks.verdicts import weighted_auc
from vlsearch.errors import UsageError

if TYPE_CHECKING:
    import pyarrow

    from vlsearch.audit.report.retrieval import Direction

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Task = Literal["retrieval", "choice", "lists"]

KEYS: dict[Task, tuple[str, ...]] = {
    "retrieval": ("direction", "perturbation", "seed", "photo", "text"),
    "choice": ("task", "split", "group", "photo", "texts", "seed"),
    "lists": ("perturbation", "seed", "query", "k"),
}
"""columns by which rows of two runs are the same; of several equal rows of one run the first is paired with the first
of the other, and so on"""

DIRECTIONS: tuple[Direction, ...] = ("text_to_image", "image_to_text")

_FIXED_POINT = 1 << 30
"""shares are multiples of 1 / this where a test needs integers"""


def compare(
    a: pyarrow.Table,
    b: pyarrow.Table,
    task: Task,
    ks: Sequence[int],
    names: tuple[str, str],
    *,
    controls: Collection[str] = (),
    resamples: int = 2000,
) -> Comparison:
    """Differences, a - b, between two runs' tables of one row a query, item or result list; the order of rows is free.

    `ks` are the depths of Recall@k; result lists bring their own. A resample draws photos with all their queries and
    seeds in both runs; the permutation test exchanges the runs photo by photo. Of result lists, read queries for
    photos. `controls`: perturbations that nobody asked for, as "sort", besides those that move nothing. UsageError
    where nothing is in both.
    """
    rows_a, rows_b = paired_rows(a, b, KEYS[task])
    if not len(rows_a):
        raise UsageError(
            f"{names[0]} and {names[1]} have nothing in common; compare runs of the same captions and perturbations"
        )
    both = a.take(rows_a), b.take(rows_b)
    results: tuple[DropDifference, ...] | tuple[ValueDifference, ...]
    if task == "retrieval":
        drops = list(_drops(*both, sorted(set(ks)), controls, resamples))
        corrected = _corrected([r.drop for r in drops], [None if r.control else (r.direction, r.k) for r in drops])
        results = tuple(replace(r, drop=drop) for r, drop in zip(drops, corrected, strict=True))
    else:
        values = list(_choices(*both, resamples) if task == "choice" else _lists(*both, controls, resamples))
        families = [None if r.control or r.part == "all" else (r.metric, r.k) for r in values]
        corrected = _corrected([r.value for r in values], families)
        results = tuple(replace(r, value=value) for r, value in zip(values, corrected, strict=True))
    return Comparison(
        a=names[0],
        b=names[1],
        task=task,
        paired=len(rows_a),
        only_a=len(a) - len(rows_a),
        only_b=len(b) - len(rows_b),
        reworded=_reworded(*both),
        resamples=resamples,
        results=results,
    )


def paired_rows(a: pyarrow.Table, b: pyarrow.Table, keys: Sequence[str]) -> tuple[Ints, Ints]:
    """Rows of `a` and of `b`, (n,) each, that are the same by `keys`, in the order of the keys."""
    key = np.zeros(len(a) + len(b), np.int64)
    for name in keys:
        codes = _codes(a[name], b[name])
        # Numbered anew after each column, so that no product comes near 2**63.
        _, key = np.unique(key * (codes.max(initial=0) + 1) + codes, return_inverse=True)
    turn = np.concatenate([_occurrence(key[: len(a)]), _occurrence(key[len(a) :])])
    key = key * (turn.max(initial=0) + 1) + turn
    _, rows_a, rows_b = np.intersect1d(key[: len(a)], key[len(a) :], assume_unique=True, return_indices=True)
    return rows_a, rows_b


def _codes(*columns: pyarrow.ChunkedArray) -> Ints:
    """Of each value of the columns, one after the other, its place in the sorted list of all different ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def flat(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
        return (pc.binary_join(column, "\0") if pa.types.is_list(column.type) else column).cast(pa.string())

    values = pa.chunked_array([chunk for column in columns for chunk in flat(column).chunks], pa.string())
    encoded = values.dictionary_encode().combine_chunks()
    places = np.argsort(pc.array_sort_indices(encoded.dictionary).to_numpy())
    return np.asarray(places[encoded.indices.to_numpy()], dtype=np.int64)


def _occurrence(key: Ints) -> Ints:
    """How many of the same key stand before each."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    occurrence = np.empty(len(key), np.int64)
    occurrence[order] = np.arange(len(key)) - np.searchsorted(ordered, ordered)
    return occurrence


def _reworded(a: pyarrow.Table, b: pyarrow.Table) -> int:
    import pyarrow.compute as pc

    return pc.sum(pc.not_equal(a["perturbed"], b["perturbed"])).as_py() if "perturbed" in a.column_names else 0


def _drops(
    a: pyarrow.Table, b: pyarrow.Table, ks: Sequence[int], controls: Collection[str], resamples: int
) -> Iterator[DropDifference]:
    way, name, seed = (a[column].to_numpy() for column in ("direction", "perturbation", "seed"))
    photo = _codes(a["photo"])
    ranks = np.stack([table[column].to_numpy() for column in ("rank_clean", "rank") for table in (a, b)])
    for direction in DIRECTIONS:
        for perturbation in _in_order(name[way == direction]):
            rows = (way == direction) & (name == perturbation)
            hits = (ranks[:, rows, None] <= np.array(ks)).astype(np.int64)
            clean, drop = hits[:2], hits[:2] - hits[2:]
            found = _differences(np.concatenate([clean, drop], axis=2), photo[rows], [1] * (2 * len(ks)), resamples)
            queries = int(np.unique(seed[rows], return_counts=True)[1].max())
            control = perturbation in controls or lookup(perturbation).control
            for k, of_clean, of_drop in zip(ks, found, found[len(ks) :], strict=False):
                yield DropDifference(direction, perturbation, control, k, queries, of_clean, of_drop)


def _lists(a: pyarrow.Table, b: pyarrow.Table, controls: Collection[str], resamples: int) -> Iterator[ValueDifference]:
    name, depth, query = a["perturbation"].to_numpy(), a["k"].to_numpy(), _codes(a["query"])
    columns = {"overlap": "overlap", "rbo": "rbo", "same first": "same_first"}
    values = np.stack([[table[c].to_numpy() for c in columns.values()] for table in (a, b)]).astype(np.float64)
    for perturbation in _in_order(name):
        for k in np.unique(depth[name == perturbation]).tolist():
            rows = (name == perturbation) & (depth == k)
            scale = [k, _FIXED_POINT, 1]
            counted = np.rint(values[:, :, rows].transpose(0, 2, 1) * scale).astype(np.int64)
            found = _differences(counted, query[rows], scale, resamples)
            control = perturbation in controls or lookup(perturbation).control
            for metric, value in zip(columns, found, strict=True):
                yield ValueDifference(perturbation, control, metric, k, int(rows.sum()), value)


def _choices(a: pyarrow.Table, b: pyarrow.Table, resamples: int) -> Iterator[ValueDifference]:
    split, photo = a["split"].to_numpy(), _codes(a["photo"])
    if _longest(a["texts"]) == 1:
        yield ValueDifference("all", False, "auc", None, len(a), _auc(a, b, split == "true", photo, resamples))
        return
    parts = sorted(set(split.tolist()) - {""})
    group = _codes(a["group"])
    for metric, right in _right(a, b).items():
        for part in parts:
            rows = split == part
            (value,) = _differences(right[:, rows, None], photo[rows], [1], resamples)
            yield ValueDifference(part, False, metric, None, int(rows.sum()), value)
        if metric == "accuracy" and group.max() > 0:
            yield ValueDifference("all", False, "macro accuracy", None, len(a), _macro(right, group, photo, resamples))
        (value,) = _differences(right[:, :, None], photo, [1], resamples)
        yield ValueDifference("all", False, metric, None, len(a), value)


def _right(a: pyarrow.Table, b: pyarrow.Table) -> dict[str, Ints]:
    """Metric to (2, n): whether each item is right, 1 or 0. Items of two photos have three metrics (Winoground)."""
    import pyarrow.compute as pc

    if _longest(a["scores"]) == _longest(a["texts"]):
        return {"accuracy": np.stack([table["right"].to_numpy() for table in (a, b)]).astype(np.int64)}
    scores = np.stack([pc.list_flatten(table["scores"]).to_numpy().reshape(-1, 4) for table in (a, b)])
    first_text, second_text, first_other, second_other = np.moveaxis(scores, 2, 0)
    text = (first_text > second_text) & (second_other > first_other)
    image = (first_text > first_other) & (second_other > second_text)
    found = {"text score": text, "image score": image, "group score": text & image}
    return {metric: right.astype(np.int64) for metric, right in found.items()}


def _longest(lists: pyarrow.ChunkedArray) -> int:
    import pyarrow.compute as pc

    return int(pc.max(pc.list_value_length(lists)).as_py())


def _differences(values: Ints, unit: Ints, scale: Sequence[int], resamples: int) -> list[Difference]:
    """Of c figures, values (2, n, c) in integers of 1 / scale, the differences of means over n rows; unit: (n,) the
    photo, or query, of each."""
    _, place, size = np.unique(unit, return_inverse=True, return_counts=True)
    amount = np.zeros((len(size), len(scale)), np.int64)
    np.add.at(amount, place, values[0] - values[1])
    low, high, _ = ratio_interval(amount / scale, size.astype(np.float64), resamples=resamples)
    p = sign_flip_p(amount, resamples=resamples)
    whole = len(unit) * np.array(scale)
    columns = np.stack([*(values.sum(axis=1) / whole), amount.sum(axis=0) / whole, low, high, p], axis=1)
    return [Difference(a, b, gap, near, far, p_value, None) for a, b, gap, near, far, p_value in columns.tolist()]


def _macro(right: Ints, group: Ints, photo: Ints, resamples: int) -> Difference:
    """Of the mean accuracy over groups. A group that a resample has no item of is not in its mean."""
    hits, items = (np.zeros((photo.max() + 1, group.max() + 1)) for _ in range(2))
    difference = right[0] - right[1]
    np.add.at(hits, (photo, group), difference)
    np.add.at(items, (photo, group), 1.0)

    def statistic(counts: Floats) -> Floats:
        sizes = counts @ items
        share = np.divide(counts @ hits, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        return np.asarray(share.sum(axis=1, keepdims=True) / np.count_nonzero(sizes, axis=1, keepdims=True))

    low, high, _ = bootstrap(statistic, len(hits), resamples=resamples)
    weight = 1 / items.sum(axis=0) / items.shape[1]
    p = sign_flip_p(np.rint(_FIXED_POINT * (hits @ weight))[:, None].astype(np.int64), resamples=resamples)
    a, b = (float(np.sum(of_run * weight[group])) for of_run in right)
    return Difference(a, b, float(np.sum(hits @ weight)), float(low[0]), float(high[0]), float(p[0]), None)


def _auc(a: pyarrow.Table, b: pyarrow.Table, true: NDArray[np.bool_], photo: Ints, resamples: int) -> Difference:
    """Of the area under the curve of statements. There is no test, since two models' scores cannot be exchanged: each
    has a scale of its own."""
    import pyarrow.compute as pc

    if true.all() or not true.any():
        raise UsageError("the runs have only true or only false statements in common; compare runs of the same data")
    scores = [pc.list_flatten(table["scores"]).to_numpy() for table in (a, b)]

    def statistic(counts: Floats) -> Floats:
        of_a, of_b = (weighted_auc(score, true, counts[:, photo]) for score in scores)
        return np.asarray(of_a - of_b)[:, None]

    low, high, _ = bootstrap(statistic, int(photo.max()) + 1, resamples=resamples)
    value_a, value_b = (float(weighted_auc(score, true, np.ones((1, len(true))))[0]) for score in scores)
    return Difference(value_a, value_b, value_a - value_b, float(low[0]), float(high[0]), None, None)


def _corrected(differences: Sequence[Difference], families: Sequence[object]) -> list[Difference]:
    """`differences` with Holm's correction within each family; what has None for its family stays without."""
    found = list(differences)
    for family in set(families) - {None}:
        members = [i for i, other in enumerate(families) if other == family]
        ps = [p for i in members if (p := differences[i].p) is not None]
        for i, p_holm in zip(members, holm(ps), strict=True):
            found[i] = replace(found[i], p_holm=p_holm)
    return found


def _in_order(names: NDArray[np.object_]) -> list[str]:
    """The different ones of `names`, in the order of PERTURBATIONS; UsageError for one that is not there."""
    return sorted({lookup(name).name for name in set(names.tolist())}, key=list(PERTURBATIONS).index)
