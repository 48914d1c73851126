from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Done
from tests.fake_endpoint import Endpoint, Reply, completion, serving

Cli = Callable[..., Done]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("no_proxy", "*")
    for name in ("VLSEARCH_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as here:
        yield here


@pytest.fixture
def arguments(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.chdir(tmp_path)
    Path("labels.txt").write_text("dog\nant\n")
    return "describe", "--labels", "labels.txt", "--endpoint", endpoint.url, "--model", "parrot", "--out", "d.json"


def test_two_files_come_out(cli: Cli, endpoint: Endpoint, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments, "--n", "2")
    assert (done.code, done.err) == (0, "")
    assert done.text == "2 of 2 labels have descriptions in d.json; 10 questions asked\n"
    told = json.loads(Path("d.json").read_text())
    assert sorted(told) == ["ant", "dog"]
    assert told["ant"][0] == "Answer 0 to Describe what an ant looks like."
    assert sorted(path.name for path in Path().iterdir()) == ["d.answers.json", "d.json", "labels.txt"]
    assert cli(*arguments, "--n", "2", "--json").rows == [{"labels": 2, "asked": 0, "failed": {}, "left": 0}]
    assert len(endpoint.asked) == 10
    assert endpoint.asked[0]["n"] == 2


def test_own_questions_and_other_descriptions_stay(cli: Cli, endpoint: Endpoint, arguments: tuple[str, ...]) -> None:
    Path("q.txt").write_text("How big is a(n) {}?\n")
    Path("d.json").write_text('{"cow": ["It is big."]}')
    done = cli(*arguments, "--questions", "q.txt", "--n", "1", "--temperature", "0", "--answers", "a.json")
    assert done.code == 0
    assert json.loads(Path("d.json").read_text())["cow"] == ["It is big."]
    assert json.loads(Path("a.json").read_text())["parrot"]["0"] == {
        f"How big is {what}?": [f"Answer 0 to How big is {what}?."] for what in ("a dog", "an ant")
    }
    assert [asked["temperature"] for asked in endpoint.asked] == [0, 0]


@pytest.mark.parametrize("name", ["VLSEARCH_API_KEY", "OPENAI_API_KEY"])
def test_the_key_goes_nowhere_but_to_the_endpoint(
    cli: Cli, endpoint: Endpoint, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "sk-0123456789")

    def refuse(request: dict[str, Any], number: int) -> Reply:
        said = b'{"error": {"message": "bad key sk-0123456789"}}'
        return Reply(said, 401) if "dog" in str(request) else Reply(completion(f"Answer {number}."))

    endpoint.reply = refuse
    done = cli(*arguments, "--n", "1", "--json")
    assert (done.code, list(done.rows[0]["failed"])) == (1, ["dog"])
    assert done.err == (
        "vlsearch: dog: the endpoint refuses the key (401: bad key ***); set VLSEARCH_API_KEY or OPENAI_API_KEY to one "
        "that it takes\n"
    )
    assert {headers["Authorization"] for headers in endpoint.headers} == {"Bearer sk-0123456789"}
    written = b"".join(path.read_bytes() for path in Path().iterdir()) + done.out + done.err.encode()
    assert b"0123456789" not in written
    assert list(json.loads(Path("d.json").read_text())) == ["ant"]


def test_an_endpoint_that_never_answers_leaves_no_file(
    cli: Cli, endpoint: Endpoint, arguments: tuple[str, ...]
) -> None:
    Path("labels.txt").write_text("\n".join(f"label {n}" for n in range(5)))
    endpoint.reply = lambda *_: Reply(b"<html>")
    done = cli(*arguments)
    assert done.code == 1
    assert done.text == "0 of 5 labels have descriptions in d.json; 0 questions asked\n"
    assert done.err.splitlines()[-1] == "vlsearch: the endpoint failed 3 times; 2 labels were not asked about"
    assert len(done.err.splitlines()) == 4
    assert [path.name for path in Path().iterdir()] == ["labels.txt"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--endpoint", "ftp://x"), "'ftp://x' is no endpoint; give one such as https://host/v1"),
        (("--labels", "none.txt"), "no such file: 'none.txt'"),
        (("--questions", "bad.txt"), "must hold {} once"),
        (("--answers", "labels.txt"), "holds no answers of a language model"),
        (("--out", "labels.txt"), "holds no descriptions"),
        (("--n", "0"), "--n"),
        (("--timeout", "0"), "--timeout"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, arguments: tuple[str, ...], change: tuple[str, str], says: str) -> None:
    Path("bad.txt").write_text("What?\n")
    done = cli(*arguments, *change)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert says in done.err
    assert Path("labels.txt").read_text() == "dog\nant\n"


def test_a_folder_that_is_not_there(cli: Cli, arguments: tuple[str, ...]) -> None:
    Path("full").touch()
    done = cli(*arguments, "--out", "full/d.json", "--answers", "a.json", "--n", "1")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("vlsearch: cannot write 'full/d.json': ")


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_what_was_answered(endpoint: Endpoint, arguments: tuple[str, ...]) -> None:
    answer = endpoint.reply

    def stall(request: dict[str, Any], number: int) -> Reply:
        if number == 7:
            time.sleep(1)
        return answer(request, number)

    endpoint.reply = stall
    command = [sys.executable, "-m", "vlsearch", *arguments, "--n", "1"]
    running = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ, "no_proxy": "*"}
    )
    while len(endpoint.asked) < 7 and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=10)
    assert (running.returncode, len(err.strip().splitlines())) == (130, 1)
    assert b"the same command goes on" in err
    assert list(json.loads(Path("d.json").read_text())) == ["dog"]
    assert len(json.loads(Path("d.answers.json").read_text())["parrot"]["0.99"]) == 6
