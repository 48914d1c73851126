"""The command line's way to the daemon: ask it, print what it answers, or say that the work is still to be done.

All of it has to fit into the 30 ms that a warm query may take, so it imports json and socket, and those only once a
daemon's socket is there.
"""

# ruff: noqa: PTH109, PTH110, PTH111, PTH120 - importing pathlib would take longer than all of this

from __future__ import annotations

import os
import sys

from vlsearch.daemon import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = "query"
AT_HOME = {"-", "--batch", "--thumbnails", "--open"}
"""arguments that need this process's own input, terminal or desktop, or keep others waiting for long"""
OWN_FILES = ("/dev/", "/proc/")
"""paths, such as that of `--batch <(command)`, that mean another file in another process"""


def answered(arguments: list[str]) -> int | None:
    """The exit code of `vlsearch ARGUMENTS`, once a daemon has run it and its answer is printed.

    None, and nothing printed, where there is no daemon, it is not for this command, or anything is not as expected:
    then the caller does the work itself.
    """
    if os.environ.get("VLSEARCH_DAEMON") == "0" or os.name != "posix" or not can_be_sent(arguments):
        return None
    try:
        library = library_path(arguments)
        place = protocol.socket_path(library)
        if not os.path.exists(place) or not protocol.is_ours_alone(os.path.dirname(place)):
            return None
        answer = ask(place, request(arguments, library))
        parts, code = parts_of(answer), int(answer[0]["code"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError):
        return None
    return write(parts) or code


def can_be_sent(arguments: list[str]) -> bool:
    return (
        arguments[:1] == [COMMAND]
        and sys.stdout is not None
        and sys.stderr is not None
        and not any(
            argument.partition("=")[0] in AT_HOME
            or argument.endswith("=-")
            or any(path in argument for path in OWN_FILES)
            for argument in arguments
        )
    )


def library_path(arguments: list[str]) -> str:
    """The library that `arguments` name, by default that of `vlsearch.library.default_path`; absolute."""
    named = os.environ.get("VLSEARCH_LIBRARY")
    for n, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "--library" and n + 1 < len(arguments):
            named = arguments[n + 1]
        elif argument.startswith("--library="):
            named = argument.removeprefix("--library=")
    if not named and sys.platform == "linux" and not os.environ.get("XDG_DATA_HOME"):
        named = "~/.local/share/vlsearch/library"  # as platformdirs has it, whose import takes 6 ms
    if not named:
        from vlsearch.library import default_path

        named = str(default_path())
    return os.path.abspath(os.path.expanduser(named))


def request(arguments: list[str], library: str) -> dict[str, Any]:
    """The arguments and all that their meaning may depend on."""
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        columns, lines = os.get_terminal_size(1)
    except OSError:
        columns, lines = 80, 24
    return {
        "library": library,
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
        "terminal": sys.stdout.isatty(),
        "encoding": sys.stdout.encoding,
        "columns": columns or 80,  # a terminal may not know its size, which is 0 then
        "lines": lines or 24,
    }


def ask(place: str, message: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Send a message to the daemon whose socket is at `place`; its answer is a head and the bytes that it is about.

    OSError, EOFError or ValueError where none is to be had.
    """
    import json
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(protocol.PATIENCE)
        connection.connect(place)
        if not protocol.is_peer_ours(connection):
            raise PermissionError("the daemon is another user's")
        protocol.send(connection, json.dumps({"build": protocol.BUILD, **message}).encode())
        answer = b""
        while not answer:
            answer = protocol.receive(connection, protocol.LONGEST_ANSWER)
    head, _, body = answer.partition(b"\n")
    return json.loads(head), body


def parts_of(answer: tuple[dict[str, Any], bytes]) -> list[tuple[int, bytes]]:
    """What goes to file descriptors 1 and 2, in the order in which it was written. ValueError if it does not add up."""
    head, body = answer
    parts, at = [], 0
    for descriptor, length in head["parts"]:
        if descriptor not in (1, 2) or length < 0:
            raise ValueError("an answer that makes no sense")
        parts.append((descriptor, body[at : at + length]))
        at += length
    if at != len(body):
        raise ValueError("an answer of another length than it says")
    return parts


def write(parts: list[tuple[int, bytes]]) -> int:
    """0, or 1 when the output cannot be written: said in the words of `vlsearch.cli.main`, as is a closed pipe."""
    for descriptor, data in parts:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except BrokenPipeError:
            sys.exit(0)
        except OSError as error:
            if descriptor == 1:
                os.write(2, f"vlsearch: {error.strerror}\n".encode())
            return 1
    return 0
