"""Photos that were found, copied into a folder: nothing there is overwritten, and nothing is there twice."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.sources import address_of, read_address


@dataclass
class Copied:
    """What became of the photos, in their order."""

    copied: list[Path] = field(default_factory=list)
    """the new files"""
    there: list[Path] = field(default_factory=list)
    """files with just these bytes that were there already"""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """path and reason"""

    def __str__(self) -> str:
        parts = [f"{len(self.copied):,} copied"]
        parts += [f"{len(self.there):,} there already"] * bool(self.there)
        parts += [f"{len(self.failed):,} failed"] * bool(self.failed)
        return ", ".join(parts)


def copy_hits(paths: Sequence[str], folder: Path) -> Copied:
    """Copy photos, by the paths that the library has, into `folder`, which is made where it is missing.

    They keep their names and times; a name that is taken by other bytes becomes `name-2`, `name-3` and so on. Members
    of containers are taken out. UsageError where the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {(error.strerror or str(error)).lower()}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"you may not write to {folder}; give --copy-to another folder")
    done = Copied()
    for path in dict.fromkeys(paths):
        try:
            place, is_new = copy_file(Path(path), folder) if address_of(path) is None else copy_member(path, folder)
        except (OSError, UnreadableFile) as error:
            done.failed.append((path, (getattr(error, "strerror", None) or str(error)).lower()))
        else:
            (done.copied if is_new else done.there).append(place)
    return done


def copy_file(source: Path, folder: Path) -> tuple[Path, bool]:
    """Where the file is in `folder`, and whether it was copied there now."""
    for place in names(folder, source.name):
        try:
            with source.open("rb") as data, writing(place) as copy:
                shutil.copyfileobj(data, copy, 1 << 20)
            with suppress(OSError):  # some file systems keep no times or permissions; the photo is there
                shutil.copystat(source, place)
            return place, True
        except FileExistsError:
            if place.is_file() and filecmp.cmp(source, place, shallow=False):
                return place, False
    raise AssertionError("names do not run out")


def copy_member(path: str, folder: Path) -> tuple[Path, bool]:
    """As `copy_file`, for a photo in a container, whose times the copy gets."""
    data, address = read_address(path), address_of(path)
    assert address is not None
    status = Path(address.container).stat()
    for place in names(folder, member_name(address.container, address.inside, data)):
        try:
            with writing(place) as copy:
                copy.write(data)
            with suppress(OSError):
                os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
            return place, True
        except FileExistsError:
            if place.is_file() and place.stat().st_size == len(data) and place.read_bytes() == data:
                return place, False
    raise AssertionError("names do not run out")


def names(folder: Path, name: str) -> Iterator[Path]:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path has another idea of a suffix for names such as ".."
    yield folder / name
    number = 2
    while True:
        yield folder / f"{stem}-{number}{suffix}"
        number += 1


@contextmanager
def writing(place: Path) -> Iterator[BinaryIO]:
    """A new file at `place`; FileExistsError when something, if only a dangling link, is there. What cannot be written
    in full is removed."""
    file = place.open("xb")
    try:
        with file:
            yield file
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def member_name(container: str, inside: str, data: bytes) -> str:
    """A plain file name for a member of a tar, however hostile its own is, or for a row of a Parquet file."""
    if container.lower().endswith(".tar"):
        name = re.sub(r"[\x00-\x1f\x7f:\\]", "_", inside.rstrip("/").rpartition("/")[2])
        return name if name.strip(". ") else "photo"
    return f"{Path(container).stem}-{inside}{suffix_of(data)}"


def suffix_of(data: bytes) -> str:
    from vlsearch.ingest.formats import open_image, own_pillow_settings

    try:
        with own_pillow_settings(1 << 62), open_image(data) as photo:
            return "." + (photo.format or "").lower().replace("jpeg", "jpg")
    except UnreadableFile:
        return ""
