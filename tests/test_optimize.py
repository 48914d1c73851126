from __future__ import annotations

import errno
import json
import logging
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

import vlsearch.optimize as housework
from tests.conftest import ColourEncoder, unit
from vlsearch.catalog import queries
from vlsearch.catalog.housekeeping import SizedShard, names, sized_shards
from vlsearch.catalog.queries import ModelRow, ShardRow
from vlsearch.catalog.tables import Content
from vlsearch.check import verify
from vlsearch.errors import LibraryDamaged, LibraryError, UsageError
from vlsearch.library import Library, open_library
from vlsearch.optimize import (
    MAX_ROWS,
    Merged,
    due,
    expected,
    merge_when_it_pays,
    mergeable,
    optimize,
    optimize_index,
)
from vlsearch.vectors import recipes
from vlsearch.vectors.recipes import Recipe

Vectors = dict[int, bytes]


class Killed(BaseException):
    """What nobody catches, as a SIGKILL."""


@pytest.fixture
def model(library: Library, encoder: ColourEncoder) -> ModelRow:
    return library.add_model(encoder)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merged shards hold 100 vectors at most."""
    monkeypatch.setattr(housework, "MAX_ROWS", 100)


def fill(library: Library, model: ModelRow, *sizes: int, captions: bool = False) -> None:
    """One shard of so many drawn vectors each, of photos that lie at /N.jpg; with a shard of a caption each."""
    for size in sizes:
        with library.read() as c:
            first = queries.next_id(c, Content)
        ids = list(range(first, first + size))
        rng = np.random.default_rng(ids)

        def rows(c: Any, ids: list[int] = ids) -> None:
            plain = {"width": 1, "height": 1, "format": "JPEG", "taken_at": None, "camera": None, "lat": None}
            queries.add_contents(c, [{"id": i, "sha256": b"%032d" % i, "lon": None, **plain} for i in ids])
            files = [{"path": f"/{i}.jpg", "size": 1, "mtime_ns": 1, "content_id": i} for i in ids]
            queries.put_files(c, files)

        xb = unit(rng.normal(size=(size, model.dim)).astype(np.float32))
        library.commit(model, "image", rng.permutation(ids).tolist(), xb, rows)
        if captions:
            with library.transaction() as c:
                queries.add_captions(c, [(i, f"photo {i}", None) for i in ids], "test")
                lacking = queries.captions_without_vector(c, model.id)
            library.commit(model, "text", [i for i, _ in lacking], xb)


def forget(library: Library, ids: list[int]) -> None:
    with library.transaction() as c:
        queries.mark_missing(c, [f"/{i}.jpg" for i in ids], 1.0)
        queries.forget_missing(c)


def sizes(library: Library, kind: str = "image") -> list[tuple[int, int]]:
    """(rows, live rows) of each shard."""
    with library.read() as c:
        return [(s.shard.rows, s.live) for s in sized_shards(c, library.model().id, kind)]


def everything(library: Library) -> tuple[Vectors, Vectors]:
    both = []
    for kind in ("image", "text"):
        ids, xb = library.vectors(library.model(), kind)
        both.append({i: row.tobytes() for i, row in zip(ids.tolist(), xb, strict=True)})
    return both[0], both[1]


def whats(library: Library) -> list[str]:
    return [problem.what for problem in verify(library)]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def index_file(library: Library) -> Path:
    return library.derived(library.model(), "image").file


# The plan


def shards_of(*sizes: tuple[int, int]) -> list[SizedShard]:
    return [SizedShard(ShardRow(n, 1, "image", f"{n}", rows, ""), live) for n, (rows, live) in enumerate(sizes)]


def alive(*sizes: int) -> list[SizedShard]:
    return shards_of(*((n, n) for n in sizes))


def live(groups: list[list[SizedShard]]) -> list[list[int]]:
    return [[s.live for s in group] for group in groups]


def test_small_shards_are_packed_into_full_ones() -> None:
    assert live(mergeable(alive(64, 65_000, 64, 400, 300))) == [[64, 64, 300, 400]]
    assert live(mergeable(alive(40_000, 40_000, 10_000, 10_000))) == [[10_000, 10_000, 40_000]]


def test_what_is_as_it_should_be_is_left_alone() -> None:
    assert mergeable([]) == []
    assert mergeable(alive(3)) == []
    assert mergeable(alive(MAX_ROWS, MAX_ROWS, 5, 200_000)) == []


def test_the_dead_are_reason_enough() -> None:
    assert live(mergeable(shards_of((MAX_ROWS, MAX_ROWS - 1), (MAX_ROWS, MAX_ROWS)))) == [[MAX_ROWS - 1]]
    assert live(mergeable(shards_of((64, 0), (MAX_ROWS, MAX_ROWS), (32, 0)))) == [[0, 0]]


def test_a_plan_leaves_nothing_to_plan() -> None:
    draw = random.Random(1)
    for _ in range(200):
        before = alive(*(int(2 ** (draw.random() * 16.5)) for _ in range(draw.randrange(60))))
        groups = mergeable(before)
        assert all(sum(s.live for s in g) <= MAX_ROWS for g in groups)
        taken = {s.shard.id for g in groups for s in g}
        after = [s.live for s in before if s.shard.id not in taken] + [sum(s.live for s in g) for g in groups]
        assert sum(after) == sum(s.live for s in before)
        assert mergeable(alive(*after)) == []


def test_on_its_own_from_sixteen_of_a_tier_on() -> None:
    assert due(alive(*[64] * 15, *[8] * 15, *[1_000] * 15)) == []
    assert live(due(alive(*[64] * 16, *[8] * 15))) == [[64] * 16]
    assert due(alive(*[40_000] * 50)) == []
    assert live(due(alive(*[20_000] * 16))) == [[20_000] * 3] * 5, "the last would stay as it is"
    assert due(alive(*[4_096] * 3, *[4_095] * 14)) == []


def test_on_its_own_when_more_than_half_is_dead() -> None:
    assert due(shards_of((10, 5))) == []
    assert live(due(shards_of((10, 4), (8, 8)))) == [[4]]
    assert live(due(shards_of((10, 0), (9, 0), (8, 8)))) == [[0, 0]]


@pytest.mark.parametrize(
    ("total", "batch"),
    [(5_000, lambda _: 1), (300_000, lambda _: 64), (300_000, lambda draw: int(2 ** (draw.random() * 10)))],
    ids=["one photo at a time", "64 at a time", "drawn"],
)
def test_each_vector_is_written_again_four_times_at_most(total: int, batch: Callable[[random.Random], int]) -> None:
    draw = random.Random(2)
    shards: list[tuple[int, int]] = []  # rows, how often the most written of them was written again
    added = written = 0
    while added < total:
        size = batch(draw)
        added += size
        shards.append((size, 0))
        groups = due(alive(*(rows for rows, _ in shards)))
        taken = {s.shard.id for g in groups for s in g}
        merged = [(sum(s.live for s in g), 1 + max(shards[s.shard.id][1] for s in g)) for g in groups]
        written += sum(rows for rows, _ in merged)
        shards = [s for n, s in enumerate(shards) if n not in taken] + merged
        assert sum(rows < MAX_ROWS // 2 for rows, _ in shards) <= 4 * 15 + 1
    assert 2 <= max(times for _, times in shards) <= 4
    assert 0 < written <= 4 * added


# Merging


def test_many_shards_become_one(
    library: Library, model: ModelRow, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(library, model, 3, 5, 1, 4, captions=True)
    library.save_indexes()
    before, index = everything(library), index_file(library).stat()
    old = [library.path / s.file for s in library.derived(model, "image").shards]
    assert expected(library) == Merged(before=8, after=2)
    rebuilt = monkeypatch.setattr("vlsearch.vectors.derived.DerivedIndex.open", None)
    done = optimize(library)
    monkeypatch.undo()
    assert rebuilt is None
    assert (done.before, done.after, done.dropped) == (8, 2, 0)
    assert done.freed > 0
    assert sizes(library) == sizes(library, "text") == [(13, 13)]
    assert everything(library) == before
    assert not any(file.exists() for file in old)
    assert len(list(library.path.glob("vectors/*/*"))) == 2
    after = index_file(library).stat()
    assert (after.st_ino, after.st_mtime_ns) == (index.st_ino, index.st_mtime_ns), "the index was written again"
    assert library.derived(model, "image").up_to_date()
    assert whats(library) == []
    assert warnings(caplog) == []


def test_ids_in_a_merged_shard_are_sorted(library: Library, model: ModelRow) -> None:
    from vlsearch.vectors.store import read_shard

    fill(library, model, 30, 50)
    optimize(library)
    (shard,) = library.derived(model, "image").shards
    ids, _ = read_shard(library.path / shard.file, shard.sha256)
    assert ids.tolist() == list(range(1, 81))


@pytest.mark.usefixtures("small")
def test_shards_stay_below_the_limit(library: Library, model: ModelRow) -> None:
    fill(library, model, *[30] * 7, 100, 250)
    before = everything(library)
    assert expected(library) == Merged(before=6, after=2)
    done = optimize(library)
    assert (done.before, done.after) == (6, 2)
    assert sorted(sizes(library)) == [(30, 30), (90, 90), (90, 90), (100, 100), (250, 250)]
    assert everything(library) == before
    assert whats(library) == []
    again = optimize(library)
    assert (again.before, again.after) == (0, 0)
    assert str(again).startswith("nothing to merge, 0.0 MB freed in ")


def test_the_forgotten_are_dropped(library: Library, model: ModelRow) -> None:
    fill(library, model, 10, 10, 10, captions=True)
    forget(library, [*range(1, 11), 15, 25])
    before = everything(library)
    done = optimize(library)
    assert (done.before, done.after, done.dropped) == (6, 2, 24)
    assert sizes(library) == [(18, 18)]
    assert everything(library) == before
    assert whats(library) == []
    fill(library, model, 4)
    library.save_indexes()
    assert whats(library) == []


def test_nothing_is_left_when_all_is_forgotten(library: Library, model: ModelRow) -> None:
    fill(library, model, 10, 10)
    library.save_indexes()
    forget(library, list(range(1, 21)))
    done = optimize(library)
    assert (done.before, done.after, done.dropped) == (2, 0, 20)
    assert sizes(library) == []
    assert list(library.path.glob("vectors/*/*")) == list(library.path.glob("index/*")) == []
    assert whats(library) == []
    fill(library, model, 3)
    library.save_indexes()
    assert whats(library) == []


def test_an_index_that_lags_is_brought_up_first(
    library: Library, model: ModelRow, caplog: pytest.LogCaptureFixture
) -> None:
    fill(library, model, 3, 4)
    library.save_indexes()
    fill(library, model, 5)
    optimize(library)
    assert whats(library) == []
    assert library.index(model).count == 12
    assert warnings(caplog) == []


def test_models_stay_apart(library: Library, model: ModelRow) -> None:
    other = library.add_model(ColourEncoder("other", "salt"))
    fill(library, model, 3, 4)
    fill(library, other, 5, 6)
    before = [library.vectors(m)[0].tolist() for m in (model, other)]
    assert optimize(library).after == 2
    assert [library.vectors(m)[0].tolist() for m in (model, other)] == before
    assert whats(library) == []


def test_an_empty_library(library: Library) -> None:
    assert optimize(library).before == 0
    assert merge_when_it_pays(library) is None


def test_it_says_what_it_did() -> None:
    merged = Merged(before=1_312, after=2, dropped=40, freed=1_234_567, seconds=0.81)
    assert str(merged) == "merged 1,312 shards into 2, dropped 40 forgotten vectors, 1.2 MB freed in 0.8 s"
    assert json.loads(json.dumps(merged.to_dict()))["freed"] == 1_234_567


def test_a_damaged_shard_is_named_and_stays(library: Library, model: ModelRow) -> None:
    fill(library, model, 3, 4)
    library.save_indexes()
    file = library.path / library.derived(model, "image").shards[0].file
    file.write_bytes(file.read_bytes()[:-1] + b"X")
    with pytest.raises(LibraryDamaged, match="vlsearch repair"):
        optimize(library)
    assert sizes(library) == [(3, 3), (4, 4)]
    assert any("checksum differs" in what for what in whats(library))


def test_the_catalog_gives_back_what_is_free(library: Library, model: ModelRow) -> None:
    fill(library, model, 20_000)
    catalog = library.path / "catalog.sqlite"
    optimize(library)
    before = catalog.stat().st_size
    forget(library, list(range(1, 19_001)))
    done = optimize(library)
    assert catalog.stat().st_size < before / 3
    assert done.freed > before / 2
    wal = library.path / "catalog.sqlite-wal"
    assert not wal.exists() or wal.stat().st_size == 0


# The index


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collections of more than 300 vectors are searched by lists."""
    chosen = (Recipe("exact", 0.0, up_to=300), Recipe("lists", 1.0))
    monkeypatch.setattr(recipes, "recipes", lambda: chosen)


