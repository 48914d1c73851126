from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors import recipes
from vlsearch.vectors.derived import DerivedIndex, LiveShard
from vlsearch.vectors.recipes import Recipe
from vlsearch.vectors.store import write_shard

D = 8
Shards = Callable[..., LiveShard]


@pytest.fixture
def shard(tmp_path: Path) -> Shards:
    """Writes a shard of ids and describes it, `live` of them still named by the catalog."""

    def make(number: int, ids: list[int], live: list[int] | None = None) -> LiveShard:
        alive = np.array(ids if live is None else live, np.int64)
        file = f"vectors/m/{number}.parquet"
        sha256 = write_shard(tmp_path / file, np.array(ids, np.int64), rows(ids))
        return LiveShard(file, sha256, len(ids), lambda: alive)

    return make


def rows(ids: list[int]) -> NDArray[np.float16]:
    xb = np.stack([np.random.default_rng(i).normal(size=D) for i in ids])
    return (xb / np.linalg.norm(xb, axis=1, keepdims=True)).astype(np.float16)


def ids_of(derived: DerivedIndex) -> list[int]:
    return sorted(derived.open().ids().tolist())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def state(derived: DerivedIndex) -> dict[str, int]:
    """The index's files and when they were written."""
    return {file.name: file.stat().st_mtime_ns for file in derived.file.parent.iterdir()}


def test_saved_and_opened_again(tmp_path: Path, shard: Shards, caplog: pytest.LogCaptureFixture) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [3, 1]), shard(2, [7])])
    assert not derived.up_to_date()
    derived.save()
    assert derived.up_to_date()
    manifest, parts = derived.load()
    assert manifest.count == parts["main"].count == 3
    assert list(manifest.shards) == ["vectors/m/1.parquet", "vectors/m/2.parquet"]
    assert sorted(state(derived)) == ["m.faiss", "m.json"]
    assert np.array_equal(derived.open().vectors(np.array([7, 3])), rows([7, 3]))
    assert warnings(caplog) == []


def test_saving_again_writes_nothing(tmp_path: Path, shard: Shards) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [1])])
    derived.save()
    before = state(derived)
    derived.save()
    assert state(derived) == before


