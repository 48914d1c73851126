"""info, verify, repair, forget and captions, as commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ColourEncoder, Done

Cli = Callable[..., Done]
Photos = Callable[..., Path]


@pytest.fixture
def folder(cli: Cli, photos: Photos) -> Path:
    """5 photos that the library has."""
    made = photos(5)
    assert cli("ingest", made, "--model", "colour").code == 0
    return made


def shard(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "library" / "vectors").glob("*/*.parquet")
    return file


def test_info(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (folder / "00000.jpg").unlink()
    (folder / "bad.jpg").write_bytes(b"bad")
    cli("ingest", folder)
    (row,) = cli("info", "--json").rows
    assert row["library"] == str(tmp_path / "library")
    assert (row["photos"], row["files"], row["missing"], row["failures"], row["captions"]) == (5, 4, 1, 1, 0)
    (model,) = row["models"]
    assert (model["name"], model["dim"], model["photos"], model["shards"]) == ("colour", 48, 5, 1)
    text = cli("info").text
    assert "5 photos in 4 files, 0 captions" in text
    assert "vlsearch info --missing" in text
    assert "model colour: 5 photos" in text
    assert cli("info", "--missing").text.startswith(f"{folder / '00000.jpg'}\t20")
    assert cli("info", "--missing", "--json").rows[0]["path"] == str(folder / "00000.jpg")
    assert cli("info", "--failures").text.startswith(f"{folder / 'bad.jpg'}\t")


def test_verify_and_repair(cli: Cli, folder: Path, tmp_path: Path, encoder: ColourEncoder) -> None:
    assert folder.is_dir()
    done = cli("verify")
    assert (done.code, done.text) == (0, f"{tmp_path / 'library'} is clean\n")
    assert cli("verify", "--json").rows == [{"clean": True, "problems": []}]
    before = cli("query", "dog").out
    data = shard(tmp_path).read_bytes()
    shard(tmp_path).write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    done = cli("verify")
    assert done.code == 1
    assert "checksum differs" in done.text
    assert done.text.splitlines()[-1] == "`vlsearch repair` mends this"
    (row,) = cli("verify", "--json").rows
    assert row["clean"] is False
    assert row["problems"]
    embedded = encoder.embedded
    done = cli("repair")
    assert (done.code, done.err) == (0, "")
    assert done.text.startswith("1 damaged shards dropped, 5 photos and captions embedded again")
    assert encoder.embedded - embedded == 5
    assert cli("verify").code == 0
    assert cli("query", "dog").out == before


def test_repair_that_cannot_mend_all_says_so(cli: Cli, folder: Path, tmp_path: Path) -> None:
    (folder / "00002.jpg").unlink()
    shard(tmp_path).unlink()
    done = cli("repair")
    assert done.code == 1
    assert re.fullmatch(r"vlsearch: 1 photos could not be embedded again[^\n]+\n", done.err)
    assert cli("verify").code == 1
    cli("ingest", folder)
    cli("forget")
    assert cli("verify").code == 0


def test_repair_without_the_model(cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlsearch.errors import ModelUnavailable

    assert folder.is_dir()

    def unavailable(*_: object) -> None:
        raise ModelUnavailable("no weights here; give --weights")

    shard(tmp_path).unlink()
    monkeypatch.setattr("vlsearch.encoders.registry.load_source", unavailable)
    done = cli("repair")
    assert (done.code, done.err) == (1, "vlsearch: no weights here; give --weights\n")


def test_forget(cli: Cli, folder: Path, photos: Photos) -> None:
    other = photos(2, "other", seed=1)
    cli("ingest", other)
    for file in (folder / "00000.jpg", folder / "00001.jpg", other / "00000.jpg"):
        file.unlink()
    cli("ingest", folder, other)
    done = cli("forget", "--under", other)
    assert (done.code, done.err) == (0, "")
    assert done.text == "1 missing files and 1 photos forgotten\n"
    assert cli("forget").text == "2 missing files and 2 photos forgotten\n"
    assert cli("forget").text == "0 missing files and 0 photos forgotten\n"
    assert cli("info", "--json").rows[0]["photos"] == 4
    assert len(cli("query", "dog", "--json").rows) == 4
    assert cli("verify").code == 0


def test_captions_in_and_out(cli: Cli, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "captions.jsonl"
    rows = [{"path": str(folder / f"0000{n}.jpg"), "caption": f"photo {n}"} for n in range(5)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("captions", "import", file, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.rows == [{"matched": 5, "new": 5, "unmatched": 0, "first_unmatched": None}]
    assert cli("captions", "import", file).text == "5 captions of 5 photos matched, 0 of them new\n"
    assert cli("captions", "export", tmp_path / "out.jsonl").text.startswith("5 captions written to ")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 5
    assert cli("info", "--json").rows[0]["models"][0]["captions"] == 5
    assert cli("verify").code == 0


def test_captions_of_photos_that_are_not_there(cli: Cli, folder: Path, tmp_path: Path) -> None:
    assert folder.is_dir()
    file = tmp_path / "captions.csv"
    file.write_text("file_name,caption\n00001.jpg,a dog\nnowhere\x1b.jpg,a cat\nnowhere\x1b.jpg,two cats\nx.jpg,y\n")
    done = cli("captions", "import", file)
    assert done.code == 1
    assert done.text == "1 captions of 1 photos matched, 1 of them new\n"
    assert re.fullmatch(r"vlsearch: 3 captions are of 2 photos [^\n]+ nowhere\\x1b\.jpg; [^\n]+\n", done.err)


@pytest.mark.parametrize(("name", "code"), [("nowhere.csv", 2), ("bad.json", 1)])
def test_caption_files_that_cannot_be_read(cli: Cli, folder: Path, tmp_path: Path, name: str, code: int) -> None:
    assert folder.is_dir()
    (tmp_path / "bad.json").write_text("{")
    done = cli("captions", "import", tmp_path / name)
    assert done.code == code
    assert re.fullmatch(r"vlsearch: [^\n]+\n", done.err)


def test_captions_before_photos(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "c.csv").write_text("file_name,caption\n1.jpg,a\n")
    cli("ingest", tmp_path / "empty", "--model", "colour")
    done = cli("captions", "import", tmp_path / "c.csv")
    assert done.code == 2
    assert "is empty; `vlsearch ingest FOLDER` fills it" in done.err


def test_captions_beside_the_photos(cli: Cli, folder: Path) -> None:
    (folder / "00001.txt").write_text("a dog\n\nanother dog\n")
    assert cli("captions", "import", folder).text == "2 captions of 1 photos matched, 2 of them new\n"


def test_audit(cli: Cli, folder: Path, tmp_path: Path) -> None:
    done = cli("audit")
    assert done.code != 0
    assert re.fullmatch(r"vlsearch: [^\n]*caption[^\n]*\n", done.err)
    file = tmp_path / "c.csv"
    lines = [f"0000{n}.jpg,the small dog number {n} runs over a long beach" for n in range(5)]
    file.write_text("\n".join(["file_name,caption", *lines]))
    cli("captions", "import", file)
    done = cli("audit", "--json", "--seeds", "2", "-k", "1")
    assert (done.code, done.err) == (0, "")
    (row,) = done.rows
    assert {"model", "photos", "captions", "seeds", "results"} <= set(row)
    assert (row["model"], row["photos"], row["captions"], row["seeds"]) == ("colour", 5, 5, 2)
    wanted = {"direction", "perturbation", "k", "clean", "perturbed", "drop", "low", "high"}
    wanted |= {"unperturbable", "ties", "chance"}
    assert all(wanted <= set(result) for result in row["results"])
    assert {result["direction"] for result in row["results"]} == {"text_to_image", "image_to_text"}
    assert {result["perturbation"] for result in row["results"]} == {"identity", "shuffle", "sort"}
    assert cli("info", "--json").rows[0]["audits"] == 1
    table = cli("audit", "--seeds", "2", "-k", "1")
    assert table.code == 0
    assert "text → photo" in table.text
    done = cli("audit", "--perturb", "frobnicate")
    assert done.code == 2
    assert re.fullmatch(r"vlsearch: [^\n]*frobnicate[^\n]*\n", done.err)
    assert folder.is_dir()


def test_a_bad_text_beside_one_photo_costs_that_photo_only(cli: Cli, folder: Path) -> None:
    for name in ("00000", "00001", "00002"):
        (folder / f"{name}.txt").write_text(f"photo {name}")
    (folder / "00001.txt").write_bytes(b"caf\xe9\n")
    done = cli("captions", "import", folder)
    assert done.code == 1
    assert "2 captions of 2 photos matched, 2 of them new" in done.text
    (line,) = done.err.splitlines()
    assert "00001.txt" in line
    assert "skipped" in line
