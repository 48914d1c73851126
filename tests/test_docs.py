"""The examples in docs/ run as they are written."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ColourEncoder

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is a ColourEncoder: loading the built-in one takes seconds."""

    def load(source: dict[str, Any], _precision: str = "auto") -> ColourEncoder:
        return ColourEncoder(source["name"])

    monkeypatch.setattr("vlsearch.encoders.registry.load_source", load)
    monkeypatch.setattr("vlsearch.encoders.registry.load", lambda name: ColourEncoder(name))


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("page", ["python.md"])
def test_examples_run(
    page: str, photos: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    photos(12)
    lines = [f'0000{n}.jpg,"{text}"' for n, text in enumerate(["a dog by a cat", "a red car", "two birds in a tree"])]
    (tmp_path / "captions.csv").write_text("\n".join(["path,caption", *lines]))
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    assert done.attempted > 0
    assert done.failed == 0, capsys.readouterr().out
