"""From a library to an engine: what is loaded, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ColourEncoder
from vlsearch.errors import FingerprintMismatch, UsageError
from vlsearch.ingest.summary import Summary
from vlsearch.library import Library
from vlsearch.search.filters import Filters
from vlsearch.search.opening import engine_of


@pytest.fixture
def filled(library: Library, take: Callable[..., Summary], photos: Callable[..., Path]) -> Library:
    take(photos(4))
    return library


def test_a_model_is_loaded_once_and_only_when_it_is_needed(filled: Library, encoder: ColourEncoder) -> None:
    loaded: list[dict[str, Any]] = []

    def load(source: dict[str, Any]) -> ColourEncoder:
        loaded.append(source)
        return encoder

    engine = engine_of(filled, load=load)
    assert len(engine.search(filters=Filters.of(where="width > 3"), k=3)) == 3
    assert loaded == []
    best = engine.search("dog", 1)[0]
    assert engine.search([], 1, filters=Filters.of(under=Path(best.path).parent))[0].score is None
    assert engine.encoder() is encoder
    assert loaded == [{"name": "colour"}]


def test_other_weights_are_refused_when_they_are_loaded(filled: Library) -> None:
    engine = engine_of(filled, load=lambda _: ColourEncoder(salt="other"))
    with pytest.raises(FingerprintMismatch):
        engine.search("dog")


def test_a_model_that_the_library_does_not_have(filled: Library, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no vectors of model third"):
        engine_of(filled, "third")
    with pytest.raises(UsageError, match=r"no vectors of model colour@w\.safetensors"):
        engine_of(filled, "colour", tmp_path / "w.safetensors")
