from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no Unix sockets")

Stub = Callable[..., "subprocess.Popen[str]"]
Client = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An XDG_RUNTIME_DIR of the test's own, with a name that is short enough for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="vl"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.delenv("VLSEARCH_DAEMON", raising=False)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that the stub is the daemon of. It is no library: who does without the daemon exits with 2."""
    folder = tmp_path / "library"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def stub(place: Path) -> Iterator[Stub]:
    """Starts a stub daemon, which listens when this returns."""
    started: list[subprocess.Popen[str]] = []

    def start(idle: float = 60, patience: float = 5) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.daemon.stub", str(place), str(idle), str(patience)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def client(place: Path) -> Client:
    """Runs `vlsearch query CODE` as a process."""

    def run(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vlsearch", "query", code, "--library", str(place), *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.run(
            command, check=False, text=True, errors="surrogateescape", timeout=30, **(pipes | options)
        )  # type: ignore[call-overload, no-any-return]

    return run
