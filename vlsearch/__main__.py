"""`vlsearch` and `python -m vlsearch`: a daemon that runs is asked before anything slow is imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
    query = sys.argv[1:2] == ["query"]
    code = ask_daemon() if query else None
    if code is None:
        from vlsearch.cli import run

        code = run()
    if query:
        end(code)
    sys.exit(code)


def ask_daemon() -> int | None:
    from vlsearch.daemon.client import answered

    try:
        return answered(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


def end(code: int) -> None:
    """At once: Python's own end takes as long as a warm query does, and native threads may abort under it."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, AttributeError):  # nobody reads them any more
        pass
    os._exit(code)


if __name__ == "__main__":
    main()