def test_opening_reads_no_shard_and_asks_for_nothing_that_lives(
    tmp_path: Path, shard: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shard(1, [1, 2])
    DerivedIndex(tmp_path, "m", D, [one]).save()

    def asked(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("vlsearch.vectors.derived.read_shard", asked)
    derived = DerivedIndex(tmp_path, "m", D, [LiveShard(one.file, one.sha256, 2, asked)], live_count=asked)
    assert derived.open().search(rows([2]).astype(np.float32), 1)[1].tolist() == [[2]]


def test_later_shards_are_added(tmp_path: Path, shard: Shards, caplog: pytest.LogCaptureFixture) -> None:
    first = shard(1, [1, 2])
    DerivedIndex(tmp_path, "m", D, [first]).save()
    derived = DerivedIndex(tmp_path, "m", D, [first, shard(2, [5]), shard(3, [9, 8])])
    assert not derived.up_to_date()
    assert ids_of(derived) == [1, 2, 5, 8, 9]
    assert derived.open().search(rows([9]).astype(np.float32), 1)[1].tolist() == [[9]]
    derived.save()
    assert ids_of(derived) == [1, 2, 5, 8, 9]
    assert derived.up_to_date()
    assert warnings(caplog) == []


def test_forgotten_vectors_are_left_out_once_there_are_many(
    tmp_path: Path, shard: Shards, caplog: pytest.LogCaptureFixture
) -> None:
    ids = list(range(1, 21))
    DerivedIndex(tmp_path, "m", D, [shard(1, ids)]).save()
    few = DerivedIndex(tmp_path, "m", D, [shard(1, ids, live=ids[2:])])
    before = state(few)
    few.save()
    assert state(few) == before
    assert ids_of(few) == ids
    many = DerivedIndex(tmp_path, "m", D, [shard(1, ids, live=ids[3:])])
    many.save()
    assert ids_of(many) == ids[3:]
    assert many.manifest().count == 17
    before = state(many)
    many.save()
    assert state(many) == before
    assert warnings(caplog) == []


def test_without_shards_there_is_no_file(tmp_path: Path, shard: Shards) -> None:
    DerivedIndex(tmp_path, "m", D, [shard(1, [1])]).save()
    empty = DerivedIndex(tmp_path, "m", D, [])
    empty.save()
    assert empty.open().count == 0
    assert list((tmp_path / "index").iterdir()) == []


def without_checksum(text: str) -> str:
    row = json.loads(text)
    del row["checksum"]
    return json.dumps(row)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.file.unlink(),
        lambda d: d.manifest_file.unlink(),
        lambda d: d.file.write_bytes(d.file.read_bytes()[:-5]),
        lambda d: d.file.write_bytes(b"garbage"),
        lambda d: d.file.write_bytes(b""),
        lambda d: d.manifest_file.write_bytes(b"{"),
        lambda d: d.manifest_file.write_bytes(b"\xff\xfe"),
        lambda d: d.manifest_file.write_bytes(b"[]"),
        lambda d: d.manifest_file.write_bytes(b'{"recipe": "exact-fp16", "count": 2, "shards": {}, "sha256": ""}'),
        lambda d: d.manifest_file.write_text(d.manifest_file.read_text().replace('"count": 2', '"count": 3')),
        lambda d: d.manifest_file.write_text(d.manifest_file.read_text().replace("m/1.parquet", "m/2.parquet")),
        lambda d: d.manifest_file.write_text(without_checksum(d.manifest_file.read_text())),
    ],
)
def test_what_cannot_be_trusted_is_rebuilt_with_one_line(
    tmp_path: Path, shard: Shards, damage: Callable[[DerivedIndex], None], caplog: pytest.LogCaptureFixture
) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2])])
    derived.save()
    damage(derived)
    with pytest.raises(LibraryDamaged) as error:
        derived.load()
    assert "\n" not in str(error.value)
    assert ids_of(derived) == [1, 2]
    (line,) = warnings(caplog)
    assert "\n" not in line
    assert "rebuilding" in line
    derived.save()
    assert ids_of(derived) == [1, 2]
    assert derived.load()[0].count == 2


@pytest.mark.parametrize("suffixes", [[".faiss"], [".json"], [".faiss", ".json"]], ids=["file", "manifest", "both"])
def test_an_index_of_another_library_is_noticed(
    tmp_path: Path, shard: Shards, suffixes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2])])
    other = DerivedIndex(tmp_path, "o", D, [shard(2, [3, 4])])
    derived.save()
    other.save()
    for suffix in suffixes:
        os.replace(other.file.with_suffix(suffix), derived.file.with_suffix(suffix))  # noqa: PTH105
    assert ids_of(derived) == [1, 2]
    (line,) = warnings(caplog)
    assert "rebuilding it" in line


def test_an_index_of_shards_written_anew_is_rebuilt(
    tmp_path: Path, shard: Shards, caplog: pytest.LogCaptureFixture
) -> None:
    """Repair may give a file name a second time, to other vectors."""
    DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2])]).save()
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [2, 1])])
    assert ids_of(derived) == [1, 2]
    assert np.array_equal(derived.open().vectors(np.array([1, 2])), rows([1, 2]))
    assert len(warnings(caplog)) == 2


def test_a_damaged_shard_is_not_answered_from(tmp_path: Path, shard: Shards) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2])])
    file = tmp_path / "vectors/m/1.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"X")
    with pytest.raises(LibraryDamaged, match="vlsearch repair"):
        derived.open()


@pytest.fixture
def merging(tmp_path: Path, shard: Shards) -> tuple[DerivedIndex, DerivedIndex]:
    """The index before and after its two shards are merged into one; the manifest foresees it."""
    before = DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2]), shard(2, [3])])
    before.save()
    merged = shard(3, [1, 2, 3])
    before.foresee({merged.file: merged.sha256})
    return before, DerivedIndex(tmp_path, "m", D, [merged])


