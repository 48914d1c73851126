"""The captions that came with a photo in its container, from a record of any shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vlsearch.ingest.captions import TEXT_COLUMNS, texts_of_cell


def caption_column(names: Iterable[str]) -> str | None:
    """The first of TEXT_COLUMNS, in any case, among the names of columns or keys; as it is written there."""
    written = {name.strip().lower(): name for name in names}
    return next((written[column] for column in TEXT_COLUMNS if column in written), None)


def texts_in(record: Mapping[str, Any]) -> list[str]:
    """Its captions, each once: one text, a list of them, or objects that hold them. None for other things."""
    column = caption_column(key for key in record if isinstance(key, str))
    return texts_of(record[column]) if column is not None else []


def texts_of(cell: Any) -> list[str]:
    try:
        return list(dict.fromkeys(texts_of_cell(cell)))
    except TypeError:
        return []
