"""`vlsearch log`."""

from __future__ import annotations

from pathlib import Path

import click

from vlsearch.cli.options import library_option
from vlsearch.printable import printable

LAST = 10


@click.command()
@click.option("--on", is_flag=True, help="Keep the words of each query from now on.")
@click.option("--off", is_flag=True, help="Keep no more, and delete those that were kept.")
@click.option("--clear", is_flag=True, help="Delete those that were kept, and go on.")
@library_option
def command(on: bool, off: bool, clear: bool, library_path: Path | None) -> int:
    """Keep the words of queries, for an audit without captions; off unless it is switched on.

    Without an option: whether the log is on, how many queries it holds, and the last of them.

    \b
      vlsearch log --on
      vlsearch log --off
    """
    from vlsearch.errors import UsageError
    from vlsearch.library import open_library
    from vlsearch.search import log

    if on + off + clear > 1:
        raise UsageError("--on, --off and --clear exclude one another")
    with open_library(library_path) as library:
        folder = library.path
    kept = list(log.logged(folder))
    if on:
        log.switch_on(folder)
        click.echo(
            f"on: queries of words are kept in {printable(str(folder / log.FILE))}; `vlsearch log --off` ends it"
        )
    elif off:
        log.switch_off(folder)
        click.echo(f"off: no query is kept from now on; {deleted(len(kept))}")
    elif clear:
        log.clear(folder)
        click.echo(f"{state(log.is_on(folder))}; {deleted(len(kept))}")
    else:
        count = f"{len(kept):,} {'query' if len(kept) == 1 else 'queries'} in {printable(str(folder / log.FILE))}"
        click.echo(f"on: {count}" if log.is_on(folder) else f"{state(False)}; `vlsearch log --on` switches it on")
        for query in kept[-LAST:]:
            click.echo(f"{printable(query.at)}\t{printable(query.text)}")
    return 0


def state(on: bool) -> str:
    return "on: queries of words are kept" if on else "off: no query is kept"


def deleted(count: int) -> str:
    return f"the {count:,} that were kept are deleted" if count else "none was kept"
