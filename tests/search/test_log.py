"""The query log: what is kept, and that it never stands in a query's way."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vlsearch.search import log
from vlsearch.search.query import Term, parse


def test_off_unless_switched_on(tmp_path: Path) -> None:
    log.record(tmp_path, parse("dog"))
    assert list(tmp_path.iterdir()) == []
    assert not log.is_on(tmp_path)
    assert log.logged_queries(tmp_path) == []


def test_queries_are_kept_in_order(tmp_path: Path) -> None:
    log.switch_on(tmp_path)
    texts = ["dog on the beach", "пёс", "dog on the beach", "two\nlines", "\udcff"]
    for text in texts:
        log.record(tmp_path, [Term(text)])
    log.switch_on(tmp_path)
    assert log.logged_queries(tmp_path) == texts
    rows = [json.loads(line) for line in (tmp_path / log.FILE).read_bytes().splitlines()]
    assert [set(row) for row in rows] == [{"at", "text"}] * 5
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["at"]) for row in rows)
    assert [query.text for query in log.logged(tmp_path)] == texts


@pytest.mark.parametrize(
    "terms", [parse("horse + stripes"), parse("horse - fruit"), [Term(image="a.jpg")], [Term("a"), Term(image="b")], []]
)
def test_what_has_no_order_of_words_is_not_kept(tmp_path: Path, terms: list[Term]) -> None:
    log.switch_on(tmp_path)
    log.record(tmp_path, terms)
    assert (tmp_path / log.FILE).read_bytes() == b""


def test_the_text_is_kept_as_it_is_asked(tmp_path: Path) -> None:
    log.switch_on(tmp_path)
    log.record(tmp_path, parse('2:"mother - daughter"'))
    assert log.logged_queries(tmp_path) == ["mother - daughter"]


def test_its_owners_alone(tmp_path: Path) -> None:
    log.switch_on(tmp_path)
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / log.FILE).stat().st_mode) == 0o600


def test_off_deletes_and_clear_goes_on(tmp_path: Path) -> None:
    log.switch_off(tmp_path)
    log.clear(tmp_path)
    assert not log.is_on(tmp_path)
    log.switch_on(tmp_path)
    log.record(tmp_path, parse("dog"))
    log.clear(tmp_path)
    assert log.is_on(tmp_path)
    assert log.logged_queries(tmp_path) == []
    log.record(tmp_path, parse("cat"))
    assert log.logged_queries(tmp_path) == ["cat"]
    log.switch_off(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_lines_that_were_cut_off_are_passed_over(tmp_path: Path) -> None:
    good = b'{"at": "2026-01-31T12:00:00Z", "text": "dog"}\n'
    (tmp_path / log.FILE).write_bytes(good + b'{"at": "20{"at"\n' + b'["a"]\n3\n{"at": 1}\n\xff\n' + good + b'{"a')
    assert log.logged_queries(tmp_path) == ["dog", "dog"]


def test_what_cannot_be_written_is_said_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log.switch_on(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with caplog.at_level(logging.INFO, "vlsearch"):
        log.record(tmp_path, parse("dog"))
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.INFO, "this query is not in the query log: no space left on device")
    ]


@pytest.mark.usefixtures("permissions")
def test_a_read_only_log_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log.switch_on(tmp_path)
    (tmp_path / log.FILE).chmod(0o400)
    with caplog.at_level(logging.INFO, "vlsearch"):
        log.record(tmp_path, parse("dog"))
    assert "permission denied" in caplog.text


def test_many_at_once_mix_no_lines(tmp_path: Path) -> None:
    log.switch_on(tmp_path)
    texts = [f"{n} " + "x" * 500 for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: log.record(tmp_path, [Term(text)]), texts))
    assert sorted(log.logged_queries(tmp_path)) == sorted(texts)


@pytest.mark.parametrize("on", [False, True])
def test_a_query_does_not_feel_it(tmp_path: Path, on: bool) -> None:
    if on:
        log.switch_on(tmp_path)
    terms = parse("dog on the beach")
    times = []
    for _ in range(50):
        began = time.perf_counter()
        log.record(tmp_path, terms)
        times.append(time.perf_counter() - began)
    assert sorted(times)[25] < 0.001
