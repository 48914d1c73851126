"""The query log: the words that `vlsearch query` was asked, kept for an audit where its owner has switched it on.

The file `queries.jsonl` in the library is both: that it exists is the switch. One JSON object a line, {"at", "text"}.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vlsearch.search.query import Term

FILE = "queries.jsonl"

log = logging.getLogger(__name__)


class Logged(NamedTuple):
    at: str
    """UTC, "2026-01-31T12:00:00Z\""""
    text: str


def record(library: Path, terms: Sequence[Term]) -> None:
    """Append a query of one text, where the log of the library in the folder `library` is on. Pictures, and what is
    added and subtracted, have no word order, and are not kept. Whatever goes wrong, the query has been answered: it is
    said in the log of this process (INFO) and nowhere else."""
    if len(terms) != 1 or terms[0].text is None:
        return
    line = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "text": terms[0].text}) + "\n"
    try:
        descriptor = os.open(library / FILE, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.info("this query is not in the query log: %s", (error.strerror or str(error)).lower())


def is_on(library: Path) -> bool:
    return (library / FILE).is_file()


def switch_on(library: Path) -> None:
    """Make the file, for its owner alone, unless it is there. Raises OSError."""
    os.close(os.open(library / FILE, os.O_WRONLY | os.O_CREAT, 0o600))


def switch_off(library: Path) -> None:
    """Remove the file and with it the queries. Raises OSError."""
    (library / FILE).unlink(missing_ok=True)


def clear(library: Path) -> None:
    """Forget the queries; the log stays as it is, on or off. Raises OSError."""
    if is_on(library):
        os.truncate(library / FILE, 0)


def logged(library: Path) -> Iterator[Logged]:
    """The queries in the order in which they were asked; none where the log is off. Lines that a full disk has cut off
    are passed over. Raises OSError."""
    try:
        data = (library / FILE).read_bytes()
    except FileNotFoundError:
        return
    for line in data.splitlines():
        try:
            row = json.loads(line)
            yield Logged(str(row["at"]), str(row["text"]))
        except (ValueError, KeyError, TypeError):
            continue


def logged_queries(library: Path) -> list[str]:
    """The texts of `logged`, repeated ones as often as they were asked."""
    return [query.text for query in logged(library)]
