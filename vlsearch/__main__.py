"""`python -m vlsearch`."""

from vlsearch.cli import main

main()
