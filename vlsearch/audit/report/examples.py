"""The queries that tell most: which lost most and least, which choices were wrong and right, which lists changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb import lookup
from vlsearch.audit.perturb.words import keys, tokenise
from vlsearch.audit.report import AuditReport, ChoiceReport, Report
from vlsearch.audit.report.notes import told_k

if TYPE_CHECKING:
    import pyarrow as pa

Places = NDArray[np.intp]

SHOWN = 20
LONGEST = 80
"""words of a text that are shown"""


@dataclass(frozen=True)
class Word:
    text: str
    change: Literal["", "moved", "gone", "new"] = ""
    """against the other text: stands elsewhere in it, or not at all (in the first text "gone", in the second "new")"""


@dataclass(frozen=True)
class Example:
    photo: str | None
    """its path; None where a query has no right photo"""
    label: str
    """what was done to it: "shuffle, seed 3"; the split of a choice"""
    figure: str
    """what came of it: "rank 1 → 152\""""
    first: tuple[Word, ...]
    second: tuple[Word, ...]
    """() where the text did not change, but the photo"""


@dataclass(frozen=True)
class Examples:
    title: str
    note: str
    names: tuple[str, str]
    """of the two texts"""
    shown: tuple[Example, ...]


def examples(report: Report, rows: pa.Table) -> list[Examples]:
    """Two lists of at most SHOWN queries each, those that lost most and those that lost least; each query once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(report, ChoiceReport):
        return _choices(rows)
    names = {r.perturbation for r in report.results if not r.control}
    # Two texts show what moved. Of a photo's parts an example shows nothing: they come where there is nothing else.
    told = [name for name in sorted(names) if lookup(name).kind == "text"] or sorted(names)
    asked = pc.is_in(rows["perturbation"], pa.array(told, pa.string()))
    if isinstance(report, AuditReport):
        return _retrieval(rows, _places(pc.and_(asked, rows["changed"]), pc.equal(rows["direction"], "text_to_image")))
    k = told_k(report)
    return _lists(rows, _places(asked, pc.equal(rows["k"], k)), k)


def compared(first: str, second: str) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """The words of both texts, those marked that are not in their longest common subsequence; case and outer
    punctuation make no difference. Texts end with "…" where they are too long to show."""
    a, b = tokenise(first), tokenise(second)
    keys_a, keys_b = keys(a), keys(b)
    common = _common(keys_a[:LONGEST], keys_b[:LONGEST])
    stays_a, stays_b = {n for n, _ in common}, {n for _, n in common}
    return _marked(a, keys_a, stays_a, set(keys_b), "gone"), _marked(b, keys_b, stays_b, set(keys_a), "new")


def _common(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Places in a and in b of a longest common subsequence. difflib's runs of words in common are not one: of "a dog
    chasing a cat" and "a cat chasing a dog" it keeps only "a dog"."""
    length = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            same = a[i] == b[j]
            length[i][j] = 1 + length[i + 1][j + 1] if same else max(length[i + 1][j], length[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif length[i + 1][j] >= length[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _marked(
    tokens: Sequence[str], of: Sequence[str], stays: set[int], other: set[str], alone: Literal["gone", "new"]
) -> tuple[Word, ...]:
    shown = tokens[:LONGEST]
    words = [Word(token, "" if n in stays else "moved" if of[n] in other else alone) for n, token in enumerate(shown)]
    return (*words, *([Word("…")] if len(tokens) > LONGEST else []))


def _retrieval(rows: pa.Table, of: Places) -> list[Examples]:
    clean, rank = rows["rank_clean"].to_numpy()[of], rows["rank"].to_numpy()[of]
    # A ratio, as in the figure of ranks: from 1 to 10 loses as much as from 10 to 100.
    falling, rising = (np.lexsort((clean, sign * (rank / clean))) for sign in (-1, 1))
    query = ("photo", "text")
    most = _firsts(rows, of[falling[rank[falling] > clean[falling]]], query)
    least = _firsts(rows, of[rising], query)
    names = ("as written", "perturbed")
    return [
        Examples(
            f"The {len(most)} queries that lost most",
            "By how many times deeper their photo is found; each query under the perturbation and seed that cost most.",
            names,
            tuple(map(_ranked, most)),
        ),
        Examples(
            f"The {len(least)} queries that lost least, or gained",
            "Each under the perturbation and seed that was kindest to it.",
            names,
            tuple(map(_ranked, least)),
        ),
    ]


def _ranked(row: dict[str, Any]) -> Example:
    figure = f"rank {row['rank_clean']:,} → {row['rank']:,}"
    return _example(row["photo"], f"{row['perturbation']}, seed {row['seed']}", figure, row["text"], row["perturbed"])


def _choices(rows: pa.Table) -> list[Examples]:
    right = rows["right"].to_numpy(zero_copy_only=False)
    sides = map(_sides, rows["texts"].to_pylist(), rows["scores"].to_pylist())
    order = np.argsort(np.array([true - false for true, false, _ in sides], np.float64), kind="stable")
    item = ("photo", "split", "texts")
    wrong, found = _firsts(rows, order[~right[order]], item), _firsts(rows, order[right[order]][::-1], item)
    note = "By how far the score of what is false is {} that of what is true."
    return [
        Examples(
            "Wrong choices, the clearest first", note.format("above"), ("true", "chosen"), tuple(map(_chosen, wrong))
        ),
        Examples(
            "Right choices, the clearest first", note.format("below"), ("true", "false"), tuple(map(_chosen, found))
        ),
    ]


def _sides(texts: Sequence[str], scores: Sequence[float]) -> tuple[float, float, str]:
    """The score of what is true, the best of what is false, and the text to show beside the true one.

    A pair has four scores: both texts of the first photo, then of the second. A statement has nothing beside it.
    """
    if len(scores) == 1:
        return scores[0], scores[0], texts[0]
    if len(scores) > len(texts):
        return min(scores[0], scores[3]), max(scores[1], scores[2]), texts[1]
    best = max(range(1, len(scores)), key=lambda n: scores[n])
    return scores[0], scores[best], texts[best]


def _chosen(row: dict[str, Any]) -> Example:
    true, false, text = _sides(row["texts"], row["scores"])
    scores = f"{true:.3f}" if len(row["scores"]) == 1 else f"{true:.3f} to {false:.3f}"
    return _example(row["photo"], row["split"], f"score {scores}".replace("-", "−"), row["texts"][0], text)


def _lists(rows: pa.Table, of: Places, k: int) -> list[Examples]:
    overlap, rbo = rows["overlap"].to_numpy()[of], rows["rbo"].to_numpy()[of]
    most, least = (_firsts(rows, of[np.lexsort((sign * rbo, sign * overlap))], ("query",)) for sign in (1, -1))
    note = f"By how many of the first {k} results stay; each query under the perturbation and seed that changed {{}}."
    names = ("as written", "perturbed")
    return [
        Examples("Queries whose lists changed most", note.format("most"), names, tuple(map(_listed, most))),
        Examples("Queries whose lists changed least", note.format("least"), names, tuple(map(_listed, least))),
    ]


def _listed(row: dict[str, Any]) -> Example:
    figure = f"{round(row['k'] * row['overlap'])} of {row['k']} stay"
    return _example(None, f"{row['perturbation']}, seed {row['seed']}", figure, row["query"], row["perturbed"])


def _example(photo: str | None, label: str, figure: str, first: str, second: str) -> Example:
    a, b = compared(first, second)
    changed = any(word.change for word in (*a, *b))
    return Example(photo, label, figure, a, b if changed else ())


def _places(this: Any, that: Any) -> Places:
    """Which rows both of two columns of bool are true of."""
    return np.flatnonzero(this.to_numpy() & that.to_numpy())


def _firsts(rows: pa.Table, order: Places, query: tuple[str, ...]) -> list[dict[str, Any]]:
    """The first SHOWN of `rows` in `order`, each `query` once, which these columns tell."""

    def distinct() -> Iterator[dict[str, Any]]:
        seen = set()
        for n in order:
            (row,) = rows.slice(int(n), 1).to_pylist()
            key = tuple(str(row[name]) for name in query)
            if key not in seen:
                seen.add(key)
                yield row

    return list(islice(distinct(), SHOWN))
