"""What a daemon keeps open from one query to the next. In every other process, each query opens the library anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.errors import FingerprintMismatch, UsageError
from vlsearch.library import CATALOG, Library, default_path

if TYPE_CHECKING:
    from vlsearch.encoders.base import Encoder
    from vlsearch.search.engine import Engine

Opener = Callable[..., AbstractContextManager["Engine"]]
State = tuple[tuple[str, int, int, int], ...]

_kept: Warm | None = None


class NotWarm(Exception):
    """This process keeps another library or model. No VlsearchError: the command line that asked does it itself."""


class Warm:
    """A library and a model, loaded once. The library is opened again when something in it has changed."""

    def __init__(self, path: Path, encoder: Encoder) -> None:
        self.path, self.encoder = path, encoder
        self._library: Library | None = None
        self._state: State = ()
        self._engines: dict[tuple[str | None, Path | None], Engine] = {}

    @contextmanager
    def engine(
        self, library_path: Path | None, model_name: str | None, weights: Path | None, *, allow_url: bool = False
    ) -> Iterator[Engine]:
        """As `engine_for`; NotWarm for another library or model."""
        asked = Path(library_path).expanduser() if library_path is not None else default_path()
        if os.path.realpath(asked) != os.path.realpath(self.path):
            raise NotWarm(str(asked))
        try:
            engine = self._engine(self.library(), model_name, weights)
            engine.allow_url = allow_url
            yield engine
        except (UsageError, NotWarm):
            raise
        except BaseException:
            self.close()
            raise

    def library(self) -> Library:
        """The library as it is now."""
        state = state_of(self.path)
        if self._library is None or state != self._state:
            self.close()
            self._library, self._state = Library(self.path), state
        return self._library

    def close(self) -> None:
        self._engines.clear()
        if self._library is not None:
            self._library.close()
            self._library = None

    def _engine(self, library: Library, model_name: str | None, weights: Path | None) -> Engine:
        """The engine, once it is sure that the kept model is the one that was asked for."""
        from vlsearch.encoders.names import shown_name, source_of
        from vlsearch.search.engine import Engine

        weights = Path(os.path.abspath(weights)) if weights is not None else None
        key = model_name, weights
        if key not in self._engines:
            if weights is not None and str(weights) != self.encoder.source.get("weights"):
                raise NotWarm(str(weights))
            row = library.model(shown_name(source_of(model_name, weights)) if model_name else None)
            try:
                engine = Engine(library, self.encoder)
            except FingerprintMismatch as error:
                raise NotWarm(row.name) from error
            if engine.model.id != row.id:
                raise NotWarm(row.name)
            self._engines[key] = engine
        return self._engines[key]


@contextmanager
def engine_for(
    cold: Opener, library_path: Path | None, model_name: str | None, weights: Path | None, **options: Any
) -> Iterator[Engine]:
    """An engine for a query: in a daemon the one that is kept, elsewhere what `cold` opens with the same arguments.

    `options`: allow_url. NotWarm in a daemon that keeps another library or model.
    """
    opened = cold if _kept is None else _kept.engine
    with opened(library_path, model_name, weights, **options) as engine:
        yield engine


def keep(library: Library, encoder: Encoder) -> None:
    """From now on this process answers from `library`'s folder and with `encoder`, and from nothing else."""
    global _kept
    _kept = Warm(library.path, encoder)


def state_of(folder: Path) -> State:
    """Changes when somebody writes to the library. An empty journal is none: readers come and go with one."""
    files = [folder / CATALOG, folder / f"{CATALOG}-wal", *sorted(folder.glob("index/*"))]
    state = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        if status.st_size:
            state.append((file.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(state)
