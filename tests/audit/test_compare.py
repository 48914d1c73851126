from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from vlsearch.audit import audit_retrieval
from vlsearch.audit.compare import Task, compare, paired_rows
from vlsearch.audit.report.comparison import Comparison, Difference, DropDifference, ValueDifference
from vlsearch.audit.stats import holm, paired_interval, sign_flip_p
from vlsearch.errors import UsageError

Row = dict[str, Any]


def retrieval_rows(
    loss: float, seed: int = 0, photos: int = 60, perturbations: tuple[str, ...] = ("shuffle", "swap", "identity")
) -> list[Row]:
    """A run whose model ranks better the smaller `loss` is; captions "c0", "c1" … of each photo."""
    rng = np.random.default_rng(seed)
    rows = []
    for direction in ("text_to_image", "image_to_text"):
        for photo in range(photos):
            texts = [f"c{n}" for n in range(1 + photo % 4)] if direction == "text_to_image" else [""]
            for text in texts:
                clean = int(rng.integers(1, 15))
                for perturbation in perturbations:
                    for s in range(1 if perturbation == "identity" else 3):
                        moved = clean if perturbation == "identity" else clean + int(rng.poisson(loss))
                        rows.append(
                            {
                                "direction": direction,
                                "perturbation": perturbation,
                                "seed": s,
                                "photo": f"{photo}.jpg",
                                "text": text,
                                "perturbed": f"{text} moved {s}",
                                "changed": True,
                                "rank_clean": clean,
                                "rank": moved,
                                "ties_clean": 0,
                                "ties": 0,
                            }
                        )
    return rows


def table(rows: list[Row]) -> pa.Table:
    types = {"seed": pa.int16(), "k": pa.int32(), "rank_clean": pa.int32(), "rank": pa.int32(), "right": pa.bool_()}
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pa.table({name: pa.array(values, types.get(name)) for name, values in columns.items()})


def compared(a: list[Row], b: list[Row], task: Task = "retrieval", ks: tuple[int, ...] = (1, 5, 10)) -> Comparison:
    return compare(table(a), table(b), task, ks, ("A", "B"), resamples=500)


def test_figures_are_those_of_loops_and_of_the_audit_of_one_run() -> None:
    a, b = retrieval_rows(6), retrieval_rows(2, seed=1)
    found = compared(a, b)
    assert (found.paired, found.only_a, found.only_b, found.reworded) == (len(a), 0, 0, 0)
    assert len(found.results) == 2 * 3 * 3
    for r in found.results:
        assert isinstance(r, DropDifference)
        clean, moved = np.zeros((2, 60)), np.zeros((2, 60, 3))
        size = np.zeros(60)
        seeds = 1 if r.control else 3
        for run, rows in enumerate((a, b)):
            for row in rows:
                if (row["direction"], row["perturbation"]) == (r.direction, r.perturbation):
                    # By name, "10.jpg" stands before "2.jpg".
                    photo = sorted(f"{n}.jpg" for n in range(60)).index(row["photo"])
                    clean[run, photo] += (row["rank_clean"] <= r.k) / seeds
                    moved[run, photo, row["seed"]] += row["rank"] <= r.k
                    size[photo] += run == 0 and row["seed"] == 0
        moved = moved[:, :, :seeds]
        recall, left = clean.sum(axis=1) / size.sum(), moved.mean(axis=2).sum(axis=1) / size.sum()
        assert r.queries == size.sum()
        assert [r.clean.a, r.clean.b, r.clean.difference] == pytest.approx([*recall, recall[0] - recall[1]])
        drop = recall - left
        assert [r.drop.a, r.drop.b, r.drop.difference] == pytest.approx([*drop, drop[0] - drop[1]])
        # A difference of drops is the drop of an audit whose hits are differences.
        low, high, _ = paired_interval(
            (clean[0] - clean[1])[:, None], (moved[0] - moved[1])[:, None], size, resamples=500
        )
        assert (r.drop.low, r.drop.high) == pytest.approx((low[0], high[0]))
        by_photo = seeds * (clean[0] - clean[1]) - (moved[0] - moved[1]).sum(axis=1)
        assert r.drop.p == sign_flip_p(np.rint(by_photo)[:, None].astype(int), resamples=500)[0]


def test_p_is_corrected_over_the_perturbations_of_a_direction_and_a_k() -> None:
    found = compared(retrieval_rows(6), retrieval_rows(5, seed=1))
    families = defaultdict(list)
    for r in found.results:
        assert isinstance(r, DropDifference)
        assert r.control == (r.perturbation == "identity") == (r.drop.p_holm is None)
        assert r.clean.p_holm is None
        if not r.control:
            families[r.direction, r.k].append(r.drop)
    assert len(families) == 6
    for family in families.values():
        assert [d.p_holm for d in family] == holm([d.p or 0 for d in family])
        assert len(family) == 2


