from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.search import pictures
from vlsearch.search.pictures import check_picture, fetch, is_public, read_picture

Answer = Callable[[BaseHTTPRequestHandler], None]
PICTURE = b"\xff\xd8 not quite a picture"


class Web(ThreadingHTTPServer):
    """A server on this machine; `answers` says what is at which path, `asked` what was asked for, with headers."""

    daemon_threads = True

    def __init__(self) -> None:
        web = self
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append((self.path, dict(self.headers)))
                try:
                    web.answers[self.path](self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Tests print nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is meant."""

    def url(self, path: str = "/", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.server_port}{path}"


def body(data: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def to(place: str, status: int = 302) -> Answer:
    return body(b"", status, Location=place)


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """For once, this machine counts as public."""
    monkeypatch.setattr(pictures, "is_public", lambda address: address == "127.0.0.1")


# files


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    assert read_picture(str(tmp_path / "a.jpg")) == PICTURE


def test_a_member_of_a_tar_is_read(tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "a.jpg").write_bytes(PICTURE)
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(tmp_path / "a.jpg", "in/a.jpg")
    assert read_picture(f"{tmp_path}/some.tar#in/a.jpg") == PICTURE
    with pytest.raises(UsageError, match="no such file"):
        read_picture(f"{tmp_path}/some.tar#in/b.jpg")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.jpg", "no such file"),
        ("folder", "is a directory"),
        ("a\0b", "no such file"),
        ("none.parquet#3", "none.parquet"),
    ],
)
def test_what_is_no_file(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=says) as raised:
        read_picture(str(tmp_path / name))
    assert "\n" not in str(raised.value)


def test_a_row_of_a_damaged_container(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense")
    for row in ("3", "9" * 30):
        with pytest.raises(UsageError, match=r"x\.parquet"):
            read_picture(f"{tmp_path}/x.parquet#{row}")


@pytest.mark.usefixtures("permissions")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    (tmp_path / "a.jpg").chmod(0)
    with pytest.raises(UsageError, match="permission denied"):
        read_picture(str(tmp_path / "a.jpg"))


# what is refused


@pytest.mark.parametrize("url", ["http://example.org/a.jpg", "HTTPS://example.org/a.jpg", "ftp://a/b", "file:///a"])
def test_a_url_is_refused_unless_it_is_wanted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    for ask in (read_picture, check_picture):
        with pytest.raises(UsageError, match="only fetched with --allow-url"):
            ask(url, False)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.org/a.jpg", "only http and https"),
        ("file:///etc/hostname", "only http and https"),
        ("data://x", "only http and https"),
        ("http://", "needs a host"),
        ("http:///a.jpg", "needs a host"),
        ("http://me:secret@example.org/a.jpg", "no user's"),
        ("http://example.org\\@127.0.0.1/", "no user's"),
        ("http://example.org:99999/", "no URL"),
        ("http://example.org:x/", "no URL"),
        ("http://[::1/", "no URL"),
        ("http://" + "ä" * 80 + ".org/", "no URL"),
    ],
)
def test_urls_that_are_never_fetched(url: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    for ask in (read_picture, check_picture):
        with pytest.raises(UsageError, match=says):
            ask(url, True)


PUBLIC = ["8.8.8.8", "172.15.0.1", "172.32.0.1", "2606:4700:4700::1111", "64:ff9b::808:808"]
NOT_PUBLIC = [
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12::1", "fec0::1"),
    *("127.0.0.1", "127.255.255.254", "::1"),
    *("169.254.169.254", "fe80::1", "fe80::1%1"),
    *("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    *("240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "2001:db8::1", "100.64.0.1", "5f00::1"),
    *("0.0.0.0", "0.1.2.3", "::"),
    *("::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::", "2001:0:808:808::"),
]


def test_which_addresses_are_public() -> None:
    assert [address for address in PUBLIC if not is_public(address)] == []
    assert [address for address in NOT_PUBLIC if is_public(address)] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_spoken_to(host: str, web: Web) -> None:
    with pytest.raises((UsageError, UnreadableFile)) as raised:
        fetch(web.url(host=host))
    assert "no public address" in str(raised.value) or host.startswith("[")  # where there is no IPv6
    assert web.asked == []


def resolved(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names resolve to these addresses, one list after the other; returns the list of what was looked up."""
    asked: list[str] = []
    left = iter(answers)
    original = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **named: Any) -> list[Any]:
        if not host.endswith((".org", ".com")):
            return original(host, port, *rest, **named)
        asked.append(host)
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 6, "", (address, port)) for address in next(left)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_one_address_that_is_not_public_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(UsageError, match=r"example\.org is at 10\.0\.0\.1, which is no public address"):
        fetch("http://example.org/")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolved(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    connected: list[Any] = []

    def create_connection(address: Any, **_: Any) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(UnreadableFile, match="connection refused"):
        fetch("http://example.org/a.jpg")
    assert (asked, connected) == (["example.org"], [("8.8.8.8", 80)])


def test_the_next_address_is_tried(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.answers["/"] = body(PICTURE)
    monkeypatch.setattr(pictures, "is_public", lambda _: True)
    resolved(monkeypatch, ["127.9.9.9", "127.0.0.1"])
    original = socket.create_connection

    def create_connection(address: Any, **options: Any) -> socket.socket:
        if address[0] == "127.9.9.9":
            raise ConnectionRefusedError(111, "Connection refused")
        return original(address, **options)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    assert fetch(web.url(host="example.org")) == PICTURE


# what is fetched


@pytest.mark.usefixtures("near")
def test_a_picture_is_fetched(web: Web) -> None:
    web.answers["/a%20b.jpg?x=%C3%A4"] = body(PICTURE)
    assert read_picture(web.url("/a b.jpg?x=ä#part"), allow_url=True) == PICTURE
    ((_, headers),) = web.asked
    assert headers["Host"] == f"127.0.0.1:{web.server_port}"
    assert headers["User-Agent"].startswith("vlsearch/")
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)


@pytest.mark.usefixtures("near")
def test_an_answer_in_chunks(web: Web) -> None:
    def chunks(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    def broken(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"3\r\nabc\r\n9\r\nde")
        request.close_connection = True

    web.answers.update({"/": chunks, "/broken": broken})
    assert fetch(web.url()) == b"abcde"
    with pytest.raises(UnreadableFile, match="cannot fetch"):
        fetch(web.url("/broken"))


@pytest.mark.usefixtures("near")
def test_redirects_are_followed(web: Web) -> None:
    web.answers.update({"/1": to("2", 301), "/2": to("/3", 307), "/3": to(web.url("/4"), 308), "/4": body(PICTURE)})
    assert fetch(web.url("/1")) == PICTURE
    web.answers["/0"] = to("/1")
    with pytest.raises(UnreadableFile, match="redirects more than 3 times"):
        fetch(web.url("/0"))
    web.answers["/loop"] = to("/loop")
    with pytest.raises(UnreadableFile, match="redirects more than 3 times"):
        fetch(web.url("/loop"))


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("http://127.0.0.2/", "no public address"),
        ("http://10.0.0.1/", "no public address"),
        ("http://169.254.169.254/latest/meta-data/", "no public address"),
        ("//[::1]/", "no public address"),
        ("file:///etc/hostname", "only http and https"),
        ("ftp://127.0.0.1/", "only http and https"),
        ("http://me@127.0.0.1/", "no user's"),
    ],
)
def test_a_redirect_is_checked_as_well(place: str, says: str, web: Web) -> None:
    web.answers["/"] = to(place)
    with pytest.raises(UsageError, match=says):
        fetch(web.url())