@pytest.mark.usefixtures("lists")
def test_an_index_is_built_anew_and_measured(library: Library, model: ModelRow) -> None:
    fill(library, model, 400, 200)
    fill(library, model, 20, captions=True)
    photos, captions = optimize_index(library, 0.9)
    assert (photos.recipe, photos.vectors, photos.lists, photos.target) == ("lists", 620, 25, 0.9)
    assert 0.9 <= photos.recall <= 1
    assert 1 <= photos.probed <= 25
    assert photos.ms > 0
    assert photos.mapped == library.derived(model, "image").file.stat().st_size
    assert photos.resident is None or photos.resident >= 0
    assert (captions.kind, captions.recipe, captions.lists, captions.recall) == ("text", "exact", 1, 1.0)
    assert "25 lists" in str(photos)
    assert "every vector looked at" in str(captions)
    assert json.loads(json.dumps(photos.to_dict()))["recall"] == photos.recall
    assert whats(library) == []
    forget(library, list(range(1, 300)))
    (again, _) = optimize_index(library)
    assert (again.vectors, again.target) == (321, 0.9)
    assert whats(library) == []


def test_an_index_that_is_open_goes_on_with_the_new_files(library: Library, model: ModelRow) -> None:
    fill(library, model, 30)
    library.save_indexes()
    assert library.index(model).count == 30
    forget(library, [1])
    optimize_index(library)
    assert library.index(model).count == 29