def test_a_merge_that_is_foreseen_is_right_before_and_after(
    merging: tuple[DerivedIndex, DerivedIndex], caplog: pytest.LogCaptureFixture
) -> None:
    for derived in merging:
        assert derived.up_to_date()
        assert ids_of(derived) == [1, 2, 3]
        assert derived.load()[0].held(derived.named()) == derived.named()
    assert warnings(caplog) == []


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("how", [DerivedIndex.settle, DerivedIndex.save])
def test_settled_it_names_the_shards_that_there_are(
    merging: tuple[DerivedIndex, DerivedIndex], at: int, how: Callable[[DerivedIndex], None]
) -> None:
    derived, other = merging[at], merging[1 - at]
    data = derived.file.read_bytes()
    assert derived.manifest().next is not None
    how(derived)
    assert (derived.manifest().shards, derived.manifest().next) == (derived.named(), None)
    assert derived.file.read_bytes() == data
    assert not other.up_to_date()


def test_what_cannot_be_settled_is_left_to_open(
    merging: tuple[DerivedIndex, DerivedIndex], tmp_path: Path, shard: Shards
) -> None:
    before = merging[0].manifest_file.read_bytes()
    other = DerivedIndex(tmp_path, "m", D, [shard(4, [9])])
    other.settle()
    assert other.manifest_file.read_bytes() == before
    other.manifest_file.unlink()
    other.settle()
    assert not other.manifest_file.exists()


def test_shards_that_are_gone_are_no_damage(tmp_path: Path, shard: Shards, caplog: pytest.LogCaptureFixture) -> None:
    DerivedIndex(tmp_path, "m", D, [shard(1, [1])]).save()
    with pytest.raises(LibraryDamaged):
        DerivedIndex(tmp_path, "m", D, [shard(2, [1])], gone=lambda: True).open()
    assert warnings(caplog) == []


# Large ones: a main part of lists, a tail


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, shard: Shards) -> list[LiveShard]:
    """Collections of more than 300 vectors get lists; two shards of 500 together."""
    chosen = (Recipe("exact", 0.0, up_to=300), Recipe("lists", 1.0))
    monkeypatch.setattr(recipes, "recipes", lambda: chosen)
    return [shard(1, list(range(300))), shard(2, list(range(300, 500)))]


def test_a_large_index_gets_a_tail_and_keeps_its_main_part(
    tmp_path: Path, shard: Shards, large: list[LiveShard], caplog: pytest.LogCaptureFixture
) -> None:
    first = DerivedIndex(tmp_path, "m", D, large)
    first.save()
    main = first.file.read_bytes()
    assert first.manifest().parts["main"].lists == 22
    for number, ids in ((3, [900, 901]), (4, [902])):
        large.append(shard(number, ids))
        derived = DerivedIndex(tmp_path, "m", D, large)
        assert ids_of(derived)[500:] == list(range(900, ids[-1] + 1))
        derived.save()
        assert derived.up_to_date()
        assert derived.file.read_bytes() == main
        assert sorted(state(derived)) == ["m.faiss", "m.json", "m.tail.faiss"]
        backend = derived.open()
        assert [part.count for part in backend.parts] == [500, ids[-1] - 899]
        assert np.array_equal(backend.vectors(np.array([ids[-1], 7])), rows([ids[-1], 7]))
        assert backend.search(rows(ids).astype(np.float32), 1)[1][:, 0].tolist() == ids
    assert warnings(caplog) == []


def test_a_long_tail_becomes_part_of_the_main_part(tmp_path: Path, shard: Shards, large: list[LiveShard]) -> None:
    DerivedIndex(tmp_path, "m", D, large).save()
    centroids = DerivedIndex(tmp_path, "m", D, large).load()[1]["main"].centroids
    large.append(shard(3, list(range(600, 650))))
    derived = DerivedIndex(tmp_path, "m", D, large)
    derived.save()
    assert list(derived.manifest().parts) == ["main", "tail"]
    large.append(shard(4, [700]))
    derived = DerivedIndex(tmp_path, "m", D, large)
    derived.save()
    assert sorted(state(derived)) == ["m.faiss", "m.json"]
    manifest, parts = derived.load()
    assert manifest.count == parts["main"].count == 551
    assert np.array_equal(parts["main"].centroids, centroids), "lists were drawn anew"
    assert manifest.parts["main"].trained == 500


