"""What a comparison of two runs looks like, in a terminal and in a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vlsearch.audit.report.comparison import Comparison, Difference, DropDifference, ValueDifference
from vlsearch.audit.report.markdown import details, drawn, safe
from vlsearch.audit.report.tables import DIRECTIONS, Row, Table, interval, percent, print_table
from vlsearch.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = ("A", "B", "A − B", "95 % interval", "p", "p (Holm)")


def comparison_tables(comparison: Comparison) -> list[Table]:
    """In percent: of retrieval the drops and the recall of the captions as written, else the one metric there is."""
    drops = [r for r in comparison.results if isinstance(r, DropDifference)]
    if drops:
        return [_drops(drops), _clean(drops)]
    values = [r for r in comparison.results if isinstance(r, ValueDifference)]
    rows = [Row((printable(r.part), _metric(r), f"{r.n:,}", *_cells(r.value))) for r in values]
    return [Table("In percent", ("part", "metric", "n", *COLUMNS), tuple(rows), names=2)]


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Tables, finding, and what was left out."""
    from rich.text import Text

    for table in comparison_tables(comparison):
        print_table(table, f"{table.title}: {_about(comparison)}", console)
    console.print(Text(f"{printable(comparison.finding())}\n"))
    for line in comparison_notes(comparison):
        console.print(Text(line, "dim"))


def markdown(comparison: Comparison) -> str:
    """The finding and the first table; the rest folded away."""
    first, *more = comparison_tables(comparison)
    blocks = [
        f"**{safe(printable(comparison.finding()))}**",
        f"{safe(first.title)}: {safe(_about(comparison))}\n\n{drawn(first)}",
        *(details(safe(table.title), drawn(table)) for table in more),
        details("How far to trust this", "\n".join(f"- {safe(line)}" for line in comparison_notes(comparison))),
    ]
    return "\n\n".join(blocks) + "\n"


def comparison_notes(comparison: Comparison) -> Iterator[str]:
    """How it was compared, and what was not."""
    unit = "queries" if comparison.task == "lists" else "photos"
    yield (
        f"{comparison.paired:,} pairs. 95 % intervals: {comparison.resamples:,} paired bootstrap resamples over "
        f"{unit}. p: the runs exchanged at random, {unit} one by one."
    )
    for name, only in ((comparison.a, comparison.only_a), (comparison.b, comparison.only_b)):
        if only:
            yield printable(f"Left out, since only {name} has them: {only:,}.")
    if comparison.reworded:
        yield f"Pairs whose perturbed texts differ between the two: {comparison.reworded:,}."


def _about(comparison: Comparison) -> str:
    return printable(f"A is {comparison.a}, B is {comparison.b}")


def _drops(drops: list[DropDifference]) -> Table:
    rows: list[Row] = []
    last = ("", "")
    for r in drops:
        if r.direction != last[0]:
            rows.append(Row((DIRECTIONS[r.direction],), heading=True))
        name = r.perturbation if (r.direction, r.perturbation) != last else ""
        rows.append(Row((name, str(r.k), *_cells(r.drop)), quiet=r.control))
        last = (r.direction, r.perturbation)
    return Table("Drop of Recall@k in points", ("perturbation", "k", *COLUMNS), tuple(rows), names=1)


def _clean(drops: list[DropDifference]) -> Table:
    rows: list[Row] = []
    seen: set[tuple[str, int]] = set()
    for r in drops:
        if (r.direction, r.k) not in seen:
            seen.add((r.direction, r.k))
            rows.append(Row((DIRECTIONS[r.direction], str(r.k), *_cells(r.clean))))
    return Table("Recall@k of the captions as written, in percent", ("direction", "k", *COLUMNS), tuple(rows), names=1)


def _cells(d: Difference) -> tuple[str, ...]:
    p, corrected = ("–" if value is None else f"{value:.4f}" for value in (d.p, d.p_holm))
    return percent(d.a), percent(d.b), percent(d.difference), interval(d.low, d.high), p, corrected


def _metric(r: ValueDifference) -> str:
    return r.metric if r.k is None else f"{r.metric}@{r.k}"
