"""log, as a command, and what `query` leaves in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ColourEncoder, Done
from vlsearch.audit.tasks.lists import read_queries
from vlsearch.cli import run
from vlsearch.daemon import client, turn
from vlsearch.library import open_library
from vlsearch.search import log, warm

Cli = Callable[..., Done]
Photos = Callable[..., Path]


@pytest.fixture
def place(cli: Cli, photos: Photos, tmp_path: Path) -> Path:
    """A library of 3 photos."""
    assert cli("ingest", photos(3), "--model", "colour").code == 0
    return tmp_path / "library"


def test_on_asked_and_off(cli: Cli, place: Path) -> None:
    assert cli("log") == Done(0, b"off: no query is kept; `vlsearch log --on` switches it on\n", "")
    cli("query", "before")
    assert (
        cli("log", "--on").text
        == f"on: queries of words are kept in {place / log.FILE}; `vlsearch log --off` ends it\n"
    )
    for n in range(12):
        answer = cli("query", f"dog number {n}", "--json")
        assert (answer.code, len(answer.rows), answer.err) == (0, 3, "")
    first, *last = cli("log").text.splitlines()
    assert first == f"on: 12 queries in {place / log.FILE}"
    assert [line.partition("Z\t")[2] for line in last] == [f"dog number {n}" for n in range(2, 12)]
    assert cli("log", "--clear").text == "on: queries of words are kept; the 12 that were kept are deleted\n"
    assert cli("log").text == f"on: 0 queries in {place / log.FILE}\n"
    cli("query", "cat")
    assert log.logged_queries(place) == ["cat"]
    assert cli("log", "--off").text == "off: no query is kept from now on; the 1 that were kept are deleted\n"
    cli("query", "after")
    assert not (place / log.FILE).exists()
    assert cli("log", "--clear").text == "off: no query is kept; none was kept\n"


def test_what_is_kept(cli: Cli, place: Path, tmp_path: Path) -> None:
    cli("log", "--on")
    (tmp_path / "batch.txt").write_text("one of a batch\n")
    photo = tmp_path / "photos" / "00000.jpg"
    for arguments in (
        ["a dog", "--paths"],
        ["a\x1b[31m cat", "--to", "captions"],
        ["a dog + a cat"],
        ["--like", photo],
        ["--where", "width > 1"],
        ["--batch", tmp_path / "batch.txt"],
        ["--plus", "a cow", "-k", "1"],
        ["refused", "--to", "captions", "--explain"],
    ):
        cli("query", *arguments)
    assert log.logged_queries(place) == ["a dog", "a\x1b[31m cat", "a cow"]
    assert "\x1b" not in cli("log").text


def test_a_log_that_cannot_be_written_stops_no_query(cli: Cli, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "vlsearch")
    caplog.handler.setLevel(logging.INFO)
    (place / log.FILE).mkdir()
    quiet = cli("query", "a dog")
    assert (quiet.code, quiet.err, caplog.text) == (0, "", "")
    told = cli("query", "a dog", "-v")
    assert told.out == quiet.out
    assert "this query is not in the query log: is a directory" in caplog.text


def test_a_query_that_the_daemon_answers_is_kept(
    encoder: ColourEncoder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_kept", None)
    log.switch_on(place)
    with open_library(place) as library:
        warm.keep(library, encoder)
    for text in ("word + word", "a dog"):
        answer, _ = turn.perform(client.request(["query", text], str(place)), run)
        assert answer["code"] == 0
    assert log.logged_queries(place) == ["a dog"]


def test_the_file_is_one_of_queries(cli: Cli, place: Path) -> None:
    cli("log", "--on")
    cli("query", "a dog")
    assert read_queries(str(place / log.FILE)) == ["a dog"]


def test_wrong_use(cli: Cli, tmp_path: Path) -> None:
    done = cli("log", "--on")
    assert (done.code, done.err) == (
        2,
        f"vlsearch: no library at {tmp_path / 'library'}; `vlsearch ingest FOLDER` makes one\n",
    )
    assert "exclude one another" in cli("log", "--on", "--off").err
