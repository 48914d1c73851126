"""The bytes of a picture that is asked with: of a file, of a container's member, or from the web.

Fetching cannot be made to reach into the network around this machine: only public addresses are spoken to, and each
connection goes to the very address that was checked.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from vlsearch.errors import UnreadableFile, UsageError

if TYPE_CHECKING:
    import socket
    from http.client import HTTPResponse
    from urllib.parse import SplitResult

URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
PORTS = {"http": 80, "https": 443}
SECONDS = 10.0
"""for all of a fetch: names, redirects, and a server that sends a byte at a time"""
MAX_BYTES = 50_000_000
REDIRECTS = 3
INSTEAD = "download it yourself and give the file"


def is_url(address: str) -> bool:
    return URL.match(address) is not None


def check_picture(address: str, allow_url: bool) -> None:
    """What can be said against a picture before it is read. UsageError: no such file, or a URL that is not wanted."""
    from vlsearch.ingest.sources import exists

    if is_url(address):
        if not allow_url:
            raise UsageError(f"{address!r} is a URL, which is only fetched with --allow-url; or {INSTEAD}")
        _target(address)
        return
    try:
        there = exists(address)
    except (OSError, ValueError, UnreadableFile) as error:
        raise UsageError(f"cannot read {address!r}: {_reason(error)}") from None
    if not there:
        raise UsageError(f"no such file: {address!r}")


def read_picture(address: str, allow_url: bool = False) -> bytes:
    """The bytes of a picture by its path, its address within a container, or its URL.

    Raises UsageError where there is no such file, or the URL is not to be fetched; UnreadableFile where it cannot be.
    """
    from vlsearch.ingest.sources import read_address

    check_picture(address, allow_url)
    if is_url(address):
        return fetch(address)
    try:
        return read_address(address)
    except (OSError, ValueError, UnreadableFile) as error:
        raise UsageError(f"cannot read {address!r}: {_reason(error)}; give the path of a photo") from None


def fetch(url: str) -> bytes:
    """What a web server gives for a URL, of at most MAX_BYTES and within SECONDS. No proxy is used, no cookie sent.

    Raises UsageError for another scheme than http and https, and for an address that is not public, also at the end
    of a redirect; UnreadableFile for whatever fails.
    """
    from http.client import HTTPException
    from urllib.parse import urljoin

    deadline, place = time.monotonic() + SECONDS, url
    try:
        for _ in range(1 + REDIRECTS):
            answer = _get(place, deadline)
            if isinstance(answer, bytes):
                return answer
            place = urljoin(place, answer)
    except TimeoutError:
        raise UnreadableFile(f"cannot fetch {url!r}: it takes more than {SECONDS:g} s; {INSTEAD}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise UnreadableFile(f"cannot fetch {url!r}: {_reason(error)}; {INSTEAD}") from None
    raise UnreadableFile(f"cannot fetch {url!r}: it redirects more than {REDIRECTS} times; {INSTEAD}")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, for everybody to speak to."""
    from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip in IPv6Network("64:ff9b::/96"):  # how a network without IPv4 reaches IPv4 (RFC 6052)
            return is_public(str(IPv4Address(int(ip) & 0xFFFFFFFF)))
        # what holds some IPv4 address, and what was site-local: the standard library calls them global
        if any(ip in IPv6Network(network) for network in ("::ffff:0:0/96", "64:ff9b:1::/48", "2002::/16", "fec0::/10")):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_link_local)


def _get(url: str, deadline: float) -> bytes | str:
    """The body of the answer, or where it redirects to."""
    from http.client import HTTPConnection
    from urllib.parse import quote

    from vlsearch import __version__

    parts, host, port = _target(url)
    name = f"[{host}]" if ":" in host else host
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="/%?=&+,;:@!$'()*~[]|")
    with _connected(host, port, parts.scheme == "https", deadline) as connected:
        connection = HTTPConnection(name, port)
        connection.sock = _Timed(connected, deadline)
        headers = {
            "Host": name if port == PORTS[parts.scheme] else f"{name}:{port}",
            "User-Agent": f"vlsearch/{__version__}",
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        connection.request("GET", target, headers=headers)
        with connection.getresponse() as response:
            location = response.getheader("Location")
            if response.status in (301, 302, 303, 307, 308) and location:
                return location
            return _body(response)


def _body(response: HTTPResponse) -> bytes:
    if response.status != 200:
        raise OSError(f"the server answers {response.status} {response.reason}".strip())
    too_large = f"it is larger than {MAX_BYTES / 10**6:g} MB"
    if response.length is not None and response.length > MAX_BYTES:
        raise OSError(too_large)
    data = response.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(too_large)
    if response.length:
        raise OSError("the answer breaks off before its end")
    return data


def _target(url: str) -> tuple[SplitResult, str, int]:
    """The parts of a URL, the host's name in ASCII, and the port. UsageError for what is never fetched."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise UsageError(f"{url!r} is no URL that can be fetched: {error}") from None
    if parts.scheme not in PORTS:
        raise UsageError(f"{url!r} cannot be fetched: only http and https can; {INSTEAD}")
    if not host or "@" in parts.netloc:
        raise UsageError(f"{url!r} cannot be fetched: it needs a host's name, and no user's; {INSTEAD}")
    return parts, host, PORTS[parts.scheme] if port is None else port


def _connected(host: str, port: int, tls: bool, deadline: float) -> socket.socket:
    """A connection to the first address of the host that takes one. UsageError where one of them is not public."""
    import socket

    addresses = _addresses(host, port, deadline)
    for address in addresses:
        if not is_public(address):
            where = host if host == address else f"{host} is at {address}, which"
            raise UsageError(f"{where} is no public address, so nothing is fetched there")
    for last, address in enumerate(addresses, 1 - len(addresses)):
        try:
            connected = socket.create_connection((address, port), timeout=_left(deadline))
            break
        except OSError:
            if last == 0 or time.monotonic() >= deadline:
                raise
    if not tls:
        return connected
    import ssl

    try:
        connected.settimeout(_left(deadline))
        return ssl.create_default_context().wrap_socket(connected, server_hostname=host)
    except BaseException:
        connected.close()
        raise


def _addresses(host: str, port: int, deadline: float) -> list[str]:
    """The IP addresses of a host, each once. The system's resolver knows no time limit, so a thread asks it."""
    import socket
    from queue import Empty, SimpleQueue
    from threading import Thread

    answers: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))
        except Exception as error:
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_left(deadline))
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


class _Timed:
    """A socket for http.client whose every wait ends at the deadline; its own limit starts anew with each byte."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._connected, self._deadline = connected, deadline

    def sendall(self, data: bytes) -> None:
        self._connected.settimeout(_left(self._deadline))
        self._connected.sendall(data)

    def makefile(self, _mode: str) -> object:
        import io

        connected, deadline = self._connected, self._deadline

        class Reader(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
                connected.settimeout(_left(deadline))
                return connected.recv_into(buffer)

        return io.BufferedReader(Reader())

    def close(self) -> None:
        """The answer is still to be read when http.client closes its connection."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: Exception) -> str:
    said = getattr(error, "verify_message", "") or getattr(error, "strerror", None) or str(error)
    said = " ".join(said.split()) or type(error).__name__
    return said[:1].lower() + said[1:200]
