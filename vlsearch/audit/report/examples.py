"""The queries that tell most: which lost most and least, which choices were wrong and right, which lists changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlsearch.audit.perturb.words import keys, tokenise
from vlsearch.audit.report import AuditReport, ChoiceReport, Report

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 20
LONGEST = 80
"""words of a text that are shown"""


@dataclass(frozen=True)
class Word:
    text: str
    change: Literal["", "moved", "gone"] = ""
    """against the other text: stands elsewhere in it, or not at all"""


@dataclass(frozen=True)
class Example:
    photo: str | None
    """path as `os.fsdecode` gives it; None where a query has no right photo"""
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

    if "photo" in rows.column_names:  # whose name need not be UTF-8
        rows = rows.set_column(rows.column_names.index("photo"), "photo", rows["photo"].cast(pa.binary()))
    if isinstance(report, ChoiceReport):
        return _choices(rows)
    controls = pa.array(sorted({r.perturbation for r in report.results if r.control}), pa.string())
    rows = rows.filter(pc.invert(pc.is_in(rows["perturbation"], controls)))
    return _retrieval(rows) if isinstance(report, AuditReport) else _lists(rows)


def compared(first: str, second: str) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """The words of both texts, those marked that are not in their longest common subsequence; case and outer
    punctuation make no difference. Texts end with "…" where they are too long to show."""
    a, b = tokenise(first), tokenise(second)
    keys_a, keys_b = keys(a), keys(b)
    common = _common(keys_a[:LONGEST], keys_b[:LONGEST])
    return _marked(a, keys_a, {n for n, _ in common}, set(keys_b)), _marked(
        b, keys_b, {n for _, n in common}, set(keys_a)
    )


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


def _marked(tokens: Sequence[str], of: Sequence[str], stays: set[int], other: set[str]) -> tuple[Word, ...]:
    shown = tokens[:LONGEST]
    words = [Word(token, "" if n in stays else "moved" if of[n] in other else "gone") for n, token in enumerate(shown)]
    return (*words, *([Word("…")] if len(tokens) > LONGEST else []))


def _retrieval(rows: pa.Table) -> list[Examples]:
    import pyarrow.compute as pc

    rows = rows.filter(pc.and_(pc.equal(rows["direction"], "text_to_image"), rows["changed"]))
    # In octaves, as the figure of ranks shows them: from 1 to 10 loses as much as from 10 to 100.
    fall = np.log2(rows["rank"].to_numpy() / rows["rank_clean"].to_numpy())
    falling, rising = (np.lexsort((rows["rank_clean"].to_numpy(), sign * fall)) for sign in (-1, 1))
    query = ("photo", "text")
    most, least = _firsts(rows, falling[fall[falling] > 0], query), _firsts(rows, rising, query)
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
    before, after = compared(row["text"], row["perturbed"])
    return Example(
        photo=os.fsdecode(row["photo"]),
        label=f"{row['perturbation']}, seed {row['seed']}",
        figure=f"rank {row['rank_clean']:,} → {row['rank']:,}",
        first=before,
        second=after if row["text"] != row["perturbed"] else (),
    )


def _choices(rows: pa.Table) -> list[Examples]:
    right = rows["right"].to_numpy(zero_copy_only=False)
    margin = np.array([s[0] - max(s[1:]) if len(s) > 1 else np.nan for s in rows["scores"].to_pylist()], np.float64)
    order = np.argsort(margin, kind="stable")
    item = ("photo", "split", "texts")
    wrong = _firsts(rows, order[~right[order]], item)
    found = _firsts(rows, order[right[order]][::-1], item)
    note = "By how far the score of the false text is {} that of the true one."
    return [
        Examples(f"{len(wrong)} chosen wrong", note.format("above"), ("true", "chosen"), tuple(map(_chosen, wrong))),
        Examples(f"{len(found)} chosen right", note.format("below"), ("true", "false"), tuple(map(_chosen, found))),
    ]


def _chosen(row: dict[str, Any]) -> Example:
    """The true text beside the false one that scores highest."""
    scores, texts = row["scores"], row["texts"]
    best = max(range(1, len(scores)), key=lambda n: scores[n], default=0)
    other = texts[best] if best < len(texts) else texts[0]
    true, false = compared(texts[0], other)
    figure = f"score {scores[0]:.3f} to {scores[best]:.3f}".replace("-", "−")
    return Example(os.fsdecode(row["photo"]), row["split"], figure, true, false if other != texts[0] else ())


def _lists(rows: pa.Table) -> list[Examples]:
    import pyarrow.compute as pc

    k = min(pc.unique(rows["k"]).to_pylist(), key=lambda k: (abs(k - 10), k), default=0)
    rows = rows.filter(pc.equal(rows["k"], k))
    overlap, rbo = rows["overlap"].to_numpy(), rows["rbo"].to_numpy()
    most, least = (_firsts(rows, np.lexsort((sign * rbo, sign * overlap)), ("query",)) for sign in (1, -1))
    note = f"By how many of the first {k} results stay; each query under the perturbation and seed that changed {{}}."
    names = ("as written", "perturbed")
    return [
        Examples("Queries whose lists changed most", note.format("most"), names, tuple(map(_listed, most))),
        Examples("Queries whose lists changed least", note.format("least"), names, tuple(map(_listed, least))),
    ]


def _listed(row: dict[str, Any]) -> Example:
    before, after = compared(row["query"], row["perturbed"])
    figure = f"{round(row['k'] * row['overlap'])} of {row['k']} stay"
    return Example(None, f"{row['perturbation']}, seed {row['seed']}", figure, before, after)


def _firsts(rows: pa.Table, order: Iterable[int], query: tuple[str, ...]) -> list[dict[str, Any]]:
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
