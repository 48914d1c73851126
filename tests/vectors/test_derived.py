from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.derived import DerivedIndex, LiveShard
from vlsearch.vectors.store import write_shard

D = 8


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., LiveShard]:
    """Writes a shard of ids and describes it, `live` of them still named by the catalog."""

    def make(number: int, ids: list[int], live: list[int] | None = None) -> LiveShard:
        alive = np.array(ids if live is None else live, np.int64)
        file = f"vectors/m/{number}.parquet"
        sha256 = write_shard(tmp_path / file, np.array(ids, np.int64), rows(ids))
        return LiveShard(file, sha256, len(alive), lambda: alive)

    return make


def rows(ids: list[int]) -> NDArray[np.float16]:
    xb = np.stack([np.random.default_rng(i).normal(size=D) for i in ids])
    return (xb / np.linalg.norm(xb, axis=1, keepdims=True)).astype(np.float16)


def ids_of(derived: DerivedIndex) -> list[int]:
    return sorted(derived.open().ids().tolist())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_saved_and_opened_again(
    tmp_path: Path, shard: Callable[..., LiveShard], caplog: pytest.LogCaptureFixture
) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [3, 1]), shard(2, [7])])
    assert not derived.up_to_date()
    derived.save()
    assert derived.up_to_date()
    manifest = json.loads(derived.manifest_file.read_text())
    assert manifest["count"] == 3
    assert list(manifest["shards"]) == ["vectors/m/1.parquet", "vectors/m/2.parquet"]
    backend, held = derived.load()
    assert held == set(manifest["shards"])
    assert np.allclose(backend.vectors(np.array([7, 3])), rows([7, 3]), atol=2e-3)
    assert warnings(caplog) == []


def test_saving_again_writes_nothing(tmp_path: Path, shard: Callable[..., LiveShard]) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [1])])
    derived.save()
    before = derived.file.stat().st_mtime_ns
    derived.save()
    assert derived.file.stat().st_mtime_ns == before


def test_later_shards_are_added(
    tmp_path: Path, shard: Callable[..., LiveShard], caplog: pytest.LogCaptureFixture
) -> None:
    first = shard(1, [1, 2])
    DerivedIndex(tmp_path, "m", D, [first]).save()
    derived = DerivedIndex(tmp_path, "m", D, [first, shard(2, [5], live=[]), shard(3, [9, 8], live=[8])])
    assert not derived.up_to_date()
    assert ids_of(derived) == [1, 2, 8]
    derived.save()
    assert ids_of(derived) == [1, 2, 8]
    assert derived.up_to_date()
    assert warnings(caplog) == []


def test_forgotten_vectors_are_taken_out_without_alarm(
    tmp_path: Path, shard: Callable[..., LiveShard], caplog: pytest.LogCaptureFixture
) -> None:
    DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2, 3]), shard(2, [4])]).save()
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2, 3], live=[2]), shard(2, [4], live=[])])
    assert not derived.up_to_date()
    assert ids_of(derived) == [2]
    derived.save()
    assert derived.up_to_date()
    assert derived.load()[0].ids().tolist() == [2]
    assert warnings(caplog) == []


def test_without_shards_there_is_no_file(tmp_path: Path, shard: Callable[..., LiveShard]) -> None:
    DerivedIndex(tmp_path, "m", D, [shard(1, [1])]).save()
    empty = DerivedIndex(tmp_path, "m", D, [])
    assert empty.open().count == 0
    empty.save()
    assert list((tmp_path / "index").iterdir()) == []


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
        lambda d: d.manifest_file.write_bytes(b'{"recipe": 1, "count": 2, "shards": 3, "sha256": 4}'),
        lambda d: d.manifest_file.write_text(d.manifest_file.read_text().replace('"count": 2', '"count": 3')),
        lambda d: d.manifest_file.write_text(d.manifest_file.read_text().replace("m/1.parquet", "m/2.parquet")),
        lambda d: d.manifest_file.write_text(d.manifest_file.read_text().replace("exact-fp16", "other")),
    ],
)
def test_what_cannot_be_trusted_is_rebuilt_with_one_line(
    tmp_path: Path,
    shard: Callable[..., LiveShard],
    damage: Callable[[DerivedIndex], None],
    caplog: pytest.LogCaptureFixture,
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


def test_an_index_of_shards_written_anew_is_rebuilt(
    tmp_path: Path, shard: Callable[..., LiveShard], caplog: pytest.LogCaptureFixture
) -> None:
    """Repair may give a file name a second time, to other vectors."""
    DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2])]).save()
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [2, 1])])
    assert ids_of(derived) == [1, 2]
    assert np.allclose(derived.open().vectors(np.array([1, 2])), rows([1, 2]), atol=2e-3)
    assert len(warnings(caplog)) == 2


def test_a_damaged_shard_is_not_answered_from(tmp_path: Path, shard: Callable[..., LiveShard]) -> None:
    derived = DerivedIndex(tmp_path, "m", D, [shard(1, [1, 2])])
    file = tmp_path / "vectors/m/1.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"X")
    with pytest.raises(LibraryDamaged, match="vlsearch repair"):
        derived.open()


@pytest.fixture
def merging(tmp_path: Path, shard: Callable[..., LiveShard]) -> tuple[DerivedIndex, DerivedIndex]:
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
        assert derived.load()[1] == {s.file for s in derived.shards}
    assert warnings(caplog) == []


@pytest.mark.parametrize("state", [0, 1])
@pytest.mark.parametrize("how", [DerivedIndex.settle, DerivedIndex.save])
def test_settled_it_names_the_shards_that_there_are(
    merging: tuple[DerivedIndex, DerivedIndex], state: int, how: Callable[[DerivedIndex], None]
) -> None:
    derived, other = merging[state], merging[1 - state]
    data = derived.file.read_bytes()
    assert derived.settled() == derived.manifest(hashlib.sha256(data).hexdigest()) != derived.manifest_file.read_bytes()
    how(derived)
    assert derived.manifest_file.read_bytes() == derived.manifest(hashlib.sha256(data).hexdigest())
    assert derived.file.read_bytes() == data
    assert not other.up_to_date()


def test_what_cannot_be_settled_is_left_to_open(
    merging: tuple[DerivedIndex, DerivedIndex], tmp_path: Path, shard: Callable[..., LiveShard]
) -> None:
    before = merging[0].manifest_file.read_bytes()
    other = DerivedIndex(tmp_path, "m", D, [shard(4, [9])])
    other.settle()
    assert other.manifest_file.read_bytes() == before
    other.manifest_file.unlink()
    other.settle()
    assert not other.manifest_file.exists()


def test_shards_that_are_gone_are_no_damage(
    tmp_path: Path, shard: Callable[..., LiveShard], caplog: pytest.LogCaptureFixture
) -> None:
    DerivedIndex(tmp_path, "m", D, [shard(1, [1])]).save()
    with pytest.raises(LibraryDamaged):
        DerivedIndex(tmp_path, "m", D, [shard(2, [1])], gone=lambda: True).open()
    assert warnings(caplog) == []
