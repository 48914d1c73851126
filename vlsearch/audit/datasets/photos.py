"""Where the photos of a dataset lie: people unpack the same archives in different ways."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from vlsearch.errors import UsageError

_COCO_2014 = re.compile(r"COCO_(?:train|val|test)2014_(?=\d{12}\.)")


def photo_key(name: str) -> str:
    """What makes two names the same photo of a dataset: the file's name, without the folder and without what COCO put
    before it until 2014 ("val2014/COCO_val2014_000000000042.jpg" is 2017's "000000000042.jpg")."""
    return _COCO_2014.sub("", name.replace("\\", "/").rpartition("/")[2])


class PhotoFolder:
    """A folder that holds a dataset's photos, directly or one level down."""

    def __init__(self, root: Path) -> None:
        """Raises UsageError when there is no such folder."""
        if not root.is_dir():
            raise UsageError(f"no folder {os.fspath(root)!r}; --images names the folder that holds the photos")
        self.root = root

    def find(self, name: str) -> Path | None:
        """The file of the photo `name`: as given below the folder, else one that is called alike (`photo_key`).

        Raises UsageError where several folders hold one of that name: a wrong photo is worse than none.
        """
        path = self.root / name
        if path.is_file():
            return path
        found = self._by_key.get(photo_key(name), [])
        if len(found) > 1:
            raise UsageError(
                f"{name} may be {os.fspath(found[0])!r} or {os.fspath(found[1])!r}; give the folder that is meant with "
                "--images"
            )
        return found[0] if found else None

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    @cached_property
    def _by_key(self) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = {}
        for path in _files(self.root):
            files.setdefault(photo_key(path.name), []).append(path)
        return files


def _files(root: Path) -> Iterator[Path]:
    with os.scandir(root) as entries:
        folders = []
        for entry in entries:
            if entry.is_file():
                yield Path(entry.path)
            elif entry.is_dir():
                folders.append(entry.path)
    for folder in sorted(folders):
        with os.scandir(folder) as entries:
            yield from (Path(entry.path) for entry in entries if entry.is_file())
