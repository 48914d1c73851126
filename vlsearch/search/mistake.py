"""A mistake in what a user wrote, shown with its place."""

from __future__ import annotations

import unicodedata

from vlsearch.errors import UsageError
from vlsearch.printable import printable

SHOWN = 60
"""letters of a long text that are shown before and behind a mistake"""


class Mistake(UsageError):
    """What is wrong, in one line; `details` are the text and a caret under the place."""

    def __init__(self, message: str, text: str = "", place: int = 0) -> None:
        super().__init__(message)
        start = max(place - SHOWN, 0)
        before = ("…" if start else "") + printable(text[start:place])
        after = printable(text[place : place + SHOWN]) + ("…" if len(text) > place + SHOWN else "")
        self.details = (before + after, "".join(map(_blank, before)) + "^")


def _blank(c: str) -> str:
    """As wide as `c` on a terminal."""
    if unicodedata.combining(c) or unicodedata.category(c) in {"Mn", "Me", "Cf"}:
        return ""
    return "  " if unicodedata.east_asian_width(c) in "WF" else " "
