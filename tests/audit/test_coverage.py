"""The audit's intervals hold the truth as often as they say: 100 simulated audits of each kind (bin/audit-coverage does
1,000 of more)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDITS = 100


@pytest.fixture(scope="module")
def simulated() -> list[dict[str, Any]]:
    script = Path(__file__).parents[2] / "bin" / "audit-coverage"
    options = ["--audits", str(AUDITS), "--photos", "50", "--photos", "200", "--seeds", "5", "--json"]
    done = subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_95_of_100_intervals_hold_the_true_drop(simulated: list[dict[str, Any]]) -> None:
    """Within what 100 draws of 0.95 allow each kind of audit, and all of them together."""
    from scipy.stats import binom

    rows = [row for row in simulated if row["kind"] != "extreme"]
    assert len(rows) == 2 * (9 + 2)
    for row in rows:
        held = row["covered"] * row["audits"]
        assert binom.ppf(0.001, AUDITS, 0.95) <= held, row
    overall = sum(row["covered"] for row in rows) / len(rows)
    assert 0.93 <= overall <= 0.97


def test_recall_near_0_or_1_falls_short_by_little(simulated: list[dict[str, Any]]) -> None:
    """Of 50 photos few captions, or none, change at all: these intervals are known to hold less often."""
    rows = [row for row in simulated if row["kind"] == "extreme"]
    assert len(rows) == 2 * 4
    assert min(row["covered"] for row in rows) > 0.8


def test_more_photos_narrow_the_interval(simulated: list[dict[str, Any]]) -> None:
    few, many = ([row["width"] for row in simulated if row["photos"] == n] for n in (50, 200))
    assert all(1.6 < a / b < 2.4 for a, b in zip(few[:13], many[:13], strict=True))
