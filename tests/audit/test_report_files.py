"""Rows of an audit as files."""

from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.audit.report_samples import CAPTIONS, choice_rows, retrieval_rows
from vlsearch.audit.report.files import write_rows
from vlsearch.errors import UsageError


def test_csv_has_a_line_a_query(tmp_path: Path) -> None:
    rows = retrieval_rows(captions=['a "dog", and\na cat', *CAPTIONS])
    write_rows(tmp_path / "new" / "rows.csv", rows)
    with (tmp_path / "new" / "rows.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == rows.num_rows
    assert read[0] | {"rank": ""} == {
        "direction": "text_to_image",
        "perturbation": "shuffle",
        "seed": "0",
        "photo": "/photos/0.jpg",
        "text": 'a "dog", and\na cat',
        "perturbed": rows["perturbed"][0].as_py(),
        "changed": "true",
        "rank_clean": "1",
        "rank": "",
        "ties_clean": "0",
        "ties": "0",
    }


def test_lists_are_json_in_their_cell(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.CSV", choice_rows())
    with (tmp_path / "rows.CSV").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert json.loads(second["texts"]) == ["a cat", "a cat and a dog", "a dog"]
    assert json.loads(second["scores"]) == [0.5, 0.2, 0.4]
    assert first["bag_of_words"] == ""


def test_parquet_has_the_same_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", choice_rows())
    assert pq.read_table(tmp_path / "rows.parquet").equals(choice_rows())
    assert pq.read_metadata(tmp_path / "rows.parquet").row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="no space left on device") as error:
        write_rows(tmp_path / name, choice_rows())
    assert len(str(error.value).splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its name should end in \.csv or \.parquet"):
        write_rows(tmp_path / "rows.xlsx", choice_rows())
