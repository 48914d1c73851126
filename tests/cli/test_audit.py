"""audit, as a command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done
from vlsearch.catalog.tables import AuditRun
from vlsearch.library import open_library

Cli = Callable[..., Done]
Photos = Callable[..., Path]

CAPTIONS = ["a dog chases a red ball", "two cats on a sofa", "a boat on the sea", "x", "a man with a small horse"]


@pytest.fixture
def captioned(cli: Cli, photos: Photos, tmp_path: Path) -> Path:
    """A library of 6 photos, 5 of them with a caption; one caption is a single word."""
    folder = photos(6)
    cli("ingest", folder, "--model", "colour")
    rows = [{"path": f"{i:05d}.jpg", "caption": caption} for i, caption in enumerate(CAPTIONS)]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert cli("captions", "import", tmp_path / "c.jsonl").code == 0
    return folder


@pytest.mark.usefixtures("captioned")
def test_json(cli: Cli) -> None:
    done = cli("audit", "--perturb", "shuffle", "--perturb", "swap", "--seeds", 3, "-k", 1, "-k", 2, "--json")
    assert done.code == 0
    (report,) = done.rows
    assert {key: report[key] for key in ("model", "photos", "captions", "seeds")} == {
        "model": "colour",
        "photos": 6,
        "captions": 5,
        "seeds": 3,
    }
    wanted = {"clean", "perturbed", "drop", "low", "high", "unperturbable", "ties", "chance"}
    seen = [(r["direction"], r["perturbation"], r["k"]) for r in report["results"]]
    names = [(p, k) for p in ("shuffle", "swap", "identity") for k in (1, 2)]
    assert seen == [(d, *name) for d in ("text_to_image", "image_to_text") for name in names]
    for r in report["results"]:
        assert wanted <= set(r)
        assert r["drop"] == pytest.approx(r["clean"] - r["perturbed"])
    assert {r["unperturbable"] for r in report["results"] if r["perturbation"] == "shuffle"} == {1}


@pytest.mark.usefixtures("captioned")
def test_the_table_fits_a_terminal_of_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = cli("audit", "--perturb", "shuffle", "--perturb", "swap")
    assert done.code == 0
    table = done.text.split("\n\n")[1].splitlines()
    assert len(table) == 1 + 2 * (1 + 9), "a line for each figure: nothing is folded"
    assert max(map(len, table)) <= 80
    assert "Captions that cannot change: shuffle 1, swap 1." in done.text


@pytest.mark.usefixtures("captioned")
def test_a_run_is_kept_in_the_library(cli: Cli) -> None:
    (report,) = cli("audit", "--json").rows
    with open_library() as library, library.read() as c:
        (row,) = c.execute(AuditRun.__table__.select())
    assert row.report == report
    assert row.settings == {"task": "retrieval", "perturbations": ["shuffle"], "seeds": 5, "k": [1, 5, 10]}
    assert cli("info", "--json").rows[0]["audits"] == 1


@pytest.mark.usefixtures("captioned")
def test_an_unknown_perturbation_is_no_clean_run(cli: Cli) -> None:
    done = cli("audit", "--perturb", "shufle")
    assert (done.code, done.out) == (2, b"")
    assert "shufle" in done.err
    assert "there are shuffle, swap, identity" in done.err


def test_without_captions_there_is_nothing_to_measure(cli: Cli, photos: Photos) -> None:
    cli("ingest", photos(3), "--model", "colour")
    done = cli("audit")
    assert done.code == 2
    assert "no captions; `vlsearch captions import FILE`" in done.err
    assert len(done.err.splitlines()) == 1


def test_missing_photos_are_out_of_the_audit(cli: Cli, captioned: Path) -> None:
    (captioned / "00000.jpg").unlink()
    cli("ingest", captioned)
    (report,) = cli("audit", "--json").rows
    assert (report["photos"], report["captions"]) == (5, 4)


@pytest.mark.usefixtures("captioned")
def test_an_audit_beside_a_writer_is_shown_and_not_kept(cli: Cli) -> None:
    with open_library(write=True):
        done = cli("audit", "--json")
    assert done.code == 0
    assert len(done.rows) == 1
    assert "not kept in the library" in done.err
