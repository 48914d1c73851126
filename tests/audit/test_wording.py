"""Captions in one wording, and wordings that were saved."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.audit.test_retrieval import embed
from vlsearch.audit.perturb import PERTURBATIONS, perturb
from vlsearch.audit.tasks import wording
from vlsearch.audit.tasks.retrieval import audit_retrieval
from vlsearch.audit.tasks.wording import ASKED, SAVED, SEEDS, as_written, known_from, known_in, reworded, saved_captions
from vlsearch.errors import UnreadableFile, UsageError

TEXTS = ["a dog near a beach", "two cats, one sofa", "boat", "a red car", "a dog near a beach"]
NAMES = ["shuffle", "swap", "reverse"]


def rows(seeds: int = 2) -> pa.Table:
    xb = embed(TEXTS)
    return audit_retrieval(embed, xb, TEXTS, np.arange(len(TEXTS)), perturbations=NAMES, seeds=seeds, resamples=9)[1]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    pq.write_table(saved_captions(rows()), tmp_path / "captions.parquet")
    return tmp_path / "captions.parquet"


@pytest.mark.parametrize("name", ["shuffle", "reverse", "sort", "identity"])
def test_reworded(name: str) -> None:
    told: list[tuple[str, int, int]] = []
    found = reworded(TEXTS, name, 3, "own", None, lambda *step: told.append(step))
    assert len(found) == (3 if PERTURBATIONS[name].random else 1)
    for seed, one in enumerate(found):
        expected = [perturb(text, name, seed) for text in TEXTS]
        assert one.texts == tuple(form.text for form in expected)
        assert one.changed.tolist() == [name == "identity" or form.changed for form in expected]
    assert told == [(name, 0, 5), (name, 5, 5)]
    assert as_written(TEXTS, "own").texts == tuple(TEXTS)


def test_saved_captions_are_each_there_once(saved: Path) -> None:
    table = pq.read_table(saved)
    assert table.column_names == list(SAVED)
    assert len(table) == (len(TEXTS) - 1) * (2 + 2 + 1 + 2), "of two captions that are the same, one"
    assert not table.schema.metadata or ASKED.encode() not in table.schema.metadata


def test_what_was_saved_is_taken_and_not_perturbed_again(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [reworded(TEXTS, name, 2, "own", None, lambda *_: None) for name in NAMES]
    known, names, seeds = known_from(saved)
    assert (names, seeds) == ([*NAMES, "sort"], 2)
    monkeypatch.setattr(wording, "perturb", lambda *_: pytest.fail("perturbed again"))
    again = [reworded(TEXTS, name, seeds, "own", known, lambda *_: None) for name in NAMES]
    for one, other in zip(itertools.chain(*before), itertools.chain(*again), strict=True):
        assert one.texts == other.texts
        assert (one.changed == other.changed).all()


def test_a_file_says_what_was_asked_for(saved: Path) -> None:
    table = pq.read_table(saved).replace_schema_metadata({ASKED: "swap reverse", SEEDS: "7"})
    pq.write_table(table, saved)
    assert known_from(saved)[1:] == (["swap", "reverse"], 7)


def test_rows_of_a_run_are_as_good_as_saved_captions(saved: Path) -> None:
    assert known_in(rows()) == known_in(pq.read_table(saved))


def test_rows_of_queries(saved: Path) -> None:
    table = pa.table({"perturbation": ["swap"], "seed": [1], "query": ["a b"], "perturbed": ["b a"]})
    assert known_in(table) == {("swap", 1): {"a b": ("b a", True)}}
    assert saved.exists()


def test_what_a_file_lacks(saved: Path) -> None:
    known, _, _ = known_from(saved)
    with pytest.raises(UsageError, match="none for shuffle-rest under seed 0"):
        reworded(TEXTS, "shuffle-rest", 1, "own", known, lambda *_: None)
    with pytest.raises(UsageError, match="none for shuffle under seed 2"):
        reworded(TEXTS, "shuffle", 3, "own", known, lambda *_: None)
    with pytest.raises(UsageError, match="lack 'another caption'; they are of another collection"):
        reworded(["another caption"], "shuffle", 1, "own", known, lambda *_: None)


def test_files_that_hold_no_captions(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        known_from(tmp_path / "none.parquet")
    pq.write_table(pq.read_table(saved).drop_columns("seed"), tmp_path / "less.parquet")
    with pytest.raises(UsageError, match="no column 'seed'"):
        known_from(tmp_path / "less.parquet")
    for data in (b"", saved.read_bytes()[:-9], b"PAR1 and PAR1"):
        saved.write_bytes(data)
        with pytest.raises(UnreadableFile, match=r"cannot read '.*captions\.parquet'"):
            known_from(saved)
