"""Captioned photographs and choice tasks by name and by path."""

from __future__ import annotations

from vlsearch.audit.datasets.base import (
    Captioned,
    Choice,
    Choices,
    Dataset,
    Item,
    Pair,
    Photo,
    Statement,
    available,
    photo_names,
    require,
)
from vlsearch.audit.datasets.order import order
from vlsearch.audit.datasets.photos import PhotoFolder, photo_key
from vlsearch.audit.datasets.registry import PUBLISHED, Published, load

__all__ = [
    "PUBLISHED",
    "Captioned",
    "Choice",
    "Choices",
    "Dataset",
    "Item",
    "Pair",
    "Photo",
    "PhotoFolder",
    "Published",
    "Statement",
    "available",
    "load",
    "order",
    "photo_key",
    "photo_names",
    "require",
]
