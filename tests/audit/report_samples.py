"""Reports of all three kinds with rows that fit them, made up, small, and awkward where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tests.audit.test_report import SHUFFLE
from tests.audit.test_report import report as audit_report
from vlsearch.audit.perturb import PERTURBATIONS, perturb
from vlsearch.audit.report import (
    AuditReport,
    ChoiceReport,
    ChoiceResult,
    IndexLoss,
    ListResult,
    ListsReport,
    RankSummary,
    Report,
)

CAPTIONS = ("a dog chases a red ball", "two cats on a green sofa", "a boat on the sea", "a man with a small horse")


def retrieval(names: Sequence[str] = ("shuffle", "swap", "identity"), ks: Sequence[int] = (1, 5, 10)) -> AuditReport:
    results = tuple(
        replace(
            SHUFFLE,
            direction=direction,
            perturbation=name,
            k=k,
            control=PERTURBATIONS[name].control,
            p_holm=None if PERTURBATIONS[name].control else 0.002,
            unperturbable=0 if PERTURBATIONS[name].control or PERTURBATIONS[name].kind == "photo" else 3,
        )
        for direction in ("text_to_image", "image_to_text")
        for name in names
        for k in ks
    )
    ranks = tuple(
        RankSummary(direction, name, 0.3, 0.25, 0.02, 10.0, 13.0, 100.5)
        for direction in ("text_to_image", "image_to_text")
        for name in names
    )
    return replace(audit_report(*results), ranks=ranks, index=(IndexLoss(10, 0.5, 0.498, 0.002),))


def everything() -> AuditReport:
    return retrieval(tuple(PERTURBATIONS))


def retrieval_rows(
    names: Sequence[str] = ("shuffle", "swap", "identity"),
    captions: Sequence[str] = CAPTIONS,
    photos: Sequence[str] = (),
) -> pa.Table:
    """Caption n, from 0, stands at rank 1 as written and at n + 1 + seed perturbed, in both directions."""
    rows: list[dict[str, Any]] = []
    for name in names:
        for seed in range(1 if PERTURBATIONS[name].control else 2):
            for n, caption in enumerate(captions):
                moved = perturb(caption, name, seed) if PERTURBATIONS[name].kind == "text" else None
                photo = photos[n] if photos else f"/photos/{n}.jpg"
                ranks = {"rank_clean": 1, "rank": n + 1 + seed, "ties_clean": 0, "ties": 0}
                row = {"perturbation": name, "seed": seed, "photo": photo, **ranks}
                perturbed = moved.text if moved else caption
                changed = moved.changed if moved else True
                rows.append(
                    {"direction": "text_to_image", **row, "text": caption, "perturbed": perturbed, "changed": changed}
                )
                rows.append({"direction": "image_to_text", **row, "text": "", "perturbed": "", "changed": True})
    types = {"seed": pa.int16(), "changed": pa.bool_()} | {
        name: pa.int32() for name in ("rank_clean", "rank", "ties_clean", "ties")
    }
    columns = ("direction", "perturbation", "seed", "photo", "text", "perturbed", "changed", *list(types)[2:])
    table = pa.table({name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in columns})
    for name in ("direction", "perturbation", "photo", "text"):
        table = table.set_column(columns.index(name), name, table[name].dictionary_encode())
    return table


def choice(splits: Sequence[str] = ("all",), metric: str = "accuracy") -> ChoiceReport:
    results = tuple(
        ChoiceResult("sugarcrepe", split, metric, 0.62, 0.57, 0.67, 296, 0.5, 0.55, 0.48, 2, 0.08) for split in splits
    )
    left_out = ("symmetric relation: next to",)
    return ChoiceReport("builtin", "ab12", "sugarcrepe", "", 296, 200, 0, 0, 0, left_out, results)


def choice_rows() -> pa.Table:
    """The first item is chosen wrong, the second right."""
    columns = {
        "task": ["sugarcrepe"] * 2,
        "split": ["swap_att", "add_obj"],
        "group": ["0", "1"],
        "photo": ["/photos/0.jpg", "/photos/1.jpg"],
        "texts": [["a red door", "a white door"], ["a cat", "a cat and a dog", "a dog"]],
        "scores": [[0.1, 0.3], [0.5, 0.2, 0.4]],
        "right": [False, True],
        "blind": [True, True],
        "bag_of_words": [None, False],
        "seed": [0, 0],
    }
    return pa.table(columns)


def lists(names: Sequence[str] = ("shuffle", "identity"), ks: Sequence[int] = (1, 10)) -> ListsReport:
    results = tuple(
        ListResult(name, PERTURBATIONS[name].control, k, 0.8, 0.7, 0.9, 0.75, 0.6, 0.85, 0.5, 9, 1)
        for name in names
        for k in ks
    )
    return ListsReport("builtin", "ab12", "queries.txt", 200, 10, 5, 2000, 0, results)


def lists_rows() -> pa.Table:
    queries = ["dog on the beach", "red car by a house", "boat"]
    columns = {
        "perturbation": ["shuffle"] * 3,
        "seed": [0, 1, 2],
        "query": queries,
        "perturbed": [perturb(query, "shuffle", 0).text for query in queries],
        "k": [10] * 3,
        "overlap": [0.9, 0.2, 1.0],
        "rbo": [0.8, 0.1, 1.0],
        "same_first": [True, False, True],
    }
    return pa.table(columns)


def all_kinds() -> list[tuple[Report, pa.Table]]:
    return [(retrieval(), retrieval_rows()), (choice(), choice_rows()), (lists(), lists_rows())]