def test_what_ran_as_a_control_is_in_no_family() -> None:
    a, b = retrieval_rows(6), retrieval_rows(5, seed=1)
    found = compare(table(a), table(b), "retrieval", [5], ("A", "B"), controls=["swap"], resamples=200)
    assert {r.perturbation: r.control for r in found.results if isinstance(r, DropDifference)} == {
        "shuffle": False,
        "swap": True,
        "identity": True,
    }
    for r in found.results:
        assert isinstance(r, DropDifference)
        assert r.drop.p_holm == (r.drop.p if r.perturbation == "shuffle" else None)
    assert "noun phrases" not in found.finding()


def test_two_audits_are_compared_by_their_own_tables() -> None:
    """The clean recall and the drop of each are those of its report."""
    rng = np.random.default_rng(0)
    words = {word: rng.standard_normal(12) for word in "abcdefghijk"}
    texts = [" ".join(rng.permutation(list(words))[: 3 + n % 5]) for n in range(90)]
    owner = np.arange(90)

    def embed(order: float, texts: Sequence[str]) -> NDArray[np.float32]:
        """Words count by where they stand, the more the greater `order`."""
        rows = [sum((1 + order * n) * words[word] for n, word in enumerate(text.split())) for text in texts]
        return (np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    audits = [
        audit_retrieval(
            partial(embed, order), embed(order, texts), texts, owner, perturbations=["shuffle"], seeds=2, ks=(1, 5)
        )
        for order in (0.0, 3.0)
    ]
    found = compare(audits[0][1], audits[1][1], "retrieval", (1, 5), ("bag", "reader"), controls=["sort"])
    assert (found.only_a, found.only_b, found.reworded) == (0, 0, 0)
    of = [{(r.direction, r.perturbation, r.k): r for r in report.results} for report, _ in audits]
    assert len(found.results) == len(of[0]) == 2 * 3 * 2
    for r in found.results:
        assert isinstance(r, DropDifference)
        one, other = (reports[r.direction, r.perturbation, r.k] for reports in of)
        assert [r.clean.a, r.clean.b, r.drop.a, r.drop.b] == pytest.approx(
            [one.clean, other.clean, one.drop, other.drop]
        )
        assert (r.control, r.queries) == (one.control, one.queries)
    assert "shuffling the words costs reader" in found.finding().lower()


def test_the_order_of_rows_changes_nothing() -> None:
    a, b = retrieval_rows(6), retrieval_rows(2, seed=1)
    rng = np.random.default_rng(0)
    shuffled = [[rows[i] for i in rng.permutation(len(rows))] for rows in (a, b)]
    assert compared(*shuffled) == compared(a, b)


def test_a_run_differs_from_itself_by_exactly_nothing() -> None:
    rows = retrieval_rows(4)
    for r in compared(rows, rows).results:
        assert isinstance(r, DropDifference)
        for d in (r.clean, r.drop):
            assert (d.difference, d.low, d.high, d.p, d.a) == (0.0, 0.0, 0.0, 1.0, d.b)


def test_what_only_one_run_has_is_left_out_and_counted() -> None:
    a, b = retrieval_rows(6), retrieval_rows(2, seed=1)
    more = [{**row, "photo": "new.jpg"} for row in a[:7]] + [{**row, "perturbation": "reverse"} for row in a[:5]]
    # Without one seed, the same hits count less in both runs alike.
    fewer = [row for row in b if row["seed"] < 2]
    found = compared(a + more, fewer)
    assert (found.paired, found.only_a, found.only_b) == (len(fewer), len(a) + 12 - len(fewer), 0)
    assert found.results == compared([row for row in a if row["seed"] < 2], fewer).results


def test_equal_rows_are_paired_one_to_one() -> None:
    rows = [{"key": key, "list": [key, "x"]} for key in ("b", "a", "b", "c", "b")]
    others = [{"key": key, "list": [key, "x"]} for key in ("d", "b", "a", "b")]
    for keys in (("key",), ("list",), ("key", "list")):
        in_a, in_b = paired_rows(table(rows), table(others), keys)
        assert list(zip(in_a.tolist(), in_b.tolist(), strict=True)) == [(1, 2), (0, 1), (2, 3)]


def test_nothing_in_common_is_an_error() -> None:
    a = retrieval_rows(3, photos=3)
    with pytest.raises(UsageError, match="A and B have nothing in common; compare runs of the same captions"):
        compared(a, [{**row, "photo": "other"} for row in a])
    with pytest.raises(UsageError, match="nothing in common"):
        compare(table(a).slice(0, 0), table(a).slice(0, 0), "retrieval", [1], ("A", "B"))


def test_other_wordings_of_the_same_perturbation_are_counted() -> None:
    a = retrieval_rows(3, photos=5)
    b = [{**row, "perturbed": row["perturbed"] + " otherwise" * (i < 4)} for i, row in enumerate(a)]
    assert compared(a, b).reworded == 4


def test_the_finding_says_who_loses_more_and_who_finds_more() -> None:
    a, b = retrieval_rows(20, photos=150), retrieval_rows(1, photos=150, seed=1)
    better = [{**row, "rank_clean": 1, "rank": 1 if row["perturbation"] == "identity" else 99} for row in a]
    found = compared(better, b)
    drops = {
        (r.perturbation, r.k): r for r in found.results if isinstance(r, DropDifference) and "image" in r.direction[-5:]
    }
    shuffle = drops["shuffle", 10]
    assert found.finding().startswith(
        f"Shuffling the words costs A {100 * shuffle.drop.difference:.1f} points of Recall@10 more than B ("
    )
    assert "; swapping two noun phrases costs A " in found.finding()
    assert (
        f"; as written, A finds {100 * shuffle.clean.difference:.1f} points of Recall@10 more than B ("
        in found.finding()
    )
    swapped = compared(b, better).finding()
    assert swapped.startswith("Shuffling the words costs B ")
    assert "as written, B finds" in swapped


def test_the_finding_says_what_cannot_be_told() -> None:
    rows = retrieval_rows(4)
    finding = compared(rows, rows).finding()
    assert finding.startswith(
        "Shuffling the words costs A and B alike, as far as these captions show (0.0 to 0.0 at 95 %, in points of"
    )
    assert "; as written, A and B find alike" in finding


def test_the_finding_sums_up_many_perturbations() -> None:
    names = ("shuffle", "swap", "reverse", "sort", "identity")
    a, b = retrieval_rows(20, perturbations=names, photos=120), retrieval_rows(1, perturbations=names, photos=120)
    b = [{**x, "rank": x["rank"] if x["perturbation"] == "sort" else y["rank"]} for x, y in zip(a, b, strict=True)]
    finding = compared(a, b).finding()
    assert finding.startswith(
        "Of 4 perturbations 3 cost A more points of Recall@10 and 0 cost B more points of Recall@10"
    )
    assert "from shuffling the words" in finding or "from swapping" in finding or "from reversing" in finding


def choice_rows(seed: int, share: float, groups: tuple[str, ...] = ("",)) -> list[Row]:
    rng = np.random.default_rng(seed)
    return [
        {
            "task": "sugarcrepe",
            "split": ("add", "swap")[n % 2],
            "group": groups[n % 7 % len(groups)],
            "photo": f"{n // 3}.jpg",
            "texts": [f"true {n}", f"false {n}"],
            "scores": [0.5, 0.4],
            "right": bool(rng.random() < share),
            "seed": 0,
        }
        for n in range(240)
    ]


def values(found: Comparison) -> dict[tuple[str, str, int | None], Difference]:
    assert all(isinstance(r, ValueDifference) for r in found.results)
    return {(r.part, r.metric, r.k): r.value for r in found.results if isinstance(r, ValueDifference)}


def test_choices_are_compared_by_split() -> None:
    a, b = choice_rows(0, 0.9), choice_rows(1, 0.6)
    found = compared(a, b, "choice")
    by_part = values(found)
    assert list(by_part) == [("add", "accuracy", None), ("swap", "accuracy", None), ("all", "accuracy", None)]
    for part, n in (("add", 0), ("swap", 1)):
        right = [[row["right"] for row in rows[n::2]] for rows in (a, b)]
        value = by_part[part, "accuracy", None]
        assert [value.a, value.b, value.difference] == pytest.approx(
            [*np.mean(right, axis=1), np.subtract(*np.mean(right, axis=1))]
        )
        assert 0 < value.low < value.difference < value.high
        assert value.p is not None
        assert value.p < 0.05
    whole = by_part["all", "accuracy", None]
    assert whole.difference == pytest.approx(
        np.mean([by_part[p, "accuracy", None].difference for p in ("add", "swap")])
    )
    assert whole.p_holm is None
    assert found.finding().startswith(f"Accuracy is {100 * whole.difference:.1f} points higher for A than for B (")
    assert (
        compared(a, a, "choice").finding().startswith("Accuracy is alike for A and B, as far as these items show (0.0")
    )


def test_groups_count_alike_in_macro_accuracy() -> None:
    a, b = choice_rows(0, 0.8, ("on", "under", "on")), choice_rows(1, 0.5, ("on", "under", "on"))
    macro = values(compared(a, b, "choice"))["all", "macro accuracy", None]
    shares = [
        [np.mean([row["right"] for row in rows if row["group"] == g]) for g in ("on", "under")] for rows in (a, b)
    ]
    assert [macro.a, macro.b] == pytest.approx(np.mean(shares, axis=1))
    assert macro.difference == pytest.approx(macro.a - macro.b)
    assert macro.low < macro.difference < macro.high
    assert macro.p is not None
    assert macro.p < 0.01


def test_pairs_of_photos_have_three_scores() -> None:
    scores = {"solved": [4.0, 1.0, 2.0, 3.0], "texts": [4.0, 3.0, 1.0, 2.0], "none": [1.0, 2.0, 3.0, 1.0]}
    rows = choice_rows(0, 0.5)
    solved, texts, none = ([{**row, "split": "", "scores": s} for row in rows] for s in scores.values())
    found = values(compared(solved, texts, "choice"))
    assert {metric: (v.a, v.b) for (_, metric, _), v in found.items()} == {
        "text score": (1.0, 1.0),
        "image score": (1.0, 0.0),
        "group score": (1.0, 0.0),
    }
    assert all(v.b == 0 for v in values(compared(solved, none, "choice")).values())


def test_statements_are_compared_by_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(0)
    statements = [
        {**row, "split": ("true", "false")[n % 2], "texts": row["texts"][:1]}
        for n, row in enumerate(choice_rows(0, 0.5))
    ]
    a = [{**row, "scores": [float(rng.normal() + 2 * (row["split"] == "true"))]} for row in statements]
    b = [{**row, "scores": [1000 * float(rng.normal())]} for row in statements]
    (value,) = values(compared(a, b, "choice")).values()
    true, false = ([row["scores"][0] for row in a if row["split"] == kind] for kind in ("true", "false"))
    assert value.a == pytest.approx(np.mean(np.array(true)[:, None] > false))
    assert value.b == pytest.approx(0.5, abs=0.1)
    assert 0.2 < value.low < value.difference < value.high
    assert value.p is value.p_holm is None
    with pytest.raises(UsageError, match="only true or only false statements in common"):
        compared(a[::2], b[::2], "choice")


def list_rows(keeps: float, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = []
    for name in ("shuffle", "identity"):
        for query in range(50):
            for s in range(1 if name == "identity" else 2):
                for k in (5, 10):
                    overlap = rng.binomial(k, keeps) / k
                    row = {"perturbation": name, "seed": s, "query": f"q{query}", "perturbed": "", "k": k}
                    rows.append(
                        {**row, "overlap": overlap, "rbo": overlap**2, "same_first": bool(rng.random() < keeps)}
                    )
    return rows


def test_result_lists_are_compared_by_perturbation_and_depth() -> None:
    a, b = list_rows(0.9, 0), list_rows(0.5, 1)
    found = compared(a, b, "lists")
    by_metric = values(found)
    assert set(by_metric) == {
        (p, m, k) for p in ("shuffle", "identity") for m in ("overlap", "rbo", "same first") for k in (5, 10)
    }
    for (part, metric, k), value in by_metric.items():
        column = metric.replace(" ", "_")
        means = [
            np.mean([row[column] for row in rows if (row["perturbation"], row["k"]) == (part, k)]) for rows in (a, b)
        ]
        assert [value.a, value.b, value.difference] == pytest.approx([*means, means[0] - means[1]])
        assert (value.p_holm is None) == (part == "identity")
    kept = by_metric["shuffle", "overlap", 10]
    assert found.finding() == (
        f"Overlap of the first 10 results after shuffling the words is {100 * kept.difference:.1f} points higher for A "
        f"than for B ({100 * kept.low:.1f} to {100 * kept.high:.1f} at 95 %)."
    )


def test_the_finding_of_nothing_but_controls_says_so() -> None:
    rows = [row for row in list_rows(0.9, 0) if row["perturbation"] == "identity"]
    assert compared(rows, rows, "lists").finding() == "No words were moved, so there is nothing to tell apart."
    rows = [row for row in retrieval_rows(1) if row["perturbation"] == "identity"]
    assert compared(rows, rows).finding().startswith("As written, A and B find alike")


def test_unknown_perturbations_are_named() -> None:
    rows = [{**row, "perturbation": "gone"} for row in retrieval_rows(1, photos=2)]
    with pytest.raises(UsageError, match="gone"):
        compared(rows, rows)


def test_a_comparison_is_one_json_object() -> None:
    told = json.loads(json.dumps(compared(retrieval_rows(3), retrieval_rows(2)).to_dict()))
    assert (told["a"], told["b"], told["task"]) == ("A", "B", "retrieval")
    assert set(told["results"][0]["drop"]) == {"a", "b", "difference", "low", "high", "p", "p_holm"}
