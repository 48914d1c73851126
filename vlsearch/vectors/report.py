"""What an index is, and what it costs and gives: measured where it is used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vlsearch.memory import resident_bytes
from vlsearch.vectors.manifest import MAIN

if TYPE_CHECKING:
    from vlsearch.vectors.derived import DerivedIndex
    from vlsearch.vectors.manifest import Manifest


@dataclass
class IndexReport:
    """What an index is, and what it costs and gives."""

    model: str
    kind: str
    recipe: str
    vectors: int
    lists: int
    probed: int
    """lists that a query for 10 looks at"""
    target: float
    recall: float
    """recall@10 against exact search, on the library's own vectors and on queries as far off as texts are"""
    ms: float
    """a query for 10 on one thread, median"""
    mapped: int
    """bytes of its files, of which a query reads what it looks at"""
    resident: int | None
    """bytes that opening it and asking a few dozen queries took; None where the system does not tell"""
    seconds: float
    """that building it took"""

    def __str__(self) -> str:
        looks = f"{self.lists:,} lists, {self.probed:,} looked at" if self.lists > 1 else "every vector looked at"
        memory = "" if self.resident is None else f", {self.resident / 1e6:.1f} MB of them in memory"
        return (
            f"{self.model}, {self.kind} vectors: {self.vectors:,} by {self.recipe} ({looks}); recall@10 "
            f"{self.recall:.4f} (wanted {self.target:g}), {self.ms:.2f} ms a query on one thread; "
            f"{self.mapped / 1e6:.1f} MB mapped{memory}; built in {self.seconds:.1f} s"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measured(derived: DerivedIndex, model: str, kind: str, manifest: Manifest) -> IndexReport:
    """Open the index that `manifest` speaks of, ask it, and say what that took."""
    from vlsearch.vectors.calibrate import milliseconds, questions

    before = resident_bytes()
    backend = derived.open()
    ms = milliseconds(backend, questions(backend.parts[0])) if backend.parts else 0.0
    after = resident_bytes()
    main, mapped = manifest.parts[MAIN], sum(part.size for part in manifest.parts.values())
    return IndexReport(
        model=model,
        kind=kind,
        recipe=main.recipe,
        vectors=manifest.count,
        lists=main.lists,
        probed=main.probes.get("10", main.lists),
        target=manifest.target,
        recall=main.recall,
        ms=round(ms, 3),
        mapped=mapped,
        resident=None if before is None or after is None else min(max(0, after - before), mapped),
        seconds=main.seconds,
    )
