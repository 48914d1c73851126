"""Search a photo collection with words or pictures, and know how far the answer depends on word order."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = [
    "AuditReport",
    "FingerprintMismatch",
    "Hit",
    "Hits",
    "Library",
    "LibraryDamaged",
    "LibraryError",
    "LibraryLocked",
    "LibraryNotFound",
    "LibraryTooNew",
    "ModelError",
    "ModelUnavailable",
    "Term",
    "UnreadableFile",
    "UsageError",
    "VlsearchError",
    "__version__",
    "load_model",
    "open_library",
]

TYPE_CHECKING = False  # importing typing would take a tenth of what a warm query may
if TYPE_CHECKING:
    from typing import Any

    from vlsearch.api import Library, open_library
    from vlsearch.audit.report import AuditReport
    from vlsearch.encoders.registry import load as load_model
    from vlsearch.errors import (
        FingerprintMismatch,
        LibraryDamaged,
        LibraryError,
        LibraryLocked,
        LibraryNotFound,
        LibraryTooNew,
        ModelError,
        ModelUnavailable,
        UnreadableFile,
        UsageError,
        VlsearchError,
    )
    from vlsearch.search.engine import Hit
    from vlsearch.search.hits import Hits
    from vlsearch.search.query import Term

_HOME = {
    "AuditReport": "audit.report",
    "Hit": "search.engine",
    "Hits": "search.hits",
    "Library": "api",
    "Term": "search.query",
    "load_model": "encoders.registry:load",
    "open_library": "api",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that `import vlsearch` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, original = _HOME.get(name, "errors").partition(":")
    return getattr(import_module(f"{__name__}.{module}"), original or name)
