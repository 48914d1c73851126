"""Peak memory of `vlsearch ingest --model builtin` for 10,000 and for 100,000 generated photos of 64 pixels.

MB: the sum of the resident sizes of the command and its children at one moment, the highest of ten looks a second;
pages that several share count in each. VLSEARCH_BENCH_QUICK=1 takes 1,000 and 10,000.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._material import QUICK, temporary, tiny_jpegs

COUNTS = (1_000, 10_000) if QUICK else (10_000, 100_000)


def run() -> dict[str, float]:
    if not Path("/proc/self/statm").exists():
        raise SystemExit("memory is measured from /proc, which is not here")
    figures: dict[str, float] = {}
    peaks = []
    for count in COUNTS:
        with temporary() as folder:
            photos = tiny_jpegs(folder / "photos", count, 64)
            peak, largest, seconds = watched("ingest", str(photos), "--model", "builtin", library=folder / "library")
        peaks.append(peak)
        figures[f"{count:,} photos: peak, MB"] = peak / 1e6
        figures[f"{count:,} photos: peak RSS of the largest process, MB"] = largest / 1e6
        figures[f"{count:,} photos: s"] = seconds
    return figures | {"peak, the larger over the smaller": peaks[1] / peaks[0]}


def watched(*arguments: str, library: Path) -> tuple[int, int, float]:
    """Run a command; the highest sum of its processes' memory and the highest RSS of one of them in bytes; seconds."""
    began = time.monotonic()
    environment = os.environ | {"VLSEARCH_LIBRARY": str(library)}
    peak = largest = 0
    with subprocess.Popen(
        [sys.executable, "-m", "vlsearch", *arguments], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            sizes = [resident(pid) for pid in tree(process.pid)]
            peak, largest = max(peak, sum(sizes)), max(largest, *sizes)
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"vlsearch {' '.join(arguments)} ended with code {process.returncode}")
    return peak, largest, time.monotonic() - began


def tree(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = " ".join((task / "children").read_text() for task in tasks)
    except OSError:
        return
    for child in children.split():
        yield from tree(int(child))


def resident(pid: int) -> int:
    """Bytes of a process in memory; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
