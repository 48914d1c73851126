"""Everything that vlsearch raises on purpose.

    VlsearchError
    ├── UsageError              the call itself is wrong (exit code 2)
    ├── LibraryError
    │   ├── LibraryNotFound     no library there
    │   ├── LibraryLocked       another process is writing
    │   ├── LibraryTooNew       made by a newer vlsearch
    │   └── LibraryDamaged      a shard, the index or the catalog cannot be trusted
    ├── ModelError
    │   ├── ModelUnavailable    weights cannot be had here
    │   └── FingerprintMismatch the library's vectors come from other weights
    └── UnreadableFile          one photo or caption file; the run goes on without it

Every message is one line that names the thing, the cause and the next step.
"""

from __future__ import annotations


class VlsearchError(Exception):
    """Base of all; `exit_code` is what the command line ends with, `details` are further lines that it shows."""

    exit_code = 1
    details: tuple[str, ...] = ()


class UsageError(VlsearchError):
    exit_code = 2


class LibraryError(VlsearchError):
    pass


class LibraryNotFound(LibraryError):
    exit_code = 2


class LibraryLocked(LibraryError):
    pass


class LibraryTooNew(LibraryError):
    pass


class LibraryDamaged(LibraryError):
    pass


class ModelError(VlsearchError):
    pass


class ModelUnavailable(ModelError):
    pass


class FingerprintMismatch(ModelError):
    pass


class UnreadableFile(VlsearchError):
    pass
