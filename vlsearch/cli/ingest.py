"""`vlsearch ingest`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from vlsearch.cli.completion import files
from vlsearch.cli.options import (
    check_weights,
    library_option,
    model_options,
    precision_option,
    prepare_texts,
    verbose_option,
)
from vlsearch.cli.printing import print_json, progress, warn

if TYPE_CHECKING:
    from vlsearch.encoders.base import Encoder
    from vlsearch.ingest.summary import Summary

SHOWN_FAILURES = 5
INTERRUPTED = 130


@click.command(no_args_is_help=True)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=files)
@click.option("--exclude", metavar="GLOB", multiple=True, help="Skip files and folders whose name or path matches.")
@click.option("--watch", is_flag=True, help="Then follow changes, until Ctrl-C.")
@click.option(
    "--max-pixels",
    metavar="MEGAPIXELS",
    type=click.FloatRange(min=0, min_open=True),
    default=300,
    show_default=True,
    help="Leave larger photos out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@verbose_option
@precision_option
@library_option
@model_options
def command(
    paths: tuple[str, ...],
    exclude: tuple[str, ...],
    watch: bool,
    max_pixels: float,
    as_json: bool,
    precision: str,
    library_path: Path | None,
    model_name: str | None,
    weights: Path | None,
) -> int:
    """Embed the photos in folders, .tar and .parquet files, or in a list on stdin (-). Run it again at any time: only
    what is new or changed costs anything.

    Moved, renamed and duplicate photos are recognised by their bytes. Photos that are gone are kept and marked
    missing (`vlsearch forget` drops them). A file that cannot be read is noted and not tried again until it changes.

    \b
      vlsearch ingest ~/photos --exclude '*/thumbs/*'
      vlsearch ingest ~/photos --model builtin --watch
      vlsearch ingest 'shards/{00000..00099}.tar' train.parquet
      find . -name '*.jpg' -newer stamp -print0 | vlsearch ingest -
    """
    from vlsearch.encoders import registry
    from vlsearch.errors import UsageError
    from vlsearch.ingest import sources
    from vlsearch.library import open_library

    check_weights(model_name, weights)
    sources.find([path for path in paths if path != sources.STDIN], exclude)  # what is not there makes no library
    if watch and "-" in paths:
        raise UsageError("a list on stdin cannot be watched; name the folders")

    loaded: list[Encoder] = []

    @cache
    def load(source_items: tuple[tuple[str, Any], ...]) -> Encoder:
        loaded.append(registry.load_source(dict(source_items), precision))
        return loaded[-1]

    def once(roots: Sequence[str | Path]) -> Summary:
        from vlsearch.ingest.pipeline import ingest

        with open_library(library_path, write=True, create=True) as library, progress() as show:
            source = library.source_for(model_name, weights)
            return ingest(
                library,
                roots,
                registry.shown_name(source),
                lambda: load(tuple(source.items())),
                exclude=exclude,
                stdin=sys.stdin if "-" in roots else None,
                max_pixels=round(max_pixels * 1e6),
                progress=show,
            )

    if watch:
        follow(paths, once, exclude, as_json)
        return 0
    summary = once(paths)
    report(summary, as_json)
    if summary.interrupted:
        end_interrupted()
    for encoder in loaded:
        prepare_texts(encoder)
    return 1 if summary.failed else 0


def follow(
    paths: Sequence[str], once: Callable[[Sequence[str | Path]], Summary], exclude: Sequence[str], as_json: bool
) -> None:
    from vlsearch.ingest.watch import watch

    def run(roots: Sequence[Path]) -> None:
        summary = once(roots)
        if summary.added or summary.moved or summary.missing or summary.failed or summary.interrupted:
            report(summary, as_json)
        if summary.interrupted:
            end_interrupted()

    watch([Path(path) for path in paths], run, exclude=exclude)


def end_interrupted() -> NoReturn:
    """End at once: a lane may be in the middle of its photos, and Python's own end would abort under it."""
    warn("interrupted; what was embedded is kept, the same command goes on from there")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def report(summary: Summary, as_json: bool) -> None:
    for path, reason in summary.failures[:SHOWN_FAILURES]:
        warn(f"cannot read {path}: {reason}; skipped")
    if summary.failed > SHOWN_FAILURES:
        warn(f"and {summary.failed - SHOWN_FAILURES:,} more (vlsearch info --failures lists all)")
    if as_json:
        print_json(summary.to_dict())
    else:
        click.echo(str(summary))
    sys.stdout.flush()
