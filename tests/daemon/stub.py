"""A daemon without a model, as a process of its own: what it is asked for it runs as Python."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlsearch.daemon import control, protocol
from vlsearch.daemon.server import Server


def handle(arguments: Sequence[str]) -> int:
    names: dict[str, Any] = {"code": 0}
    exec(arguments[1], names)
    return int(names["code"])


if __name__ == "__main__":
    library, idle, protocol.PATIENCE = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    protocol.BEAT = protocol.PATIENCE / 3
    with control.holding(library):
        print(Server(library, handle, idle, {"model": "stub"}).serve(lambda: print("ready", flush=True)))
