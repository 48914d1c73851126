"""What an audit is asked for: kept with its run, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Task = Literal["retrieval", "order", "choice", "lists"]
LOG = "query log"


@dataclass(frozen=True)
class Asked:
    task: Task = "retrieval"
    """"choice" where a dataset is one; "lists" where there are queries instead of captions"""
    perturbations: tuple[str, ...] = ("shuffle",)
    seeds: int = 5
    ks: tuple[int, ...] = (1, 5, 10)
    tokenizer: str = "own"
    force: bool = False
    """use parts of speech of captions that are not English"""
    through_index: bool = False
    dataset: str | None = None
    """a name or a file; None for the library's own captions"""
    data: str | None = None
    images: str | None = None
    available: bool = False
    queries: str | None = None
    """a file of queries, or LOG"""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Asked:
        """From what `to_dict` gave, as JSON keeps it."""
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in settings.items()
            if name in known
        }
        return cls(**values)
