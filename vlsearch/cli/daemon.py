"""`vlsearch daemon`."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vlsearch.cli.options import encoder_for, library_option, model_options
from vlsearch.printable import printable

if TYPE_CHECKING:
    from vlsearch.encoders.base import Encoder

WORDS = 20
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(time: str) -> float:
    """90s, 30m, 1.5h or 2d in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", time)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{time!r} is no time; say it as 90s, 30m, 2h or 1d")
    return float(found[1]) * UNITS[found[2]]


@click.command()
@click.option("--idle", type=seconds, metavar="TIME", default="30m", show_default=True, help="End when nobody asks.")
@click.option("--background", is_flag=True, help="Return once it answers, and leave it running.")
@click.option("--stop", is_flag=True, help="End the daemon of the library.")
@click.option("--status", "wants_status", is_flag=True, help="Say whether one runs, its model and memory.")
@library_option
@model_options
def command(
    idle: float,
    background: bool,
    stop: bool,
    wants_status: bool,
    library_path: Path | None,
    model_name: str | None,
    weights: Path | None,
) -> int:
    """Keep a library's index and model in memory, so that queries answer at once.

    `vlsearch query` asks the daemon by itself while one runs for its library and model, and answers without it where
    none does; VLSEARCH_DAEMON=0 leaves it out. It listens on a socket that only you may use, sees what is ingested
    meanwhile, and ends after --idle, by --stop, or with Ctrl-C.

    \b
      vlsearch daemon --background
      vlsearch query "dog on the beach"
      vlsearch daemon --stop
    """
    from vlsearch.daemon import control
    from vlsearch.errors import UsageError
    from vlsearch.library import default_path

    if background + stop + wants_status > 1:
        raise UsageError("--background, --stop and --status exclude one another")
    control.check_supported()
    library = Path(os.path.abspath(library_path.expanduser() if library_path is not None else default_path()))
    if wants_status:
        return print_status(library, control.tell(library, "status"))
    if stop:
        process = control.stop(library)
        click.echo(f"vlsearch: {f'ended process {process}' if process else none_for(library)}", err=True)
        return 0 if process else 1
    options = ["--library", str(library), *(["--model", model_name] if model_name else [])]
    options += ["--weights", os.path.abspath(weights)] if weights is not None else []
    if background:
        status = control.start(library, ["--idle", f"{idle}s", *options])
        click.echo(f"vlsearch: {answers(library, status['process'])}", err=True)
        return 0
    with control.holding(library):
        return serve(library, options, load(library, model_name, weights), idle)


def load(library_path: Path, model_name: str | None, weights: Path | None) -> Encoder:
    """The model, which from now on is kept, and the library with it."""
    from vlsearch.library import open_library
    from vlsearch.search import warm

    with open_library(library_path) as library:
        click.echo("vlsearch: loading the model", err=True)
        encoder = encoder_for(library, model_name, weights)
        warm.keep(library, encoder)
    import torch

    torch.set_num_threads(1)  # several would wait for each other on a machine that is busy
    if hasattr(encoder, "pack_texts"):
        encoder.pack_texts()
    return encoder


def serve(library: Path, options: list[str], encoder: Encoder, idle: float) -> int:
    from vlsearch.cli import run
    from vlsearch.daemon import client, turn
    from vlsearch.daemon.server import Server

    os.chdir("/")  # the folder that it was started in may be removed or unmounted meanwhile
    for words in range(1, WORDS):  # the first text of a length takes longer, and so does the first query
        encoder.embed_texts([" ".join(["word"] * words)])
    # two terms, which no query log keeps
    first = client.request(["query", "word + word", *options], str(library))
    turn.perform({**first, "terminal": True}, run)
    server = Server(library, run, idle, {"model": encoder.name})
    reason = server.serve(lambda: click.echo(f"vlsearch: {answers(library, os.getpid())}; Ctrl-C ends it", err=True))
    click.echo(f"vlsearch: the daemon ends: {printable(reason)}", err=True)
    return 0


def print_status(library: Path, status: dict[str, Any] | None) -> int:
    if status is None:
        click.echo(none_for(library))
        return 1
    click.echo(answers(library, status["process"]))
    memory = f", {status['memory'] / 1e6:,.0f} MB of memory" if status["memory"] else ""
    click.echo(f"model {printable(status['model'])}{memory}")
    minutes = (time.time() - status["since"]) / 60
    click.echo(f"{status['answered']:,} queries in {minutes:,.0f} min; ends when none comes for {status['idle']:g} s")
    return 0


def answers(library: Path, process: int) -> str:
    return f"process {process} answers queries for {printable(str(library))}"


def none_for(library: Path) -> str:
    return f"no daemon runs for {printable(str(library))}"
