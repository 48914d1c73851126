"""The texts that an audit needs vectors of, in a file; and back as a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import ColourEncoder
from vlsearch.audit.texts_file import export_texts
from vlsearch.encoders.vectors_file import VectorsEncoder
from vlsearch.errors import UsageError

TEXTS = ["a dog", "пёс", 'say "hi"', "a dog", " spaced  out ", "犬"]
DISTINCT = list(dict.fromkeys(TEXTS))


def test_each_text_once_and_in_order(tmp_path: Path) -> None:
    for name in ("new/t.parquet", "t.jsonl", "t.txt"):
        assert export_texts(tmp_path / name, iter(TEXTS)) == len(DISTINCT)
    assert pq.read_table(tmp_path / "new" / "t.parquet").to_pydict() == {"key": DISTINCT}
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"key": text} for text in DISTINCT]
    assert (tmp_path / "t.txt").read_text(encoding="utf-8").splitlines() == DISTINCT


def test_vectors_beside_the_lines_are_a_model(tmp_path: Path, encoder: ColourEncoder) -> None:
    texts = [*TEXTS, "two\nlines", ""]
    export_texts(tmp_path / "v.jsonl", texts)
    written = [json.loads(line)["key"] for line in (tmp_path / "v.jsonl").read_bytes().splitlines()]
    np.save(tmp_path / "v.npy", encoder.embed_texts(written))
    found = VectorsEncoder(tmp_path / "v.npy").embed_texts(texts)
    np.testing.assert_allclose(found, encoder.embed_texts(texts), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "texts", "said"),
    [
        ("t.csv", ["a"], "should end in .parquet, .jsonl, .txt"),
        ("t.txt", ["a", "b\nc", "d\u2028e", ""], "3 of them are not one line; .jsonl holds them"),
        ("t.jsonl", ["\udcff"], "what is no character"),
        ("t.parquet", ["a\udcff"], "what is no character"),
        ("file/t.txt", ["a"], "cannot write"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, texts: list[str], said: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        export_texts(tmp_path / name, texts)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.rglob("*")] == ["file"]
