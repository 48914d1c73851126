"""`vlsearch info`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlsearch.cli.options import library_option
from vlsearch.cli.printing import print_json, warn
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.library import Library


@click.command()
@click.option("--failures", is_flag=True, help="List the files that could not be read, and why.")
@click.option("--missing", is_flag=True, help="List the files that are gone, and since when.")
@click.option("--json", "as_json", is_flag=True, help="JSON: one object, or one a line with a list.")
@library_option
def command(failures: bool, missing: bool, as_json: bool, library_path: Path | None) -> int:
    """What a library holds."""
    from vlsearch.catalog import queries
    from vlsearch.errors import UsageError
    from vlsearch.library import open_library

    if failures and missing:
        raise UsageError("--failures and --missing are two lists; ask for one at a time")
    with open_library(library_path) as library:
        if failures:
            with library.read() as c:
                rows = [{"path": path, "reason": reason} for path, reason in queries.failures(c)]
        elif missing:
            with library.read() as c:
                rows = [{"path": path, "since": local_time(when)} for path, when in queries.missing_files(c)]
        else:
            rows = [summary(library)]
    if as_json:
        for row in rows:
            print_json(row)
    elif failures or missing:
        for row in rows:
            click.echo("\t".join(printable(str(value)) for value in row.values()))
    else:
        print_summary(rows[0])
    if failures:
        warn(
            f"{len(rows):,} files could not be read; an ingest tries one again once it has changed"
            if rows
            else "no file failed"
        )
    elif missing:
        warn(f"{len(rows):,} files are missing; `vlsearch forget` drops them" if rows else "no file is missing")
    return 0


def summary(library: Library) -> dict[str, Any]:
    from vlsearch.catalog import migrate, queries
    from vlsearch.optimize import expected, stored_bytes

    with library.read() as c:
        counts = queries.counts(c)
        models = [
            {
                "name": model.name,
                "fingerprint": model.fingerprint,
                "dim": model.dim,
                "photos": sum(queries.live_counts(c, model.id, queries.IMAGE).values()),
                "captions": sum(queries.live_counts(c, model.id, queries.TEXT).values()),
                "shards": len(queries.shards(c, model.id)),
            }
            for model in queries.models(c)
        ]
    mergeable = expected(library)
    return {
        "library": str(library.path),
        "schema": migrate.HEAD,
        "bytes": stored_bytes(library),
        **counts,
        "models": models,
        "mergeable": {"shards": mergeable.before, "into": mergeable.after, "forgotten": mergeable.dropped},
    }


def print_summary(row: dict[str, Any]) -> None:
    click.echo(f"{printable(row['library'])}  ({row['bytes'] / 1e6:.1f} MB, schema {row['schema']})")
    click.echo(f"{row['photos']:,} photos in {row['files']:,} files, {row['captions']:,} captions")
    if row["missing"]:
        click.echo(f"{row['missing']:,} files missing (vlsearch info --missing)")
    if row["failures"]:
        click.echo(f"{row['failures']:,} files could not be read (vlsearch info --failures)")
    for model in row["models"]:
        click.echo(
            f"model {printable(model['name'])}: {model['photos']:,} photos, {model['captions']:,} captions, "
            f"{model['dim']} dimensions, fingerprint {model['fingerprint'][:12] or 'unknown (imported)'}"
        )
    print_shards(sum(model["shards"] for model in row["models"]), **row["mergeable"])


def print_shards(count: int, shards: int, into: int, forgotten: int) -> None:
    what = f"{shards:,} of them, with {forgotten:,} forgotten vectors," if forgotten else f"{shards:,} of them"
    click.echo(f"{count:,} shards" + (f" (vlsearch optimize merges {what} into {into:,})" if shards else ""))


def local_time(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
