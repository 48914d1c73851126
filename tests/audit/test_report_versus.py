"""A comparison in a terminal and in a pull request."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.audit.report_samples import choice_rows, lists_rows, retrieval_rows
from vlsearch.audit.compare import compare
from vlsearch.audit.report.comparison import Comparison, DropDifference
from vlsearch.audit.report.versus import comparison_notes, comparison_tables, markdown, print_comparison

NAMES = ("ViT-B-32/openai", "fine|tuned <b>")


def retrieval() -> Comparison:
    a = retrieval_rows()
    b = retrieval_rows(captions=("a dog chases a red ball", "two cats on a green sofa", "another"))
    return compare(a, b, "retrieval", (1, 2), NAMES, controls={"identity"}, resamples=99)


def choice() -> Comparison:
    return compare(choice_rows(), choice_rows(), "choice", (), NAMES, resamples=99)


def lists() -> Comparison:
    return compare(lists_rows(), lists_rows(), "lists", (10,), NAMES, resamples=99)


def shown(comparison: Comparison, width: int = 120) -> str:
    text = io.StringIO()
    print_comparison(comparison, Console(file=text, width=width))
    return text.getvalue()


def test_drops_come_before_what_is_found() -> None:
    drops, clean = comparison_tables(retrieval())
    assert drops.title == "Drop of Recall@k in points"
    assert drops.columns == ("perturbation", "k", "A", "B", "A − B", "95 % interval", "p", "p (Holm)")
    headings = [row.cells[0] for row in drops.rows if row.heading]
    assert headings == ["text → photo", "photo → text"]
    figures = [row for row in drops.rows if not row.heading]
    assert [row.cells[:2] for row in figures[:6]] == [
        ("shuffle", "1"),
        ("", "2"),
        ("swap", "1"),
        ("", "2"),
        ("identity", "1"),
        ("", "2"),
    ]
    assert [row.quiet for row in figures[:6]] == [False] * 4 + [True] * 2
    assert all(row.cells[-1] == "–" for row in figures if row.quiet), "controls are in no family"
    assert [row.cells[:2] for row in clean.rows] == [
        (way, str(k)) for way in ("text → photo", "photo → text") for k in (1, 2)
    ]
    assert clean.names == 1
    widths = {len(row.cells) for table in (drops, clean) for row in table.rows if not row.heading}
    assert widths == {len(drops.columns)}


@pytest.mark.parametrize("comparison", [choice(), lists()])
def test_one_table_where_there_is_one_metric(comparison: Comparison) -> None:
    (table,) = comparison_tables(comparison)
    assert table.columns[:3] == ("part", "metric", "n")
    metrics = [row.cells[1] for row in table.rows]
    assert metrics[0] == ("accuracy" if comparison.task == "choice" else "overlap@10")
    assert all(len(row.cells) == len(table.columns) for row in table.rows)
    assert comparison.finding() in " ".join(shown(comparison).split())


@pytest.mark.parametrize("comparison", [retrieval(), choice(), lists()])
def test_nothing_is_folded_in_80_columns(comparison: Comparison) -> None:
    lines = shown(replace(comparison, a="A", b="B"), 80).splitlines()
    assert max(map(len, lines)) <= 80
    for table in comparison_tables(comparison):
        for row in table.rows:
            assert any(all(cell in line for cell in row.cells) for line in lines)


def test_what_was_left_out_is_said() -> None:
    comparison = retrieval()
    told = list(comparison_notes(comparison))
    assert told[0].startswith(f"{comparison.paired} pairs. 95 % intervals: 99 paired bootstrap resamples over photos")
    assert told[1:] == [
        f"Left out, since only {NAMES[0]} has them: {comparison.only_a}.",
        f"Left out, since only {NAMES[1]} has them: {comparison.only_b}.",
    ]
    assert "over queries" in next(comparison_notes(lists()))
    assert list(comparison_notes(replace(comparison, only_a=0, only_b=0, reworded=3)))[1:] == [
        "Pairs whose perturbed texts differ between the two: 3."
    ]


def test_markdown_is_short_and_safe() -> None:
    told = markdown(retrieval())
    lead, folded = told.split("<details>", 1)
    assert lead.startswith("**")
    assert "A is ViT-B-32/openai, B is fine\\|tuned &lt;b&gt;" in lead
    assert "<b>" not in told
    assert lead.count("| :-- |") == 1, "one table is seen"
    assert folded.count("</details>") == 2
    assert "| text → photo |" not in lead
    assert markdown(choice()).count("<details>") == 1


def test_a_p_that_there_is_none_of() -> None:
    comparison = retrieval()
    (first, *_) = comparison.results
    assert isinstance(first, DropDifference)
    without = replace(comparison, results=(replace(first, drop=replace(first.drop, p=None, p_holm=0.5)),))
    assert comparison_tables(without)[0].rows[1].cells[-2:] == ("–", "0.5000")
