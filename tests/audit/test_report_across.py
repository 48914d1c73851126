"""Many runs side by side."""

from __future__ import annotations

from dataclasses import replace

from tests.audit.report_samples import choice, lists, retrieval
from vlsearch.audit.report import Report
from vlsearch.audit.report.across import across


def cells(*reports: Report) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Heading and names -> a figure of each run."""
    table, heading, found = across(reports), "", {}
    for row in table.rows:
        if row.heading:
            heading = row.cells[0]
        else:
            assert len(row.cells) == len(table.columns)
            found[(heading, *row.cells[:2])] = row.cells[2:]
    return found


def test_recall_as_written_and_drops_stand_side_by_side() -> None:
    one = retrieval()
    better = replace(one, results=tuple(replace(r, clean=0.75, drop=0.0125) for r in one.results))
    other = replace(one, results=tuple(r for r in one.results if r.perturbation != "swap"))
    found = cells(one, better, other)
    r = next(r for r in one.results if (r.direction, r.perturbation, r.k) == ("text_to_image", "swap", 10))
    assert found["text → photo, Recall@k", "as written", "10"] == (
        f"{100 * r.clean:.1f}",
        "75.0",
        f"{100 * r.clean:.1f}",
    )
    assert found["text → photo, drop", "swap", "10"] == (f"{100 * r.drop:.1f}", "1.2", "–")
    assert len(found) == 2 * (3 + 3 * 3)


def test_accuracies_and_overlaps_have_a_row_each() -> None:
    found = cells(choice(("a", "b")), choice(("b", "c")))
    assert {names[1:]: ["–" in row for row in figures] for names, figures in found.items()} == {
        ("a", "accuracy"): [False, True],
        ("b", "accuracy"): [False, False],
        ("c", "accuracy"): [True, False],
    }
    assert {names[1] for names in cells(lists(), lists())} == {"shuffle", "identity"}
