"""How a CPU's cores share the photos: lanes of few threads side by side, where nothing waits for the slowest thread."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Features = Callable[[torch.Tensor], torch.Tensor]
    """(n, height, width, 3) uint8 pixels to (n, dim) float32 features, from any thread"""

PATIENCE = 0.4
"""seconds that a lane's batch should take: whoever waits for a lane to stop waits for its batch"""
LARGEST = 64
AGREEMENT = 0.99
"""cosine to the exact vector below which a faster way to compute is not good enough"""
CHECKED = 16
CLEARLY = 1.1
MANY = 8
"""cores from which on lanes of several threads can pay, as the lanes' photos no longer fit into the common cache"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How many lanes there are, the threads of each, and the photos that one takes at a time."""

    lanes: int
    threads: int
    batch: int


def cores() -> int:
    """Threads that can really run: PyTorch's own count, at most this process's share of the machine."""
    import torch

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), allowed, quota()))


def quota(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Processors that Linux's control group grants (rounded up), as containers have it; many where nothing says."""
    try:
        granted, period = file.read_text().split()
        return math.ceil(int(granted) / int(period))
    except (OSError, ValueError):
        return 1 << 16


@contextmanager
def own_threads(count: int) -> Iterator[None]:
    """PyTorch uses `count` threads for what this thread asks of it; other threads keep theirs."""
    import torch

    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    # That also set the number for threads that are yet to begin; one that says another number puts it back.
    other = threading.Thread(target=torch.set_num_threads, args=(before,))
    other.start()
    other.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def plan_for(features: Features, pixels: torch.Tensor) -> Plan:
    """One lane for each core; `pixels` is one photo, whose time says how many a lane takes."""
    with own_threads(1):
        features(pixels)
        began = time.thread_time()
        features(pixels)
        seconds = max(time.thread_time() - began, 1e-6)
    batch = 1 << max(0, int(math.log2(max(1.0, min(PATIENCE / seconds, LARGEST)))))
    return Plan(cores(), 1, batch)


def fastest(features: Features, pixels: torch.Tensor, plan: Plan, seconds: float) -> tuple[Plan, float]:
    """The best of some ways to share the cores, `plan` among them, and its photos/s; within about `seconds`.

    `pixels` is one photo. First the lanes' width is chosen, where there are MANY cores, then the batch.
    """
    total = plan.lanes * plan.threads
    widths = [width for width in (1, 2, 4, 8, total) if total % width == 0] if total >= MANY else [plan.threads]
    candidates = [replace(plan, lanes=total // width, threads=width) for width in dict.fromkeys(widths)]
    deadline = time.perf_counter() + seconds
    share = seconds / (len(candidates) + 2)
    best, rate = plan, 0.0
    for candidate in candidates:
        if rate == 0.0 or time.perf_counter() + share < deadline:
            best, rate = better((best, rate), (candidate, throughput(features, pixels, candidate, share)))
    for batch in (best.batch // 2, best.batch * 2):
        if 1 <= batch <= LARGEST and time.perf_counter() + share < deadline:
            candidate = replace(best, batch=batch)
            best, rate = better((best, rate), (candidate, throughput(features, pixels, candidate, share)))
    return best, rate


def better(known: tuple[Plan, float], new: tuple[Plan, float]) -> tuple[Plan, float]:
    """Of two plans with their photos/s: the new one only if it is clearly faster, as short measurements waver."""
    return new if new[1] > CLEARLY * known[1] else known


def throughput(features: Features, pixels: torch.Tensor, plan: Plan, seconds: float) -> float:
    """Photos/s of all lanes of `plan` together over `seconds`; each takes at least one batch."""
    batch = pixels.expand(plan.batch, *pixels.shape[1:]).contiguous()
    done: list[int] = []
    began = time.perf_counter()

    def work() -> None:
        with own_threads(plan.threads):
            while True:
                features(batch)
                done.append(len(batch))
                if time.perf_counter() - began >= seconds:
                    break

    threads = [threading.Thread(target=work) for _ in range(plan.lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


class Checked:
    """A faster way to compute, for as long as it agrees with the exact one: the first photos go both ways."""

    def __init__(self, fast: Features, exact: Features, name: str) -> None:
        self._fast, self._exact, self._name = fast, exact, name
        self._unchecked = CHECKED
        self._lock = threading.Lock()

    @property
    def holds(self) -> bool:
        return self._fast is not self._exact

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._unchecked:
            with self._lock:
                if self._unchecked:
                    return self._check(pixels)
        return self._fast(pixels)

    def _check(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        features, few = self._fast(pixels), pixels[: self._unchecked]
        lowest = float(torch.cosine_similarity(features[: len(few)], self._exact(few)).min())
        if lowest >= AGREEMENT:
            self._unchecked -= len(few)
            return features
        log.info("%s: int8 is not exact enough (cosine %.4f), left alone", self._name, lowest)
        self._fast, self._unchecked = self._exact, 0
        return self._exact(pixels)
