"""Files to photos, in child processes: a crash, a hang or a memory bomb there costs one file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlsearch.ingest.decode import NO_PIXELS, Note, Photo
from vlsearch.ingest.decoder_child import Child, Died, Item, Jpeg, Settings
from vlsearch.ingest.scan import Found

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass
class Read:
    """A file that was read: its photo is known (`content`), newly decoded (`photo`), or cannot be had (`reason`)."""

    number: int
    file: Found
    sha256: bytes = b""
    content: tuple[int, bool] | None = None
    """content id, and whether it has a vector of this model"""
    photo: Photo | None = None
    """without its pixels"""
    pixels: NDArray[np.uint8] | Jpeg | None = None
    """(height, width, 3), or what is to be decoded where it is embedded"""
    reason: str | None = None
    lasting: bool = True
    """the reason lies in the file's bytes: trying again makes no sense until they change"""


Lookup = Callable[[list[bytes]], dict[bytes, tuple[int, bool]]]
"""sha256s to those that are known: content id, and whether it has a vector of the model"""


class Decoder:
    """One lane of reading: a child process, replaced when it dies. To be used from one thread."""

    _one_large_at_a_time = threading.Lock()

    def __init__(self, settings: Settings, lookup: Lookup) -> None:
        self.settings, self.lookup = settings, lookup
        self._child: Child | None = None

    def read(self, items: Sequence[Item], *, again: bool = False, jpegs: bool = False) -> Iterator[Read]:
        """Each file as a Read, in any order; with `jpegs`, what a GPU can decode as it is.

        A file at which the child dies is tried once more, alone in a new one (`again`): what broke it may have been
        another file. VlsearchError when no child can be started.
        """
        rest = list(items)
        while rest:
            child = self._started()
            at: int | None = None
            try:
                answers = child.read(rest)
                known = self.lookup([bytes.fromhex(a["sha256"]) for a in answers if "sha256" in a])
                wanted: list[int] = []
                for number, answer in enumerate(answers):
                    read = as_read(rest[number], answer, known)
                    if read is None:
                        wanted.append(number)
                    else:
                        yield read
                child.ask(wanted, jpegs)
                for at in wanted:
                    answer, pixels = child.answer(self._one_large_at_a_time)
                    yield finished(rest[at], answers[at], known, answer, pixels)
                return
            except Died as death:
                self.close()
                if at is None and len(rest) > 1:  # while reading: nobody knows at which of them
                    for one in rest:
                        yield from self.read([one])
                    return
                place = at or 0
                if again or death.reason == child.too_long:
                    yield Read(rest[place].number, rest[place].found, reason=death.reason)
                else:
                    yield from self.read([rest[place]], again=True)
                rest = [] if at is None else [rest[number] for number in wanted[wanted.index(at) + 1 :]]

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _started(self) -> Child:
        if self._child is None:
            self._child = Child(self.settings)
        return self._child


def as_read(item: Item, answer: dict[str, Any], known: dict[bytes, tuple[int, bool]]) -> Read | None:
    """The Read of a file that needs no decoding; None for one that does."""
    if "error" in answer:
        return Read(item.number, item.found, reason=answer["error"], lasting=False)
    sha256 = bytes.fromhex(answer["sha256"])
    content = known.get(sha256)
    if content is None or not content[1]:
        return None
    return Read(item.number, as_it_was(item.found, answer), sha256, content)


def finished(
    item: Item,
    answer: dict[str, Any],
    known: dict[bytes, tuple[int, bool]],
    photo: dict[str, Any],
    pixels: NDArray[np.uint8] | Jpeg | None,
) -> Read:
    found, sha256 = as_it_was(item.found, answer), bytes.fromhex(answer["sha256"])
    if pixels is None:
        return Read(item.number, found, sha256, reason=photo["error"])
    photo["notes"] = tuple(Note(*note) for note in photo["notes"])
    return Read(item.number, found, sha256, known.get(sha256), Photo(pixels=NO_PIXELS, **photo), pixels)


def as_it_was(found: Found, answer: dict[str, Any]) -> Found:
    return found._replace(size=answer["size"], mtime_ns=answer["mtime_ns"])
