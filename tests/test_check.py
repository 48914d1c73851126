from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from tests.conftest import ColourEncoder
from vlsearch.catalog import queries
from vlsearch.catalog.queries import ModelRow
from vlsearch.check import Repaired, repair, verify
from vlsearch.errors import FingerprintMismatch, ModelUnavailable
from vlsearch.ingest.summary import Summary
from vlsearch.library import Library, open_library
from vlsearch.search.engine import Engine
from vlsearch.vectors import recipes

Photos = Callable[..., Path]
Take = Callable[..., Summary]


def whats(library: Library) -> list[str]:
    found = [problem.what for problem in verify(library)]
    assert all("\n" not in what for what in found)
    return found


def caption(library: Library, encoder: ColourEncoder) -> None:
    """Every photo gets two captions, with vectors."""
    from vlsearch.ingest.pipeline import embed_captions

    with library.transaction() as c:
        ids = sorted(queries.contents_by_path(c).values())
        queries.add_captions(c, [(i, f"{word} {i}", None) for i in ids for word in ("dog", "cat")], "test")
        lacking = queries.captions_without_vector(c, library.model().id)
    embed_captions(library, encoder, library.model(), lacking, lambda *_: None)
    library.save_indexes()


@pytest.fixture
def small(library: Library, take: Take, photos: Photos, encoder: ColourEncoder) -> Library:
    """12 photos in two shards, 24 captions in one."""
    take(photos(5))
    take(photos(7, "more", seed=1))
    caption(library, encoder)
    return library


def stored_files(library: Library) -> list[Path]:
    """Shards, indexes and manifests."""
    return sorted([*library.path.glob("vectors/*/*"), *library.path.glob("index/*")])


def shards(library: Library, kind: str) -> list[Path]:
    with library.read() as c:
        return [library.path / s.file for s in queries.shards(c, kind=kind)]


def everything(library: Library) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """id -> vector, of photos and of captions."""
    photos, captions = (library.vectors(library.model(), kind) for kind in ("image", "text"))
    return tuple(dict(zip(i.tolist(), map(bytes, v), strict=True)) for i, v in (photos, captions))  # type: ignore[return-value]


# Verify


def test_after_an_ingest_it_is_clean(small: Library) -> None:
    assert whats(small) == []
    assert len(stored_files(small)) == 3 + 2 * 2


def test_an_empty_library_is_clean(library: Library) -> None:
    assert whats(library) == []


def test_any_one_flipped_byte_is_found(small: Library) -> None:
    """200 random places in shards, indexes and manifests, as many in each; the byte there gets another value."""
    draw = random.Random(2)
    files = [(file, file.read_bytes()) for file in stored_files(small)]
    for _ in range(200):
        file, data = draw.choice(files)
        position, change = draw.randrange(len(data)), draw.randrange(1, 256)
        file.write_bytes(data[:position] + bytes([data[position] ^ change]) + data[position + 1 :])
        found = whats(small)
        assert any(file.stem in what for what in found), (file, position, change, found)
        file.write_bytes(data)
    assert whats(small) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM vector WHERE kind = 'image' AND item_id = 3", "1 photos without a vector"),
        ("DELETE FROM content WHERE id = 3", "points to no row of content"),
        ("UPDATE vector SET item_id = 99 WHERE kind = 'image' AND item_id = 3", "does not hold what the catalog says"),
        ("UPDATE vector SET item_id = 99 WHERE kind = 'text' AND item_id = 3", "1 vectors of photos or captions"),
        ("UPDATE shard SET rows = 4 WHERE id = 1", "does not hold what the catalog says"),
        ("UPDATE shard SET sha256 = '00' WHERE id = 1", "checksum differs"),
        ("UPDATE vector SET shard_id = 2 WHERE kind = 'image' AND item_id = 3", "does not hold what the catalog says"),
    ],
)
def test_a_catalog_that_does_not_agree_with_the_shards_is_found(small: Library, statement: str, said: str) -> None:
    with small.transaction() as c:
        c.execute(text("PRAGMA defer_foreign_keys = ON"))
        if statement.startswith("DELETE FROM content"):
            c.exec_driver_sql("COMMIT")
            c.exec_driver_sql("PRAGMA foreign_keys = OFF")
            c.exec_driver_sql("BEGIN")
        c.execute(text(statement))
    assert any(said in what for what in whats(small))


