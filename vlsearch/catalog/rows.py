"""What the catalog says about models and shards, as plain rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

IMAGE, TEXT = "image", "text"


@dataclass(frozen=True)
class ModelRow:
    id: int
    name: str
    fingerprint: str
    dim: int
    preprocessing: dict[str, Any]
    source: dict[str, Any]


@dataclass(frozen=True)
class ShardRow:
    id: int
    model_id: int
    kind: str
    file: str
    rows: int
    sha256: str
