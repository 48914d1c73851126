"""Scripts that one writes without vlsearch, each run in a process of its own."""
