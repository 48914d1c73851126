"""A catalog with the rows that a test wants, read as a query reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlsearch.catalog.reader import Reader


@dataclass(frozen=True)
class Photo:
    """One content; its id is its place in the list, from 1."""

    paths: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """paths where it no longer lies"""
    size: int = 1000
    width: int = 640
    height: int = 480
    format: str = "JPEG"
    taken_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    lat: float | None = None
    lon: float | None = None
    captions: tuple[str, ...] = ()
    keywords: str = ""
    tags: tuple[str, ...] = ()


def catalog(file: Path, photos: Sequence[Photo]) -> Reader:
    from sqlalchemy import insert

    from vlsearch.catalog.engine import connect
    from vlsearch.catalog.tables import Caption, Content, File, Model, Table, Tag

    engine = connect(file)
    Table.metadata.create_all(engine)
    model = {"name": "m", "fingerprint": "", "dim": 2, "preprocessing": {}, "source": {}}
    columns = ("width", "height", "format", "taken_at", "camera", "lens", "lat", "lon")
    contents, files, captions, tags = [], [], [], []
    for i, photo in enumerate(photos, 1):
        sha256 = hashlib.sha256(str(i).encode()).digest()
        contents.append({"id": i, "sha256": sha256} | {column: getattr(photo, column) for column in columns})
        for paths, since in ((photo.paths, None), (photo.missing, 1.0)):
            place = {"size": photo.size, "mtime_ns": 0, "content_id": i, "missing_since": since}
            files += [{"path": path} | place for path in paths]
        captions += [{"content_id": i, "text": text, "source": "xmp"} for text in photo.captions]
        captions += [{"content_id": i, "text": photo.keywords, "source": "xmp:keywords"}] if photo.keywords else []
        tags += [{"content_id": i, "name": name, "score": 0.5, "model_id": 1} for name in photo.tags]
    with engine.begin() as c:
        c.execute(insert(Model).values(**model))
        for table, rows in ((Content, contents), (File, files), (Caption, captions), (Tag, tags)):
            if rows:
                c.execute(insert(table), rows)
    engine.dispose()
    return Reader(file)
