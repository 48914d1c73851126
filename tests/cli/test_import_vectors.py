"""`vlsearch import-vectors` and what follows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.test_main import one_line
from tests.conftest import ColourEncoder, Done

Cli = Callable[..., Done]


@pytest.fixture
def file(tmp_path: Path, encoder: ColourEncoder) -> Path:
    """Vectors that the encoder makes of five texts, in Parquet, under names that say which."""
    texts = ["dog", "cat", "car", "sea", "sun"]
    table = pa.table({"path": [f"{text}.jpg" for text in texts], "vector": encoder.embed_texts(texts).tolist()})
    pq.write_table(table, tmp_path / "v.parquet")
    return tmp_path / "v.parquet"


def test_vectors_are_imported_once_and_answer_queries(cli: Cli, file: Path) -> None:
    done = cli("import-vectors", file, "--model", "colour")
    assert (done.code, done.err) == (0, "")
    assert done.text.startswith("5 vectors added, 0 unchanged in ")
    (row,) = cli("import-vectors", file, "--model", "colour", "--json").rows
    assert row == {"added": 0, "unchanged": 5, "failed": 0, "captions": 0, "seconds": row["seconds"]}
    for text in ("sea", "dog"):
        best, *_ = cli("query", text, "--json").rows
        assert best["path"] == f"{text}.jpg"
        assert best["score"] == pytest.approx(1, abs=1e-3)
    (info,) = cli("info", "--json").rows
    assert (info["photos"], info["models"][0]["photos"]) == (5, 5)
    assert cli("verify").code == 0


def test_failures_are_shown_and_counted(cli: Cli, tmp_path: Path) -> None:
    xb: Any = np.ones((9, 4), np.float32)
    xb[1:8] = 0
    np.savez(tmp_path / "v.npz", emb=xb, ids=range(9))
    done = cli("import-vectors", tmp_path / "v.npz", "--model", "m")
    assert done.code == 1
    assert done.text.startswith("2 vectors added, 0 unchanged, 7 failed in ")
    lines = done.err.splitlines()
    assert len(lines) == 6
    assert lines[0] == f"vlsearch: cannot take 1 (row 1 of {tmp_path}/v.npz): its vector is zero; skipped"
    assert lines[5] == "vlsearch: and 2 more"


def test_wrong_usage(cli: Cli, file: Path, tmp_path: Path) -> None:
    assert "--model" in one_line(cli("import-vectors", file), 2)
    assert "no such file" in one_line(cli("import-vectors", tmp_path / "no.npy", "--model", "m"), 2)
    assert "no such folder" in one_line(cli("import-vectors", file, "--model", "m", "--images", tmp_path / "no"), 2)
    assert "48 dimensions, not 7" in one_line(cli("import-vectors", file, "--model", "m", "--dim", "7"), 2)
    file.write_bytes(b"junk" * 100)
    assert "cannot read vectors" in one_line(cli("import-vectors", file, "--model", "m"), 1)
    assert not (tmp_path / "library" / "vectors").exists()
