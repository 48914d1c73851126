"""What the command line and the daemon agree on: where the socket lies, and how a message is framed.

Every `vlsearch query` imports this before anything else, so it imports next to nothing itself.
"""

# ruff: noqa: PTH118, PTH120 - importing pathlib would take longer than all of this

from __future__ import annotations

import os
import stat
import sys
from zlib import crc32

from vlsearch import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

BUILD = f"{__version__} {os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}"
"""version and place of the code: a daemon of another one is not asked"""
PATIENCE = 5.0
"""seconds without a byte after which the other side is given up"""
BEAT = 1.0
"""seconds between the empty frames by which a daemon at work shows that it lives"""
LONGEST_REQUEST = 1 << 24
LONGEST_ANSWER = 1 << 30


def socket_folder() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return os.path.join(runtime, "vlsearch")
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"vlsearch-{os.getuid()}")


def is_ours_alone(folder: str) -> bool:
    """Whether `folder` is a folder, no link, of this user's that nobody else may enter."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def socket_path(library: str) -> str:
    """The socket of the daemon of the library at `library`, an absolute path."""
    name = crc32(os.fsencode(os.path.realpath(library)))
    return os.path.join(socket_folder(), f"{name:08x}.sock")


def is_peer_ours(connection: socket.socket) -> bool:
    """Whether the process at the other end runs as this user. Where the system does not tell (other than Linux), the
    folder's permissions have to do."""
    if sys.platform != "linux":
        return True
    import socket

    size = 4
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3 * size)
    return int.from_bytes(credentials[size : 2 * size], sys.byteorder) == os.getuid()


def send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(4, "big") + message)


def receive(connection: socket.socket, longest: int) -> bytes:
    """One frame. EOFError when the connection ends before it does, ValueError when it is longer than `longest`."""
    length = int.from_bytes(_exactly(connection, 4), "big")
    if length > longest:
        raise ValueError(f"a frame of {length} bytes")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(min(length - len(data), 1 << 20))
        if not part:
            raise EOFError("the connection ended in the middle of a message")
        data += part
    return bytes(data)