def test_a_missing_shard_is_found_and_a_reader_may_ask(small: Library) -> None:
    shards(small, "image")[0].unlink()
    with open_library(small.path) as reader:
        (what,) = [what for what in whats(reader) if what.startswith("shard")]
    assert "cannot be read" in what


def test_verify_changes_nothing(small: Library) -> None:
    shards(small, "image")[0].write_bytes(b"garbage")
    small.close()

    def state() -> dict[Path, str]:
        kept = [file for file in small.path.rglob("*") if file.is_file() and "catalog" not in file.name]
        return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in kept}

    before = state()
    with open_library(small.path) as reader:
        assert whats(reader)
        with reader.read() as c:
            assert len(queries.shards(c)) == 3
    assert state() == before


@pytest.mark.parametrize("part", ["main", "tail"])
def test_any_one_flipped_byte_of_a_large_index_is_found(
    small: Library, take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    chosen = (recipes.Recipe("exact", 0.0, up_to=10), recipes.Recipe("lists", 1.0))
    monkeypatch.setattr(recipes, "recipes", lambda: chosen)
    small.derived(small.model(), "image").save(anew=True)
    take(photos(1, "one more", seed=3))
    derived = small.derived(small.model(), "image")
    assert list(derived.manifest().parts) == ["main", "tail"]
    assert whats(small) == []
    file, draw = derived.part_file(part), random.Random(3)
    data = file.read_bytes()
    for position in [0, len(data) - 1, *(draw.randrange(len(data)) for _ in range(40))]:
        file.write_bytes(data[:position] + bytes([data[position] ^ draw.randrange(1, 256)]) + data[position + 1 :])
        (what,) = whats(small)
        assert file.name in what
    file.write_bytes(data)
    file.unlink()
    assert len(whats(small)) == 1


def test_an_index_that_holds_other_vectors_or_ids_is_found(small: Library) -> None:
    """The files agree with one another, and not with the shards."""
    from dataclasses import replace

    from vlsearch.vectors.build import build_exact

    derived = small.derived(small.model(), "image")
    ids, xb = small.vectors(small.model())
    for other, said in (((ids, xb[::-1]), "other vectors"), ((ids[1:], xb[1:]), "other ids"), ((ids % 7, xb), "ids")):
        row = build_exact(derived.file, derived.dim, lambda o=other: iter([(o[0], o[1].astype(np.float16))]), "exact")
        derived.manifest_file.write_bytes(replace(derived.manifest(), parts={"main": row}).encode())
        (what,) = whats(small)
        assert said in what


# Repair


def test_repairing_a_clean_library_does_nothing(small: Library, encoder: ColourEncoder) -> None:
    before, embedded = everything(small), encoder.embedded
    assert repair(small, lambda _: encoder) == Repaired()
    assert everything(small) == before
    assert encoder.embedded == embedded
    assert whats(small) == []


@pytest.mark.parametrize("how", ["flipped", "deleted", "cut", "emptied", "other"])
@pytest.mark.parametrize("which", ["photos 1", "photos 2", "captions"])
def test_a_damaged_shard_is_embedded_again_and_nothing_else(
    small: Library, encoder: ColourEncoder, which: str, how: str
) -> None:
    before, embedded = everything(small), encoder.embedded
    first, second = shards(small, "image")
    (texts,) = shards(small, "text")
    file, lost = {"photos 1": (first, 5), "photos 2": (second, 7), "captions": (texts, 0)}[which]
    data = file.read_bytes()
    if how == "deleted":
        file.unlink()
    else:
        changed = bytes([data[99] ^ 1])
        others = {"flipped": data[:99] + changed + data[100:], "cut": data[:-9], "emptied": b""}
        file.write_bytes(others.get(how, (texts if file != texts else first).read_bytes()))
    done = repair(small, lambda _: encoder)
    assert (done.dropped_shards, done.lost) == (1, 0)
    assert done.embedded == (lost or 24)
    assert encoder.embedded - embedded == lost
    assert everything(small) == before
    assert whats(small) == []


@pytest.mark.parametrize("how", ["deleted", "emptied", "cut", "garbage", "manifest deleted", "manifest garbage"])
def test_a_damaged_index_is_found_answered_around_and_mended(
    small: Library, encoder: ColourEncoder, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_library(small.path) as reader:
        before = Engine(reader, encoder).search("dog", 12)
    embedded = encoder.embedded
    (file,) = small.path.glob("index/*colour.faiss")
    manifest = file.with_suffix(".json")
    {
        "deleted": lambda: (file.unlink(), manifest.unlink()),
        "emptied": lambda: file.write_bytes(b""),
        "cut": lambda: file.write_bytes(file.read_bytes()[:100]),
        "garbage": lambda: file.write_bytes(b"garbage" * 1000),
        "manifest deleted": manifest.unlink,
        "manifest garbage": lambda: manifest.write_bytes(b"\0\1\2"),
    }[how]()
    assert len(whats(small)) == (how != "deleted"), "without an index nothing is wrong: it can be made at any time"
    caplog.clear()
    with open_library(small.path) as reader:
        assert Engine(reader, encoder).search("dog", 12) == before
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == (how != "deleted")
    assert all("rebuilding it" in line and "\n" not in line for line in lines)
    assert repair(small, lambda _: encoder) == Repaired()
    assert encoder.embedded == embedded
    assert whats(small) == []
    with open_library(small.path) as reader:
        assert Engine(reader, encoder).search("dog", 12) == before


def test_an_index_that_shards_have_outrun_is_no_damage(
    small: Library, take: Take, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after Ctrl-C, or beside an ingest: readers add what it lacks."""
    with monkeypatch.context() as patch:
        patch.setattr(Library, "save_indexes", lambda *_: None)
        assert take(photos(3, "yet more", seed=7)).embedded == 3
    assert whats(small) == []
    (file,) = small.path.glob("index/*colour.faiss")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert len(whats(small)) == 1


def test_a_lost_photo_is_told_and_taken_again_when_it_is_back(
    small: Library, encoder: ColourEncoder, take: Take, photos: Photos
) -> None:
    folder = photos(5)
    away = folder.rename(folder.with_name("away"))
    shards(small, "image")[0].unlink()
    done = repair(small, lambda _: encoder)
    assert (done.dropped_shards, done.embedded, done.lost) == (1, 0, 5)
    assert whats(small) == ["5 photos without a vector"]
    assert len(Engine(small, encoder).search("dog", 20)) == 7
    away.rename(folder)
    summary = take(folder)
    assert (summary.added + summary.unchanged, summary.embedded) == (5, 5)
    assert whats(small) == []
    assert len(Engine(small, encoder).search("dog", 20)) == 12


def test_another_photo_at_the_place_of_the_lost_one_is_not_taken_for_it(
    small: Library, encoder: ColourEncoder, photos: Photos
) -> None:
    shards(small, "image")[0].unlink()
    photos(5, seed=9)
    assert repair(small, lambda _: encoder).lost == 5


def test_a_copy_elsewhere_serves(small: Library, encoder: ColourEncoder, take: Take, photos: Photos) -> None:
    folder = photos(5)
    copies = folder.with_name("zz copies")
    copies.mkdir()
    for file in folder.iterdir():
        (copies / file.name).write_bytes(file.read_bytes())
    take(copies)
    for file in folder.iterdir():
        file.unlink()
    shards(small, "image")[0].unlink()
    done = repair(small, lambda _: encoder)
    assert (done.embedded, done.lost) == (5, 0)
    assert whats(small) == []


def test_each_model_gets_back_its_own(small: Library, encoder: ColourEncoder, take: Take, photos: Photos) -> None:
    other = ColourEncoder("other", salt="other")
    take(photos(5), photos(7, "more", seed=1), model=other)
    assert whats(small) == []
    row = small.model("other")
    before = small.vectors(row)
    for shard in small.path.glob(f"vectors/{small.folder_of(row)}/*"):
        shard.write_bytes(b"")
    loaded: list[str] = []

    def load(model: ModelRow) -> ColourEncoder:
        loaded.append(model.name)
        return other if model.name == "other" else encoder

    done = repair(small, load)
    assert loaded == ["other"]
    assert done.lost == 0
    assert all(np.array_equal(a, b) for a, b in zip(small.vectors(row), before, strict=True))
    assert whats(small) == []


def test_without_the_model_the_rest_is_mended(small: Library) -> None:
    shards(small, "image")[0].unlink()

    def load(_: ModelRow) -> ColourEncoder:
        raise ModelUnavailable("no weights here")

    with pytest.raises(ModelUnavailable):
        repair(small, load)
    assert whats(small) == ["5 photos without a vector"]
    assert len(everything(small)[0]) == 7


def test_another_models_vectors_are_never_mixed_in(small: Library) -> None:
    shards(small, "image")[0].unlink()
    with pytest.raises(FingerprintMismatch):
        repair(small, lambda _: ColourEncoder(salt="other"))
    assert len(everything(small)[0]) == 7


# Forgetting


def forget(library: Library) -> tuple[int, int]:
    with library.transaction() as c:
        counts = queries.forget_missing(c)
    library.save_indexes()
    return counts


def test_forgotten_photos_are_gone_everywhere(
    small: Library, encoder: ColourEncoder, take: Take, photos: Photos, caplog: pytest.LogCaptureFixture
) -> None:
    folder = photos(5)
    gone = sorted(folder.iterdir())[:2]
    for file in gone:
        file.unlink()
    take(folder)
    engine = Engine(small, encoder)
    assert len(engine.search("dog", 20)) == 10
    assert small.index(small.model()).count == 12
    assert forget(small) == (2, 2)
    assert small.index(small.model()).count == 10
    assert small.index(small.model(), "text").count == 20
    assert len(engine.search("dog", 20)) == 10
    assert len(engine.search("dog", 50, to="captions")) == 20
    assert not {str(file) for file in gone} & {hit.path for hit in engine.search("dog", 20)}
    assert len(small.vectors(small.model())[0]) == 10
    assert whats(small) == []
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert repair(small, lambda _: encoder) == Repaired()


def test_ids_of_forgotten_photos_are_not_given_out_again(small: Library, take: Take, photos: Photos) -> None:
    more = photos(7, "more", seed=1)
    used = set(everything(small)[0])
    for file in more.iterdir():
        file.unlink()
    take(more)
    assert forget(small) == (7, 7)
    kept = set(everything(small)[0])
    take(photos(3, "new", seed=5))
    new = set(everything(small)[0]) - kept
    assert len(new) == 3
    assert not new & used
    assert whats(small) == []


def test_a_shard_of_forgotten_photos_only(small: Library, take: Take, photos: Photos, encoder: ColourEncoder) -> None:
    folder = photos(5)
    for file in folder.iterdir():
        file.unlink()
    take(folder)
    assert forget(small) == (5, 5)
    assert whats(small) == []
    shards(small, "image")[0].write_bytes(b"")
    assert repair(small, lambda _: encoder).dropped_shards == 1
    assert whats(small) == []
