"""A process that keeps a library warm, and the command line's way to it. See docs/daemon.md."""
