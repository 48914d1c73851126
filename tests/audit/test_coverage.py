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
    options = ["--audits", str(AUDITS), "--photos", "100", "--seeds", "5", "--json"]
    done = subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_95_of_100_intervals_hold_the_true_drop(simulated: list[dict[str, Any]]) -> None:
    """Within what 100 draws of 0.95 allow each kind of audit, and within 2 points over all of them."""
    from scipy.stats import binom

    rows = [row for row in simulated if row["kind"] != "extreme"]
    assert len(rows) == 9 + 2
    for row in rows:
        assert row["covered"] * AUDITS >= binom.ppf(0.001, AUDITS, 0.95), row
    assert 0.93 <= sum(row["covered"] for row in rows) / len(rows) <= 0.97


def test_recall_near_0_or_1_falls_short_by_little(simulated: list[dict[str, Any]]) -> None:
    """Few captions, or none, change at all: these intervals are known to hold less often."""
    rows = [row for row in simulated if row["kind"] == "extreme"]
    assert len(rows) == 4
    assert min(row["covered"] for row in rows) > 0.85