def test_many_forgotten_are_reason_to_write_it_anew(tmp_path: Path, shard: Shards, large: list[LiveShard]) -> None:
    derived = DerivedIndex(tmp_path, "m", D, large)
    derived.save()
    large[0] = LiveShard(large[0].file, large[0].sha256, 300, lambda: np.arange(45, 300))
    large.append(shard(3, [900]))
    derived = DerivedIndex(tmp_path, "m", D, large)
    derived.save()
    assert list(derived.manifest().parts) == ["main", "tail"]
    large[0] = LiveShard(large[0].file, large[0].sha256, 300, lambda: np.arange(60, 300))
    derived.save()
    assert derived.manifest().count == 441
    assert ids_of(derived) == [*range(60, 500), 900]
    large[0] = LiveShard(large[0].file, large[0].sha256, 300, lambda: np.arange(299, 300))
    derived.save()
    assert derived.manifest().parts["main"].lists == 1


def test_a_tail_that_is_lost_is_read_again_beside_the_main_part(
    tmp_path: Path, shard: Shards, large: list[LiveShard], caplog: pytest.LogCaptureFixture
) -> None:
    DerivedIndex(tmp_path, "m", D, large).save()
    large.append(shard(3, [900, 901]))
    derived = DerivedIndex(tmp_path, "m", D, large)
    derived.save()
    whole = derived.tail_file.read_bytes()
    for data in (b"", whole[:-3], derived.file.read_bytes()):
        derived.tail_file.write_bytes(data)
        caplog.clear()
        backend = derived.open()
        assert [part.count for part in backend.parts] == [500, 2]
        assert backend.parts[1].ids.tolist() == [900, 901]
        (line,) = warnings(caplog)
        assert "tail" in line
    derived.save()
    assert derived.load()[0].count == 502
    assert ids_of(derived) == [*range(500), 900, 901]


@pytest.mark.parametrize("target", [None, 0.9])
def test_built_anew_it_is_measured_again(tmp_path: Path, large: list[LiveShard], target: float | None) -> None:
    derived = DerivedIndex(tmp_path, "m", D, large)
    derived.save(target=0.5)
    assert derived.manifest().target == 0.5
    before = state(derived)
    derived.save()
    assert state(derived) == before
    manifest = derived.save(target=target, anew=True)
    assert manifest == derived.manifest()
    assert manifest.target == (target or 0.5)
    assert manifest.parts["main"].recall >= manifest.target
    assert state(derived) != before


@pytest.mark.parametrize("how", ["tail", "whole"])
def test_killed_between_any_two_files(
    tmp_path: Path,
    shard: Shards,
    large: list[LiveShard],
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A kill leaves old and new files together: what they say is right, and the next save mends it."""

    class Killed(BaseException):
        pass

    DerivedIndex(tmp_path, "m", D, large).save()
    large.append(shard(3, [900]))
    DerivedIndex(tmp_path, "m", D, large).save()
    ids = [901] if how == "tail" else list(range(901, 1_000))
    large.append(shard(4, ids))
    files = {file: file.read_bytes() for file in (tmp_path / "index").iterdir()}
    replace, fatal = Path.replace, [0]

    def struck(self: Path, target: Path) -> Path:
        fatal[0] -= 1
        if fatal[0] == 0:
            raise Killed
        done = replace(self, target)
        fatal[0] -= 1
        if fatal[0] == 0:
            raise Killed
        return done

    for moment in range(1, 5):
        for file, data in files.items():
            file.write_bytes(data)
        fatal[0] = moment
        derived = DerivedIndex(tmp_path, "m", D, large)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", struck)
            with pytest.raises(Killed):
                derived.save()
        caplog.clear()
        assert ids_of(derived) == [*range(500), 900, *ids], moment
        assert len(warnings(caplog)) == (moment in (2, 3)), moment
        derived.save()
        derived.load()
        assert derived.up_to_date()
        assert ids_of(derived) == [*range(500), 900, *ids], moment
