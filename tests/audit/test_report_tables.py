"""What of a report is shown, and what is said beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from tests.audit.report_samples import all_kinds, choice, everything, lists, retrieval
from vlsearch.audit.perturb import PERTURBATIONS
from vlsearch.audit.report import Report
from vlsearch.audit.report.notes import headline, notes
from vlsearch.audit.report.tables import about, partial, percent, print_report, tables

REPORTS = [report for report, _ in all_kinds()]


def printed(report: Report, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        print_report(report, console)
    return capture.get()


def test_the_main_table_of_retrieval() -> None:
    main = tables(retrieval())[0]
    assert main.columns == ("perturbation", "k", "clean", "perturbed", "drop", "95 % interval", "p (Holm)", "chance")
    heading, first, second, *_ = main.rows
    assert (heading.cells, heading.heading) == (("text → photo",), True)
    assert first.cells == ("shuffle", "1", "50.0", "46.1", "3.9", "2.1 … 5.6", "0.0020", "5.0")
    assert second.cells[:2] == ("", "5"), "a name stands once"
    controls = [row for row in main.rows if row.quiet]
    assert {row.cells[6] for row in controls} == {"control"}
    assert [row.cells[0] for row in controls] == ["identity", "", ""] * 2


def test_one_depth_by_itself_has_all_names() -> None:
    main = tables(retrieval(), 10)[0]
    shown = [row.cells[:2] for row in main.rows if not row.heading]
    assert shown == 2 * [("shuffle", "10"), ("swap", "10"), ("identity", "10")]


@pytest.mark.parametrize("report", [*REPORTS, everything(), choice(("a", "b"), "macro accuracy")])
def test_every_row_has_a_cell_for_each_column(report: Report) -> None:
    for table in tables(report):
        assert {len(row.cells) for row in table.rows if not row.heading} == {len(table.columns)}


def test_what_cannot_change_has_its_own_table() -> None:
    titles = [table.title for table in tables(retrieval())]
    assert "Recall@k in percent without the captions that cannot change" in titles
    none = replace(retrieval(), results=tuple(replace(r, unperturbable=0) for r in retrieval().results))
    assert len(tables(none)) == len(titles) - 1


@pytest.mark.parametrize("report", [everything(), *REPORTS, choice(("to the right of", "all"), "macro accuracy")])
def test_nothing_is_folded_in_80_columns(report: Report) -> None:
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    main = tables(report)[0]
    table = text.split("\n\n")[1].splitlines()
    assert len(table) == 1 + len(main.rows)
    for line, row in zip(table[1:], main.rows, strict=True):
        assert line.split() == " ".join(row.cells).split()


def test_recall_of_100_percent_and_its_loss_fit_too() -> None:
    worst = tuple(replace(r, clean=1.0, drop=-1.0, low=-1.0, high=-1.0, k=100) for r in everything().results)
    table = printed(replace(everything(), results=worst)).split("\n\n")[1].splitlines()
    assert len(table) == 1 + 2 * (1 + len(PERTURBATIONS) * 3)
    assert "−100.0 … −100.0" in table[2]


def test_a_part_is_told_first() -> None:
    part = replace(choice(), part="296 of 7,511 items whose photos are there")
    assert printed(part).startswith("Only a part of sugarcrepe: 296 of 7,511 items whose photos are there.\n")
    assert partial(choice()) == ""


@pytest.mark.parametrize(("share", "text"), [(-0.0001, "0.0"), (-0.051, "−5.1"), (None, "–"), (1.0, "100.0")])
def test_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_names_that_anybody_gave_are_made_safe() -> None:
    assert about(replace(retrieval(), model="a\x1b[31m", subject="x\n")).endswith("(x\\n), model a\\x1b[31m")


def said(report: Report) -> str:
    return "\n".join(notes(report))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"duplicates": 7}, "Captions that stand with several photos: 7; each of these is a right answer."),
        ({"empty": 4}, "Captions without any word: 4, left out."),
        ({"truncated": 5}, "Captions beyond the model's context: 5; it never sees their end"),
        ({"not_english": 6}, "Captions that do not look English: 6;"),
        ({"tokenizer": "aro"}, "Words are told apart as the code of ARO does it."),
        ({"photos_with_captions": 150}, "Photos without captions: 50;"),
    ],
)
def test_what_may_mislead_is_said_where_it_is_so(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in said(replace(retrieval(), **changes))
    assert sentence.partition(":")[0] not in said(retrieval())


@pytest.mark.parametrize(
    "sentence",
    [
        "95 % intervals: 2,000 paired bootstrap resamples over photos and 5 seeds.",
        "This audit could have told a drop of 2.5 points of Recall@10 from 0.",
        "shuffle 0.09, swap 0.09.",
        "Captions that cannot change: shuffle 3, swap 3.",
        "drop of Recall@10 in points is: shuffle 4.0 (0.3 % of captions out), swap 4.0 (0.3 % of captions out).",
        "Queries with a tie (which never helps): 0 as written, 0 perturbed",
        "The library's own index finds 49.8 % of photos among the first 10, exact search 50.0 %: it loses 0.2 points.",
        "identity is a control: tokenised and joined, nothing moved.",
    ],
)
def test_what_a_reader_needs_to_trust_a_retrieval(sentence: str) -> None:
    assert sentence in said(retrieval())


def test_power_is_told_as_a_range_where_perturbations_differ() -> None:
    fewer = [replace(r, detectable=0.012) if r.perturbation == "swap" else r for r in retrieval().results]
    assert "a drop of 1.2 (swap) to 2.5 points (shuffle) of Recall@10 from 0." in said(
        replace(retrieval(), results=tuple(fewer))
    )


def test_photos_are_not_counted_as_captions_that_cannot_change() -> None:
    (line,) = (line for line in notes(everything()) if line.startswith("Captions that cannot change"))
    assert "swap 3" in line
    assert "shuffle-rows-4" not in line


def test_notes_of_choices() -> None:
    assert "This audit could have told 8.0 points of accuracy from chance." in said(choice())
    assert "Left out: symmetric relation: next to." in said(choice())
    assert "Ties, which are wrong: accuracy 2." in said(choice())
    assert "Ties, which count half: auc 2." in said(choice(metric="auc"))


def test_ties_of_splits_are_not_counted_again_for_all_of_them() -> None:
    assert "Ties, which are wrong: accuracy 2." in said(choice(("a", "b", "all")))
    assert "Ties, which are wrong: accuracy 4." in said(choice(("a", "b")))


def test_notes_of_lists() -> None:
    assert "bootstrap resamples over queries and 5 seeds" in said(lists())
    assert "Queries that cannot change: shuffle 1; they are left out." in said(lists())


def test_a_few_clauses_are_the_headline_and_many_are_summed_up() -> None:
    assert headline(retrieval()) == retrieval().finding()
    asked = sum(not p.control for p in PERTURBATIONS.values())
    assert headline(everything()) == (
        f"{asked} of {asked} perturbations cost Recall@10, corrected for their number; shuffling the words costs most: "
        "3.9 points (2.1 to 5.6 at 95 %)."
    )


def test_many_perturbations_that_cost_nothing_for_certain() -> None:
    unsure = tuple(replace(r, p_holm=0.3) for r in everything().results)
    assert headline(replace(everything(), results=unsure)).startswith(
        "None of 15 perturbations takes anything from Recall@10"
    )


def test_many_perturbations_of_a_model_at_chance() -> None:
    chance = tuple(replace(r, clean=0.05) for r in everything().results)
    assert "no more often than chance does (5.0 %)" in headline(replace(everything(), results=chance))


def test_many_perturbations_that_change_nothing() -> None:
    none = tuple(replace(r, unperturbable=1001) for r in everything().results)
    assert headline(replace(everything(), results=none)).endswith(
        "changes any of these captions, so nothing was measured."
    )


def test_many_perturbations_of_queries_are_summed_up() -> None:
    assert headline(lists()) == lists().finding()
    assert headline(lists(tuple(PERTURBATIONS))).startswith(
        "Of the first 10 results stay 80.0 % (70.0 to 90.0 % at 95 %)"
    )


@pytest.mark.parametrize(("blind", "seen"), [(0.5, "more than"), (0.6, "no more for certain than"), (0.8, "less than")])
def test_a_choice_is_told_beside_a_blind_one(blind: float, seen: str) -> None:
    told = choice()
    finding = replace(told, results=(replace(told.results[0], blind=blind),)).finding()
    assert f"and {seen} a model that never sees the photo ({100 * blind:.1f} %)." in finding
