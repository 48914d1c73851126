from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done

Cli = Callable[..., Done]
Photos = Callable[..., Path]

ODD = [b"\xff\xfe.jpg", b"a\nb.jpg", b"\x1b[31mred\x1b[0m.jpg", b"\r\t\x07.jpg", "\u202egnp.jpg".encode(), b"a\\nb.jpg"]
"""File names: no UTF-8, a line break, colours, control characters, right to left, a backslash"""


@pytest.fixture
def folder(cli: Cli, photos: Photos) -> Path:
    """12 photos that the library has."""
    made = photos(12)
    assert cli("ingest", made, "--model", "colour").code == 0
    return made


@pytest.mark.usefixtures("folder")
def test_lines_for_a_pipe(cli: Cli) -> None:
    done = cli("query", "dog")
    assert (done.code, done.err) == (0, "")
    lines = [line.split("\t") for line in done.text.splitlines()]
    assert [line[0] for line in lines] == [str(n) for n in range(1, 11)]
    scores = [float(line[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert all(Path(line[2]).is_file() for line in lines)
    assert len(cli("query", "dog", "-k", "3").text.splitlines()) == 3


@pytest.mark.usefixtures("folder")
def test_json_is_one_object_a_line(cli: Cli) -> None:
    rows = cli("query", "dog", "--json", "-k", "4").rows
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert all(set(row) == {"rank", "score", "path", "id", "captions"} for row in rows)
    assert [row["path"] for row in rows] == cli("query", "dog", "--paths", "-k", "4").text.splitlines()


def test_a_photo_as_query(cli: Cli, folder: Path) -> None:
    (row,) = cli("query", "--image", folder / "00003.jpg", "-k", "1", "--json").rows
    assert row["path"] == str(folder / "00003.jpg")
    assert row["score"] > 0.99


def test_captions_as_answers(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("file_name,caption\n00001.jpg,a dog\n00002.jpg,a cat\n")
    assert cli("captions", "import", tmp_path / "c.csv").code == 0
    rows = cli("query", "a cat", "--to", "captions", "--json").rows
    assert [row["caption"] for row in rows] == ["a cat", "a dog"]
    assert set(rows[0]) == {"rank", "score", "path", "id", "captions", "caption"}
    assert cli("query", "a cat", "--to", "captions").text.splitlines()[0].split("\t")[2:] == [
        str(folder / "00002.jpg"),
        "a cat",
    ]
    assert cli("query", "--image", folder / "00001.jpg", "--to", "captions", "-k", "1").code == 0


def test_min_score_and_nothing_found(cli: Cli, folder: Path) -> None:
    scores = [row["score"] for row in cli("query", "dog", "--json").rows]
    assert len(cli("query", "dog", "--json", "--min-score", str(scores[3])).rows) == 4
    done = cli("query", "dog", "--min-score", "2")
    assert (done.code, done.out) == (0, b"")
    assert done.err == "vlsearch: nothing scores that high; try a lower --min-score\n"
    done = cli("query", "dog", "--min-score", "2", "--json")
    assert (done.code, done.out, done.err) == (0, b"", "")
    for file in folder.iterdir():
        file.unlink()
    cli("ingest", folder)
    assert cli("query", "dog").err == "vlsearch: the library holds no photos to answer with\n"
    assert cli("query", "dog", "--to", "captions").err == "vlsearch: the library holds no captions to answer with\n"


@pytest.fixture
def odd(cli: Cli, photos: Photos) -> list[str]:
    """The paths of photos with names that nobody should have."""
    folder = photos(len(ODD))
    for file, name in zip(sorted(folder.iterdir()), ODD, strict=True):
        file.rename(folder / os.fsdecode(name))
    assert cli("ingest", folder, "--model", "colour").code == 0
    return [str(folder / os.fsdecode(name)) for name in ODD]


def test_odd_names_as_paths_are_the_bytes_they_are(cli: Cli, odd: list[str]) -> None:
    done = cli("query", "dog", "--paths", "-0")
    assert sorted(done.out.split(b"\0")[:-1]) == sorted(os.fsencode(path) for path in odd)
    assert done.out.endswith(b"\0")
    assert cli("query", "dog", "-0").out == done.out
    assert cli("query", "dog", "--paths").out == done.out.replace(b"\0", b"\n")


def test_odd_names_in_lines_and_tables_are_escaped(cli: Cli, odd: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = cli("query", "dog").text
    assert len(lines.splitlines()) == len(odd)
    assert all(line.count("\t") == 2 for line in lines.splitlines())
    for escaped in (r"\xff\xfe.jpg", r"a\nb.jpg", r"\x1b[31mred\x1b[0m.jpg", r"\r\t\x07.jpg", r"\u202egnp.jpg"):
        assert escaped in lines
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", lines)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    table = cli("query", "dog").text
    assert "score" in table
    assert r"\x1b[31mred\x1b[0m.jpg" in table
    assert "\x1b[31mred" not in table


def test_odd_names_as_json_are_ascii_and_lossless(cli: Cli, odd: list[str]) -> None:
    done = cli("query", "dog", "--json")
    assert done.out.isascii()
    assert sorted(json.loads(line)["path"] for line in done.text.splitlines()) == sorted(odd)


def test_an_odd_name_can_be_asked_with(cli: Cli, odd: list[str]) -> None:
    for path in odd:
        assert cli("query", "--image", path, "-k", "1", "--paths", "-0").out == os.fsencode(path) + b"\0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([""], "the query is empty"),
        (["  "], "the query is empty"),
        (["dog", "--image", "x.jpg"], "either words or --image"),
        (["--image", "nowhere.jpg"], "no such file: nowhere.jpg"),
        (["--json"], "either words or --image"),
        (["dog", "--model", "third"], "no vectors of model third, only of colour"),
        (["dog", "--weights", "w.safetensors"], "--model ARCHITECTURE"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_questions(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("query", *arguments)
    assert (done.code, done.out) == (2, b"")
    assert said in done.err
    assert re.fullmatch(r"vlsearch: [^\n]+\n", done.err)


@pytest.mark.parametrize("text", ["dog " * 10_000, "\udcff", "犬"])
@pytest.mark.usefixtures("folder")
def test_odd_questions_are_answered(cli: Cli, text: str) -> None:
    done = cli("query", text)
    assert (done.code, len(done.text.splitlines())) == (0, 10)


def test_a_question_to_an_empty_library(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cli("ingest", tmp_path / "empty", "--model", "colour")
    done = cli("query", "dog")
    assert done.code == 2
    assert done.err == f"vlsearch: the library {tmp_path / 'library'} is empty; `vlsearch ingest FOLDER` fills it\n"


@pytest.mark.usefixtures("folder")
def test_a_photo_that_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    done = cli("query", "--image", tmp_path / "bad.jpg")
    assert done.code == 1
    assert re.fullmatch(rf"vlsearch: cannot read {re.escape(str(tmp_path))}/bad.jpg: [^\n]+\n", done.err)


@pytest.mark.usefixtures("folder")
def test_a_damaged_shard_and_a_damaged_index(cli: Cli, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = cli("query", "dog").out
    (index,) = (tmp_path / "library" / "index").glob("*.faiss")
    index.write_bytes(b"garbage")
    assert cli("query", "dog").out == before
    assert [record.getMessage().endswith("rebuilding it") for record in caplog.records] == [True]
    (shard,) = (tmp_path / "library" / "vectors").glob("*/*.parquet")
    shard.write_bytes(shard.read_bytes()[:-1])
    done = cli("query", "dog")
    assert done.code == 1
    assert re.fullmatch(r"vlsearch: shard [^\n]+ is damaged[^\n]+`vlsearch repair` mends it\n", done.err)


def test_a_contact_sheet(cli: Cli, folder: Path, tmp_path: Path) -> None:
    done = cli("query", "dog", "-k", "3", "--html", tmp_path / "sheet.html")
    assert done.code == 0
    assert (tmp_path / "sheet.html").read_text().count("<img") == 3
    assert cli("query", "--image", folder / "00000.jpg", "--html", tmp_path / "sheet.html", "-k", "2").code == 0
    done = cli("query", "dog", "--html", folder / "00000.jpg" / "sheet.html")
    assert done.code in (1, 2)
    assert len(done.err.splitlines()) == 1


def test_a_contact_sheet_for_a_photo_whose_name_is_no_utf8(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    folder = photos(2)
    cli("ingest", folder, "--model", "colour")
    odd = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    odd.write_bytes((folder / "00000.jpg").read_bytes())
    done = cli("query", "--image", odd, "--html", tmp_path / "sheet.html", "--json")
    assert (done.code, done.err) == (0, "")
    assert "caf\\xe9.jpg" in (tmp_path / "sheet.html").read_text(encoding="utf-8")
