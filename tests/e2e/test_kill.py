from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bin" / "kill-ingest"


@pytest.mark.slow
def test_ten_killed_ingests() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--times", "10", "--seed", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 ingests killed" in done.stdout
    assert done.stdout.splitlines()[-1] == "every library equals that of an uninterrupted run"
