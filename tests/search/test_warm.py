"""What a daemon keeps: the answers are those of the library as it is, and of no other library or model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ColourEncoder
from vlsearch.errors import LibraryNotFound, UsageError
from vlsearch.library import Library
from vlsearch.search import warm
from vlsearch.search.engine import Engine

Photos = Callable[..., Path]
Take = Callable[..., Any]


@pytest.fixture
def kept(library: Library, encoder: ColourEncoder, take: Take, photos: Photos) -> Iterator[warm.Warm]:
    """A warm library with 3 photos."""
    take(photos(3))
    one = warm.Warm(library.path, encoder)
    yield one
    one.close()


def paths(kept: warm.Warm, *asked: Any) -> set[str]:
    with kept.engine(*asked or (kept.path, None, None)) as engine:
        return {Path(hit.path).name for hit in engine.search("dog", 100)}


def test_what_is_ingested_meanwhile_is_found(kept: warm.Warm, take: Take, photos: Photos) -> None:
    assert len(paths(kept)) == 3
    for n in range(2):
        take(photos(2, f"more{n}", seed=n + 1))
        assert len(paths(kept)) == 3  # the names are the same
        with kept.engine(kept.path, None, None) as engine:
            assert len(engine.search("dog", 100)) == 5 + 2 * n


def test_what_goes_is_gone(kept: warm.Warm, take: Take, tmp_path: Path) -> None:
    assert len(paths(kept)) == 3
    (tmp_path / "photos" / "00001.jpg").unlink()
    take(tmp_path / "photos")
    assert paths(kept) == {"00000.jpg", "00002.jpg"}


def test_nothing_is_opened_twice_while_nothing_changes(kept: warm.Warm) -> None:
    assert len(paths(kept)) == 3
    first = kept.library()
    assert len(paths(kept)) == 3
    assert kept.library() is first
    with kept.engine(kept.path, None, None) as one, kept.engine(kept.path, None, None) as two:
        assert one is two


def test_the_default_library_and_a_link_to_it(kept: warm.Warm, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(kept.path)
    assert len(paths(kept, None, None, None)) == 3
    assert len(paths(kept, tmp_path / "link", None, None)) == 3


def test_another_library_or_model_is_not_warm(
    kept: warm.Warm, take: Take, photos: Photos, tmp_path: Path, encoder: ColourEncoder
) -> None:
    take(photos(2), model=ColourEncoder("other"))
    for asked in [
        (tmp_path / "elsewhere", None, None),
        (kept.path, "other", None),
        (kept.path, "colour", tmp_path / "weights.safetensors"),
    ]:
        with pytest.raises(warm.NotWarm), kept.engine(*asked):
            pass
    with pytest.raises(UsageError, match="no vectors of model third"), kept.engine(kept.path, "third", None):
        pass
    assert len(paths(kept, kept.path, "colour", None)) == 3
    encoder.source = {"name": "colour", "weights": str(tmp_path / "w.safetensors")}
    encoder.fingerprint = "changed"
    kept.close()
    with pytest.raises(warm.NotWarm), kept.engine(kept.path, None, None):
        pass


def test_a_library_that_is_replaced(kept: warm.Warm, tmp_path: Path) -> None:
    assert len(paths(kept)) == 3
    copy = tmp_path / "copy"
    shutil.copytree(kept.path, copy)
    shutil.rmtree(kept.path)
    with pytest.raises(LibraryNotFound), kept.engine(kept.path, None, None):
        pass
    copy.rename(kept.path)
    assert len(paths(kept)) == 3


def test_after_an_error_it_is_opened_anew(kept: warm.Warm) -> None:
    def library_after(error: Exception) -> Library:
        with pytest.raises(type(error)), kept.engine(kept.path, None, None):
            raise error
        return kept.library()

    first = kept.library()
    assert library_after(UsageError("the user's")) is first
    assert library_after(OSError("the disk's")) is not first


def test_allow_url_is_the_querys(kept: warm.Warm) -> None:
    with kept.engine(kept.path, None, None, allow_url=True) as engine:
        assert engine.allow_url
    with kept.engine(kept.path, None, None) as engine:
        assert not engine.allow_url


def test_state_changes_with_the_files_and_ignores_an_empty_journal(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / "index").mkdir(parents=True)
    (folder / "catalog.sqlite").write_bytes(b"rows")
    states = [warm.state_of(folder)]
    (folder / "catalog.sqlite-wal").touch()
    assert warm.state_of(folder) == states[0]
    for file, data in [("catalog.sqlite-wal", b"new"), ("index/1-x.json", b"{}"), ("catalog.sqlite", b"merged")]:
        (folder / file).write_bytes(data)
        states.append(warm.state_of(folder))
    os.utime(folder / "catalog.sqlite", ns=(1, 1))
    states.append(warm.state_of(folder))
    shutil.copy2(folder / "catalog.sqlite", folder / "copy")  # same size, same time, another file
    (folder / "copy").rename(folder / "catalog.sqlite")
    states.append(warm.state_of(folder))
    assert len(set(states)) == 6


def test_outside_of_a_daemon_every_query_opens_anew(library: Library) -> None:
    asked = []

    @contextmanager
    def cold(*arguments: Any, **options: Any) -> Iterator[Engine]:
        asked.append((arguments, options))
        yield None  # type: ignore[misc]

    for _ in range(2):
        with warm.engine_for(cold, library.path, "colour", None, allow_url=True):
            pass
    assert asked == [((library.path, "colour", None), {"allow_url": True})] * 2


@pytest.mark.usefixtures("kept")
def test_in_a_daemon_the_kept_one_answers(
    library: Library, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_kept", None)
    warm.keep(library, encoder)

    def cold(*_: object) -> Any:
        raise AssertionError("nothing is opened")

    with warm.engine_for(cold, None, None, None) as engine:
        assert len(engine.search("dog", 100)) == 3
