"""The daemon's process: what it answers, what it survives, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.conftest import ROOT, Client, Stub
from vlsearch.daemon import client as asking
from vlsearch.daemon import control, protocol
from vlsearch.errors import VlsearchError

SITUATION = """
import json, os, shutil, sys
umask = os.umask(0); os.umask(umask)
print(json.dumps({
    "folder": os.getcwd(), "colour": os.environ.get("COLOUR"), "umask": umask, "stdin": sys.stdin.read(),
    "terminals": [sys.stdout.isatty(), sys.stderr.isatty()], "width": shutil.get_terminal_size().columns,
    "encoding": sys.stdout.encoding,
}))
"""


def ask(place: Path, code: str, **changed: Any) -> tuple[dict[str, Any], bytes]:
    """The answer to a request from this process."""
    request = asking.request(["query", code], str(place)) | changed
    return asking.ask(protocol.socket_path(str(place)), request)


def connected(place: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(protocol.socket_path(str(place)))
    return connection


def test_output_exit_code_and_their_order(stub: Stub, client: Client) -> None:
    stub()
    done = client("import sys; print('ä'); sys.stdout.buffer.write(b'\\xff'); print('b', file=sys.stderr); code = 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "\udcffä\n", "b\n")
    done = client("import sys; print(1, flush=True); print(2, file=sys.stderr); print(3)", stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, "1\n2\n3\n")


def test_the_circumstances_are_the_clients_and_are_taken_back(
    stub: Stub, client: Client, place: Path, tmp_path: Path
) -> None:
    stub()
    plain = json.loads(ask(place, SITUATION, folder="/", environment={}, umask=0o022)[1])
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    given = {"COLOUR": "\udcff blue", "COLUMNS": "91"}
    done = client(SITUATION, cwd=folder, env=os.environ | given, umask=0o027, stdin=subprocess.DEVNULL)
    assert json.loads(done.stdout) == {
        "folder": str(folder),
        "colour": given["COLOUR"],
        "umask": 0o027,
        "stdin": "",
        "terminals": [False, False],
        "width": 91,
        "encoding": "utf-8",
    }
    assert json.loads(ask(place, SITUATION, folder="/", environment={}, umask=0o022)[1]) == plain
    assert plain["colour"] is None


def test_a_terminal_is_one_for_results_alone(stub: Stub, place: Path) -> None:
    stub()
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    fcntl_size = struct.pack("HHHH", 33, 77, 0, 0)
    import fcntl
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, fcntl_size)
    command = [sys.executable, "-m", "vlsearch", "query", SITUATION, "--library", str(place)]
    done = subprocess.run(command, stdout=theirs, stderr=theirs, env=environment, check=False)
    os.close(theirs)
    shown = json.loads(os.read(ours, 10_000))
    os.close(ours)
    assert done.returncode == 0
    assert (shown["terminals"], shown["width"]) == ([True, False], 77)


@pytest.mark.parametrize("code", ["raise ValueError(1)", "import sys; sys.exit(7)", "raise KeyboardInterrupt", "def"])
def test_what_goes_wrong_there_is_done_here(stub: Stub, client: Client, code: str) -> None:
    stub()
    done = client(f"print('half')\n{code}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vlsearch: no library at")
    assert client("print('whole')").stdout == "whole\n"


def test_a_request_that_cannot_be_done_is_refused(stub: Stub, place: Path) -> None:
    stub()
    changes: list[dict[str, Any]] = [
        {"folder": "/nowhere/at/all"},
        {"arguments": None},
        {"arguments": 5},
        {"environment": {"A": 1}},
        {"environment": {"A=B": "\0"}},
        {"umask": "all"},
        {"encoding": "klingon"},
        {"library": "/another"},
        {"build": "0.0.0 elsewhere"},
    ]
    for changed in changes:
        head, body = ask(place, "print(1)", **changed)
        assert (list(head), body) == (["refused"], b""), changed
        assert ask(place, "print(1)")[1] == b"1\n", changed


def test_clients_that_misbehave_keep_nobody_waiting(stub: Stub, place: Path) -> None:
    stub(patience=0.6)
    silent = connected(place)
    garbage = connected(place)
    garbage.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
    huge = connected(place)
    huge.sendall(b"\xff\xff\xff\xff")
    halfway = connected(place)
    halfway.sendall(b"\0\0\0\x10{")
    halfway.close()
    text = connected(place)
    protocol.send(text, b"[1, 2]")
    assert b"refused" in protocol.receive(text, 1000)
    began = time.monotonic()
    assert ask(place, "print(1)")[1] == b"1\n"
    assert time.monotonic() - began < 0.5
    for bad in (garbage, huge, silent):
        with suppress(ConnectionResetError):
            assert bad.recv(1) == b""
        bad.close()
    text.close()


def test_a_request_may_take_longer_than_the_patience(stub: Stub, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(patience=0.6)
    monkeypatch.setattr(protocol, "PATIENCE", 0.6)
    assert ask(place, "import time; time.sleep(1.2); print('late')")[1] == b"late\n"


def test_many_at_once_are_answered_one_after_the_other(stub: Stub, place: Path) -> None:
    stub()
    code = "import os, time; mark = os.environ['MARK']; time.sleep(0.01); print(mark, os.environ['MARK'] == mark)"
    with ThreadPoolExecutor(24) as pool:
        answers = pool.map(lambda n: ask(place, code, environment={"MARK": str(n)})[1], range(48))
    assert list(answers) == [f"{n} True\n".encode() for n in range(48)]
    told = control.tell(place, "status")
    assert told is not None
    assert told["answered"] == 48


def test_who_has_gone_is_not_worked_for(stub: Stub, place: Path, tmp_path: Path) -> None:
    stub()
    first = threading.Thread(target=ask, args=(place, "import time; time.sleep(0.4)"))
    first.start()
    time.sleep(0.1)
    mark = tmp_path / "mark"
    with connected(place) as gone:
        code = f"open({str(mark)!r}, 'w')"
        message = asking.request(["query", code], str(place)) | {"build": protocol.BUILD}
        protocol.send(gone, json.dumps(message).encode())
    first.join()
    assert ask(place, "print(1)")[1] == b"1\n"
    assert not mark.exists()


def test_sigterm_lets_it_finish_its_answer(stub: Stub, place: Path) -> None:
    process = stub()
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(ask, place, "import time; time.sleep(0.5); print('x' * 10_000_000)")
        time.sleep(0.2)
        waiting = pool.submit(ask, place, "print('never')")
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert len(answer.result()[1]) == 10_000_001
        assert waiting.result()[0] == {"refused": "the daemon ends"}
    assert process.wait(10) == 0
    assert not Path(protocol.socket_path(str(place))).exists()
    assert process.stdout is not None
    assert process.stdout.read() == "SIGTERM\n"


def test_it_ends_when_nobody_asks(stub: Stub, place: Path) -> None:
    process = stub(idle=0.5)
    began = time.monotonic()
    ask(place, "import time; time.sleep(0.4)")
    assert process.wait(10) == 0
    assert 0.9 <= time.monotonic() - began < 3
    assert process.communicate()[0] == "nobody asked for 0.5 s\n"


def test_it_ends_when_the_library_goes(stub: Stub, place: Path) -> None:
    process = stub()
    shutil.rmtree(place)
    assert process.wait(10) == 0
    assert process.communicate()[0] == f"{place} is no longer there\n"


def test_one_daemon_a_library(stub: Stub, place: Path, tmp_path: Path) -> None:
    first = stub()
    again = [sys.executable, "-m", "tests.daemon.stub", str(place), "60", "5"]
    done = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"runs already (process {first.pid})" in done.stderr
    (tmp_path / "link").symlink_to(place)
    with pytest.raises(VlsearchError, match="runs already"), control.holding(tmp_path / "link"):
        pass
    with control.holding(tmp_path / "another"):
        pass


def test_a_killed_daemon_is_replaced(stub: Stub, client: Client, place: Path) -> None:
    first = stub()
    first.kill()
    first.wait()
    assert Path(protocol.socket_path(str(place))).exists()
    assert client("print(1)").returncode == 2
    assert control.tell(place, "status") is None
    stub()
    assert client("print(1)").stdout == "1\n"


def test_status_and_stop(stub: Stub, place: Path) -> None:
    assert control.tell(place, "status") is None
    assert control.stop(place) is None
    process = stub()
    ask(place, "print(1)")
    told = control.tell(place, "status")
    assert told is not None
    assert (told["process"], told["library"], told["model"]) == (process.pid, str(place), "stub")
    assert told["answered"] == 1
    assert told["memory"] > 5e6
    assert control.stop(place) == process.pid
    assert process.wait(5) == 0
    assert control.tell(place, "status") is None


def test_a_daemon_that_hangs_is_named(stub: Stub, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = stub()
    monkeypatch.setattr(protocol, "PATIENCE", 0.2)
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(VlsearchError, match=f"kill {process.pid}"):
        control.stop(place, patience=0.1)


def test_the_socket_is_the_owners_alone(stub: Stub, place: Path, runtime: Path) -> None:
    stub()
    socket_file = Path(protocol.socket_path(str(place)))
    assert socket_file.parent == runtime / "vlsearch"
    assert socket_file.parent.stat().st_mode & 0o777 == 0o700
    assert socket_file.stat().st_mode & 0o177 == 0


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root may become somebody else")
def test_another_users_process_is_seen(runtime: Path) -> None:
    runtime.chmod(0o777)
    place = runtime / "open.sock"
    connect = "import os, socket, sys; os.setuid(int(sys.argv[2])); socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        place.chmod(0o777)
        listener.listen()
        for user in (0, 65534):
            subprocess.run([sys.executable, "-S", "-c", connect, str(place), str(user)], check=True)
            with listener.accept()[0] as connection:
                assert protocol.is_peer_ours(connection) == (user == 0)
