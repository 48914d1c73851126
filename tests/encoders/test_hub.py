"""A hub that is not there, does not answer or has no such thing: said within seconds, with the ways out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from vlsearch.encoders import catalogue, hub, registry
from vlsearch.errors import ModelUnavailable

CONTENT = b"weights of a model"
pytestmark = pytest.mark.usefixtures("hub_cache")


class Hub(BaseHTTPRequestHandler):
    """Answers as `server.behaviour` says: a status, "never", or "files" for those in `server.files`."""

    server: Any

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)
        behaviour, error = self.server.behaviour, self.server.error
        if behaviour == "never":
            self.server.release.wait(30)
        if behaviour == "files":
            filename = self.path.rpartition("/")[2]
            behaviour, error = (200, "") if filename in self.server.files else (404, "EntryNotFound")
        self.send_response(behaviour if isinstance(behaviour, int) else 503)
        if error:
            self.send_header("X-Error-Code", error)
        if behaviour == 200:
            self.send_header("ETag", '"abc"')
            self.send_header("X-Repo-Commit", "d" * 40)
        self.send_header("Content-Length", str(len(CONTENT) if behaviour == 200 else 0))
        self.end_headers()
        if behaviour == 200 and self.command == "GET":
            self.wfile.write(CONTENT)

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    behaviour: Any = 404
    error = ""
    files: tuple[str, ...] = ()

    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A hub on this machine, in place of the real one."""
    with Server(("127.0.0.1", 0), Hub) as running:
        running.asked, running.release = [], threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        point_at(monkeypatch, f"http://127.0.0.1:{running.server_port}")
        yield running
        running.release.set()  # type: ignore[attr-defined]
        running.shutdown()


def point_at(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def refused(work: Callable[[], Any]) -> str:
    start = time.perf_counter()
    with pytest.raises(ModelUnavailable) as caught:
        work()
    assert time.perf_counter() - start < 5
    message = str(caught.value)
    for part in (constants.HF_HUB_CACHE, "`--model builtin`", "`--weights FILE`", "HF_HOME=FOLDER"):
        assert part in message
    assert "\n" not in message
    return message


def fetch(patience: float = hub.PATIENCE) -> Path:
    return hub.fetch("a model", "org/own", hub.WEIGHTS, patience)


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        (404, "", "404"),
        (404, "EntryNotFound", "it holds no open_clip_model.safetensors and no open_clip_pytorch_model.bin"),
        (404, "RepoNotFound", "no such repository, or a private one that wants HF_TOKEN=…"),
        (401, "RepoNotFound", "no such repository"),
        (403, "GatedRepo", "its owner grants access on that page"),
        (403, "", "403"),
        (429, "", "429"),
        (500, "", "500"),
        (503, "", "503"),
    ],
)
def test_a_hub_that_answers_with_an_error(behaviour: int, error: str, said: str, server: Any) -> None:
    server.behaviour, server.error = behaviour, error
    message = refused(fetch)
    assert f"127.0.0.1:{server.server_port}/org/own: " in message
    assert said in message


def test_a_hub_that_never_answers(server: Any) -> None:
    server.behaviour = "never"
    start = time.perf_counter()
    assert "no answer within" in refused(lambda: fetch(0.3))
    assert time.perf_counter() - start < 1
    assert hub.PATIENCE < 4.5


def test_a_program_does_not_wait_for_a_hub_that_it_has_given_up(server: Any, tmp_path: Path) -> None:
    server.behaviour = "never"
    script = "from vlsearch.encoders import hub\nhub.fetch('a model', 'org/own', hub.WEIGHTS, 0.2)"
    start = time.perf_counter()
    assert "no answer within" in run(server, tmp_path, "-c", script).stderr
    assert time.perf_counter() - start < 3


def test_a_resolver_that_never_answers(monkeypatch: pytest.MonkeyPatch, server: Any) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: server.release.wait(30))
    assert "no answer within" in refused(lambda: fetch(0.3))


def test_a_host_that_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    point_at(monkeypatch, "http://hub.invalid")
    assert "Name or service not known" in refused(fetch)


def test_a_port_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        point_at(monkeypatch, f"http://127.0.0.1:{free.getsockname()[1]}")
        assert "refused" in refused(fetch)


def test_offline_means_that_nobody_is_asked(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "because HF_HUB_OFFLINE is set" in refused(fetch)
    assert server.asked == []


def test_what_lies_in_the_cache_asks_nobody(server: Any, hub_cache: Callable[..., Path]) -> None:
    place = hub_cache("org/own", hub.WEIGHTS[1], "weights")
    assert fetch() == place
    assert server.asked == []


@pytest.mark.parametrize("filename", hub.WEIGHTS)
def test_what_the_hub_has_is_downloaded_once(filename: str, server: Any) -> None:
    server.behaviour, server.files = "files", (filename,)
    assert fetch().read_bytes() == CONTENT
    asked = len(server.asked)
    assert fetch().read_bytes() == CONTENT
    assert len(server.asked) == asked


def test_a_download_on_a_pipe_says_nothing(server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    server.behaviour, server.files = "files", (hub.WEIGHTS[0],)
    with registry.quiet():
        fetch()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [registry.DEFAULT, "ViT-B-32/openai", "hf-hub:org/own"])
def test_every_kind_of_name_gets_there(name: str, server: Any) -> None:
    server.behaviour = 500
    message = refused(lambda: registry.load(name))
    assert f"cannot get the files of {name}: " in message


def test_the_default_is_refused_before_open_clip_is_imported(server: Any, tmp_path: Path) -> None:
    server.behaviour = 500
    script = "import sys, vlsearch\ntry: vlsearch.load_model()\nfinally: print('torch' in sys.modules)"
    assert run(server, tmp_path, "-c", script).stdout == "False\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", [registry.DEFAULT, "hf-hub:org/own"])
def test_the_command_says_so_within_five_seconds_in_one_line(name: str, server: Any, tmp_path: Path) -> None:
    server.behaviour = "never"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    start = time.perf_counter()
    done = run(server, tmp_path, "-m", "vlsearch", "ingest", str(tmp_path / "photos"), "--model", name)
    assert time.perf_counter() - start < 6  # Python itself starts, too
    assert done.returncode == 1
    assert done.stderr.startswith(f"vlsearch: cannot get the files of {name}")
    assert len(done.stderr.splitlines()) == 1


def run(server: Any, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "empty")}
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env={**environment, **own})


def test_the_repository_of_every_recommended_model_is_that_of_open_clip() -> None:
    import open_clip

    for row in catalogue.recommended():
        arch, _, name = row["name"].partition("/")
        assert open_clip.get_pretrained_cfg(arch, name)["hf_hub"] == catalogue.repo_of(row) + "/"


def test_all_of_open_clips_weights_are_on_a_hub() -> None:
    import open_clip

    assert all(open_clip.get_pretrained_cfg(arch, name)["hf_hub"] for arch, name in open_clip.list_pretrained())