@pytest.mark.parametrize("recall", [0.0, -1.0, 1.1, float("nan")])
def test_a_recall_that_is_none(library: Library, model: ModelRow, recall: float) -> None:
    fill(library, model, 3)
    with pytest.raises(UsageError, match="--recall"):
        optimize_index(library, recall)


def test_the_command_prints_what_was_chosen(library: Library, model: ModelRow, cli: Callable[..., Any]) -> None:
    fill(library, model, 40)
    library.close()
    (row,) = cli("optimize", "--index", "--json", "--recall", "0.95").rows
    assert (row["recipe"], row["vectors"], row["recall"], row["target"]) == ("exact-fp16", 40, 1.0, 0.95)
    assert "recall@10 1.0000 (wanted 0.95)" in cli("optimize", "--index").text
    assert cli("optimize", "--recall", "0.9").code == 2
    assert cli("optimize", "--index", "--recall", "9").code == 2


@pytest.mark.usefixtures("lists")
def test_merging_keeps_lists_and_tail(library: Library, model: ModelRow) -> None:
    fill(library, model, 200, 200)
    library.save_indexes()
    fill(library, model, 5, 6)
    library.save_indexes()
    derived = library.derived(model, "image")
    before = [file.stat().st_ino for file in (derived.file, derived.tail_file)]
    assert optimize(library).before == 4
    assert [file.stat().st_ino for file in (derived.file, derived.tail_file)] == before
    assert library.index(model).count == 411
    assert whats(library) == []


