"""The report as one HTML file that needs no network, with its figures and photos inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch import __version__
from vlsearch.audit.report import AuditReport, ChoiceReport, ChoiceResult, ListsReport, Report
from vlsearch.audit.report.charts import Mark, forest, rank_density
from vlsearch.audit.report.examples import examples
from vlsearch.audit.report.files import write_file
from vlsearch.audit.report.notes import headline, notes, told_k
from vlsearch.audit.report.tables import DIRECTIONS, Table, about, partial, percent, tables
from vlsearch.audit.report.thumbnails import thumbnail_of
from vlsearch.printable import printable

if TYPE_CHECKING:
    import pyarrow as pa

LONG = 40
"""rows of a table from which on all but the depth that tells most are folded away"""
PERCENT = (-2.0, 102.0)
"""an axis with room for a mark at either end"""


@dataclass(frozen=True)
class Panel:
    title: str
    svg: str
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """Panels that are to be seen together."""

    title: str
    note: str
    panels: tuple[Panel, ...]
    small: bool = False


def write_report(
    folder: Path, report: Report, rows: pa.Table, meta: Mapping[str, Any], locate: Callable[[str], str] = str
) -> Path:
    """Write `report` to `folder`/index.html, which is made or replaced as a whole, and return that path.

    rows: one a query, as they are stored; meta: settings, versions, date, … shown as they are; locate: from what the
    rows call a photo to where it lies. The same arguments, and photos, give the same bytes. Raises UsageError where the
    file cannot be written.
    """
    path = folder / "index.html"
    write_file(path, render(report, rows, meta, locate).encode("utf-8"))
    return path


def render(report: Report, rows: pa.Table, meta: Mapping[str, Any], locate: Callable[[str], str] = str) -> str:
    """The page as text that UTF-8 can hold, whatever captions and names hold."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(printable=printable, bound=lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%"))
    template = environment.from_string(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    groups = examples(report, rows)
    photos = dict.fromkeys(shown.photo for group in groups for shown in group.shown if shown.photo is not None)
    first, folded = arranged(report)
    return template.render(
        headline=headline(report),
        about=about(report),
        partial=partial(report),
        charts=list(charts(report, rows)),
        tables=first,
        folded=folded,
        notes=notes(report),
        groups=groups,
        thumbnails={photo: thumbnail_of(locate(photo)) for photo in photos},
        measured=measured(report, meta),
        version=__version__,
    )


def arranged(report: Report) -> tuple[list[Table], list[Table]]:
    """Tables to be seen at once, and those to be folded away: details, and the main one where it is long."""
    whole = tables(report)
    main, rest = whole[0], whole[1:]
    short = tables(report, told_k(report))[0] if len(main.rows) > LONG else main
    seen = [short, *(t for t in rest if not t.detail)]
    return seen, [*([main] if len(short.rows) < len(main.rows) else []), *(t for t in rest if t.detail)]


def measured(report: Report, meta: Mapping[str, Any]) -> dict[str, str]:
    """How it was measured, by name: what the report says of itself, then `meta`."""
    own = {name: value for name, value in vars(report).items() if isinstance(value, str | int) and value != ""}
    return {name.replace("_", " "): printable(text) for name, text in _flat({**own, **meta})}


def _flat(values: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{under}{name}: ")
        elif isinstance(value, list | tuple):
            yield f"{under}{name}", ", ".join(map(str, value))
        else:
            yield f"{under}{name}", f"{value:,}" if type(value) is int else str(value)


def charts(report: Report, rows: pa.Table) -> Iterator[Chart]:
    if isinstance(report, AuditReport):
        yield _drops(report)
        yield from (_rank_changes(report, rows, direction) for direction in DIRECTIONS)
    elif isinstance(report, ListsReport):
        yield _overlaps(report)
    else:
        yield _accuracies(report)


def _drops(report: AuditReport) -> Chart:
    k = told_k(report)
    told = [r for r in report.results if r.k == k]
    ends = [100 * end for r in told for end in (r.low, r.high)]
    room = 0.04 * (max(ends, default=0) - min(ends, default=0)) or 1.0
    limits = min(ends, default=0) - room, max(ends, default=0) + room
    panels = []
    for direction, title in DIRECTIONS.items():
        marks = [
            Mark(r.perturbation, 100 * r.drop, 100 * r.low, 100 * r.high, r.low > 0 or r.high < 0, r.control)
            for r in told
            if r.direction == direction
        ]
        if marks:
            panels.append(Panel(title, forest(marks, f"points of Recall@{k} lost", limits, zero=True)))
    note = "Points with 95 % intervals; hollow where 0 lies within, so that no drop can be told; controls in grey."
    return Chart(f"Drop of Recall@{k}", note, tuple(panels))


def _rank_changes(report: AuditReport, rows: pa.Table, direction: str) -> Chart:
    import pyarrow.compute as pc

    panels = []
    for name in dict.fromkeys(r.perturbation for r in report.results if r.direction == direction and not r.control):
        own = pc.and_(pc.equal(rows["direction"], direction), pc.equal(rows["perturbation"], name))
        ranks = rows.select(["rank_clean", "rank"]).filter(own)
        if not len(ranks):
            continue
        clean, perturbed = (column.to_numpy() for column in ranks.itercolumns())
        gallery = report.photos if direction == "text_to_image" else report.captions
        better, same = float(np.mean(perturbed < clean)), float(np.mean(perturbed == clean))
        note = f"better {percent(better)} %, same {percent(same)} %, worse {percent(1 - better - same)} %"
        panels.append(Panel(name, rank_density(clean, perturbed, gallery), note))
    note = (
        "Across: the rank of a query's photo, or caption, as written. Up: its rank perturbed, all seeds together. The "
        "stronger the colour, the more queries; above the dashed line they are worse off."
    )
    return Chart(f"Ranks, {DIRECTIONS[direction]}", note, tuple(panels), small=True)


def _accuracies(report: ChoiceReport) -> Chart:
    panels = []
    for task in dict.fromkeys(r.task for r in report.results):
        marks = [
            Mark(
                r.split if r.metric == "accuracy" else f"{r.split}, {r.metric}",
                100 * r.value,
                100 * r.low,
                100 * r.high,
                r.low > r.chance or r.high < r.chance,
                ticks=tuple((marker, 100 * value) for marker, value in _beside(r) if value is not None),
            )
            for r in report.results
            if r.task == task
        ]
        panels.append(Panel(task, forest(marks, "right choices, percent", PERCENT)))
    note = (
        "Points with 95 % intervals, hollow where chance lies within. Beside them: │ chance, × a blind model of "
        "captions, ◆ the same model on alphabetically sorted words."
    )
    return Chart("Right choices", note, tuple(panels))


def _beside(r: ChoiceResult) -> tuple[tuple[str, float | None], ...]:
    return (("|", r.chance), ("x", r.blind), ("d", r.bag_of_words))


def _overlaps(report: ListsReport) -> Chart:
    k = told_k(report)
    marks = [
        Mark(r.perturbation, 100 * r.overlap, 100 * r.low, 100 * r.high, True, r.control)
        for r in report.results
        if r.k == k
    ]
    note = "Points with 95 % intervals; controls in grey."
    panels = (Panel("", forest(marks, f"of the first {k} results, percent", PERCENT)),) if marks else ()
    return Chart("What stays", note, panels)
