"""What becomes of an audit: a table on the terminal, or JSON, Markdown, pages and files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vlsearch.cli.printing import print_json

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from vlsearch.audit.asked import Asked
    from vlsearch.audit.report import Report
    from vlsearch.audit.report.comparison import Comparison
    from vlsearch.audit.run import Audited

Command = TypeVar("Command", bound=Callable[..., Any])

LIBRARIES = ("torch", "open_clip_torch", "numpy", "textblob")
"""whose versions a figure may depend on"""


def output_options(command: Command) -> Command:
    for option in reversed(
        (
            click.option(
                "--json", "as_json", is_flag=True, help="One JSON object; docs/audit-report.md has its schema."
            ),
            click.option("--markdown", "as_markdown", is_flag=True, help="Markdown, for a pull request."),
            click.option(
                "--report",
                metavar="DIR",
                type=click.Path(path_type=Path),
                help="A page with figures and examples: DIR/index.html.",
            ),
            click.option("--csv", metavar="FILE", type=click.Path(path_type=Path), help="A row for each query."),
            click.option("--parquet", metavar="FILE", type=click.Path(path_type=Path), help="The same as Parquet."),
            click.option(
                "--save-captions",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="Every perturbed caption, for --captions-from (.parquet).",
            ),
        )
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Outputs:
    as_json: bool = False
    as_markdown: bool = False
    report: Path | None = None
    csv: Path | None = None
    parquet: Path | None = None
    save_captions: Path | None = None

    @property
    def files(self) -> bool:
        return any((self.report, self.csv, self.parquet, self.save_captions))

    def check(self) -> None:
        """Before hours of work: UsageError for what could not be written in the end."""
        from vlsearch.errors import UsageError

        if self.as_json and self.as_markdown:
            raise UsageError("--json and --markdown exclude one another")
        if self.report is not None and self.report.exists() and not self.report.is_dir():
            raise UsageError(f"'{self.report}' is a file; --report takes a folder")
        for path, suffix in ((self.csv, ".csv"), (self.parquet, ".parquet"), (self.save_captions, ".parquet")):
            if path is not None and path.suffix.lower() != suffix:
                raise UsageError(f"'{path}' should end in {suffix}")

    def deliver(self, audited: Audited, number: int | None, stem: str = "") -> None:
        """`stem`: what the files of one of several runs go by."""
        self.show(audited.report)
        if number is not None and not (self.as_json or self.as_markdown):
            click.echo(f"Kept as audit {number}: `vlsearch audit show {number}`, `compare`, `export`, `repeat`.")
        self.write(audited.report, audited.rows, audited.asked, number, stem)

    def show(self, report: Report) -> None:
        from vlsearch.audit.report.markdown import markdown
        from vlsearch.audit.report.tables import print_report

        if self.as_json:
            print_json(report.to_dict())
        elif self.as_markdown:
            click.echo(markdown(report), nl=False)
        else:
            print_report(report, console())

    def write(self, report: Report, rows: pa.Table, asked: Asked, number: int | None, stem: str = "") -> list[Path]:
        """The files that are asked for; where they are."""
        from vlsearch.audit.report.files import write_rows
        from vlsearch.audit.report.html import write_report

        written = []
        for path in (self.csv, self.parquet):
            if path is not None:
                write_rows(beside(path, stem), described(rows, report))
                written.append(beside(path, stem))
        if self.save_captions is not None:
            write_rows(beside(self.save_captions, stem), captions_of(report, rows))
            written.append(beside(self.save_captions, stem))
        if self.report is not None:
            folder = self.report / stem if stem else self.report
            written.append(write_report(folder, report, rows, meta(asked, number), place_of(asked)))
        return written

    def compare(self, runs: Sequence[Audited]) -> None:
        """The first run with each of the others."""
        first = runs[0]
        self.show_across([run.report for run in runs], [run.report.model for run in runs])
        for n, other in enumerate(runs[1:], 2):
            names = first.report.model, other.report.model
            if names[0] == names[1]:
                names = f"{names[0]} (1)", f"{names[1]} ({n})"
            tables = first.rows, other.rows
            self.show_comparison(compared(*tables, (first.report, other.report), first.asked.ks, names))

    def show_across(self, reports: Sequence[Report], names: Sequence[str]) -> None:
        """A table of all runs, where there are more than the two that a comparison shows."""
        from vlsearch.audit.report.across import across, print_across
        from vlsearch.audit.report.markdown import drawn, safe

        if len(reports) < 3 or self.as_json:
            return
        if self.as_markdown:
            told = ", ".join(f"{n}: {safe(name)}" for n, name in enumerate(names, 1))
            click.echo(f"{told}\n\n{drawn(across(reports))}\n")
        else:
            print_across(reports, names, console())

    def show_comparison(self, comparison: Comparison) -> None:
        from vlsearch.audit.report.versus import markdown, print_comparison

        if self.as_json:
            print_json(comparison.to_dict())
        elif self.as_markdown:
            click.echo(markdown(comparison), nl=False)
        else:
            print_comparison(comparison, console())


def compared(
    a: pa.Table, b: pa.Table, reports: tuple[Report, Report], ks: Sequence[int], names: tuple[str, str]
) -> Comparison:
    from vlsearch.audit.compare import compare

    controls = {r.perturbation for report in reports if report.task != "choice" for r in report.results if r.control}
    return compare(a, b, reports[0].task, ks, names, controls=controls)


def console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=120)


def described(rows: pa.Table, report: Report) -> pa.Table:
    """`rows` with what they are of as metadata, which Parquet keeps."""
    from vlsearch.audit.report.tables import partial
    from vlsearch.audit.tasks.wording import ASKED, SEEDS

    told = {"model": report.model, "fingerprint": report.fingerprint, "subject": report.subject}
    if part := partial(report):
        told["part"] = part
    if report.task != "choice":
        told[ASKED] = " ".join(dict.fromkeys(r.perturbation for r in report.results if not r.control))
        told[SEEDS] = str(report.seeds)
    return rows.replace_schema_metadata(told)


def captions_of(report: Report, rows: pa.Table) -> pa.Table:
    from vlsearch.audit.tasks.wording import saved_captions
    from vlsearch.errors import UsageError

    if report.task != "retrieval":
        raise UsageError("--save-captions is for audits of retrieval; --parquet has the texts of the others")
    return described(saved_captions(rows), report)


def meta(asked: Asked, number: int | None) -> dict[str, Any]:
    """What a page says of how it was measured, beside the report."""
    from datetime import datetime
    from importlib.metadata import PackageNotFoundError, version

    import vlsearch

    versions = {"vlsearch": vlsearch.__version__, "Python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    settings = {name: value for name, value in asked.to_dict().items() if value not in (None, False, ())}
    kept = {} if number is None else {"audit": number}
    return {**kept, "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"), **settings, "versions": versions}


def place_of(asked: Asked) -> Callable[[str], str]:
    """From what the rows call a photo to where it lies."""
    if asked.dataset is None:
        return str
    from vlsearch.audit.subject import image_folder

    folder = image_folder(asked)
    return lambda name: str(folder.find(name) or name)


def beside(path: Path, stem: str) -> Path:
    return path.with_name(f"{path.stem}-{stem}{path.suffix}") if stem else path


def safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