# On its own


def test_an_ingest_merges_when_it_pays(library: Library, model: ModelRow) -> None:
    fill(library, model, *[2] * 15)
    library.save_indexes()
    assert merge_when_it_pays(library) is None
    fill(library, model, 2)
    library.save_indexes()
    done = merge_when_it_pays(library)
    assert done is not None
    assert (done.before, done.after) == (16, 1)
    assert whats(library) == []


def test_trouble_on_its_own_fails_nothing(library: Library, model: ModelRow, caplog: pytest.LogCaptureFixture) -> None:
    fill(library, model, *[2] * 16)
    library.save_indexes()
    file = library.path / library.derived(model, "image").shards[9].file
    file.unlink()
    assert merge_when_it_pays(library) is None
    (line,) = warnings(caplog)
    assert file.name in line
    assert len(sizes(library)) == 16


# Killed, and out of space


def strokes(patch: pytest.MonkeyPatch, library: Library, fatal: int, error: BaseException) -> Callable[[], int]:
    """Raises `error` at the nth change of the disk: before a sync, a rename or a deletion, after one, and, when it
    kills, before a commit. Returns a function that tells how many there have been."""
    count = 0

    def stroke() -> None:
        nonlocal count
        count += 1
        if count == fatal:
            raise error

    def around(what: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*args: Any, **options: Any) -> Any:
            stroke()
            done = what(*args, **options)
            stroke()
            return done

        return struck

    for where in ("os.fsync", "pathlib.Path.replace", "pathlib.Path.unlink"):
        owner: Any = os if where.startswith("os") else Path
        name = where.rpartition(".")[2]
        patch.setattr(owner, name, around(getattr(owner, name)))
    if isinstance(error, Killed):
        with library.read() as c:
            event.listen(c.engine, "commit", lambda _: stroke())
    return lambda: count


