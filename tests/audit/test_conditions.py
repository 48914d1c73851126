"""Conditions under which an audit fails: what they say, what they are about, when they hold."""

from __future__ import annotations

import doctest
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.audit import report_samples
from vlsearch.audit.conditions import check_names, failures, parse
from vlsearch.audit.datasets import Choice, Choices, Item, Pair, Photo, Statement
from vlsearch.audit.figure_names import METRICS, Task, offered_by
from vlsearch.audit.report import AuditReport, ChoiceReport, ChoiceResult, Report
from vlsearch.audit.tasks.verdicts import Scores, results
from vlsearch.errors import UsageError

PAGE = Path(__file__).parents[2] / "docs/pipelines.md"
A = Photo("a.jpg")
SPLITS = Choices(
    "mine",
    (
        Choice(A, ("a b", "b a"), split="v1.2", group="left of"),
        Choice(A, ("a c", "c a"), split="add_att", group="on"),
        Choice(Photo("b.jpg"), ("a d", "d a"), split="", group="on"),
    ),
)
PAIRS = Choices("pairs", (Pair((A, Photo("b.jpg")), ("a b", "b a"), split="Object"),))
STATEMENTS = Choices("vsr", (Statement(A, "a b", True), Statement(A, "b a", False)))


def retrieval(**changes: Any) -> AuditReport:
    """One direction and depth, shuffled (drop 3.9 points, 2.1 to 5.6), with `changes`."""
    report = report_samples.retrieval(("shuffle", "identity"), (1,))
    return replace(
        report, results=tuple(replace(r, **changes) if r.perturbation == "shuffle" else r for r in report.results)
    )


def told(text: str, report: Report) -> list[str]:
    return failures([parse(text)], report)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("t2i.R@1.drop<0.02", ("retrieval", "", "text_to_image", "R@k", 1, "drop", "<", 0.02)),
        (" swap.i2t.R@10.low  >=  -2 % ", ("retrieval", "swap", "image_to_text", "R@k", 10, "low", ">=", -0.02)),
        ("shuffle-rows-4.t2i.MRR.perturbed<=.3", ("retrieval", "shuffle-rows-4", "text_to_image", "MRR", None)),
        ("t2i.median_rank.clean > 1e2", ("retrieval", "", "text_to_image", "median_rank", None, "clean", ">", 100.0)),
        ("t2i.R@1.order_sensitivity>150%", ("retrieval", "", "text_to_image", "R@k", 1, "order_sensitivity", ">", 1.5)),
        ("t2i.R@1.low<−1%", ("retrieval", "", "text_to_image", "R@k", 1, "low", "<", -0.01)),
        ("overlap@10<0.5", ("lists", "", None, "overlap@k", 10, "", "<", 0.5)),
        ("sort.rbo@5.high>0.5", ("lists", "sort", None, "rbo@k", 5, "high", ">", 0.5)),
        ("same_first<0.5", ("lists", "", None, "same_first", None, "", "<", 0.5)),
        ("same_first@10<0.5", ("lists", "", None, "same_first@k", 10, "", "<", 0.5)),
        ("accuracy<60%", ("choice", "", None, "accuracy", None, "", "<", 0.6)),
        ("v1.2.accuracy.blind>0.5", ("choice", "v1.2", None, "accuracy", None, "blind", ">", 0.5)),
        ("auc.accuracy<0.5", ("choice", "auc", None, "accuracy", None, "", "<", 0.5)),
        ("to the left of.accuracy<0.5", ("choice", "to the left of", None, "accuracy", None, "", "<", 0.5)),
        ("a<b.accuracy.low<0.5", ("choice", "a<b", None, "accuracy", None, "low", "<", 0.5)),
    ],
)
def test_a_condition_is_read(text: str, parts: tuple[object, ...]) -> None:
    c = parse(text)
    read = (c.task, c.part, c.direction, c.metric, c.k, c.field, c.sign, c.bound)
    assert read[: len(parts)] == parts


