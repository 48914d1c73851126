"""What a query asks the catalog, through the database's own driver: importing SQLAlchemy would take longer than the
rest of a cold query."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from vlsearch.catalog.rows import IMAGE, ModelRow, ShardRow

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

BUSY_SECONDS = 30
CHUNK = 500  # values in one IN (...): well under every database's limit


class Reader:
    """One state of the catalog, read only. Parameters stand for `?`; paths are bytes there."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._connection = sqlite3.connect(
            path.absolute().as_uri() + "?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        self._connection.execute("PRAGMA query_only=ON")
        self._connection.execute("BEGIN")

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        yield from self._connection.execute(sql, parameters)

    def numbers(self, sql: str, parameters: Sequence[Any] = ()) -> NDArray[np.int64]:
        """The only column of the answer, (n,) int64."""
        import numpy as np

        return np.fromiter(chain.from_iterable(self._connection.execute(sql, parameters)), np.int64)

    def among(self, sql: str, values: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement with `IN {}`, for any number of values, some of them at a time."""
        values = list(values)
        for start in range(0, len(values), CHUNK):
            part = values[start : start + CHUNK]
            yield from self.rows(sql.format(f"({','.join('?' * len(part))})"), part)

    def revision(self) -> str | None:
        """The revision of the catalog's schema; None when it is empty."""
        tables = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
        if next(self.rows(tables), None) is None:
            return None
        found: str | None = next(self.rows("SELECT version_num FROM alembic_version"), (None,))[0]
        return found

    def models(self) -> list[ModelRow]:
        query = "SELECT id, name, fingerprint, dim, preprocessing, source FROM model ORDER BY id"
        return [
            ModelRow(i, name, fingerprint, dim, json.loads(preprocessing), json.loads(source))
            for i, name, fingerprint, dim, preprocessing, source in self.rows(query)
        ]

    def shards(self, model_id: int, kind: str) -> list[ShardRow]:
        query = "SELECT id, model_id, kind, file, rows, sha256 FROM shard WHERE model_id = ? AND kind = ? ORDER BY id"
        return [ShardRow(*row) for row in self.rows(query, (model_id, kind))]

    def shard_items(self, shard: ShardRow) -> NDArray[np.int64] | None:
        """Ids (n,), ascending, of the vectors of a shard that are alive (not forgotten); None: it is named no more."""
        if next(self.rows("SELECT sha256 FROM shard WHERE id = ?", (shard.id,)), None) != (shard.sha256,):
            return None
        return self.numbers("SELECT item_id FROM vector WHERE shard_id = ? ORDER BY item_id", (shard.id,))

    def live_count(self, model_id: int, kind: str) -> int:
        """How many vectors of a kind are alive."""
        query = "SELECT COUNT(*) FROM vector WHERE model_id = ? AND kind = ?"
        return int(self.numbers(query, (model_id, kind))[0])

    def shown(self, kind: str, ids: Iterable[int]) -> set[int]:
        """Those of the photos (or captions, of photos) that lie somewhere at present."""
        if kind == IMAGE:
            query = "SELECT content_id FROM file WHERE missing_since IS NULL AND content_id IN {}"
        else:
            query = (
                "SELECT caption.id FROM caption JOIN file ON file.content_id = caption.content_id "
                "WHERE file.missing_since IS NULL AND caption.id IN {}"
            )
        return {row[0] for row in self.among(query, ids)}

    def all_shown(self, kind: str) -> NDArray[np.int64]:
        """Ids (n,) of all photos (or captions, of photos) that lie somewhere at present, ascending."""
        if kind == IMAGE:
            return self.numbers("SELECT DISTINCT content_id FROM file WHERE missing_since IS NULL ORDER BY content_id")
        present = "SELECT content_id FROM file WHERE missing_since IS NULL"
        return self.numbers(f"SELECT id FROM caption WHERE content_id IN ({present}) ORDER BY id")

    def photos(self, content_ids: Iterable[int]) -> dict[int, tuple[str, str | None]]:
        """content id -> the first of the places where it lies at present, and when it was taken, as EXIF has it."""
        query = (
            "SELECT content_id, path, taken_at FROM file JOIN content ON content.id = content_id "
            "WHERE missing_since IS NULL AND content_id IN {}"
        )
        found: dict[int, tuple[bytes, str | None]] = {}
        for content_id, path, taken in self.among(query, content_ids):
            if content_id not in found or path < found[content_id][0]:
                found[content_id] = path, taken
        return {content_id: (os.fsdecode(path), taken) for content_id, (path, taken) in found.items()}

    def places(self) -> Iterator[tuple[str, int]]:
        """(path, content id) of all photos, wherever they lie at present, by path."""
        rows = self.rows("SELECT path, content_id FROM file WHERE missing_since IS NULL ORDER BY path")
        return ((os.fsdecode(path), content_id) for path, content_id in rows)

    def first_places(self) -> Iterator[tuple[str, int]]:
        """The same, each photo once: at the first of its places."""
        query = "SELECT min(path), content_id FROM file WHERE missing_since IS NULL GROUP BY content_id ORDER BY 1"
        return ((os.fsdecode(path), content_id) for path, content_id in self.rows(query))

    def taken(self, content_ids: Iterable[int]) -> dict[int, str | None]:
        """content id -> when it was taken, as EXIF has it."""
        return dict(self.among("SELECT id, taken_at FROM content WHERE id IN {}", content_ids))

    def captions(self, content_ids: Iterable[int]) -> dict[int, list[str]]:
        """content id -> its texts, in the order in which they came."""
        found: dict[int, list[str]] = {}
        query = "SELECT content_id, text FROM caption WHERE content_id IN {} ORDER BY id"
        for content_id, text in self.among(query, content_ids):
            found.setdefault(content_id, []).append(text)
        return found

    def caption_rows(self, ids: Iterable[int]) -> dict[int, tuple[int, str]]:
        """caption id -> (content id, text)."""
        query = "SELECT id, content_id, text FROM caption WHERE id IN {}"
        return {i: (content_id, text) for i, content_id, text in self.among(query, ids)}

    def captions_of(self, content_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids (n,) of the captions of these contents, ascending."""
        import numpy as np

        rows = self.among("SELECT id FROM caption WHERE content_id IN {}", content_ids.tolist())
        return np.sort(np.fromiter((row[0] for row in rows), np.int64))
