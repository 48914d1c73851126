"""Milliseconds of `vlsearch query` with the daemon, after interpreter start: 10,000 photos, ViT-B-32, random weights.

Whole commands in fresh processes, in turn with `python -c pass`, medians of 30; and of those what the client imports,
and what a request takes from the socket's connection to the whole answer.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks._material import kept
from benchmarks.query_cold import QUERY, SMALL, Daemon, compiled, make_library, make_weights, output

ROUNDS = 30
IMPORTS = "import json, socket, vlsearch.daemon.client"


def run() -> dict[str, float]:
    weights = kept("query-weights", make_weights) / "weights.safetensors"
    folder = kept(f"query-{SMALL}", lambda to: make_library(to, SMALL, weights))
    cache = kept("query-cache", lambda _: None)
    library = str(folder / "library")
    query = [sys.executable, "-m", "vlsearch", "query", QUERY, "--library", library]
    with tempfile.TemporaryDirectory(prefix="vl") as runtime:
        os.environ["XDG_RUNTIME_DIR"] = runtime
        environment = compiled(cache / "bytecode") | {"VLSEARCH_CACHE": str(cache), "VLSEARCH_DAEMON": "1"}
        commands = {
            "python -c pass, ms": [sys.executable, "-c", "pass"],
            "python with the client's imports, ms": [sys.executable, "-c", IMPORTS],
            "vlsearch query, ms": query,
        }
        with Daemon(folder, environment) as daemon:
            if not daemon.runs:
                raise SystemExit("no daemon")
            asked: dict[str, Callable[[], object]] = {
                name: lambda command=command: output(command, environment) for name, command in commands.items()
            }
            asked["request alone, ms"] = lambda: request(library)
            taken: dict[str, list[float]] = {name: [] for name in asked}
            for _ in range(ROUNDS):
                for name, ask in asked.items():
                    taken[name].append(milliseconds(ask))
            status = [sys.executable, "-m", "vlsearch", "daemon", "--status", "--library", library]
            answered = subprocess.run(status, env=environment, capture_output=True, text=True, check=True).stdout
    # The benchmark is one of the daemon only if it was the daemon that answered.
    assert f"\n{2 * ROUNDS:,} queries" in answered, answered
    figures = {name: statistics.median(rounds) for name, rounds in taken.items()}
    python = figures["python -c pass, ms"]
    return figures | {"after interpreter start, ms": figures["vlsearch query, ms"] - python}


def request(library: str) -> None:
    from vlsearch.daemon import client, protocol

    head, _ = client.ask(protocol.socket_path(library), client.request(["query", QUERY, "--library", library], library))
    assert head["code"] == 0, head


def milliseconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return 1e3 * (time.perf_counter() - began)
