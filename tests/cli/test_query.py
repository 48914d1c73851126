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
    assert all(set(row) == {"rank", "score", "path", "id", "captions", "taken"} for row in rows)
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
    assert set(rows[0]) == {"rank", "score", "path", "id", "captions", "caption", "taken"}
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
        (["dog", "--image", "x.jpg"], "no such file: 'x.jpg'"),
        (["--image", "nowhere.jpg"], "no such file: 'nowhere.jpg'"),
        (["--json"], "say what to look for"),
        (["--to", "captions", "--camera", "nikon"], "say what to look for"),
        (["dog", "-k", "0"], "0 is not in the range"),
        (["dog", "--page", "0"], "0 is not in the range"),
        (["dog", "--to", "captions", "--group-duplicates"], "about photos"),
        (["dog", "--to", "captions", "--explain"], "about photos"),
        (["--camera", "nikon", "--order-check"], "about words"),
        (["dog", "--out", "x.parquet"], "--out is for --batch"),
        (["dog", "--batch", "-"], "takes its queries from the file"),
        (["--batch", "nowhere.txt"], "no such file or directory"),
        (["--batch", "q.txt", "--html", "x.html", "--copy-to", "x"], "not by --html and --copy-to"),
        (["--batch", "q.txt", "--thumbnails"], "not by --thumbnails"),
        (["dog", "--thumbnails", "--json"], "to a program"),
        (["dog", "--html", ""], "names no file"),
        (["dog", "--min-score", "nan"], "must be a number"),
        (["--batch", "q.txt", "--min-score", "nan"], "must be a number"),
        (["horse - horse"], "cancel each other out"),
        (["dog", "--like", "https://example.com/a.jpg"], "--allow-url"),
        (["dog", "--taken", "2021-13"], "2021-13"),
        (["dog", "--has-caption", "--no-caption"], "--no-caption"),
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


def test_a_mistake_in_where_is_shown_with_its_place(cli: Cli, folder: Path) -> None:
    done = cli("query", "dog", "--where", "width >> 3", "--under", folder)
    assert (done.code, done.out) == (2, b"")
    said, expression, caret = done.err.splitlines()
    assert said.startswith("vlsearch: ")
    assert expression.index(">> 3") + 1 == caret.index("^")


@pytest.mark.usefixtures("folder")
def test_pages_follow_each_other(cli: Cli) -> None:
    everything = cli("query", "dog", "-k", "12", "--paths").text.splitlines()
    pages = [cli("query", "dog", "-k", "5", "--page", str(n), "--json").rows for n in (1, 2, 3, 4)]
    assert [row["path"] for page in pages for row in page] == everything
    assert [row["rank"] for page in pages for row in page] == list(range(1, 13))
    assert cli("query", "dog", "--page", "9").err == "vlsearch: there is no page 9\n"


def test_filters_alone_list_photos(cli: Cli, folder: Path) -> None:
    lines = cli("query", "--under", folder, "--sort", "path", "-k", "3").text.splitlines()
    assert lines == [f"{n}\t\t{folder}/0000{n - 1}.jpg" for n in (1, 2, 3)]
    assert cli("query", "dog", "--where", "width > 10000").err == (
        "vlsearch: no photo is what the filters ask for; leave one out\n"
    )


@pytest.mark.usefixtures("folder")
def test_composed_queries(cli: Cli) -> None:
    short = cli("query", "dog + cat - 2:car", "--json").rows
    assert cli("query", "dog", "--plus", "cat", "--minus", "car", "--weight", "2", "--json").rows == short
    assert cli("query", "dog", "--json").rows != short


def test_a_batch(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text(
        'dog\n\n{"id": "x", "query": "cat", "terms": [{"text": "car", "weight": -1}]}\n"dog\n'
    )
    done = cli("query", "--batch", tmp_path / "q.txt", "-k", "3", "--under", folder)
    assert done.code == 1
    assert re.fullmatch(r"vlsearch: line 4: [^\n]+\n", done.err)
    assert [(row["id"], len(row["hits"])) for row in done.rows] == [(1, 3), ("x", 3)]
    alone = [{key: row[key] for key in ("rank", "score", "path", "id")} for row in cli("query", "dog", "--json").rows]
    assert done.rows[0]["hits"] == alone[:3]
    done = cli("query", "--batch", tmp_path / "q.txt", "--out", tmp_path / "a.parquet")
    assert done.text == f"2 queries answered in {tmp_path / 'a.parquet'}\n"
    import pyarrow.parquet as pq

    assert pq.read_table(tmp_path / "a.parquet").num_rows == 20


@pytest.mark.usefixtures("folder")
def test_an_order_check(cli: Cli) -> None:
    done = cli("query", "a dog on the beach", "-k", "3", "--order-check")
    assert len(done.text.splitlines()) == 3
    assert re.match(r"(word order|this model)", done.err)
    rows = cli("query", "a dog on the beach", "-k", "3", "--order-check", "--json").rows
    assert [set(row) == {"order_check"} for row in rows] == [False, False, False, True]
    assert rows[-1]["order_check"]["sentence"] == done.err.strip()
    assert "one word" in cli("query", "dog", "--order-check").err


@pytest.mark.usefixtures("folder")
def test_explanations(cli: Cli, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.html"
    done = cli("query", "red dog - cat", "-k", "2", "--explain", "--html", sheet)
    assert done.code == 0
    assert all("red dog" in line and "cat" in line and "; " in line for line in done.text.splitlines())
    assert "red" in sheet.read_text()
    (row, _) = cli("query", "red dog", "-k", "2", "--explain", "--json").rows
    assert [part["text"] for part in row["explanation"]["words"]] == ["red", "dog"]


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
    assert ["rebuilding it in memory" in record.getMessage() for record in caplog.records] == [True]
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


def test_photos_are_copied_and_opened(cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("click.launch", lambda file: opened.append(file) or 0)
    done = cli("query", "dog", "-k", "3", "--copy-to", tmp_path / "out", "--open", "--paths")
    assert done.code == 0
    assert {Path(line).name for line in done.text.splitlines()} == {file.name for file in (tmp_path / "out").iterdir()}
    assert "3 copied" in done.err
    (sheet,) = opened
    assert Path(sheet).read_text().count("<img") == 3
    Path(sheet).unlink()
    (folder / "00000.jpg").write_bytes(b"")
    assert cli("query", "--like", folder / "00001.jpg", "--copy-to", folder / "00002.jpg" / "x").code in (1, 2)


@pytest.mark.usefixtures("folder")
def test_thumbnails_are_for_terminals(cli: Cli) -> None:
    done = cli("query", "dog", "--thumbnails")
    assert (done.code, done.out) == (2, b"")
    assert "--html" in done.err
