"""The figures of a report as tables of text: one place decides what a reader sees, in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from vlsearch.audit.report import AuditReport, ChoiceReport, ListsReport, RankSummary, Report, Result
from vlsearch.audit.report.retrieval import points
from vlsearch.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

DIRECTIONS = {"text_to_image": "text → photo", "image_to_text": "photo → text"}

Figures = TypeVar("Figures", Result, RankSummary)


@dataclass(frozen=True)
class Row:
    cells: tuple[str, ...]
    """one for each column, but a single one in a heading"""
    quiet: bool = False
    """a control, shown dimmed"""
    heading: bool = False
    """over the rows that follow"""


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    names: int = 1
    """so many columns at the start are names, to the left; figures stand to the right"""
    detail: bool = False
    """more than a first look needs: on pages it is folded away, in a terminal left out"""
    note: str = ""
    """what the columns are, where their names do not say it"""


def tables(report: Report, k: int | None = None) -> list[Table]:
    """What is shown of `report`, main table first; with `k` only the figures at that depth. Shares are in percent."""
    if isinstance(report, AuditReport):
        return list(_retrieval(report, k))
    if isinstance(report, ListsReport):
        return [_lists(report, k)]
    return [_choices(report)]


def about(report: Report) -> str:
    """What the tables are of: material, its size, model."""
    if isinstance(report, AuditReport):
        what = f"{report.captions:,} captions and {report.photos:,} photos"
    elif isinstance(report, ChoiceReport):
        what = f"{report.items:,} items with {report.photos:,} photos"
    else:
        what = f"{report.queries:,} queries over {report.photos:,} photos"
    source = "" if report.subject == "library" else f" ({report.subject})"
    return printable(f"{what}{source}, model {report.model}")


def partial(report: Report) -> str:
    """One sentence where the material was not all there, which readers must know first; else ""."""
    part = "" if isinstance(report, ListsReport) else report.part
    return printable(f"Only a part of {report.subject}: {part}.") if part else ""


def print_report(report: Report, console: Console) -> None:
    """Main table, finding and notes; in 80 columns no figure is folded."""
    from rich.text import Text

    from vlsearch.audit.report.notes import headline, notes

    if warning := partial(report):
        console.print(Text(warning, "bold yellow"))
    for shown in (t for t in tables(report) if not t.detail):
        print_table(shown, f"{shown.title}: {about(report)}", console)
    console.print(Text(f"{headline(report)}\n"))
    for line in notes(report):
        console.print(Text(line, "dim"))


def print_table(shown: Table, title: str, console: Console) -> None:
    """With its title above and a blank line below."""
    from rich import table
    from rich.text import Text

    widest = [max(map(len, cells)) for cells in zip(shown.columns, *_full(shown), strict=True)]
    gap = 2 if sum(widest) + 2 * len(widest) <= console.width else 1
    drawn = table.Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap - 1, 0, 1))
    for n, name in enumerate(shown.columns):
        figures = n >= shown.names
        drawn.add_column(name, justify="right" if figures else "left", no_wrap=figures)
    for row in shown.rows:
        style = "bold" if row.heading else "dim" if row.quiet else ""
        drawn.add_row(*map(Text, row.cells), style=style)
    console.print(Text(f"{title}\n"))
    console.print(drawn)
    console.print()


def percent(share: float | None) -> str:
    return "–" if share is None else points(share)


def interval(low: float, high: float) -> str:
    return f"{points(low)} … {points(high)}"


def _full(table: Table) -> list[tuple[str, ...]]:
    return [row.cells for row in table.rows if not row.heading]


def _retrieval(report: AuditReport, k: int | None) -> Iterator[Table]:
    results = [r for r in report.results if k in (None, r.k)]
    yield Table(
        "Recall@k in percent",
        ("perturbation", "k", "clean", "perturbed", "drop", "95 % interval", "p (Holm)", "chance"),
        _by_direction(results, _recall),
    )
    yield Table(
        "What the drop amounts to",
        ("perturbation", "k", "of clean", "above chance", "smallest told", "over seeds"),
        _by_direction(results, _relative),
        detail=True,
        note="In percent: the drop as a share of the clean recall, and of what that is above chance (order "
        "sensitivity). In points: the smallest drop that could be told from 0, and the standard deviation over seeds.",
    )
    if moved := [r for r in results if r.unperturbable]:
        yield Table(
            "Recall@k in percent without the captions that cannot change",
            ("perturbation", "k", "captions left out", "in percent", "clean", "perturbed", "drop"),
            _by_direction(moved, lambda r: _effective(r, report.captions)),
            detail=True,
        )
    yield Table(
        "Mean reciprocal rank, and median rank",
        ("perturbation", "MRR clean", "perturbed", "chance", "median clean", "perturbed", "chance"),
        _by_direction(report.ranks, lambda r: _ranks(r, {q.perturbation for q in results if q.control})),
        detail=True,
    )
    if lost := [loss for loss in report.index if k in (None, loss.k)]:
        yield Table(
            "Recall@k in percent from text to photo, exactly and through the library's own index",
            ("k", "exact", "through the index", "loss"),
            tuple(Row((str(i.k), *map(percent, (i.exact, i.through, i.loss)))) for i in lost),
            names=0,
        )


def _by_direction(results: Iterable[Figures], cells: Callable[[Figures], Row]) -> tuple[Row, ...]:
    """Rows with a heading for each direction; a perturbation's name stands in the first of its rows."""
    rows: list[Row] = []
    for direction, of_direction in groupby(results, key=lambda r: r.direction):
        rows.append(Row((DIRECTIONS[direction],), heading=True))
        for _, of_one in groupby(of_direction, key=lambda r: r.perturbation):
            first, *more = map(cells, of_one)
            rows += [first, *(Row(("", *row.cells[1:]), row.quiet) for row in more)]
    return tuple(rows)


