"""Ctrl-C in a real process: what was embedded is there, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vlsearch.check import verify
from vlsearch.library import open_library

PHOTOS = 3000
"""more than are committed at a time on a fast machine"""


def committed(library: Path) -> int:
    try:
        with sqlite3.connect(f"file:{library / 'catalog.sqlite'}?mode=ro", uri=True) as catalog:
            return int(catalog.execute("SELECT count(*) FROM content").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c(photos: Callable[..., Path], tmp_path: Path) -> None:
    folder, library = photos(PHOTOS), tmp_path / "library"
    command = [sys.executable, "-m", "vlsearch", "ingest", str(folder), "--model", "builtin", "--json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not committed(library) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert err == "vlsearch: interrupted; what was embedded is kept, the same command goes on from there\n"
    summary = json.loads(out)
    assert summary["interrupted"]
    assert 0 < summary["embedded"] < PHOTOS
    with open_library(library) as opened:
        assert summary["embedded"] == committed(library) == len(opened.vectors(opened.model())[0])
        assert [p.what for p in verify(opened) if "index" not in p.what] == []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)["embedded"] == PHOTOS - summary["embedded"]
    with open_library(library) as opened:
        assert verify(opened) == []
        assert committed(library) == PHOTOS
