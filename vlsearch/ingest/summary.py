"""What an ingest did, in numbers and in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Summary:
    """What an ingest did, in files."""

    added: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    failed: int = 0
    skipped: int = 0
    """failed before and unchanged since: not tried again"""
    embedded: int = 0
    """photos that went through the model"""
    seconds: float = 0.0
    interrupted: bool = False
    """ended by Ctrl-C: what was embedded is committed, the same ingest goes on with the rest"""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """path and reason of the first FAILURES of this run"""

    FAILURES = 1000

    def fail(self, path: str, reason: str) -> None:
        self.failed += 1
        if len(self.failures) < self.FAILURES:
            self.failures.append((path, reason))

    def __str__(self) -> str:
        counts = (self.added, self.unchanged, self.moved, self.missing, self.failed)
        named = zip(counts, ("added", "unchanged", "moved", "missing", "failed"), strict=True)
        parts = [f"{count:,} {name}" for count, name in named if count or name in ("added", "unchanged")]
        if self.skipped:
            parts.append(f"{self.skipped:,} skipped (failed before)")
        rate = f" ({self.embedded / self.seconds:.0f} photos/s)" if self.embedded and self.seconds else ""
        return f"{', '.join(parts)} in {duration(self.seconds)}{rate}"

    def to_dict(self) -> dict[str, Any]:
        row = asdict(self)
        del row["failures"]
        return row | {"seconds": round(self.seconds, 3)}


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
