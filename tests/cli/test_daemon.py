"""`vlsearch daemon`: its options, and one real daemon with the built-in model."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from tests.conftest import Done
from vlsearch.cli.daemon import seconds
from vlsearch.daemon import control

Cli = Callable[..., Done]


@pytest.fixture(autouse=True)
def _runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tempfile.mkdtemp(prefix="vl")
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    yield
    shutil.rmtree(folder)


@pytest.mark.parametrize(("time", "number"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172800)])
def test_times(time: str, number: float) -> None:
    assert seconds(time) == number


@pytest.mark.parametrize("time", ["", "30", "m", "-1m", "0s", "1 h", "never", "1w"])
def test_no_times(time: str) -> None:
    with pytest.raises(click.BadParameter, match="90s, 30m, 2h or 1d"):
        seconds(time)


def test_none_runs(cli: Cli, tmp_path: Path) -> None:
    assert cli("daemon", "--status") == Done(1, f"no daemon runs for {tmp_path / 'library'}\n".encode(), "")
    assert cli("daemon", "--stop") == Done(1, b"", f"vlsearch: no daemon runs for {tmp_path / 'library'}\n")


def test_wrong_use(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "exclude one another" in cli("daemon", "--stop", "--status").err
    assert cli("daemon", "--idle", "soon").code == 2
    assert (cli("daemon").code, cli("daemon").err.count("\n")) == (2, 1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    done = cli("daemon")
    assert done.code == 1
    assert "set XDG_RUNTIME_DIR" in done.err
    monkeypatch.delattr("socket.AF_UNIX")
    assert (
        cli("daemon").err
        == "vlsearch: this system has no Unix sockets, so there is no daemon; queries work without it\n"
    )


def test_a_daemon_that_cannot_start_says_why(cli: Cli, tmp_path: Path) -> None:
    done = cli("daemon", "--background")
    assert done.code == 1
    assert done.err == f"vlsearch: no library at {tmp_path / 'library'}; `vlsearch ingest FOLDER` makes one\n"


def vlsearch(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vlsearch", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done
    return done


@pytest.fixture
def _nothing_is_left_running(tmp_path: Path) -> Iterator[None]:
    yield
    if process := control.holder(tmp_path / "library"):
        os.kill(int(process), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing_is_left_running")
def test_a_daemon(photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(3)
    vlsearch("ingest", folder, "--model", "builtin")
    query = ["query", "a red square", "--json"]
    cold = [json.loads(line) for line in vlsearch(*query).stdout.splitlines()]
    monkeypatch.delenv("VLSEARCH_DAEMON", raising=False)

    started = vlsearch("daemon", "--background", "--idle", "5m").stderr
    process = re.fullmatch(r"vlsearch: process (\d+) answers queries for .*library\n", started)
    assert process is not None
    assert f"(process {process[1]})" in vlsearch("daemon", code=1).stderr

    def status() -> tuple[int, str]:
        shown = vlsearch("daemon", "--status").stdout
        found = re.search(r"^(\d+) quer", shown, re.MULTILINE)
        assert found is not None
        return int(found[1]), shown

    assert status()[0] == 0
    assert re.search(r"model builtin, [\d,]+ MB of memory", status()[1])
    warm = [json.loads(line) for line in vlsearch(*query).stdout.splitlines()]
    assert [row["path"] for row in warm] == [row["path"] for row in cold]
    assert [row["score"] for row in warm] == pytest.approx([row["score"] for row in cold], abs=0.01)
    assert "\x1b" not in vlsearch("query", "a red square").stdout
    assert len(vlsearch("query", "--like", folder / "00001.jpg", "--paths").stdout.splitlines()) == 3
    assert status()[0] == 3

    photos(2, "more", seed=5)
    vlsearch("ingest", tmp_path / "more")
    assert len(vlsearch(*query).stdout.splitlines()) == 5
    assert "no vectors of model x" in vlsearch("query", "dog", "--model", "x", code=2).stderr
    monkeypatch.chdir(tmp_path)
    assert len(vlsearch("query", "dog", "--under", "more").stdout.splitlines()) == 2
    assert status()[0] == 6

    assert vlsearch("daemon", "--stop").stderr == f"vlsearch: ended process {process[1]}\n"
    assert not any(file.suffix == ".sock" for file in Path(os.environ["XDG_RUNTIME_DIR"], "vlsearch").iterdir())
    assert len(vlsearch(*query).stdout.splitlines()) == 5
