"""What all commands have in common: help, errors, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import Done
from vlsearch import __version__
from vlsearch.cli import COMMANDS, vlsearch

Cli = Callable[..., Done]
Photos = Callable[..., Path]


def one_line(done: Done, code: int) -> str:
    """The single line on stderr of a command that printed nothing else."""
    assert done.code == code
    assert done.out == b""
    assert re.fullmatch(r"vlsearch: [^\n]+\n", done.err), done.err
    assert "Traceback" not in done.err
    return done.err


def test_help_names_every_command(cli: Cli) -> None:
    for flag in ("--help", "-h"):
        done = cli(flag)
        assert (done.code, done.err) == (0, "")
        assert set(COMMANDS) <= set(done.text.split())


def test_version(cli: Cli) -> None:
    assert cli("--version").text.split() == ["vlsearch,", "version", __version__]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_begins_with_what_it_does(name: str) -> None:
    done = CliRunner().invoke(vlsearch, [name, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: vlsearch {name}")
    assert done.output.split("\n\n")[1].strip().endswith(".")
    assert all(len(line) <= 120 for line in done.output.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["qery", "dog"], "no command 'qery'; did you mean query?"),
        (["frobnicate"], "there are ingest, query, audit"),
        (["--frob"], "--frob"),
        (["query", "dog", "--frob"], "--frob"),
        (["query", "dog", "-k", "0"], "-k"),
        (["query", "dog", "-k", "many"], "-k"),
        (["query", "dog", "--to", "videos"], "photos"),
        (["query", "dog", "cat"], "cat"),
        (["query", "dog", "--min-score", "high"], "--min-score"),
        (["audit", "--seeds", "0"], "--seeds"),
        (["captions", "imprt", "x"], "imprt"),
        (["forget", "everything"], "everything"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: list[str], said: str) -> None:
    assert said in one_line(cli(*arguments), 2)


@pytest.mark.parametrize("arguments", [[], ["ingest"], ["query"], ["captions"], ["captions", "import"]])
def test_without_arguments_there_is_help(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert "Usage: vlsearch" in done.err + done.text
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [["query", "dog"], ["audit"], ["info"], ["verify"], ["repair"], ["forget"], ["captions", "export", "x"]],
)
def test_no_library(cli: Cli, arguments: list[str], tmp_path: Path) -> None:
    assert f"no library at {tmp_path / 'library'}; `vlsearch ingest FOLDER` makes one" in one_line(cli(*arguments), 2)
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize("arguments", [["query", "dog"], ["audit"], ["verify"], ["repair"], ["forget"]])
def test_a_library_of_a_newer_version(cli: Cli, photos: Photos, tmp_path: Path, arguments: list[str]) -> None:
    import sqlite3

    assert cli("ingest", photos(1), "--model", "colour").code == 0
    with sqlite3.connect(tmp_path / "library" / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE alembic_version SET version_num = '9999'")
    catalog.close()
    assert "upgrade vlsearch" in one_line(cli(*arguments), 1)
    assert "upgrade vlsearch" in one_line(cli("ingest", photos(1)), 1)


@pytest.mark.parametrize("arguments", [["query", "dog"], ["info"], ["verify"], ["repair"], ["ingest", "."]])
def test_a_damaged_catalog(cli: Cli, photos: Photos, tmp_path: Path, arguments: list[str]) -> None:
    assert cli("ingest", photos(1), "--model", "colour").code == 0
    (tmp_path / "library" / "catalog.sqlite").write_bytes(b"garbage" * 1000)
    assert "catalog.sqlite is damaged" in one_line(cli(*arguments), 1)


def test_a_library_that_is_a_folder_of_something_else(cli: Cli, photos: Photos) -> None:
    folder = photos(1)
    assert "no library" in one_line(cli("ingest", folder, "--library", folder), 2)
    assert len(list(folder.iterdir())) == 1


def test_a_second_writer_is_told_who_holds_the_lock(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    import os

    from vlsearch.library import open_library

    folder = photos(1)
    with open_library(tmp_path / "library", write=True, create=True):
        line = one_line(cli("ingest", folder, "--model", "colour"), 1)
    assert f"process {os.getpid()} " in line
    assert "wait for it" in line


def test_names_in_errors_cannot_steer_the_terminal(cli: Cli, tmp_path: Path) -> None:
    line = one_line(cli("ingest", tmp_path / "a\x1b[2J\nb"), 2)
    assert "a\\x1b[2J\\nb" in line


def test_a_full_stdout() -> None:
    start = [sys.executable, "-m", "vlsearch", "--help"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(start, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "vlsearch: No space left on device\n")


def test_an_interrupt_is_one_line(cli: Cli, photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vlsearch.ingest.pipeline.ingest", interrupted)
    done = cli("ingest", photos(1), "--model", "colour")
    assert done.code == 130
    assert done.err.strip() == "vlsearch: interrupted; what was committed is kept, the same command goes on"


def test_a_module_and_a_script() -> None:
    done = subprocess.run([sys.executable, "-m", "vlsearch", "frob"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("vlsearch: no command 'frob'")
