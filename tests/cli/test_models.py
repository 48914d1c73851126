"""`vlsearch models`: for a person a table, for a pipe lines, for a program objects."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from vlsearch.cli import models
from vlsearch.encoders import catalogue, registry

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(catalogue, "CLIP_CACHE", tmp_path / "clip")


def test_json_is_one_object_a_line(cli: Cli) -> None:
    done = cli("models", "--json")
    assert (done.code, done.err) == (0, "")
    rows = {row["name"]: row for row in done.rows}
    assert rows["builtin"]["where"] == ["built in"]
    assert rows[registry.DEFAULT]["where"] == ["recommended"]
    assert rows[registry.DEFAULT]["default"] is True
    assert rows[registry.DEFAULT]["coco_text_to_image_r1"] == pytest.approx(0.3993)


def test_the_models_of_a_library_come_first(cli: Cli, take: Any, photos: Any, library: Any) -> None:
    take(photos(3))
    library.close()
    first = cli("models", "--json", "--library", library.path).rows[0]
    assert (first["name"], first["where"], first["photos"], first["captions"]) == ("colour", ["library"], 3, 0)
    assert len(first["fingerprint"]) == 64
    assert cli("models", "--library", library.path).text.splitlines()[1].startswith("colour ")
    assert "library (3 photos)" in cli("models").text, "without --library it is the user's own"


def test_no_library_is_no_error_unless_one_is_named(cli: Cli, tmp_path: Path) -> None:
    assert cli("models").code == 0
    done = cli("models", "--library", tmp_path / "nothing")
    assert (done.code, done.out) == (2, b"")
    assert "no library at" in done.err


def test_lines_for_a_pipe_are_aligned(cli: Cli) -> None:
    header, *lines = cli("models").text.splitlines()
    assert len(lines) == 2 + len(catalogue.recommended())
    starts = [found.start() for found in re.finditer(r"(?<=  )\S", header)]
    assert len(starts) == 7
    for line in lines:
        assert all(line[start - 2 : start].strip() == "" for start in starts if start < len(line))
    default = next(line for line in lines if line.startswith(registry.DEFAULT))
    assert re.split(r"  +", default)[:6] == [
        f"{registry.DEFAULT} (default)",
        "recommended",
        "151 M",
        "39.9 / 57.9",
        "64.9 / 84.8",
        "MIT",
    ]


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (60, ["COCO"], ["licence"]),
        (80, ["COCO"], ["licence"]),
        (160, ["COCO", "Flickr30k", "parameters", "licence"], []),
    ],
)
def test_a_table_has_the_columns_that_the_terminal_has_room_for(
    width: int,
    shown: list[str],
    left_out: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    models.print_table(catalogue.catalogue())
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert max(map(len, lines)) <= width
    assert all(name in lines[0] for name in shown)
    assert not any(name in lines[0] for name in left_out)
    assert "39.9 / 57.9" in out
    assert "the default: fast on a processor" in " ".join(out.split())
    if width >= 80:
        assert any(line.startswith(f"{registry.DEFAULT} (default) ") for line in lines), "a name can be copied"


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"name": "[bold]a\x1b[31m\n", "where": ["cache"], "default": False, "note": "\x1b]0;title\x07"}
    models.print_plain([row])
    models.print_table([row])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("[bold]a\\x1b[31m\\n") == 3


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (27_645_522, "27.6 MB"),
        (605_143_284, "605 MB"),
        (999_600_000, "1.0 GB"),
        (3_510_000_000, "3.5 GB"),
        (9, "0.0 MB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert models.readable(size) == text


def test_a_missing_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"note": "n", "requires": "transformers"}
    monkeypatch.setattr(models, "find_spec", lambda _: None)
    assert models.notes(row) == "n (needs pip install transformers)"
    monkeypatch.setattr(models, "find_spec", lambda _: object())
    assert models.notes(row) == "n"


def test_no_torch_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys, atexit; atexit.register(lambda: print({'torch', 'open_clip', 'numpy'} & {*sys.modules}));"
        "sys.argv = ['vlsearch', 'models', '--json']; from vlsearch.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "set()"
