from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ColourEncoder, Done

Cli = Callable[..., Done]
Photos = Callable[..., Path]


def test_the_last_line_and_the_exit_code(cli: Cli, photos: Photos) -> None:
    folder = photos(3)
    done = cli("ingest", folder, "--model", "colour")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"3 added, 0 unchanged in \d+\.\d s \(\d+ photos/s\)\n", done.text)
    assert re.fullmatch(r"0 added, 3 unchanged in \d+\.\d s\n", cli("ingest", folder).text)


def test_json_is_one_object(cli: Cli, photos: Photos) -> None:
    done = cli("ingest", photos(3), "--model", "colour", "--json")
    (row,) = done.rows
    assert done.err == ""
    assert {"added", "unchanged", "moved", "missing", "failed", "seconds"} <= set(row)
    assert (row["added"], row["failed"]) == (3, 0)
    assert row["seconds"] > 0


def test_bad_files_are_named_on_stderr_and_the_exit_code_is_1(cli: Cli, photos: Photos) -> None:
    folder = photos(2)
    for n in range(7):
        (folder / f"bad{n}.jpg").write_bytes(b"bad")
    done = cli("ingest", folder, "--model", "colour", "--json")
    assert done.code == 1
    assert done.rows[0]["failed"] == 7
    lines = done.err.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith(f"vlsearch: cannot read {folder / 'bad0.jpg'}: ")
    assert lines[0].endswith("; skipped")
    assert lines[5] == "vlsearch: and 2 more (vlsearch info --failures lists all)"
    done = cli("ingest", folder)
    assert (done.code, done.err) == (0, "")
    assert "7 skipped (failed before)" in done.text


def test_an_empty_folder(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = cli("ingest", tmp_path / "empty", "--model", "colour")
    assert (done.code, done.err) == (0, "")
    assert done.text.startswith("0 added, 0 unchanged")


def test_no_such_path_makes_no_library(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    done = cli("ingest", photos(1), tmp_path / "nowhere", "--model", "colour")
    assert done.code == 2
    assert done.err == f"vlsearch: no such file or folder: {str(tmp_path / 'nowhere')!r}\n"
    assert not (tmp_path / "library").exists()


def test_exclude(cli: Cli, photos: Photos) -> None:
    folder = photos(3)
    photos(2, "photos/thumbs", seed=1)
    done = cli("ingest", folder, "--model", "colour", "--exclude", "*/thumbs/*", "--exclude", "thumbs", "--json")
    assert done.rows[0]["added"] == 3


def test_the_model_of_the_library_is_its_own(cli: Cli, photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("ingest", photos(1), "--model", "colour")
    cli("ingest", photos(2, "more", seed=1))
    assert [m["name"] for m in cli("info", "--json").rows[0]["models"]] == ["colour"]
    monkeypatch.setenv("VLSEARCH_MODEL", "other")
    cli("ingest", photos(2, "more", seed=1))
    assert [m["name"] for m in cli("info", "--json").rows[0]["models"]] == ["colour", "other"]


def test_the_default_model_where_there_is_none(cli: Cli, photos: Photos) -> None:
    cli("ingest", photos(1))
    assert cli("info", "--json").rows[0]["models"][0]["name"] == "ViT-B-32-256/datacomp_s34b_b86k"


def test_other_weights_are_refused(cli: Cli, photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(1)
    cli("ingest", folder, "--model", "colour")
    monkeypatch.setattr("vlsearch.encoders.registry.load_source", lambda *_: ColourEncoder(salt="other"))
    photos(2, seed=1)
    for arguments in (["ingest", folder], ["query", "dog"], ["audit"]):
        done = cli(*arguments)
        assert done.code == 1
        assert re.fullmatch(r"vlsearch: [^\n]*fingerprint[^\n]*\n", done.err)


def test_weights_need_an_architecture(cli: Cli, photos: Photos, tmp_path: Path) -> None:
    done = cli("ingest", photos(1), "--weights", tmp_path / "w.safetensors")
    assert done.code == 2
    assert "--model ARCHITECTURE" in done.err
    assert len(done.err.splitlines()) == 1


def test_odd_names_are_ingested_and_shown_safely(cli: Cli, photos: Photos) -> None:
    folder = photos(2)
    odd = os.fsdecode(b"\xff\x1b]0;title\x07\n.jpg")
    (folder / "00000.jpg").rename(folder / odd)
    (folder / ("bad" + odd)).write_bytes(b"bad")
    done = cli("ingest", folder, "--model", "colour")
    assert done.code == 1
    assert re.fullmatch(r"2 added, 0 unchanged, 1 failed .*\n", done.text)
    assert len(done.err.splitlines()) == 1
    assert "bad\\xff\\x1b]0;title\\x07\\n.jpg" in done.err
    listed = cli("info", "--failures")
    assert b"\x1b" not in listed.out
    assert len(listed.text.splitlines()) == 1
    (row,) = cli("info", "--failures", "--json").rows
    assert row["path"] == str(folder / ("bad" + odd))


def test_progress_is_for_terminals_only(cli: Cli, photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(70)
    assert cli("ingest", folder, "--model", "colour").err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    photos(70, seed=1)
    done = cli("ingest", folder, "--json")
    assert json.loads(done.text)["added"] == 70
    assert "photos" in done.err
