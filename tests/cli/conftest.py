"""What the tests of the audit's commands share."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Done
from vlsearch.vectors.store import write_durably

CAPTIONS = ["a dog chases a red ball", "two cats on a sofa", "a boat on the sea", "x", "a man with a small horse"]


@pytest.fixture
def caption(cli: Callable[..., Done], tmp_path: Path) -> Callable[[Sequence[str]], None]:
    """Gives each photo of a list of captions, in the order of the photos' names, its caption."""

    def give(captions: Sequence[str]) -> None:
        rows = [{"path": f"{n:05d}.jpg", "caption": text} for n, text in enumerate(captions)]
        (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
        assert cli("captions", "import", tmp_path / "c.jsonl").code == 0

    return give


@pytest.fixture
def captioned(cli: Callable[..., Done], photos: Callable[..., Path], caption: Callable[[Sequence[str]], None]) -> Path:
    """A library of 6 photos, 5 of them with a caption; one caption is a single word."""
    folder = photos(6)
    cli("ingest", folder, "--model", "colour")
    caption(CAPTIONS)
    return folder


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., Path]:
    """Writes objects as a JSONL and returns where."""

    def write(*rows: Mapping[str, Any], name: str = "own.jsonl") -> Path:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / name

    return write


@pytest.fixture
def full_below(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """From now on the disk is full for what an audit writes into a folder."""

    def fill(folder: Path) -> None:
        def write(path: Path, data: Any) -> None:
            if folder in path.parents:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write_durably(path, data)

        for module in ("vlsearch.audit.report.files", "vlsearch.audit.cache"):
            monkeypatch.setattr(f"{module}.write_durably", write)

    return fill