@pytest.mark.usefixtures("near")
def test_a_redirect_looks_the_name_up_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.answers["/"] = to("/again")
    asked = resolved(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    with pytest.raises(UsageError, match=r"10\.0\.0\.1"):
        fetch(web.url(host="example.org"))
    assert asked == ["example.org"] * 2


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("status", [204, 304, 401, 404, 500])
def test_an_answer_without_a_picture(status: int, web: Web) -> None:
    web.answers["/"] = body(b"", status)
    with pytest.raises(UnreadableFile, match=f"the server answers {status}"):
        fetch(web.url())


@pytest.mark.usefixtures("near")
def test_pictures_that_are_too_large(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 1000)
    sent = threading.Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not sent.is_set():
            request.wfile.write(b"x" * 10_000)

    web.answers.update({"/said": body(b"x" * 1001), "/endless": endless, "/just": body(b"x" * 1000)})
    for path in ("/said", "/endless"):
        with pytest.raises(UnreadableFile, match=r"larger than 0\.001 MB"):
            fetch(web.url(path))
    sent.set()
    assert len(fetch(web.url("/just"))) == 1000


@pytest.mark.usefixtures("near")
def test_an_answer_that_breaks_off(web: Web) -> None:
    web.answers["/"] = body(b"half", **{"Content-Length": "8"})
    with pytest.raises(UnreadableFile, match="breaks off"):
        fetch(web.url())


def drip(head: bytes, piece: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(head)
        for _ in range(100):
            request.wfile.write(piece)
            time.sleep(0.05)

    return answer


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b""),
    ],
    ids=["body", "head", "continue", "chunks", "silence"],
)
def test_the_time_is_for_all_of_it(head: bytes, piece: bytes, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "SECONDS", 0.4)
    web.answers["/"] = drip(head, piece)
    start = time.monotonic()
    with pytest.raises(UnreadableFile, match=r"more than 0\.4 s"):
        fetch(web.url())
    assert time.monotonic() - start < 1.5


def test_names_that_are_slow_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(pictures, "SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(5) and [])
    start = time.monotonic()
    with pytest.raises(UnreadableFile, match=r"more than 0\.2 s"):
        fetch("http://example.org/")
    assert time.monotonic() - start < 1.5
    over.set()


def test_names_that_do_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(UnreadableFile, match="name or service not known; download it yourself"):
        fetch("http://example.org/")


@pytest.mark.usefixtures("near")
def test_a_server_that_speaks_something_else(web: Web) -> None:
    web.answers["/"] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n") and None
    for scheme in ("http", "https"):
        with pytest.raises(UnreadableFile, match="cannot fetch") as raised:
            fetch(web.url(scheme=scheme))
        assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("near")
def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnreadableFile, match="connection refused"):
        fetch(f"http://127.0.0.1:{port}/")


@pytest.mark.usefixtures("near")
def test_tls_is_verified(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    names = ("-subj", "/CN=example.org", "-addext", "subjectAltName=DNS:example.org", "-days", "2")
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *names)
    subprocess.run([*make, "-keyout", "key.pem", "-out", "cert.pem"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    web.socket = context.wrap_socket(web.socket, server_side=True)
    web.answers["/"] = body(PICTURE)
    resolved(monkeypatch, *[["127.0.0.1"]] * 3)
    with pytest.raises(UnreadableFile, match="self-signed certificate"):
        fetch(web.url(scheme="https", host="example.org"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert fetch(web.url(scheme="https", host="example.org")) == PICTURE
    with pytest.raises(UnreadableFile, match=r"example\.com"):
        fetch(web.url(scheme="https", host="example.com"))
