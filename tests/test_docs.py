"""The examples in docs/ run as they are written, and its commands exist."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest

from tests.conftest import ColourEncoder
from vlsearch.cli import vlsearch

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is a ColourEncoder: loading the built-in one takes seconds."""

    def load(source: dict[str, Any], _precision: str = "auto") -> ColourEncoder:
        return ColourEncoder(source["name"])

    monkeypatch.setattr("vlsearch.encoders.registry.load_source", load)
    monkeypatch.setattr("vlsearch.encoders.registry.load", lambda name: ColourEncoder(name))


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("page", ["python.md"])
def test_examples_run(
    page: str, photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    photos(12)
    lines = [f'0000{n}.jpg,"{text}"' for n, text in enumerate(["a dog by a cat", "a red car", "two birds in a tree"])]
    (tmp_path / "captions.csv").write_text("\n".join(["path,caption", *lines]))
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    assert done.attempted > 0
    assert done.failed == 0, capsys.readouterr().out


COMMANDS = [
    pytest.param(line, id=f"{page.name}: {line}")
    for page in (*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md")
    for line in re.findall(r"^ {4,}(?:torchrun .* -m )?(vlsearch .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_have_the_options_that_pages_give_them(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are parsed, not run."""
    monkeypatch.chdir(tmp_path)
    # What follows three spaces says what the command is for.
    _, *args = takewhile(lambda word: word not in ("|", ">", "..."), shlex.split(line.split("   ")[0], comments=True))
    for photo in (arg for arg in args if arg.endswith(".jpg")):
        Path(photo).touch()
    command: click.Command = vlsearch
    while isinstance(command, click.Group):
        context = command.make_context(command.name, args)
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            return
        _, found, args = command.resolve_command(context, rest)
        assert found is not None
        command = found
    command.make_context(command.name, args)
