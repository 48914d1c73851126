"""Where photos come from: folders, files, lists of files, tars, Parquet; and their bytes by the address stored.

An address is a path, or a container's path, "#" and the member's name or the row's number:
"/data/00001.tar#000.jpg", "/data/train.parquet#17".
"""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest import parquet, tar
from vlsearch.ingest.scan import Found, Unreadable, scan

STDIN = "-"
TAR, PARQUET = (".tar",), (".parquet", ".pq")
COMPRESSED = re.compile(r"\.(tar\.\w+|t[gbx]z2?)$", re.IGNORECASE)
LIST_BLOCK = 1 << 16
"""bytes of a list of files that are looked at for a NUL: many times the longest path"""


class Address(NamedTuple):
    container: str
    inside: str
    """a member's name or a row's number"""


def find(
    roots: Sequence[str | os.PathLike[str]], exclude: Sequence[str] = (), stdin: TextIO | BinaryIO | None = None
) -> Iterator[Found | Unreadable]:
    """Every photo of the sources, each once however they overlap.

    Folders and files are taken as `scan` takes them. "-" is a list of files on `stdin` (default: the process's own),
    one a line, or each ended by NUL; what it names and cannot be read is an Unreadable. Tar and Parquet files that are
    named (globs and {000..123} will do) are opened, those that lie in folders are not: a backup is no source.

    Raises UsageError, at the call, for a root that does not exist.
    """
    plain: list[str | os.PathLike[str]] = []
    containers: list[str] = []
    listed = False
    for root in roots:
        name = os.fspath(root)
        if name == STDIN:
            listed = True
        elif COMPRESSED.search(name) and Path(name).is_file():
            raise UsageError(
                f"{name!r} is compressed, so its photos cannot be read one by one; decompress it to a .tar"
            )
        elif shards := expand(name):
            containers += shards
        else:
            plain.append(root)
    walk = scan(plain, exclude)
    if not listed:
        return _all(walk, containers, set())
    return _with_list(plain, exclude, containers, stdin or sys.stdin)


def expand(name: str) -> list[str]:
    """The tar and Parquet files that a root names, by itself or as a pattern; [] where it names something else."""
    if not name.lower().endswith(TAR + PARQUET):
        return []
    if Path(name).exists():
        return [] if Path(name).is_dir() else [os.path.abspath(name)]
    found: list[str] = []
    for pattern in braces(name):
        matches = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern] * Path(pattern).is_file()  # noqa: PTH207 - patterns may be absolute
        if not matches:
            raise UsageError(f"no such file or folder: {pattern!r}")
        found += map(os.path.abspath, matches)
    return found


def braces(pattern: str) -> list[str]:
    """As a shell writes out {a,b} and {000..123}, from the left."""
    found = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if found is None:
        return [pattern]
    first, last, names = found.groups()
    if names is None:
        width = max(len(first), len(last)) if "0" in (first[:1], last[:1]) else 0
        step = 1 if int(first) <= int(last) else -1
        parts = [f"{number:0{width}d}" for number in range(int(first), int(last) + step, step)]
    else:
        parts = names.split(",")
    rest = braces(pattern[found.end() :])
    return [pattern[: found.start()] + part + end for part in parts for end in rest]


def _with_list(
    plain: Sequence[str | os.PathLike[str]], exclude: Sequence[str], containers: list[str], stdin: TextIO | BinaryIO
) -> Iterator[Found | Unreadable]:
    """Files of the list first; its folders and containers with those that were named."""
    seen: set[str] = set()
    folders = list(plain)
    shards = list(containers)
    for name in names_in(stdin):
        path = os.path.abspath(name)
        try:
            status = Path(path).stat()
        except (OSError, ValueError) as error:
            yield Unreadable(path, (getattr(error, "strerror", None) or str(error)).lower())
            continue
        if stat.S_ISDIR(status.st_mode):
            folders.append(path)
        elif not stat.S_ISREG(status.st_mode):
            yield Unreadable(path, "neither a file nor a folder")
        elif path.lower().endswith(TAR + PARQUET):
            shards.append(path)
        elif path not in seen:
            seen.add(path)
            yield Found(path, status.st_size, status.st_mtime_ns)
    yield from _all(scan(folders, exclude), shards, seen)


