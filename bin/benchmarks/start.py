"""Seconds until `vlsearch --help` has answered, beside an empty Python."""

import statistics
import subprocess
import sys
import time


def run() -> dict[str, float]:
    empty = statistics.median(seconds("-c", "pass") for _ in range(9))
    shown = statistics.median(seconds("-m", "vlsearch", "--help") for _ in range(9))
    return {"python -c pass, s": empty, "vlsearch --help, s": shown}


def seconds(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - began
