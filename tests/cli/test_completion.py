"""Completion, asked as a shell asks: through the environment, and by bash itself where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done
from vlsearch.cli import COMMANDS

HEAVY = ("torch", "open_clip", "faiss", "pyarrow", "sqlalchemy", "numpy", "scipy", "PIL", "rich")


def completed(*words: str) -> list[tuple[str, str]]:
    """(kind, value) of what could stand in the place of the last word; nothing heavy may be imported for it."""
    code = (
        "import sys, atexit; sys.argv = ['vlsearch'];"
        f"atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules]));"
        "from vlsearch.__main__ import main; main()"
    )
    asked = {
        "_VLSEARCH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["vlsearch", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    *lines, imported = done.stdout.splitlines()
    assert imported == "[]"
    return [(kind, value) for kind, _, value in (line.partition(",") for line in lines)]


def test_commands() -> None:
    assert [value for _, value in completed("")] == list(COMMANDS)
    assert completed("que") == [("plain", "query")]


def test_options_and_their_values() -> None:
    assert ("plain", "--library") in completed("query", "--l")
    assert completed("query", "--to", "") == [("plain", "photos"), ("plain", "captions")]
    assert completed("query", "--html", "x")[0][0] == "file"
    assert completed("query", "--library", "x")[0][0] == "file"
    assert completed("completion", "") == [("plain", "bash"), ("plain", "zsh"), ("plain", "fish")]


def test_it_is_quick() -> None:
    seconds = []
    for _ in range(3):
        began = os.times().children_user
        completed("query", "--")
        seconds.append(os.times().children_user - began)
    assert min(seconds) < 0.2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(cli: Callable[..., Done], shell: str) -> None:
    done = cli("completion", shell)
    assert done.code == 0
    assert f"_VLSEARCH_COMPLETE={shell}_complete" in done.text
    if program := shutil.which(shell):
        assert subprocess.run([program, "-n"], input=done.out, check=False).returncode == 0


def test_wrong_shell(cli: Callable[..., Done]) -> None:
    done = cli("completion", "cmd")
    assert done.code == 2
    assert "bash" in done.err


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "vlsearch"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vlsearch "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(vlsearch completion bash)"\n'
        "COMP_WORDS=(vlsearch query --to c) COMP_CWORD=3\n"
        "complete -p vlsearch\n"
        "_vlsearch_completion vlsearch\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "captions"
    assert "-F _vlsearch_completion vlsearch" in done.stdout


def test_files_for_what_is_no_plain_path() -> None:
    import click

    from vlsearch.cli.completion import files

    parameter = click.Argument(["roots"], shell_complete=files)
    (item,) = parameter.shell_complete(click.Context(click.Command("x")), "a*")
    assert (item.value, item.type) == ("a*", "file")
