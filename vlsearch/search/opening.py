"""From a library and a model's name to an engine, by the fastest way there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.search.engine import Engine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vlsearch.catalog.rows import ModelRow
    from vlsearch.encoders.base import Encoder
    from vlsearch.library import Library

Load = Callable[[dict[str, Any]], "Encoder"]


def load_source(source: dict[str, Any]) -> Encoder:
    from vlsearch.encoders import registry

    return registry.load_source(source)


def engine_of(
    library: Library,
    model_name: str | None = None,
    weights: Path | None = None,
    *,
    load: Load = load_source,
    allow_url: bool = False,
) -> Engine:
    """An engine with the model that was asked for, or the library's own; refused when its vectors do not compare.

    Its texts go through the ONNX text tower where there is one of just this model. Else, and for pictures, `load` loads
    the whole model: once something is asked that needs it, which a list of what filters keep does not.
    """
    from vlsearch.encoders.names import shown_name, source_of
    from vlsearch.encoders.text_onnx import open_text

    asked = source_of(model_name, weights) if model_name and weights else None
    row = library.model(shown_name(asked)) if asked else library.model(model_name)
    whole = Later(row, lambda: checked(library, load(asked or row.source)))
    texts = open_text(row.fingerprint, row.name) if row.fingerprint and asked in (None, row.source) else None
    return Engine(library, texts or whole, lambda: whole.encoder, allow_url=allow_url)


class Later:
    """The texts of a model that is loaded when the first of them comes."""

    def __init__(self, row: ModelRow, load: Callable[[], Encoder]) -> None:
        self.name, self.fingerprint, self.dim = row.name, row.fingerprint, row.dim
        self._load = load

    @cached_property
    def encoder(self) -> Encoder:
        return self._load()

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encoder.embed_texts(texts)


def checked(library: Library, encoder: Encoder) -> Encoder:
    """The encoder, if it is (still) the one that made the library's vectors; else FingerprintMismatch."""
    library.model_of(encoder)
    return encoder