@pytest.fixture
def untidy(library: Library, model: ModelRow) -> Callable[[Path], None]:
    """Makes libraries with nine shards of photos and of captions, some forgotten, that become three and three."""
    fill(library, model, *[20, 20, 30, 3, 20, 40, 1, 50, 30], captions=True)
    forget(library, [1, 45, *range(71, 74)])
    library.save_indexes()
    library.close()

    def copy(place: Path) -> None:
        shutil.copytree(library.path, place)

    return copy


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 23])
def test_killed_at_any_moment(
    untidy: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    every: int,
) -> None:
    untidy(tmp_path / "whole")
    with open_library(tmp_path / "whole", write=True) as library:
        before = everything(library)
        with monkeypatch.context() as patch:
            total = strokes(patch, library, -1, Killed())
            optimize(library)
        assert total() > 60
        after = sorted(sizes(library)), sorted(sizes(library, "text"))
    for moment in range(every, total() + 1, every):
        place = tmp_path / str(moment)
        untidy(place)
        library = open_library(place, write=True)
        with monkeypatch.context() as patch:
            strokes(patch, library, moment, Killed())
            with pytest.raises(Killed):
                optimize(library)
        library.close()
        with open_library(place) as reader:
            assert everything(reader) == before, moment
            assert reader.index(reader.model()).count == len(before[0])
        with open_library(place, write=True) as library:
            assert whats(library) == [], moment
            assert len(list(place.glob("vectors/*/*"))) == sum(len(sizes(library, kind)) for kind in ("image", "text"))
            optimize(library)
            assert (sorted(sizes(library)), sorted(sizes(library, "text"))) == after, moment
            assert everything(library) == before, moment
        assert warnings(caplog) == [], "the index was rebuilt"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("moment", range(1, 7))
