"""audit list, show, export, compare, repeat and forget: audits that were run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from tests.cli.conftest import CAPTIONS
from tests.cli.test_audit import kept, refused
from tests.conftest import ColourEncoder, Done
from vlsearch.audit.perturb.texts import Perturbed
from vlsearch.audit.report.schema import schema
from vlsearch.audit.runs import run_of
from vlsearch.catalog.tables import AuditRun
from vlsearch.library import open_library

Cli = Callable[..., Done]
Photos = Callable[..., Path]
Records = Callable[..., Path]
Caption = Callable[[Sequence[str]], None]

SHUFFLED = ("audit", "--perturb", "shuffle", "--perturb", "swap", "--seeds", "2", "-k", "1", "-k", "2")


@pytest.fixture
def asked(captioned: Path, records: Records, tmp_path: Path) -> dict[str, tuple[Any, ...]]:
    """A call for each kind of audit."""
    (tmp_path / "q.txt").write_text("a dog by a cat\ntwo red cars\nsea\n")
    # What the blind control takes for true depends on the captions of the library.
    items = [{"image": f"{n:05d}.jpg", "true": f"a {w}", "false": "of them"} for n, w in enumerate("uvwxyz")]
    texts = [{"image": f"{n:05d}.jpg", "captions": [f"a dog sits by {n} cats", " "]} for n in range(6)]
    own = ("--images", captioned, "--model", "colour")
    return {
        "retrieval": SHUFFLED,
        "photos": ("audit", "--perturb", "shuffle-rows-4", "--seeds", 2),
        "order": ("audit", "--task", "order", "--seeds", 2),
        "lists": ("audit", "--queries", tmp_path / "q.txt", "--seeds", 2, "-k", 2),
        "choice": ("audit", "--dataset", records(*items, name="items.jsonl"), *own),
        "captions": ("audit", "--dataset", records(*texts, name="texts.jsonl"), *own, "--seeds", 2),
        "order of captions": ("audit", "--dataset", tmp_path / "texts.jsonl", *own, "--task", "order"),
    }


KINDS = ["retrieval", "photos", "order", "lists", "choice", "captions", "order of captions"]


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_after_the_library_grew(
    cli: Cli,
    asked: dict[str, tuple[Any, ...]],
    photos: Photos,
    caption: Caption,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Other photos and captions, and another way to perturb, are none of a repetition's business."""
    (before,) = cli(*asked[kind], "--json").rows
    caption([f"{text}, {n} of them" for n, text in enumerate(CAPTIONS)])
    cli("ingest", photos(9, "more", seed=7))
    with monkeypatch.context() as changed:
        for module in ("tasks.wording", "tasks.lists", "datasets.order"):
            found = import_module(f"vlsearch.audit.{module}")
            changed.setattr(found, "perturb", lambda *_: Perturbed("another text", True))
        done = cli("audit", "repeat", "last")
        again = cli("audit", "repeat", 1, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.text == "audit 1 again: the same figures to the last digit\n"
    assert again.rows == [before]
    if kind in ("retrieval", "order", "lists", "choice"):
        assert cli(*asked[kind], "--json").rows != [before], "but a new audit is of what there is now"


def test_a_part_of_a_dataset_is_repeated_as_it_was(
    cli: Cli, asked: dict[str, tuple[Any, ...]], captioned: Path
) -> None:
    away = captioned / "00002.jpg"
    data = away.read_bytes()
    away.unlink()
    (before,) = cli(*asked["captions"], "--available", "--json").rows
    assert before["part"].startswith("5 of 6 photos")
    away.write_bytes(data)
    assert cli("audit", "repeat", "last", "--json").rows == [before]
    (captioned / "00003.jpg").unlink()
    refused(cli("audit", "repeat", "last"), "00003.jpg")


@pytest.mark.usefixtures("captioned")
def test_figures_that_differ_are_told(cli: Cli) -> None:
    (before,) = cli(*SHUFFLED, "--json").rows
    spoilt = json.loads(json.dumps(before))
    spoilt["results"][3]["drop"] += 1e-9
    with open_library(write=True) as library, library.transaction() as c:
        c.execute(update(AuditRun).values(report=spoilt))
    done = cli("audit", "repeat", 1)
    was, now = spoilt["results"][3]["drop"], before["results"][3]["drop"]
    assert done.code == 1
    assert done.text == f"audit 1 again: figures differ; drop of text_to_image swap 2 was {was}, and is {now}\n"
    with open_library(write=True) as library, library.transaction() as c:
        c.execute(update(AuditRun).values(report=before | {"captions": 4}))
    assert cli("audit", "repeat", 1).text.endswith("figures differ; captions was 4, and is 5\n")


@pytest.mark.usefixtures("captioned")
def test_another_model_of_that_name_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli(*SHUFFLED)
    other = ColourEncoder("colour", salt="other weights")
    monkeypatch.setattr("vlsearch.encoders.registry.load_source", lambda *_: other)
    refused(cli("audit", "repeat", "last"), "fingerprint", other.fingerprint[:12], "other weights", code=1)


@pytest.mark.parametrize("kind", ["retrieval", "order", "lists"])
def test_photos_that_were_forgotten(cli: Cli, asked: dict[str, tuple[Any, ...]], captioned: Path, kind: str) -> None:
    cli(*asked[kind])
    (captioned / "00001.jpg").unlink()
    cli("ingest", captioned)
    cli("forget")
    refused(cli("audit", "repeat", "last"), "1 of 6 photos of that audit are no longer in the library")


def test_a_photo_that_has_moved_is_the_same(cli: Cli, asked: dict[str, tuple[Any, ...]], captioned: Path) -> None:
    (before,) = cli(*asked["photos"], "--json").rows
    (captioned / "00001.jpg").rename(captioned / "moved.jpg")
    cli("ingest", captioned)
    for part in Path(open_library().path).glob("audits/cache/*/*"):
        part.unlink()
    assert cli("audit", "repeat", "last", "--json").rows == [before]


@pytest.mark.parametrize("kind", ["retrieval", "order", "lists"])
def test_show_and_export(cli: Cli, asked: dict[str, tuple[Any, ...]], tmp_path: Path, kind: str) -> None:
    (report,) = cli(*asked[kind], "--json").rows
    jsonschema.validate(report, schema())
    assert cli("audit", "show", "last", "--json").rows == [report]
    assert cli("audit", "show", 1, "--markdown").text.startswith("**")
    assert "colour" in cli("audit", "show", 1).text
    files = ("--csv", tmp_path / "r.csv", "--parquet", tmp_path / "r.parquet", "--report", tmp_path / "r")
    done = cli("audit", "export", "last", *files)
    assert (done.code, done.out) == (0, b"")
    assert [line.split("/")[-1] for line in done.err.splitlines()] == ["r.csv", "r.parquet", "index.html"]
    with open_library() as library:
        rows = run_of(library, "last").rows()
    assert pq.read_table(tmp_path / "r.parquet").equals(rows)
    with (tmp_path / "r.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)


def test_list(cli: Cli, asked: dict[str, tuple[Any, ...]]) -> None:
    assert cli("audit", "list").text == "no audit is kept; `vlsearch audit` runs one\n"
    for kind in ("retrieval", "order", "lists", "choice"):
        assert cli(*asked[kind]).code == 0
    told = cli("audit", "list", "--json").rows
    assert [(row["run"], row["task"], row["subject"]) for row in told] == [
        (1, "retrieval", "library"),
        (2, "order", "library"),
        (3, "lists", "q.txt"),
        (4, "choice", "items.jsonl"),
    ]
    assert told[0]["settings"]["perturbations"] == ["shuffle", "swap"]
    lines = cli("audit", "list").text.splitlines()
    assert len(lines) == 5
    assert "shuffle, swap" in lines[1]
    assert "shuffle" not in lines[4], "nothing moved"


def test_compare(cli: Cli, asked: dict[str, tuple[Any, ...]], captioned: Path) -> None:
    cli("ingest", captioned, "--model", "other")
    cli(*SHUFFLED)
    cli(*SHUFFLED, "--model", "other")
    cli(*SHUFFLED[:-2])
    cli(*asked["lists"])
    cli("audit", "-k", 7)
    (told,) = cli("audit", "compare", 1, 2, "--json").rows
    jsonschema.validate(told, schema())
    assert (told["a"], told["b"], told["only_a"]) == ("colour", "other", 0)
    several = cli("audit", "compare", 1, 2, 3, "--json").rows
    one, other, again = "audit 1 (colour)", "audit 2 (other)", "audit 3 (colour)"
    assert [(row["a"], row["b"]) for row in several] == [(one, other), (one, again)]
    assert f"1 is {one}, 2 is {other}, 3 is {again}" in cli("audit", "compare", 1, 2, 3).text
    assert "| as written | 1 |" in cli("audit", "compare", 1, 2, 3, "--markdown").text
    assert {r["k"] for r in several[1]["results"]} == {1}, "those in common"
    assert "A is colour, B is other" in cli("audit", "compare", 1, 2).text
    assert cli("audit", "compare", 1, 2, "--markdown").text.startswith("**")
    refused(cli("audit", "compare", 1, 4), "audit 1 is one of retrieval, audit 4 of lists")
    refused(cli("audit", "compare", 1, 5), "no k in common")
    refused(cli("audit", "compare", 1), "RUN...")


@pytest.mark.usefixtures("captioned")
@pytest.mark.parametrize("name", ["show", "export", "compare", "repeat", "forget"])
def test_numbers_that_are_none(cli: Cli, name: str, tmp_path: Path) -> None:
    more: list[Any] = {"export": ["--csv", tmp_path / "r.csv"], "compare": ["last"]}.get(name, [])
    refused(cli("audit", name, "last", *more), "no audit is kept in", "`vlsearch audit` runs one")
    cli(*SHUFFLED)
    for number in ("2", "0", "first", "01"):
        refused(cli("audit", name, number, *more), f"no audit {number}", "the last ones are 1")
    assert kept() == 1


@pytest.mark.usefixtures("captioned")
def test_export_has_to_be_told_where(cli: Cli) -> None:
    cli(*SHUFFLED)
    refused(cli("audit", "export", "last"), "nothing to write")
    cli("audit", "--task", "order")
    refused(cli("audit", "export", "last", "--save-captions", "c.parquet"), "--save-captions")


@pytest.mark.usefixtures("captioned")
def test_a_run_of_an_older_vlsearch(cli: Cli, tmp_path: Path) -> None:
    cli(*SHUFFLED)
    with open_library(write=True) as library, library.transaction() as c:
        c.execute(update(AuditRun).values(version="0.0.1", report={}, settings={"k": [1]}, file=None))
    told = "audit 1 was run by vlsearch 0.0.1, whose reports were others; run it again"
    for call in (("show", 1), ("repeat", 1), ("compare", 1, 1), ("export", 1, "--csv", tmp_path / "r.csv")):
        refused(cli("audit", *call), told)
    assert [row["version"] for row in cli("audit", "list", "--json").rows] == ["0.0.1"]
    assert cli("audit", "list").code == 0
    assert cli("verify").code == 0
    assert cli("audit", "forget", 1).text == "audit 1 is forgotten\n"


@pytest.mark.usefixtures("captioned")
@pytest.mark.parametrize("which", ["rows", "gallery"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_files_that_are_damaged(cli: Cli, tmp_path: Path, which: str, damage: str) -> None:
    (report,) = cli(*SHUFFLED, "--json").rows
    (file,) = (p for p in tmp_path.glob("library/audits/*.parquet") if ("gallery" in p.name) == (which == "gallery"))
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-50])
    told = ("the rows of audit 1 cannot be read", file.name, "`vlsearch audit forget 1`")
    refused(cli("audit", "repeat", 1), *told, code=1)
    if which == "rows":
        refused(cli("audit", "export", 1, "--csv", tmp_path / "r.csv"), *told, code=1)
        refused(cli("audit", "compare", 1, 1), *told, code=1)
    assert cli("audit", "show", 1, "--json").rows == [report]
    verified = cli("verify", "--json")
    assert verified.code == 1
    assert ["the rows of audit 1 cannot be read" in problem for problem in verified.rows[0]["problems"]] == [True]
    assert "vlsearch repair" not in cli("verify").text
    repaired = cli("repair")
    assert repaired.code == 1
    assert "the rows of audit 1 cannot be read" in repaired.err
    cli("audit", "forget", 1)
    assert not list(tmp_path.glob("library/audits/*.parquet"))
    assert cli("verify").code == 0
