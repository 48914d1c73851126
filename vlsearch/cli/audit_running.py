"""How `vlsearch audit` gets its models and queries, runs one after the other, and keeps what came out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlsearch.cli.options import load_source
from vlsearch.cli.printing import progress, warn

if TYPE_CHECKING:
    from vlsearch.audit.asked import Asked
    from vlsearch.audit.run import Audited


def model_sources(
    asked: Asked, names: Sequence[str | None], weights: Path | None, library_path: Path | None
) -> list[dict[str, Any]]:
    """How each model is loaded: all of them are looked up before the first is audited."""
    from vlsearch.audit.model import source_of
    from vlsearch.library import open_library

    if asked.dataset is not None:
        make_library(library_path)
    with open_library(library_path) as library:
        return [source_of(library, name, weights, own=asked.dataset is None) for name in names]


def run_one(
    asked: Asked, source: dict[str, Any], library_path: Path | None, queries: Sequence[str], known: Any
) -> tuple[Audited, int | None]:
    """Run it with one model and keep it; the run and its number, None where it cannot be kept."""
    from vlsearch.audit.model import AuditModel, load
    from vlsearch.audit.run import audit
    from vlsearch.audit.runs import CACHE, FOLDER
    from vlsearch.library import open_library

    with open_library(library_path) as library:
        encoder = load(source, load_source)
        with progress() as show:
            model = AuditModel(encoder, library.path / FOLDER / CACHE, show)
            audited = audit(asked, model, library, queries=queries, known=known, progress=show)
    return audited, keep(library_path, audited, source)


def make_library(library_path: Path | None) -> None:
    """A dataset needs no library; its audits are kept in one all the same, which is made where there is none."""
    from vlsearch.errors import LibraryNotFound
    from vlsearch.library import open_library

    try:
        open_library(library_path).close()
    except LibraryNotFound:
        open_library(library_path, write=True, create=True).close()


def keep(library_path: Path | None, audited: Audited, source: dict[str, Any]) -> int | None:
    """Keep the run in the library; without the lock the result is shown all the same."""
    from vlsearch.audit import runs
    from vlsearch.errors import LibraryError
    from vlsearch.library import open_library

    try:
        with open_library(library_path, write=True) as library:
            return runs.keep(library, audited, source)
    except LibraryError as error:
        warn(f"this audit is not kept in the library: {error}")
        return None


def asked_queries(asked: Asked, library_path: Path | None) -> list[str]:
    from vlsearch.audit.asked import LOG
    from vlsearch.audit.tasks.lists import read_queries
    from vlsearch.errors import UsageError
    from vlsearch.library import open_library
    from vlsearch.search.log import logged_queries

    if asked.queries is None:
        return []
    if asked.queries != LOG:
        return read_queries(asked.queries)
    with open_library(library_path) as library:
        found = logged_queries(library.path)
    if not found:
        raise UsageError("no query is logged; `vlsearch log --on` switches the log on, --queries FILE needs none")
    return found


def write_texts(path: Path, asked: Asked, queries: Sequence[str], library_path: Path | None) -> int:
    from vlsearch.audit.run import texts_needed
    from vlsearch.audit.texts_file import export_texts
    from vlsearch.library import open_library

    with progress() as show:
        if asked.dataset is not None:
            texts = texts_needed(asked, None, queries=queries, progress=show)
        else:
            with open_library(library_path) as library:
                texts = texts_needed(asked, library, queries=queries, progress=show)
    export_texts(path, texts)
    click.echo(f"{len(texts):,} texts written to {path}")
    return 0
