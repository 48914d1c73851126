"""optimize, duplicates and the lists of info, as commands."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done

Cli = Callable[..., Done]
Photos = Callable[..., Path]


@pytest.fixture
def folder(cli: Cli, photos: Photos) -> Path:
    """3 photos and a copy of the first, a shard each but for the copy."""
    made = photos(3)
    shutil.copy(made / "00000.jpg", made / "copy\x1b.jpg")
    for n in range(3):
        assert cli("ingest", made / f"0000{n}.jpg", "--model", "colour").code == 0
    assert cli("ingest", made).code == 0
    return made


def test_optimize(cli: Cli, folder: Path) -> None:
    assert folder.is_dir()
    text = cli("info").text
    assert "3 shards (vlsearch optimize merges 3 of them into 1)" in text
    done = cli("optimize")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(
        r"merged 3 shards into 1, dropped 0 forgotten vectors, \d+\.\d MB freed in \d+\.\d s\n", done.text
    )
    assert cli("verify").code == 0
    text = cli("info").text
    assert text.endswith("\n1 shards\n")
    (row,) = cli("optimize", "--json").rows
    assert (row["before"], row["after"], row["dropped"]) == (0, 0, 0)
    assert {"freed", "seconds"} < set(row)


def test_optimize_drops_the_forgotten(cli: Cli, folder: Path) -> None:
    (folder / "00001.jpg").unlink()
    cli("ingest", folder)
    cli("forget")
    assert "with 1 forgotten vectors" in cli("info").text
    (row,) = cli("optimize", "--json").rows
    assert (row["before"], row["after"], row["dropped"]) == (3, 1, 1)
    assert len(cli("query", "dog", "--json").rows) == 2


def test_optimize_without_a_library(cli: Cli, tmp_path: Path) -> None:
    done = cli("optimize")
    assert done.code == 2
    assert re.fullmatch(r"vlsearch: no library at [^\n]+\n", done.err)
    assert not (tmp_path / "library").exists()


def test_duplicates(cli: Cli, folder: Path) -> None:
    done = cli("duplicates")
    assert (done.code, done.err) == (0, "vlsearch: 2 photos in 1 groups\n")
    assert done.text == f"keep  \t{folder}/00000.jpg\nsame  \t{folder}/copy\\x1b.jpg\n"
    (row,) = cli("duplicates", "--exact", "--json").rows
    assert row["count"] == 2
    first, second = row["photos"]
    assert first == {
        "path": str(folder / "00000.jpg"),
        "similarity": 1.0,
        "exact": True,
        "width": 32,
        "height": 32,
    }
    assert second["path"] == str(folder / "copy\x1b.jpg")


def test_paths_that_may_go(cli: Cli, folder: Path) -> None:
    assert cli("duplicates", "--paths", "-0").out == bytes(folder / "copy\x1b.jpg") + b"\0"
    assert cli("duplicates", "--exact", "--paths").out == bytes(folder / "copy\x1b.jpg") + b"\n"
    assert len(list(folder.iterdir())) == 4


def test_near_duplicates_have_a_number(cli: Cli, folder: Path) -> None:
    from PIL import Image

    with Image.open(folder / "00001.jpg") as image:
        image.resize((64, 64)).save(folder / "large.jpg")
    cli("ingest", folder)
    done = cli("duplicates", "--threshold", "0.9")
    large, small = done.text.split("\n\n")[1].splitlines()
    assert large == f"keep  \t{folder}/large.jpg"
    assert re.fullmatch(rf"0\.9\d{{3}}\t{folder}/00001\.jpg", small)
    assert done.err == "vlsearch: 4 photos in 2 groups\n"


def test_no_duplicates(cli: Cli, photos: Photos) -> None:
    cli("ingest", photos(2), "--model", "colour")
    done = cli("duplicates")
    assert (done.code, done.out, done.err) == (0, b"", "vlsearch: no photo is there twice\n")


@pytest.mark.parametrize(
    "wrong",
    [("--exact", "--threshold", "0.9"), ("--threshold", "2"), ("--model", "nothing"), ("--exact", "--model", "x")],
)
def test_wrong_usage(cli: Cli, folder: Path, wrong: tuple[str, ...]) -> None:
    assert folder.is_dir()
    done = cli("duplicates", *wrong)
    assert (done.code, done.out) == (2, b"")
    assert re.fullmatch(r"vlsearch: [^\n]+\n", done.err)


def test_lists_of_info(cli: Cli, folder: Path) -> None:
    (folder / "00000.jpg").unlink()
    (folder / "bad\x1b.jpg").write_bytes(b"bad")
    cli("ingest", folder)
    done = cli("info", "--failures")
    assert done.code == 0
    (line,) = done.text.splitlines()
    assert line.startswith(f"{folder}/bad\\x1b.jpg\t")
    assert done.err == "vlsearch: 1 files could not be read; an ingest tries one again once it has changed\n"
    assert cli("info", "--failures", "--json").rows[0]["path"] == str(folder / "bad\x1b.jpg")
    done = cli("info", "--missing")
    assert re.fullmatch(rf"{folder}/00000\.jpg\t\d{{4}}-\d\d-\d\d \d\d:\d\d\n", done.text)
    assert done.err == "vlsearch: 1 files are missing; `vlsearch forget` drops them\n"
    assert json.loads(cli("info", "--missing", "--json").text)["since"].startswith("20")


def test_empty_lists_of_info(cli: Cli, folder: Path) -> None:
    assert folder.is_dir()
    done = cli("info", "--failures")
    assert (done.code, done.out, done.err) == (0, b"", "vlsearch: no file failed\n")
    done = cli("info", "--missing", "--json")
    assert (done.code, done.out, done.err) == (0, b"", "vlsearch: no file is missing\n")
    done = cli("info", "--missing", "--failures")
    assert done.code == 2
    assert re.fullmatch(r"vlsearch: [^\n]+\n", done.err)
