"""Photos decoded once, into a file that a run takes its batches from.

FILE.npy holds the pixels of those that can be read, FILE.json beside it what each photo was: a digest of its bytes, or
why it cannot be read. Photos are written in their order, so what FILE.json knows of is done, and a run that was stopped
goes on behind it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.lanes import cores
from vlsearch.errors import UnreadableFile, VlsearchError
from vlsearch.ingest.decode import decode
from vlsearch.vectors.store import write_durably

Pixels = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]
Read = Callable[[str], bytes]

PATIENCE = 10.0
"""seconds of work that an interruption may cost"""
PART = 64
"""photos that are decoded before any of them is written"""
WHAT = "decoding photos"


class Seen(NamedTuple):
    digest: str
    """of the bytes; empty where they could not be had"""
    reason: str
    """why there are no pixels; empty where there are"""


@dataclass(frozen=True)
class Decoded:
    pixels: Pixels
    """(n, height, width, 3), a file that is mapped, the photos that can be read in their order"""
    seen: tuple[Seen, ...]
    """of every photo"""


def decode_into(
    file: Path, names: Sequence[str], read: Read, preprocess: Preprocess, progress: Progress = lambda *_: None
) -> Decoded:
    """Decode photos into `file` (.npy) as the model takes them, or only those that it does not have as they are now.

    VlsearchError where the disk has no room for them, with figures.
    """
    known = _known(file, names, preprocess)
    with ThreadPoolExecutor(cores()) as pool:
        seen = known[: _unchanged(pool, names, read, known, progress)]
        if len(seen) < len(names):
            try:
                _require_room(file, len(names), preprocess)
                _decode_rest(pool, file, names, read, preprocess, seen, progress)
            except OSError as error:
                raise VlsearchError(
                    f"cannot write decoded photos to {file}: {error.strerror or error}; make room, and the same "
                    "command goes on from there"
                ) from error
    return open_decoded(file, names, preprocess)


def open_decoded(file: Path, names: Sequence[str], preprocess: Preprocess) -> Decoded:
    """What `decode_into` has made of the same photos. VlsearchError where it has not yet."""
    seen = _known(file, names, preprocess)
    if len(seen) < len(names):
        raise VlsearchError(f"{file} has {len(seen):,} of {len(names):,} photos decoded; decode the others first")
    return Decoded(np.load(file, mmap_mode="r")[: _rows(seen)], tuple(seen))


def _unchanged(
    pool: ThreadPoolExecutor, names: Sequence[str], read: Read, known: Sequence[Seen], progress: Progress
) -> int:
    """How many photos, from the first on, have the bytes that are known of them."""

    def same(n: int) -> bool:
        data = _bytes(read, names[n])
        return (data.digest if isinstance(data, Seen) else hashlib.sha256(data).hexdigest()) == known[n].digest

    for start in range(0, len(known), PART):
        progress(WHAT, start, len(names))
        part = range(start, min(start + PART, len(known)))
        for n, is_same in zip(part, pool.map(same, part), strict=True):
            if not is_same:
                return n
    return len(known)


def _decode_rest(
    pool: ThreadPoolExecutor,
    file: Path,
    names: Sequence[str],
    read: Read,
    preprocess: Preprocess,
    seen: list[Seen],
    progress: Progress,
) -> None:
    # From here on `file` may differ from what was known of later photos.
    _write_known(file, names, preprocess, seen)
    pixels = _opened(file, (len(names), *preprocess.size, 3))
    row, written = _rows(seen), time.monotonic()
    try:
        for start in range(len(seen), len(names), PART):
            progress(WHAT, start, len(names))
            done = list(pool.map(lambda name: _decoded(name, read, preprocess), names[start : start + PART]))
            for one, shown in done:
                if shown is not None:
                    pixels[row] = shown
                    row += 1
                seen.append(one)
            if time.monotonic() - written > PATIENCE:
                pixels.flush()
                _write_known(file, names, preprocess, seen)
                written = time.monotonic()
    finally:
        pixels.flush()
        _write_known(file, names, preprocess, seen)
    progress(WHAT, len(names), len(names))


def _decoded(name: str, read: Read, preprocess: Preprocess) -> tuple[Seen, Pixels | None]:
    data = _bytes(read, name)
    if isinstance(data, Seen):
        return data, None
    digest = hashlib.sha256(data).hexdigest()
    try:
        return Seen(digest, ""), decode(data, preprocess).pixels
    except UnreadableFile as error:
        return Seen(digest, str(error)), None


def _bytes(read: Read, name: str) -> bytes | Seen:
    try:
        return read(name)
    except OSError as error:
        return Seen("", (error.strerror or str(error)).lower())
    except UnreadableFile as error:
        return Seen("", str(error))


def _opened(file: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """The file to write into, made or made anew where it has another shape. OSError where the disk cannot hold it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not _has_shape(file, shape):
        np.lib.format.open_memmap(file, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):
        # Writing to a mapped file that the disk has no blocks for would end the process.
        with file.open("r+b") as out:
            os.posix_fallocate(out.fileno(), 0, file.stat().st_size)
    return np.lib.format.open_memmap(file, "r+")


def _has_shape(file: Path, shape: tuple[int, ...]) -> bool:
    try:
        found = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(found.shape == shape and found.dtype == np.uint8)


def _require_room(file: Path, n: int, preprocess: Preprocess) -> None:
    height, width = preprocess.size
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    needed = n * height * width * 3
    free = shutil.disk_usage(folder).free + (file.stat().st_size if file.exists() else 0)
    if needed > free:
        raise VlsearchError(
            f"{n:,} photos of {width} × {height} pixels take {_gigabytes(needed)} decoded, and {folder} has "
            f"{_gigabytes(free)} left; make room, give another --out, or train on fewer photos"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _rows(seen: Sequence[Seen]) -> int:
    return sum(not one.reason for one in seen)


def _known(file: Path, names: Sequence[str], preprocess: Preprocess) -> list[Seen]:
    """What `file` has, of the first of these photos; nothing where it is of others, or damaged."""
    try:
        about = json.loads(file.with_suffix(".json").read_bytes())
        seen = [Seen(*one) for one in about["photos"]]
        fits = about["of"] == _of(names, preprocess) and len(seen) <= len(names)
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return seen if fits and _has_shape(file, (len(names), *preprocess.size, 3)) else []


def _write_known(file: Path, names: Sequence[str], preprocess: Preprocess, seen: Sequence[Seen]) -> None:
    about = {"of": _of(names, preprocess), "photos": seen}
    write_durably(file.with_suffix(".json"), json.dumps(about).encode())


def _of(names: Sequence[str], preprocess: Preprocess) -> str:
    digest = hashlib.sha256(json.dumps(asdict(preprocess), sort_keys=True).encode())
    for name in names:
        digest.update(b"\0" + name.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
