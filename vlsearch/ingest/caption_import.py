"""Captions of photos that a library has: from a file or from beside the photos into the catalog, and embedded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.catalog import queries
from vlsearch.errors import UnreadableFile
from vlsearch.ingest.captions import CaptionRow, match, read_captions, read_sidecars
from vlsearch.ingest.pipeline import Progress, embed_captions

if TYPE_CHECKING:
    from vlsearch.catalog.rows import ModelRow
    from vlsearch.encoders.base import Encoder
    from vlsearch.library import Library


@dataclass(frozen=True)
class Imported:
    matched: int
    """captions of photos that the library has"""
    photos: int
    """photos that they belong to"""
    new: int
    unmatched: tuple[str, ...]
    """of each other caption, the name of its photo"""
    unreadable: tuple[str, ...]
    """files beside photos that could not be read, each with its reason"""


def import_captions(
    library: Library,
    source: Path,
    load: Callable[[ModelRow], Encoder],
    progress: Progress = lambda *_: None,
    warn: Callable[[str], Any] = lambda _: None,
) -> Imported:
    """Take the captions of a file, or of the .txt beside each photo where `source` is a folder.

    Every caption gets a vector of every model of the library, which `load` loads. What cannot be read beside a photo
    is told to `warn` and costs that photo's captions only. Raises UsageError and UnreadableFile for `source` itself.
    """
    library.model()
    unreadable: list[str] = []

    def beside(photos: Iterable[str]) -> Iterator[CaptionRow]:
        for photo in photos:
            try:
                yield from list(read_sidecars([photo]))
            except UnreadableFile as error:
                unreadable.append(str(error))
                warn(f"{error}; skipped")

    with library.read() as c:
        photos = queries.contents_by_path(c)
    root = os.path.abspath(source).rstrip(os.sep) + os.sep
    folder = source.is_dir()
    rows = beside(path for path in photos if path.startswith(root)) if folder else read_captions(source)
    matched, unmatched = match(rows, photos)
    with library.transaction() as c:
        new = queries.add_captions(c, matched, "sidecar" if folder else source.name)
    embed_all(library, load, progress)
    of = len({content_id for content_id, _, _ in matched})
    return Imported(len(matched), of, new, tuple(unmatched), tuple(unreadable))


def embed_all(library: Library, load: Callable[[ModelRow], Encoder], progress: Progress = lambda *_: None) -> None:
    """Give every caption a vector of every model in the library."""
    for model in library.models():
        with library.read() as c:
            lacking = queries.captions_without_vector(c, model.id)
        if lacking:
            encoder = load(model)
            library.model_of(encoder)
            embed_captions(library, encoder, model, lacking, progress)
    library.save_indexes(progress)
