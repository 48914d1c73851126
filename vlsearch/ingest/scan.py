"""Which files lie under the given folders: one listing per folder, one stat per picture, nothing opened."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vlsearch.errors import UsageError

if TYPE_CHECKING:
    from vlsearch.ingest.notes import Note

RAW = frozenset(
    "." + name
    for name in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dng", "erf", "mrw"),
        *("nef", "nrw", "orf", "pef", "raf", "rw2", "rwl", "srw"),
    )
)
"""Camera RAW."""

DEVELOPED = frozenset((".jpg", ".jpeg", ".jpe", ".heic", ".heif", ".hif"))
"""What a camera writes beside a RAW file of the same stem: they are one photo, of which the RAW file is left out."""

SUFFIXES = RAW | frozenset(
    "." + name
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "webp", "avif", "avifs", "jxl"),
        *("heic", "heics", "heif", "heifs", "hif", "tif", "tiff", "bmp", "dib"),
        *("jp2", "j2k", "jpc", "jpf", "jpx", "j2c", "psd", "ico", "cur", "icns", "dds", "qoi"),
        *("pbm", "pgm", "ppm", "pnm", "pfm", "sgi", "rgb", "rgba", "bw", "ras", "pcx", "dcx", "pcd", "pxr"),
        *("tga", "icb", "vda", "vst", "msp", "xbm", "xpm", "fits", "fli", "flc", "gbr", "blp", "ftc", "ftu"),
    )
)
"""Lower case, with the dot: what Pillow, pi-heif, LibRaw and a plug-in for JPEG XL read, less documents and drawings
(pdf, eps, ps, emf, wmf), what Pillow only names (mpg, mpeg, h5, hdf, grib, bufr, palm), what has no magic number to be
known by (im, iim), and fit, which is more often a sports watch's. Written out so that walking imports no Pillow."""

SKIPPED = frozenset({"@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle"})
"""Folders that systems leave among photos, full of thumbnails, resource forks and deleted files. They are skipped, and
so is every name that begins with a dot."""


class Found(NamedTuple):
    """A photo to read: a file, a member of a tar, or a row of a Parquet file."""

    path: str
    """absolute, links not resolved; bytes that are no UTF-8 survive as surrogate escapes; in a container its path, "#"
    and the member's name or the row's number"""
    size: int
    """bytes of the file or the tar member; of the whole file for a row of Parquet"""
    mtime_ns: int
    """of the file, or of the container"""
    offset: int | None = None
    """byte at which a tar member begins in its tar"""
    notes: tuple[Note, ...] = ()
    """captions that came with it in its container"""


class Unreadable(NamedTuple):
    """A folder that cannot be listed, or a picture that cannot be reached."""

    path: str
    reason: str


class _Folder(NamedTuple):
    path: str
    relative: str
    """to its root, with slashes; "" for the root itself"""


def scan(roots: Iterable[str | os.PathLike[str]], exclude: Sequence[str] = ()) -> Iterator[Found | Unreadable]:
    """Every picture under `roots`, each once however the roots overlap, in an order that depends on names alone.

    A root that is a file is taken whatever its name. In folders, names with a dot in front, SKIPPED and other suffixes
    than SUFFIXES (in any case) are passed over, and so is a RAW file with a DEVELOPED one beside it. Linked folders are
    followed, each folder is listed once, and under its real path where that lies under a root.

    `exclude` holds patterns of `fnmatch` (`*` also matches slashes): what matches with its name, or with its path
    relative to its root, is left out, a folder with all it holds. `raw`, `raw/`, `*.gif` and `2019/*/raw` all work.

    Raises UsageError, at the call, for a root that does not exist.
    """
    files: dict[str, os.stat_result] = {}
    folders: list[_Folder] = []
    for root in roots:
        path = os.path.abspath(root)
        try:
            status = Path(path).stat()
        except PermissionError:
            raise UsageError(f"no permission to read {path!r}") from None
        except (OSError, ValueError):
            raise UsageError(f"no such file or folder: {os.fspath(root)!r}") from None
        if stat.S_ISDIR(status.st_mode):
            folders.append(_Folder(path, ""))
        elif stat.S_ISREG(status.st_mode):
            files[path] = status
        else:
            raise UsageError(f"neither a file nor a folder: {os.fspath(root)!r}")
    return _walk(files, folders, _pattern(exclude))


def _pattern(exclude: Sequence[str]) -> re.Pattern[str] | None:
    globs = [os.path.normcase(glob.rstrip("/") or glob) for glob in exclude]
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs)) if globs else None


def _walk(
    files: dict[str, os.stat_result], folders: list[_Folder], exclude: re.Pattern[str] | None
) -> Iterator[Found | Unreadable]:
    for path, status in files.items():
        yield Found(path, status.st_size, status.st_mtime_ns)
    listed: set[tuple[int, int]] = set()
    # Links wait until every real folder has been listed, so that a file keeps its real path whatever the links' names.
    links: deque[_Folder] = deque()
    stack = folders[::-1]
    while stack or links:
        folder = stack.pop() if stack else links.popleft()
        try:
            status = Path(folder.path).stat()
            if (status.st_dev, status.st_ino) in listed:
                continue
            listed.add((status.st_dev, status.st_ino))
            with os.scandir(folder.path) as listing:
                entries = sorted(listing, key=_name)
        except OSError as error:
            yield Unreadable(folder.path, _reason(error))
            continue
        inside: list[_Folder] = []
        pictures: list[os.DirEntry[str]] = []
        some_raw = False
        for entry in entries:
            name = entry.name
            if name[0] == "." or name in SKIPPED:
                continue
            if exclude is not None:
                relative = f"{folder.relative}/{name}" if folder.relative else name
                if exclude.match(os.path.normcase(name)) or exclude.match(os.path.normcase(relative)):
                    continue
            else:
                relative = ""
            suffix = _suffix(name)
            if _is_folder(entry):
                (links if entry.is_symlink() else inside).append(_Folder(entry.path, relative))
            elif suffix in SUFFIXES:
                pictures.append(entry)
                some_raw = some_raw or suffix in RAW
        for entry in _one_of_each(pictures) if some_raw else pictures:
            if entry.path in files:
                continue
            try:
                status = entry.stat()
            except OSError as error:
                if entry.is_symlink() or not isinstance(error, FileNotFoundError):
                    yield Unreadable(entry.path, _reason(error))
                continue
            if stat.S_ISREG(status.st_mode):
                yield Found(entry.path, status.st_size, status.st_mtime_ns)
        stack.extend(reversed(inside))


def _one_of_each(pictures: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    """Without the RAW files that have a DEVELOPED one beside them."""
    parts = [(picture, picture.name.lower().rpartition(".")[0], _suffix(picture.name)) for picture in pictures]
    developed = {stem for _, stem, suffix in parts if suffix in DEVELOPED}
    return [picture for picture, stem, suffix in parts if not (suffix in RAW and stem in developed)]


def _suffix(name: str) -> str:
    """In lower case, with its dot."""
    return name[name.rfind(".") :].lower()


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
