"""The child process that reads, hashes and decodes photos, so that a file that kills its decoder kills no ingest.

It speaks JSON lines with `decoder_child.Child`: settings; then, again and again, files to read and which of them to
decode. Pixels follow their line as they are. It ends when its input does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.jpeg import orientation_if_plain
from vlsearch.errors import UnreadableFile
from vlsearch.ingest.decode import Photo, decode, describe

PHOTO_FIELDS = tuple(field.name for field in fields(Photo) if field.name != "pixels")


def main() -> None:
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what decoders print goes where nobody reads it
    settings = json.loads(source.readline())
    preprocess = preprocess_from(settings["preprocess"])
    limit_memory(settings["memory"])
    say(sink, {"ready": True})
    while line := source.readline():
        files = json.loads(line)["files"]
        read = [read_file(file, source) for file in files]
        say(sink, {"read": [answer for answer, _ in read]})
        asked = json.loads(source.readline())
        for number in asked["decode"]:
            path, data = files[number]["path"], read[number][1]
            read[number] = (read[number][0], b"")  # what is decoded need not be held any longer
            if asked["jpegs"] and (orientation := gpu_decodable(data)) is not None:
                say(sink, *as_it_is(path, data, orientation, settings["max_pixels"]))
                continue
            large = asking(source, sink, settings["large_seconds"])
            with time_limit(settings["seconds"]):
                answer, pixels = decoded(path, data, preprocess, settings["max_pixels"], large)
            say(sink, answer, pixels)


def read_file(file: dict[str, Any], source: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """The answer about one file (its sha256, its size and time when it was read; or an error) and its bytes."""
    try:
        if (inline := file.get("inline")) is not None:
            size, mtime_ns, data = file["size"], file["mtime_ns"], source.read(inline)
        else:
            size, mtime_ns, data = read_steadily(file["container"], file["offset"], file["size"])
    except UnreadableFile as error:
        return {"error": str(error)}, b""
    except OSError as error:
        return {"error": error.strerror or str(error)}, b""
    except MemoryError:
        return {"error": "too large for this machine's memory"}, b""
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": size, "mtime_ns": mtime_ns}, data


def read_steadily(path: str, offset: int | None = None, length: int = 0) -> tuple[int, int, bytes]:
    """Size, mtime_ns and bytes of a file, as they were before and after reading; tried twice when they differ.

    With `offset`: of the `length` bytes there, in a tar.
    """
    for _ in range(2):
        with Path(path).open("rb") as handle:
            before = os.fstat(handle.fileno())
            if offset is not None:
                handle.seek(offset)
            data = handle.read(-1 if offset is None else length)
            after = os.fstat(handle.fileno())
        whole = after.st_size if offset is None else length
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and len(data) == whole:
            return whole, after.st_mtime_ns, data
    raise UnreadableFile("it changes while it is being read; the next run tries it again")


def decoded(
    path: str, data: bytes, preprocess: Preprocess, max_pixels: int, large: Callable[[], Any]
) -> tuple[dict[str, Any], bytes]:
    try:
        photo = decode(data, preprocess, max_pixels=max_pixels, sidecar=sidecar_of(path), large=large)
    except UnreadableFile as error:
        return {"error": str(error)}, b""
    return in_words(photo), photo.pixels.tobytes()


def as_it_is(path: str, data: bytes, orientation: int, max_pixels: int) -> tuple[dict[str, Any], bytes]:
    """The answer for a JPEG that a GPU shall decode."""
    try:
        photo = describe(data, max_pixels=max_pixels, sidecar=sidecar_of(path))
    except UnreadableFile as error:
        return {"error": str(error)}, b""
    return {**in_words(photo), "jpeg": len(data), "orientation": orientation}, data


def gpu_decodable(data: bytes) -> int | None:
    """The EXIF orientation of a JPEG that a GPU decodes as we would, and that is whole: it ends as one should."""
    return orientation_if_plain(data) if data.rstrip(b"\0").endswith(b"\xff\xd9") else None


def in_words(photo: Photo) -> dict[str, Any]:
    return {name: getattr(photo, name) for name in PHOTO_FIELDS}


def sidecar_of(path: str) -> bytes | None:
    """The .xmp beside a photo, called photo.jpg.xmp or photo.xmp."""
    for beside in (path + ".xmp", os.path.splitext(path)[0] + ".xmp"):  # noqa: PTH122 - a tenth of Path's time
        with contextlib.suppress(OSError, ValueError):
            return Path(beside).read_bytes()
    return None


def asking(source: IO[bytes], sink: IO[bytes], seconds: float) -> Callable[[], Any]:
    """A context that waits for leave to take much memory (one process has it at a time), and `seconds` of time."""

    @contextlib.contextmanager
    def large() -> Iterator[None]:
        signal_alarm(0)
        say(sink, {"large": True})
        source.readline()
        signal_alarm(seconds)
        yield

    return large


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Die by SIGPROF once the process has used so many seconds of processor time, where there are such signals."""
    signal_alarm(seconds)
    try:
        yield
    finally:
        signal_alarm(0)


def signal_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def limit_memory(budget: int) -> None:
    """Let this process map at most `budget` bytes more than now, and write no core file when it crashes."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + budget,) * 2)


def preprocess_from(row: dict[str, Any]) -> Preprocess:
    """The Preprocess that a model row keeps as JSON."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Preprocess(**values)


def say(sink: IO[bytes], answer: dict[str, Any], pixels: bytes = b"") -> None:
    sink.write(json.dumps(answer).encode() + b"\n" + pixels)
    sink.flush()