def test_percent_is_the_fraction_to_the_last_bit() -> None:
    for tenths in range(-1000, 1001):
        assert parse(f"t2i.R@1.drop<{tenths / 10}%").bound == float(f"{tenths}e-3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no FIGURE<NUMBER"),
        ("t2i.R@1.drop", "is no FIGURE<NUMBER with <, <=, > or >=, such as t2i.R@1.drop<0.02"),
        ("t2i.R@1.drop=0.02", "is no FIGURE<NUMBER"),
        ("t2i.R@1.drop<", "is no FIGURE<NUMBER"),
        ("t2i.R@1.drop<two", "'two' is no number; write a fraction, 0.02, or percent, 2%"),
        ("t2i.R@1.drop<0,02", "'0,02' is no number"),
        ("t2i.R@1.drop<nan", "'nan' is no number"),
        ("t2i.R@1.drop<inf%", "'inf%' is no number"),
        ("t2i.R@1.drop<2", "2 is more than all; write a fraction, 0.02, or percent, 2%"),
        ("t2i.median_rank.clean<2%", "ranks are counted"),
        ("t2i.R@1.dorp<0.02", "R@1 has no 'dorp'; did you mean drop?"),
        ("t2i.R@1.Drop<0.02", "did you mean drop"),
        ("t2i.R@1<0.02", "R@1 is no number by itself; it has clean, perturbed, drop"),
        ("t2i.R@k.drop<0.02", "R@k needs a number for k, as in R@10"),
        ("t2i.MMR.clean<0.02", "there is no figure 'MMR'; did you mean MRR?"),
        ("all.acuracy<0.5", "there is no figure 'acuracy'; did you mean accuracy"),
        ("recall<0.5", "'recall' names no figure; there are R@k, MRR"),
        ("same_first.low<0.5", "same_first has no 'low'; write it alone"),
        ("image_score.blind<0.5", "image_score has no 'blind'; it has low, high"),
        ("R@1.drop<0.5", "R@1 comes after t2i or i2t"),
        ("shuffle.R@1.drop<0.5", "R@1 comes after t2i or i2t, and these after a perturbation or nothing"),
        ("a.shuffle.t2i.R@1.drop<0.5", "R@1 comes after t2i"),
        ("a.shuffle.overlap@1<0.5", "overlap@1 comes after a perturbation or nothing"),
        ("shufle.t2i.R@1.drop<0.5", "no perturbation is called 'shufle'; did you mean shuffle"),
    ],
)
def test_what_is_no_condition_says_what_would_be(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--fail-if {text!r}: ")) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "task", "asked", "message"),
    [
        (
            "accuracy<0.5",
            "retrieval",
            ["shuffle"],
            "accuracy is a figure of choice, and this audit is one of retrieval",
        ),
        ("t2i.R@1.drop<0.5", "choice", [], "it has accuracy, macro_accuracy, auc"),
        ("t2i.R@3.drop<0.5", "retrieval", ["shuffle"], "k = 3 is not asked for, only 1, 5, 10; -k 3 adds it"),
        ("swap.t2i.R@1.drop<0.5", "retrieval", ["shuffle"], "swap is not asked for, only shuffle, identity, sort"),
        ("identity.t2i.R@1.p_holm<0.5", "retrieval", ["shuffle"], "identity is a control here"),
        ("identity-photos.t2i.R@1.drop<0.5", "retrieval", ["shuffle"], "identity-photos is not asked for"),
        ("t2i.R@1.drop<0.5", "retrieval", ["identity"], "no perturbation is asked for"),
        ("sort.overlap@1<0.5", "lists", ["shuffle"], "sort is not asked for, only shuffle, identity"),
    ],
)
def test_what_an_audit_will_not_have_is_said_before_it(
    text: str, task: Task, asked: Sequence[str], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        check_names([parse(text)], task, perturbations=asked, ks=(1, 5, 10))


@pytest.mark.parametrize(
    ("text", "task", "asked"),
    [
        ("t2i.R@1.drop<0.5", "retrieval", ["shuffle"]),
        ("sort.t2i.R@1.drop<0.5", "retrieval", ["shuffle"]),
        ("sort.t2i.R@1.p_holm<0.5", "retrieval", ["sort"]),
        ("identity-photos.t2i.R@1.drop<0.5", "retrieval", ["shuffle-rows-4"]),
        ("t2i.R@1.clean<0.5", "retrieval", ["identity"]),
        ("identity.overlap@5<0.5", "lists", ["shuffle"]),
    ],
)
def test_what_an_audit_will_have_is_fine(text: str, task: Task, asked: Sequence[str]) -> None:
    check_names([parse(text)], task, perturbations=asked, ks=(1, 5, 10))


def test_splits_are_checked_with_the_items_at_hand() -> None:
    for text in ("accuracy<0.5", "v1.2.accuracy<0.5", "macro_accuracy<0.5", "all.accuracy.low<0.5"):
        check_names([parse(text)], "choice", choices=SPLITS)
    with pytest.raises(UsageError, match=r"mine has no 'v1\.accuracy'; did you mean v1\.2\.accuracy or accuracy\?"):
        check_names([parse("v1.accuracy<0.5")], "choice", choices=SPLITS)
    with pytest.raises(UsageError, match=r"pairs has no 'accuracy'; it has Object\.text_score, text_score"):
        check_names([parse("accuracy<0.5")], "choice", choices=PAIRS)
    with pytest.raises(UsageError, match=r"vsr has no 'true\.auc'; it has auc"):
        check_names([parse("true.auc<0.5")], "choice", choices=STATEMENTS)


@pytest.mark.parametrize("choices", [SPLITS, PAIRS, STATEMENTS])
def test_offered_are_the_figures_that_an_audit_gives(choices: Choices) -> None:
    def scores(item: Item) -> Any:
        return np.arange(float(len(item.photos) * len(item.texts))).reshape(len(item.photos), -1)

    matrices = [scores(item) for item in choices.items]
    blind = None if choices is PAIRS else matrices
    given = results(choices, Scores(matrices, matrices, blind), resamples=10)
    offered = offered_by(choices)
    assert sorted(offered) == sorted((r.split, r.metric.replace(" ", "_")) for r in given)
    for r in given:
        fields = METRICS[r.metric.replace(" ", "_")][1]
        assert {"blind", "bag_of_words"} & fields.keys() == {
            name for name in ("blind", "bag_of_words") if getattr(r, name) is not None
        }


@pytest.mark.parametrize("metric", METRICS)
def test_every_figure_can_be_told(metric: str) -> None:
    """A name that no result has would show here."""
    task, fields = METRICS[metric]
    report: Report = {
        "retrieval": report_samples.retrieval(),
        "lists": report_samples.lists(),
        "choice": report_samples.choice(metric=metric.replace("_", " ")),
    }[task]
    before = "shuffle.t2i." if task == "retrieval" else ""
    for field in fields:
        text = f"{before}{metric.replace('@k', '@10')}{field and '.'}{field}>=0"
        (line,) = told(text, report)
        assert line.startswith(f"{text} holds: ")


def test_a_condition_that_holds_is_told_with_its_interval() -> None:
    report = retrieval()
    assert told("t2i.R@1.drop<5%", report) == [
        "t2i.R@1.drop<5% holds: 3.9 points under shuffle (2.1 to 5.6 at 95 %)",
    ]
    assert told("t2i.R@1.low<0.03", report) == [
        "t2i.R@1.low<0.03 holds: 3.9 points under shuffle (2.1 to 5.6 at 95 %)",
    ]
    assert told("i2t.R@1.clean<0.6", report) == ["i2t.R@1.clean<0.6 holds: 50.0 %"]
    assert told("shuffle.t2i.R@1.p_holm<0.05", report) == ["shuffle.t2i.R@1.p_holm<0.05 holds: 0.0020 under shuffle"]
    assert told("t2i.MRR.perturbed<0.3", report) == ["t2i.MRR.perturbed<0.3 holds: 0.2500 under shuffle"]
    assert told("t2i.median_rank.perturbed>12", report) == [
        "t2i.median_rank.perturbed>12 holds: 13.0 under shuffle",
    ]
    assert told("t2i.R@1.drop>5%", report) == []


def test_each_direction_has_figures_of_its_own() -> None:
    report = retrieval()
    other = [replace(r, drop=0.1) if r.direction == "image_to_text" else r for r in report.results]
    report = replace(report, results=tuple(other))
    assert told("t2i.R@1.drop>0.05", report) == []
    assert told("i2t.R@1.drop>0.05", report) == [
        "i2t.R@1.drop>0.05 holds: 10.0 points under shuffle (2.1 to 5.6 at 95 %)"
    ]


def test_a_negative_bound_of_the_interval_has_a_minus_and_zero_has_none() -> None:
    report = retrieval(drop=-1e-9, low=-0.01, high=0.018)
    assert told("t2i.R@1.drop<0.02", report) == [
        "t2i.R@1.drop<0.02 holds: 0.0 points under shuffle (−1.0 to 1.8 at 95 %)",
    ]


@pytest.mark.parametrize(
    ("sign", "at", "below", "above"),
    [("<", False, True, False), ("<=", True, True, False), (">", False, False, True), (">=", True, False, True)],
)
def test_floats_are_compared_as_they_are(sign: str, at: bool, below: bool, above: bool) -> None:
    values = (0.02, math.nextafter(0.02, 0), math.nextafter(0.02, 1))
    held = [bool(told(f"t2i.R@1.drop{sign}2%", retrieval(drop=value))) for value in values]
    assert held == [at, below, above]


def test_a_figure_is_told_with_as_many_decimals_as_tell_it_from_the_bound() -> None:
    (line,) = told("t2i.R@1.drop<0.02", retrieval(drop=0.019996))
    assert line == "t2i.R@1.drop<0.02 holds: 1.9996 points under shuffle (2.1000 to 5.6000 at 95 %)"
    (line,) = told("t2i.R@1.drop<=0.02", retrieval(drop=0.02))
    assert line == "t2i.R@1.drop<=0.02 holds: 2.0 points under shuffle (2.1 to 5.6 at 95 %)"


def test_without_a_perturbation_any_of_those_asked_for_counts_and_no_control() -> None:
    report = report_samples.retrieval(("shuffle", "swap", "identity"), (1,))
    drops = {"shuffle": 0.01, "swap": 0.03, "identity": 0.0}
    report = replace(report, results=tuple(replace(r, drop=drops[r.perturbation]) for r in report.results))
    assert told("t2i.R@1.drop<0.005", report) == []
    assert len(told("identity.t2i.R@1.drop<0.005", report)) == 1
    assert told("t2i.R@1.drop<0.02", report) == [
        "t2i.R@1.drop<0.02 holds: 1.0 points under shuffle (2.1 to 5.6 at 95 %)",
    ]
    assert told("t2i.R@1.drop<0.04", report) == [
        "t2i.R@1.drop<0.04 holds: 1.0 points under shuffle (2.1 to 5.6 at 95 %); "
        "3.0 points under swap (2.1 to 5.6 at 95 %)",
    ]


def test_what_was_not_measured_never_passes() -> None:
    failed = "cannot be told, so it counts as failed"
    nothing_found = retrieval(clean=0.0, relative_drop=None, order_sensitivity=None)
    assert told("t2i.R@1.relative_drop>0.5", nothing_found) == [
        f"t2i.R@1.relative_drop>0.5 {failed}: nothing is found as written under shuffle"
    ]
    assert told("t2i.R@1.order_sensitivity>0.5", nothing_found) == [
        f"t2i.R@1.order_sensitivity>0.5 {failed}: as written, no more is found than by chance under shuffle"
    ]
    assert told("identity.t2i.R@1.p_holm>0.5", retrieval()) == [
        f"identity.t2i.R@1.p_holm>0.5 {failed}: p of a control is not corrected under identity"
    ]
    assert told("t2i.R@5.drop>0.5", retrieval()) == [f"t2i.R@5.drop>0.5 {failed}: this audit has no such figure"]
    assert told("overlap@1<0.5", retrieval()) == [f"overlap@1<0.5 {failed}: this audit has no such figure"]
    assert len(told("t2i.R@1.drop>0.5", report_samples.lists())) == 1
    assert len(told("accuracy.low<0.5", choices(low=math.nan))) == 1


def test_a_perturbation_that_changes_nothing_has_measured_nothing() -> None:
    report = retrieval(drop=0.0, effective_drop=None)
    unchanged = "cannot be told, so it counts as failed: shuffle changes none of the texts"
    for path in ("t2i.R@1.drop", "t2i.R@1.effective_drop", "t2i.MRR.perturbed"):
        assert told(f"{path}>0.9", report) == [f"{path}>0.9 {unchanged}"]
    assert told("t2i.R@1.clean<0.1", report) == []
    lists = report_samples.lists(ks=(10,))
    lists = replace(lists, results=tuple(replace(r, overlap=1.0, queries=0) for r in lists.results))
    assert told("overlap@10<0.5", lists) == [f"overlap@10<0.5 {unchanged}"]


def test_one_perturbation_may_hold_and_another_not_be_told() -> None:
    report = report_samples.retrieval(("shuffle", "swap-adjectives"), (1,))
    report = replace(
        report,
        results=tuple(
            replace(r, effective_drop=None) if r.perturbation == "swap-adjectives" else r for r in report.results
        ),
    )
    assert told("t2i.R@1.drop<0.05", report) == [
        "t2i.R@1.drop<0.05 holds: 3.9 points under shuffle (2.1 to 5.6 at 95 %)",
        "t2i.R@1.drop<0.05 cannot be told, so it counts as failed: swap-adjectives changes none of the texts",
    ]


def choices(**changes: Any) -> ChoiceReport:
    result = ChoiceResult("t", "all", "accuracy", 0.62, 0.57, 0.67, 296, 0.5, 0.55, 0.48, 2, 0.08)
    all_splits = (
        replace(result, **changes),
        replace(result, split="v1.2", value=0.4, low=0.3, high=0.5),
        replace(result, metric="macro accuracy", value=0.5, low=0.45, high=0.55),
    )
    return replace(report_samples.choice(), results=all_splits)


def test_choices_are_of_all_splits_unless_one_is_named() -> None:
    report = choices()
    assert told("accuracy<0.6", report) == []
    assert told("accuracy.low<0.6", report) == ["accuracy.low<0.6 holds: 62.0 % (57.0 to 67.0 at 95 %)"]
    assert told("v1.2.accuracy<0.6", report) == ["v1.2.accuracy<0.6 holds: 40.0 % (30.0 to 50.0 at 95 %)"]
    assert told("macro_accuracy<0.51", report) == ["macro_accuracy<0.51 holds: 50.0 % (45.0 to 55.0 at 95 %)"]
    assert told("accuracy.blind>0.5", report) == ["accuracy.blind>0.5 holds: 55.0 %"]


def test_result_lists_have_their_own_intervals() -> None:
    report = report_samples.lists(ks=(1, 10))
    report = replace(report, results=tuple(replace(r, overlap=0.8 if r.k == 10 else 0.1) for r in report.results))
    assert told("overlap@1>0.5", report) == []
    assert told("overlap@10.low<0.75", report) == [
        "overlap@10.low<0.75 holds: 80.0 % under shuffle (70.0 to 90.0 at 95 %)"
    ]
    assert told("shuffle.rbo@1<0.8", report) == ["shuffle.rbo@1<0.8 holds: 75.0 % under shuffle (60.0 to 85.0 at 95 %)"]
    assert told("same_first<0.6", report) == ["same_first<0.6 holds: 50.0 % under shuffle"]


def test_conditions_keep_their_order_and_hide_nothing() -> None:
    found = failures([parse("i2t.R@1.drop<0.1"), parse("\x1b[1m.accuracy<0.1"), parse("t2i.R@1.drop<0.1")], retrieval())
    assert [line.split(" ")[0] for line in found] == ["i2t.R@1.drop<0.1", "\\x1b[1m.accuracy<0.1", "t2i.R@1.drop<0.1"]


def test_the_page_for_pipelines_is_right() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted > 0
    assert done.failed == 0
    text = PAGE.read_text(encoding="utf-8")
    for condition in re.findall(r'--fail-if "([^"]+)"', text):
        parse(condition)
    for metric, (_, fields) in METRICS.items():
        row = next(line for line in text.splitlines() if line.startswith("| `") and f"`{metric}`" in line)
        assert all(f"`{field}`" in row for field in fields if field)
