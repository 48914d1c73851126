"""Text that anybody may have written, such as a file name, made safe to show."""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"
"""invisible, but part of how some scripts and emoji are written"""


def printable(text: str) -> str:
    """`text` with what cannot be seen or encoded written out: line breaks, escapes, bidi marks, stray bytes."""
    return "".join(_escape(c) if _hidden(c) else c for c in text)


def _hidden(c: str) -> bool:
    return unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in JOINERS


def _escape(c: str) -> str:
    if "\udc80" <= c <= "\udcff":
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape", "surrogatepass").decode("ascii")
