"""The command line's side: what it sends, and that it does the work itself whenever anything is not as expected."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ColourEncoder
from tests.daemon.conftest import Client, Stub
from vlsearch import __main__
from vlsearch.daemon import client as asking
from vlsearch.daemon import control, protocol
from vlsearch.library import default_path

Answer = Callable[[socket.socket], None]


@contextmanager
def answering(place: Path, answer: Answer) -> Iterator[None]:
    """A daemon that reads a request and does what `answer` does."""
    control.private_folder()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(protocol.socket_path(str(place)))
        listener.listen()
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                protocol.receive(connection, 1 << 24)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", "x"],
        [],
        ["query", "-"],
        ["query", "--batch", "-"],
        ["query", "--batch=queries.txt"],
        ["query", "--like=-"],
        ["query", "--like", "/dev/stdin"],
        ["query", "dog", "--thumbnails"],
        ["query", "dog", "--html", "x.html", "--open"],
    ],
    ids=" ".join,
)
def test_what_stays_here(arguments: list[str]) -> None:
    assert not asking.can_be_sent(arguments)


@pytest.mark.parametrize("arguments", [["query", "dog"], ["query", "horse - fruit", "-k", "3"], ["query", "--help"]])
def test_what_is_sent(arguments: list[str]) -> None:
    assert asking.can_be_sent(arguments)


def test_no_output_no_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert not asking.can_be_sent(["query", "dog"])


def test_the_library_is_the_one_that_the_command_opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert asking.library_path(["query", "dog", "--library", "a", "--library=b/../c"]) == str(tmp_path / "c")
    assert asking.library_path(["query", "--library", "~/x"]) == str(tmp_path / "home" / "x")
    assert asking.library_path(["query", "--", "--library=d"]) == str(tmp_path / "library")
    assert asking.library_path(["query", "dog"]) == str(default_path()) == str(tmp_path / "library")
    monkeypatch.delenv("VLSEARCH_LIBRARY")
    for data in ("", str(tmp_path / "data"), "relative"):
        monkeypatch.setenv("XDG_DATA_HOME", data)
        assert asking.library_path(["query", "dog"]) == str(default_path())
    monkeypatch.delenv("XDG_DATA_HOME")
    assert asking.library_path(["query", "dog"]) == str(default_path())


def test_a_terminal_that_does_not_know_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((0, 0)))
    asked = asking.request(["query", "dog"], "/nowhere")
    assert (asked["columns"], asked["lines"]) == (80, 24)


def test_next_to_nothing_is_imported() -> None:
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['vlsearch', 'query', 'dog', '--library', '/nowhere'];"
        "from vlsearch.daemon import client, protocol; import socket, json;"
        "client.answered(sys.argv[1:]); client.request([], '/');"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"click", "platformdirs", "logging", "hashlib", "tempfile", "subprocess", "inspect", "dataclasses", "numpy"}
    assert slow.isdisjoint(done.stdout.split()), done.stdout
    assert "vlsearch" in done.stdout.split()


def frame(head: object, body: bytes = b"") -> bytes:
    message = json.dumps(head).encode() + b"\n" + body
    return len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"\0\0\1\0{",
        frame({"code": 0, "parts": [[1, 4]]}, b"half")[:-2],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff\xff",
        b"\0\0\0\2{}",
        b"\0\0\0\2[]",
        frame({"refused": "another version"}),
        frame({"code": 0}),
        frame({"parts": [[1, 0]]}),
        frame({"code": 0, "parts": [[1, 5]]}, b"four"),
        frame({"code": 0, "parts": [[1, 3]]}, b"four"),
        frame({"code": 0, "parts": [[0, 4]]}, b"four"),
        frame({"code": 0, "parts": [[1, 8], [1, -4]]}, b"four"),
        frame({"code": 0, "parts": [[1, "4"]]}, b"four"),
        frame({"code": "fine", "parts": [[1, 4]]}, b"four"),
    ],
    ids=lambda answer: repr(answer[:40]),
)
def test_an_answer_that_is_none(place: Path, capfdbinary: pytest.CaptureFixture[bytes], answer: bytes) -> None:
    with answering(place, lambda connection: connection.sendall(answer)):
        assert asking.answered(["query", "dog", "--library", str(place)]) is None
    assert capfdbinary.readouterr() == (b"", b"")


def test_an_answer(place: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    beat = b"\0\0\0\0"
    whole = beat * 3 + frame({"code": 3, "parts": [[1, 4], [2, 3], [1, 1]]}, b"out\nerr\n")
    with answering(place, lambda connection: connection.sendall(whole)):
        assert asking.answered(["query", "dog", "--library", str(place)]) == 3
    assert capfdbinary.readouterr() == (b"out\n\n", b"err")


def test_silence(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)
    began = time.monotonic()
    with answering(place, lambda _: time.sleep(0.5)):
        assert asking.answered(["query", "dog", "--library", str(place)]) is None
        assert time.monotonic() - began < 0.45


def test_a_folder_that_others_may_enter_is_not_used(place: Path, runtime: Path) -> None:
    fine = frame({"code": 0, "parts": []})
    with answering(place, lambda connection: connection.sendall(fine)):
        (runtime / "vlsearch").chmod(0o755)
        assert asking.answered(["query", "dog", "--library", str(place)]) is None
        (runtime / "vlsearch").rename(runtime / "real")
        (runtime / "vlsearch").symlink_to("real")
        (runtime / "real").chmod(0o700)
        assert asking.answered(["query", "dog", "--library", str(place)]) is None
        (runtime / "vlsearch").unlink()
        (runtime / "real").rename(runtime / "vlsearch")
        assert asking.answered(["query", "dog", "--library", str(place)]) == 0


def test_the_switch(stub: Stub, client: Client) -> None:
    stub()
    assert client("print(1)").stdout == "1\n"
    assert client("print(1)", env=os.environ | {"VLSEARCH_DAEMON": "0"}).returncode == 2


def test_without_a_runtime_folder_there_is_one_in_tmp(
    stub: Stub, client: Client, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", str(runtime))
    stub()
    assert client("print(1)").stdout == "1\n"
    assert (runtime / f"vlsearch-{os.getuid()}").stat().st_mode & 0o777 == 0o700


def test_a_closed_pipe_and_a_full_disk(stub: Stub, client: Client) -> None:
    stub()
    reading, writing = os.pipe()
    os.close(reading)
    done = client("print('x' * 1_000_000)", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    with Path("/dev/full").open("wb") as full:
        done = client("print(1)", stdout=full)
    assert (done.returncode, done.stderr) == (1, "vlsearch: No space left on device\n")


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_client_alone(stub: Stub, client: Client, place: Path, tmp_path: Path) -> None:
    stub()
    begun = tmp_path / "begun"
    code = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(0.5)"
    command = [sys.executable, "-m", "vlsearch", "query", code, "--library", str(place)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not begun.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == b""
    assert process.returncode == 130
    assert client("print(1)").stdout == "1\n"


def test_a_daemon_killed_in_mid_answer(
    stub: Stub,
    take: Callable[..., object],
    photos: Callable[..., Path],
    encoder: ColourEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The command line answers by itself, as if there had been no daemon."""
    take(photos(3))
    process = stub()
    begun = tmp_path / "begun"
    code = f"import time; open({str(begun)!r}, 'w').close(); print(1, flush=True); time.sleep(30)"
    monkeypatch.setattr("vlsearch.encoders.registry.load_source", lambda _source, _precision="auto": encoder)
    monkeypatch.setattr(sys, "argv", ["vlsearch", "query", code, "--paths"])

    def kill() -> None:
        while not begun.exists():
            time.sleep(0.01)
        process.kill()

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    killer.join()
    out, err = capfdbinary.readouterr()
    assert (ended.value.code, err) == (0, b"")
    assert sorted(out.decode().splitlines()) == sorted(map(str, (tmp_path / "photos").iterdir()))