def _all(walk: Iterator[Found | Unreadable], containers: Sequence[str], seen: set[str]) -> Iterator[Found | Unreadable]:
    for found in walk:
        if found.path not in seen:
            yield found
    for path in dict.fromkeys(containers):
        yield from tar.photos_in(path) if path.lower().endswith(TAR) else parquet.photos_in(path)


def names_in(stdin: TextIO | BinaryIO) -> Iterator[str]:
    """The paths of a list; empty lines are passed over."""
    stream: Any = getattr(stdin, "buffer", stdin)
    start: Any = stream.read(LIST_BLOCK)
    text = isinstance(start, str)
    left = start.encode("utf-8", "surrogateescape") if text else start
    end = b"\0" if b"\0" in left else b"\n"
    while True:
        *whole, left = left.split(end)
        for name in whole:
            yield from _name(name, end)
        more = stream.read(LIST_BLOCK)
        if not more:
            yield from _name(left, end)
            return
        left += more.encode("utf-8", "surrogateescape") if text else more


def _name(name: bytes, end: bytes) -> Iterator[str]:
    if name := name if end == b"\0" else name.removesuffix(b"\r"):
        yield os.fsdecode(name)


def address_of(path: str) -> Address | None:
    """The two parts of an address; None for the path of a plain file, also of one with "#" in its name."""
    if "#" not in path or os.path.lexists(path):
        return None
    for found in re.finditer("#", path):
        container, inside = path[: found.start()], path[found.end() :]
        suffix = container.lower()
        row = inside.isascii() and inside.isdigit()
        if (inside and suffix.endswith(TAR)) or (row and suffix.endswith(PARQUET)):
            return Address(container, inside)
    return None


def container_of(path: str) -> str | None:
    """The tar or Parquet file that an address leads into, also when it is gone; None for a plain file."""
    address = address_of(path)
    return address.container if address else None


def exists(path: str) -> bool:
    """Whether the file is there, or the container and in it the member or row."""
    address = address_of(path)
    if address is None:
        return os.path.lexists(path)
    container, inside = address
    if container.lower().endswith(TAR):
        return tar.has_member(container, inside)
    return parquet.has_row(container, int(inside))


def read_address(path: str) -> bytes:
    """The bytes of a photo by the path that the library has. OSError when it is gone or cannot be read."""
    address = address_of(path)
    if address is None:
        return Path(path).read_bytes()
    container, inside = address
    if container.lower().endswith(TAR):
        return tar.read_member(container, inside)
    try:
        with parquet.RowReader(container) as reader:
            return reader.read(int(inside))
    except UnreadableFile as error:
        raise FileNotFoundError(f"{error} in {container!r}") from None


class Fetcher:
    """Bytes of photos that only a reader of their container can have; to be used from one thread."""

    def __init__(self) -> None:
        self._reader: parquet.RowReader | None = None

    def fetch(self, found: Found) -> bytes | None:
        """The bytes of a row of Parquet; None for a file or a tar member, which any process can read at its offset.

        Rows in their order cost one pass over the image column. UnreadableFile when the row has no bytes or is
        damaged; OSError when the file is gone, or is another than when it was found.
        """
        address = address_of(found.path) if found.offset is None else None
        if address is None or address.container.lower().endswith(TAR):
            return None
        if self._reader is None or self._reader.path != address.container:
            self.close()
            self._reader = parquet.RowReader(address.container)
        if self._reader.stamp != (found.size, found.mtime_ns):
            self.close()
            raise OSError("it has changed since it was found; the next run reads it")
        return self._reader.read(int(address.inside))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