def _recall(r: Result) -> Row:
    return Row(
        (
            r.perturbation,
            str(r.k),
            *map(percent, (r.clean, r.perturbed, r.drop)),
            interval(r.low, r.high),
            "control" if r.p_holm is None else f"{r.p_holm:.4f}",
            percent(r.chance),
        ),
        quiet=r.control,
    )


def _relative(r: Result) -> Row:
    shares = (r.relative_drop, r.order_sensitivity, r.detectable, r.seed_spread)
    return Row((r.perturbation, str(r.k), *map(percent, shares)), quiet=r.control)


def _effective(r: Result, captions: int) -> Row:
    shares = (r.unperturbable / captions, r.effective_clean, r.effective_perturbed, r.effective_drop)
    return Row((r.perturbation, str(r.k), f"{r.unperturbable:,}", *map(percent, shares)), quiet=r.control)


def _ranks(r: RankSummary, controls: set[str]) -> Row:
    reciprocal = (f"{mean:.3f}" for mean in (r.mrr_clean, r.mrr_perturbed, r.mrr_chance))
    median = (f"{rank:,g}" for rank in (r.median_rank_clean, r.median_rank_perturbed, r.median_rank_chance))
    return Row((r.perturbation, *reciprocal, *median), quiet=r.perturbation in controls)


def _choices(report: ChoiceReport) -> Table:
    rows: list[Row] = []
    for task, results in groupby(report.results, key=lambda r: r.task):
        rows.append(Row((printable(task),), heading=True))
        rows += (
            Row(
                (
                    printable(r.split),
                    r.metric,
                    percent(r.value),
                    interval(r.low, r.high),
                    f"{r.n:,}",
                    *map(percent, (r.chance, r.blind, r.bag_of_words)),
                )
            )
            for r in results
        )
    columns = ("split", "metric", "right", "95 % interval", "items", "chance", "blind", "sorted")
    return Table("Right choices in percent", columns, tuple(rows), names=2)


def _lists(report: ListsReport, k: int | None) -> Table:
    rows: list[Row] = []
    for _, results in groupby((r for r in report.results if k in (None, r.k)), key=lambda r: r.perturbation):
        for n, r in enumerate(results):
            cells = (
                "" if n else r.perturbation,
                str(r.k),
                percent(r.overlap),
                interval(r.low, r.high),
                percent(r.rbo),
                interval(r.rbo_low, r.rbo_high),
                percent(r.same_first),
            )
            rows.append(Row(cells, quiet=r.control))
    columns = ("perturbation", "k", "overlap", "95 % interval", "RBO", "95 % interval", "first")
    return Table("What stays of the first k results, in percent", columns, tuple(rows))
