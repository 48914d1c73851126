"""`vlsearch` and `python -m vlsearch`: a daemon that runs is asked before anything slow is imported."""

import sys


def main() -> None:
    if sys.argv[1:2] == ["query"]:
        from vlsearch.daemon.client import answered

        try:
            code = answered(sys.argv[1:])
        except KeyboardInterrupt:
            sys.exit(130)
        if code is not None:
            sys.exit(code)
    from vlsearch.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
