"""From a library and a model's name to an engine, by the fastest way there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.search.engine import Engine

if TYPE_CHECKING:
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

    Its texts go through the ONNX text tower where there is one of just this model; else, and for pictures, `load`
    loads the whole model.
    """
    from vlsearch.encoders.names import shown_name, source_of
    from vlsearch.encoders.text_onnx import open_text

    asked = source_of(model_name, weights) if model_name and weights else None
    row = library.model(shown_name(asked)) if asked else library.model(model_name)
    texts = open_text(row.fingerprint, row.name) if row.fingerprint and asked in (None, row.source) else None
    if texts is None:
        return Engine(library, load(asked or row.source), allow_url=allow_url)
    return Engine(library, texts, lambda: checked(library, load(row.source)), allow_url=allow_url)


def checked(library: Library, encoder: Encoder) -> Encoder:
    """The encoder, if it is (still) the one that made the library's vectors; else FingerprintMismatch."""
    library.model_of(encoder)
    return encoder
