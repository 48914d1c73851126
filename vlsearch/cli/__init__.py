"""The command line: one module per command, imported when the command is run. Results on stdout, the rest on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from vlsearch import __version__
from vlsearch.errors import VlsearchError

COMMANDS = {
    "ingest": "Embed the photos in folders and archives; again and again, only what is new.",
    "query": "Find photos by words or by a photo.",
    "audit": "Measure how far the answers depend on the order of words.",
    "train": "Give a model a sense of word order, or make a small one of a large one.",
    "tag": "Tell which of your labels each photo shows.",
    "describe": "Have a language model describe labels.",
    "captions": "Import and export what is known in words about photos.",
    "import-vectors": "Make photos searchable by vectors that exist already.",
    "export": "Photos, captions and vectors as Parquet.",
    "duplicates": "List photos that are there twice, or nearly.",
    "info": "What a library holds.",
    "models": "Models: in the library, in the cache, built in, recommended.",
    "forget": "Drop the photos that are missing.",
    "optimize": "Merge small shards, give free space back.",
    "verify": "Check every byte of a library.",
    "repair": "Mend what verify found.",
    "log": "Keep the words of queries for an audit, where switched on.",
    "daemon": "Keep a library warm, for queries that answer at once.",
    "completion": "Completion for bash, zsh or fish.",
}


class Commands(click.Group):
    """Knows its commands by name and one line each; loads a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"vlsearch.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vlsearch")
def vlsearch() -> None:
    """Search a photo collection with words or pictures, and know how far the answer depends on word order.

    \b
      vlsearch ingest ~/photos
      vlsearch query "dog on the beach"
      vlsearch audit --perturb shuffle

    Exit codes: 0 fine, 1 finished with some failures, 2 wrong usage.
    """


def main() -> None:
    """The `vlsearch` command."""
    sys.exit(run())


def run(args: Sequence[str] | None = None) -> int:
    """The exit code of a command line (default: this process's). No traceback reaches the user for anything that can be
    foreseen."""
    import logging
    import os

    from vlsearch.cli.printing import warn

    logging.basicConfig(format="vlsearch: %(message)s", level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = vlsearch.main(args, prog_name="vlsearch", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        click.echo("vlsearch: interrupted; what was committed is kept, the same command goes on", err=True)
        return 130
    except getattr(click.exceptions, "NoArgsIsHelpError", ()) as error:  # since click 8.2
        error.show()
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        warn(" ".join(error.format_message().split()).removesuffix(".") + hint)
        return error.exit_code
    except VlsearchError as error:
        warn(str(error), *error.details)
        return error.exit_code
    except OSError as error:
        if error.filename is None:  # stdout itself: the flush at exit must not fail once more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 0
        warn(": ".join(str(part) for part in (error.strerror or error, error.filename) if part is not None))
        return 1
    return code if isinstance(code, int) else 0
