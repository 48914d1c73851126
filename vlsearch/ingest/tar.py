"""Photos in uncompressed tar files, webdataset shards among them, read as they stand: nothing is unpacked."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vlsearch.ingest.container_captions import texts_in
from vlsearch.ingest.notes import Note
from vlsearch.ingest.scan import SKIPPED, SUFFIXES, Found, Unreadable

CAPTION_BYTES = 1 << 20
"""a longer .txt or .json is no caption"""

COMPRESSED = {b"\x1f\x8b": "gzip -d", b"BZh": "bzip2 -d", b"\xfd7zXZ": "xz -d", b"\x28\xb5\x2f\xfd": "zstd -d"}
"""first bytes of what tars are compressed with, and the command that undoes it"""


class Member(NamedTuple):
    name: str
    offset: int
    """byte in the tar at which its bytes begin"""
    size: int


def photos_in(path: str) -> Iterator[Found | Unreadable]:
    """The photos of a tar in their order, each with the captions that share its webdataset key: KEY.txt, KEY.json.

    Members are read as they come; no more is held than the names seen and the captions of one key. A tar that is
    damaged or cut short gives what is whole, and an Unreadable for the rest.
    """
    try:
        with Path(path).open("rb") as file:
            status, source = os.fstat(file.fileno()), Path(path).name
            seen: set[str] = set()
            for _, group in groupby(members(file, path), key_of):
                found = list(group)
                yield from (member for member in found if isinstance(member, Unreadable))
                shown = [m for m in found if isinstance(m, Member) and is_photo(m.name)]
                if not shown:
                    continue
                notes: dict[str, Note] = {}
                for member in found:
                    if isinstance(member, Member):
                        try:
                            texts = captions_in(file, member)
                        except ValueError as error:
                            yield Unreadable(f"{path}#{member.name}", str(error))
                            continue
                        notes.update((text, Note(text, source)) for text in texts)
                for member in shown:
                    if member.name not in seen:
                        seen.add(member.name)
                        address, captions = f"{path}#{member.name}", tuple(notes.values())
                        yield Found(address, member.size, status.st_mtime_ns, member.offset, captions)
    except OSError as error:
        yield Unreadable(path, (error.strerror or str(error)).lower())


def members(file: BinaryIO, path: str) -> Iterator[Member | Unreadable]:
    """The regular files in an open tar; last, where it is damaged or cut short, an Unreadable that says so."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(max(map(len, COMPRESSED)))
    file.seek(0)
    undo = next((undo for magic, undo in COMPRESSED.items() if start.startswith(magic)), None)
    if undo is not None:
        yield Unreadable(path, f"it is compressed, so its photos cannot be read one by one; unpack it with `{undo}`")
        return
    if not size:
        yield Unreadable(path, "an empty file, no tar")
        return
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined] # else it keeps every member that it ever saw
                if info.offset_data + info.size > size:
                    yield Unreadable(path, f"cut short within {info.name!r}; what comes before it is taken")
                    return
                if info.size < 0 or tar.offset <= end:
                    yield Unreadable(path, f"damaged at byte {end:,}; what comes before is taken")
                    return
                end = tar.offset
                if info.isreg() and not info.issparse():
                    yield Member(info.name, info.offset_data, info.size)
            # tarfile takes whatever is no header for the end
            file.seek(tar.offset)
            if not (last := file.read(tarfile.BLOCKSIZE)):
                yield Unreadable(path, "it ends without a mark of its end, cut short perhaps; what is there is taken")
            elif last.strip(b"\0"):
                yield Unreadable(path, f"damaged at byte {tar.offset:,}; what comes before is taken")
    except OSError:
        raise
    except Exception as error:  # tarfile raises whatever it likes on damaged headers: ValueError, OverflowError, ...
        yield Unreadable(path, f"no tar that can be read from byte {end:,} on ({' '.join(str(error).split())[:80]})")


def key_of(member: Member | Unreadable) -> str | None:
    """What the files of one sample share in webdataset: the path up to the first dot of the file name."""
    if isinstance(member, Unreadable):
        return None
    folder, slash, name = member.name.rpartition("/")
    return folder + slash + name.partition(".")[0]


def is_photo(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    hidden = any(part.startswith(".") or part in SKIPPED for part in parts)
    return not hidden and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - a tenth of Path's time


def captions_in(file: BinaryIO, member: Member) -> list[str]:
    """The texts of KEY.txt (as a whole) or KEY.json (of its caption); none of other members.

    ValueError, with a reason, for one that cannot be read.
    """
    kind = member.name.rpartition("/")[2].partition(".")[2].lower()
    if kind not in ("txt", "json"):
        return []
    if member.size > CAPTION_BYTES:
        raise ValueError("too long for a caption")
    file.seek(member.offset)
    try:
        text = file.read(member.size).decode("utf-8-sig")
        data: Any = json.loads(text) if kind == "json" else {"text": text}
    except UnicodeDecodeError:
        raise ValueError("its caption is no UTF-8 text") from None
    except (ValueError, RecursionError):
        raise ValueError("its caption is no valid JSON") from None
    return texts_in(data) if isinstance(data, dict) else []


def read_member(path: str, name: str) -> bytes:
    """The bytes of a member. FileNotFoundError when there is none of that name, OSError when the tar is gone."""
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())
        offset, size = _places(path, status.st_size, status.st_mtime_ns).get(name, (0, -1))
        if size < 0:
            raise FileNotFoundError(f"no {name!r} in {path!r}")
        file.seek(offset)
        return file.read(size)


def has_member(path: str, name: str) -> bool:
    try:
        status = Path(path).stat()
        return name in _places(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=4)
def _places(path: str, _size: int, _mtime_ns: int) -> dict[str, tuple[int, int]]:
    """Name to offset and size of every member; of several of one name the first, as `photos_in` takes it."""
    places: dict[str, tuple[int, int]] = {}
    with Path(path).open("rb") as file:
        for member in members(file, path):
            if isinstance(member, Member):
                places.setdefault(member.name, (member.offset, member.size))
    return places
