"""`vlsearch audit list`, `show`, `export`, `compare`, `repeat` and `forget`: audits that were run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlsearch.cli.audit_outputs import Outputs, compared, console, output_options
from vlsearch.cli.options import library_option, load_source
from vlsearch.cli.printing import print_json, progress
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.audit.runs import Run

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
markdown_option = click.option("--markdown", "as_markdown", is_flag=True, help="Markdown, for a pull request.")


@click.command("list")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line: run, at, model, task, subject, settings."
)
@library_option
def list_(as_json: bool, library_path: Path | None) -> int:
    """List the audits that are kept, the oldest first."""
    from rich.table import Table
    from rich.text import Text

    from vlsearch.audit.runs import runs
    from vlsearch.library import open_library

    with open_library(library_path) as library:
        kept = runs(library)
    if as_json:
        for run in kept:
            print_json(about(run))
        return 0
    if not kept:
        click.echo("no audit is kept; `vlsearch audit` runs one")
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "when", "model", "of", "what moved"):
        table.add_column(name, justify="right" if name == "run" else "left")
    for run in kept:
        row = about(run)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.row.at))
        moved = "word order" if row["task"] == "order" else ", ".join(row["settings"].get("perturbations", []))
        cells = (str(run.row.id), when, printable(row["model"]), printable(row["subject"]), moved)
        table.add_row(*map(Text, cells))
    console().print(table)
    return 0


@click.command("show")
@click.argument("run", metavar="RUN")
@json_option
@markdown_option
@library_option
def show(run: str, as_json: bool, as_markdown: bool, library_path: Path | None) -> int:
    """Show an audit again: its number, or `last`."""
    from vlsearch.audit.runs import run_of
    from vlsearch.library import open_library

    outputs = Outputs(as_json=as_json, as_markdown=as_markdown)
    outputs.check()
    with open_library(library_path) as library:
        outputs.show(run_of(library, run).report)
    return 0


@click.command("export", no_args_is_help=True)
@click.argument("run", metavar="RUN")
@output_options
@library_option
def export(run: str, library_path: Path | None, **given: Any) -> int:
    """Write an audit to files: its number, or `last`.

    \b
      vlsearch audit export last --report audit/ --csv rows.csv
    """
    from vlsearch.audit.runs import run_of
    from vlsearch.errors import UsageError
    from vlsearch.library import open_library

    outputs = Outputs(**given)
    outputs.check()
    if not (outputs.files or outputs.as_json or outputs.as_markdown):
        raise UsageError("nothing to write; give --report DIR, --csv FILE, --parquet FILE, --json or --markdown")
    with open_library(library_path) as library:
        found = run_of(library, run)
        if outputs.files:
            for path in outputs.write(found.report, found.rows(), found.asked, found.row.id):
                click.echo(f"written: {printable(str(path))}", err=True)
        if outputs.as_json or outputs.as_markdown:
            outputs.show(found.report)
    return 0


@click.command("compare", no_args_is_help=True)
@click.argument("one", metavar="RUN")
@click.argument("others", metavar="RUN...", nargs=-1, required=True)
@json_option
@markdown_option
@library_option
def compare_(one: str, others: tuple[str, ...], as_json: bool, as_markdown: bool, library_path: Path | None) -> int:
    """Compare audits of the same captions, query by query: the first with each of the others.

    Two models, or one before and after it was trained. Differences come with 95 % intervals from a paired bootstrap
    over photos and p-values from a permutation test, corrected by Holm's method.

    \b
      vlsearch audit compare 3 4
    """
    from vlsearch.audit.runs import run_of
    from vlsearch.errors import UsageError
    from vlsearch.library import open_library

    outputs = Outputs(as_json=as_json, as_markdown=as_markdown)
    outputs.check()
    with open_library(library_path) as library:
        first, *more = (run_of(library, number) for number in (one, *others))
        for other in more:
            tasks = first.report.task, other.report.task
            if tasks[0] != tasks[1]:
                raise UsageError(f"audit {first.row.id} is one of {tasks[0]}, audit {other.row.id} of {tasks[1]}")
        names = names_of([first, *more])
        outputs.show_across([first.report, *(other.report for other in more)], names)
        for other, name in zip(more, names[1:], strict=True):
            ks = [k for k in first.asked.ks if k in other.asked.ks]
            if not ks:
                raise UsageError(f"audits {first.row.id} and {other.row.id} have no k in common")
            reports = first.report, other.report
            outputs.show_comparison(compared(first.rows(), other.rows(), reports, ks, (names[0], name)))
    return 0


@click.command("repeat", no_args_is_help=True)
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="The report of the repetition as one JSON object.")
@library_option
def repeat(run: str, as_json: bool, library_path: Path | None) -> int:
    """Run an audit again with the same model, photos, captions and draws, and say whether the figures are the same."""
    from vlsearch.audit.model import AuditModel, load
    from vlsearch.audit.run import audit
    from vlsearch.audit.runs import CACHE, FOLDER, run_of
    from vlsearch.errors import FingerprintMismatch
    from vlsearch.library import open_library

    with open_library(library_path) as library:
        found = run_of(library, run)
        before = found.report
        encoder = load(found.row.source, load_source)
        if encoder.fingerprint != found.row.fingerprint:
            raise FingerprintMismatch(
                f"audit {found.row.id} was of {found.row.model} with fingerprint {found.row.fingerprint[:12]}, which "
                f"now has {encoder.fingerprint[:12]}: other weights, preprocessing or tokenizer"
            )
        with progress() as show_progress:
            model = AuditModel(encoder, library.path / FOLDER / CACHE, show_progress)
            after = audit(found.asked, model, library, replay=found.replay(), progress=show_progress).report
    if as_json:
        print_json(after.to_dict())
    same = after == before
    if same:
        click.echo(f"audit {found.row.id} again: the same figures to the last digit", err=as_json)
    else:
        click.echo(f"audit {found.row.id} again: figures differ; {difference(before, after)}", err=as_json)
    return 0 if same else 1


@click.command("forget", no_args_is_help=True)
@click.argument("run", metavar="RUN")
@library_option
def forget(run: str, library_path: Path | None) -> int:
    """Drop an audit and its rows."""
    from vlsearch.audit.runs import drop, run_of
    from vlsearch.library import open_library

    with open_library(library_path, write=True) as library:
        found = run_of(library, run)
        drop(library, found)
    click.echo(f"audit {found.row.id} is forgotten")
    return 0


def about(run: Run) -> dict[str, Any]:
    report = run.row.report
    return {
        "run": run.row.id,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.row.at)),
        "version": run.row.version,
        "model": run.row.model,
        "fingerprint": run.row.fingerprint,
        "task": run.row.settings.get("task", "retrieval"),
        "subject": report.get("subject", "library"),
        "settings": run.row.settings,
    }


def names_of(runs: Sequence[Run]) -> list[str]:
    """By their models, and by their numbers where one is there twice."""
    models = [run.row.model for run in runs]
    return models if len(set(models)) == len(models) else [f"audit {run.row.id} ({run.row.model})" for run in runs]


def difference(before: Any, after: Any) -> str:
    """The first figure that is another one."""
    for name, old in vars(before).items():
        new = getattr(after, name)
        if old == new:
            continue
        if not isinstance(old, tuple) or len(old) != len(new):
            return f"{name} was {old}, and is {new}"
        one, other = next((a, b) for a, b in zip(old, new, strict=True) if a != b)
        if isinstance(one, str):
            return f"{name} was '{one}', and is '{other}'"
        field = next(field for field in vars(one) if getattr(one, field) != getattr(other, field))
        what = " ".join(
            str(getattr(one, key)) for key in ("direction", "perturbation", "split", "k") if hasattr(one, key)
        )
        return f"{field} of {what} was {getattr(one, field)}, and is {getattr(other, field)}"
    return "nothing does"


COMMANDS = {c.name: c for c in (list_, show, export, compare_, repeat, forget) if c.name is not None}
