"""`vlsearch` and `python -m vlsearch`: a daemon that runs is asked before anything slow is imported."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["query"]:
        from vlsearch.daemon.client import answered

        try:
            code = answered(sys.argv[1:])
        except KeyboardInterrupt:
            sys.exit(130)
        if code is not None:
            os._exit(code)  # all is written; Python's own end would take milliseconds
    from vlsearch.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