def test_out_of_space(
    untidy: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    untidy(tmp_path / "full")
    with open_library(tmp_path / "full", write=True) as library:
        before = everything(library)
        with monkeypatch.context() as patch:
            strokes(patch, library, moment, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(LibraryError, match="No space left") as error:
                optimize(library)
        assert "\n" not in str(error.value)
        assert everything(library) == before
    with open_library(tmp_path / "full", write=True) as library:
        assert whats(library) == []
        optimize(library)
        assert everything(library) == before
        assert whats(library) == []


# Readers meanwhile


@pytest.fixture
def raced(library: Library, model: ModelRow, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Arms a race: a writer merges all shards just when somebody reads the first one."""
    from vlsearch.vectors import store

    fill(library, model, 20, 30, 40)
    forget(library, [25])
    fill(library, model, 5)
    read = store.read_shard
    armed = [False]

    def read_late(*args: Any) -> Any:
        if armed[0]:
            armed[0] = False
            assert optimize(library).before > 3
        return read(*args)

    for where in ("vlsearch.vectors.store", "vlsearch.vectors.derived"):
        monkeypatch.setattr(f"{where}.read_shard", read_late)

    def arm() -> None:
        armed[0] = True

    return arm


@pytest.mark.parametrize("saved", [False, True])
def test_a_reader_looks_again(
    library: Library, model: ModelRow, raced: Callable[[], None], saved: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if saved:
        library.save_indexes()
        fill(library, model, 1)
        forget(library, [96])
    ids, xb = library.vectors(model)
    assert len(ids) == 94
    with open_library(library.path) as reader:
        raced()
        again, vectors = reader.vectors(model)
    assert np.array_equal(again, ids)
    assert np.array_equal(vectors, xb)
    assert warnings(caplog) == []


def test_a_reader_of_the_index_looks_again(
    library: Library, model: ModelRow, raced: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    with open_library(library.path) as reader:
        raced()
        assert sorted(reader.index(model).ids().tolist()) == library.vectors(model)[0].tolist()
    assert warnings(caplog) == []


def test_an_index_read_between_two_states_is_read_again(
    library: Library, model: ModelRow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The catalog was asked before a merge, the index files are those after it."""
    fill(library, model, 20, 30, 40)
    library.save_indexes()
    with open_library(library.path) as reader:
        old = reader.derived(model, "image")
        merged = []

        def late(*_: Any) -> Any:
            if not merged:
                merged.append(optimize(library))
                return old
            monkeypatch.undo()
            return reader.derived(model, "image")

        monkeypatch.setattr(reader, "derived", late)
        assert reader.index(model).count == 90
    assert merged[0].before == 3
    assert warnings(caplog) == []


def test_damage_is_still_damage(library: Library, model: ModelRow) -> None:
    fill(library, model, 20, 30)
    (library.path / library.derived(model, "image").shards[0].file).unlink()
    with open_library(library.path) as reader:
        for read in (reader.vectors, reader.index):
            with pytest.raises(LibraryDamaged, match="vlsearch repair"):
                read(model)


def test_a_shard_that_was_merged_is_not_named(library: Library, model: ModelRow) -> None:
    fill(library, model, 2, 3)
    with library.read() as c:
        old = queries.shards(c)
        assert all(names(c, shard) for shard in old)
    live = library.derived(model, "image").shards[0].live
    optimize(library)
    with library.read() as c:
        assert not any(names(c, shard) for shard in old)
    with pytest.raises(LibraryDamaged, match="no longer there"):
        live()


def test_verify_looks_again(library: Library, raced: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    from vlsearch.vectors import store

    monkeypatch.setattr("vlsearch.check.read_shard", store.read_shard)
    library.save_indexes()
    with open_library(library.path) as reader:
        raced()
        assert whats(reader) == []
    assert len(sizes(library)) == 1


def test_verify_between_the_halves_of_a_merge(
    library: Library, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vlsearch.catalog import housekeeping

    fill(library, model, 2, 3)
    library.save_indexes()
    found: list[list[str]] = []
    replace = housekeeping.replace_shards

    def look(*args: Any) -> None:
        with open_library(library.path) as reader:
            found.append(whats(reader))
        replace(*args)

    monkeypatch.setattr(housekeeping, "replace_shards", look)
    optimize(library)
    assert found == [[]]


def test_verify_between_the_transaction_and_the_end(
    library: Library, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(library, model, 2, 3)
    library.save_indexes()
    found: list[list[str]] = []
    unlink = Path.unlink

    def look(file: Path, **options: Any) -> None:
        if file.suffix == ".parquet":
            with open_library(library.path) as reader:
                found.append(whats(reader))
        unlink(file, **options)

    monkeypatch.setattr(Path, "unlink", look)
    optimize(library)
    assert found == [[], []]
