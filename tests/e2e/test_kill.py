from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bin" / "kill-ingest"


@pytest.mark.slow
def test_killed_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--times", "15", "--seed", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 runs killed" in done.stdout
    assert done.stdout.splitlines()[-1] == "every library equals that of an uninterrupted run"
