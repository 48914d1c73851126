"""`vlsearch export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.cli.test_main import one_line
from tests.conftest import Done

Cli = Callable[..., Done]
Photos = Callable[..., Path]


def test_export_and_back(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    root = photos(5)
    cli("ingest", root, "--model", "colour")
    done = cli("export", tmp_path / "x.parquet", "--clip-retrieval", tmp_path / "e")
    assert (done.code, done.err) == (0, "")
    assert done.text.splitlines() == [f"5 photos written to {tmp_path / name}" for name in ("x.parquet", "e")]
    assert np.load(tmp_path / "e/img_emb/img_emb_0.npy").shape == (5, 48)
    query = ("query", "--image", root / "00003.jpg", "--paths")
    answers = cli(*query).out
    for file in ("x.parquet", "e"):
        other = ("--library", tmp_path / f"of-{file}")
        assert cli("import-vectors", tmp_path / file, "--model", "colour", *other).code == 0
        assert cli(*query, *other).out == answers


def test_without_vectors(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    cli("ingest", photos(2), "--model", "colour")
    assert cli("export", tmp_path / "x.parquet", "--no-vectors").code == 0
    assert "vector" not in pq.read_schema(tmp_path / "x.parquet").names


def test_wrong_usage(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    assert "no library at" in one_line(cli("export", tmp_path / "x.parquet"), 2)
    cli("ingest", photos(1), "--model", "colour")
    assert "say where to" in one_line(cli("export", "--model", "colour"), 2)
    assert "should end in .parquet" in one_line(cli("export", tmp_path / "x.csv"), 2)
    assert "no vectors of model m" in one_line(cli("export", tmp_path / "x.parquet", "--model", "m"), 2)
    assert "--no-vectors goes with neither" in one_line(
        cli("export", "--no-vectors", "--clip-retrieval", tmp_path / "e"), 2
    )
    assert "cannot write to" in one_line(cli("export", tmp_path / "no/x.parquet"), 2)
    assert not list(tmp_path.glob("*.part"))
