"""What an index says of itself: its parts, the shards that they hold together, and what was measured on them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.recipes import RECALL

MAIN, TAIL = "main", "tail"


@dataclass(frozen=True)
class PartRow:
    """A part's file, and how to look into it."""

    recipe: str
    count: int
    lists: int
    token: str
    size: int
    sha256: str
    trained: int = 0
    """vectors that there were when its lists were drawn"""
    probes: dict[str, int] = field(default_factory=dict)
    """k -> lists that a query looks at; empty: all"""
    recall: float = 1.0
    """recall@10 against exact search, measured on the library's own vectors"""
    seconds: float = 0.0
    """that building it took"""


@dataclass(frozen=True)
class Manifest:
    parts: dict[str, PartRow]
    """by MAIN and TAIL"""
    shards: dict[str, str]
    """file -> sha256 of those that the parts hold together"""
    target: float = RECALL
    """recall@10 that the parts are built for"""
    next: dict[str, str] | None = None
    """the shards after the merge that is under way"""

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts.values())

    def held(self, ours: dict[str, str]) -> dict[str, str]:
        """The shards that it speaks of, all of them among ours. LibraryDamaged where they are not."""
        for shards in (self.shards, self.next):
            if shards is not None and shards.items() <= ours.items():
                return shards
        raise LibraryDamaged("it holds shards that are no longer there")

    def settled(self, ours: dict[str, str]) -> Manifest:
        """As it is once the merge is over, if one was under way."""
        return self if self.next is None else replace(self, shards=self.held(ours), next=None)

    def encode(self) -> bytes:
        """JSON that ends in a checksum of all before it."""
        row = asdict(self)
        if self.next is None:
            del row["next"]
        return _encoded(row | {"checksum": _checksum(row)})

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """LibraryDamaged unless these are the bytes of `encode`."""
        try:
            row: dict[str, Any] = json.loads(data)
            if "parts" not in row and "recipe" in row:
                raise LibraryDamaged("it was made by an older vlsearch")
            whole = _encoded(row) == data
            if row.pop("checksum") != _checksum(row) or not whole:
                raise LibraryDamaged("its manifest is not as it was written")
            parts = {
                name: PartRow(**row["parts"][name]) for name in (MAIN, TAIL) if name == MAIN or name in row["parts"]
            }
            return cls(**{**row, "parts": parts})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LibraryDamaged(f"its manifest cannot be read ({error})") from error


def _encoded(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, indent=1) + "\n").encode()


def _checksum(row: dict[str, Any]) -> str:
    return hashlib.sha256(_encoded(row)).hexdigest()
