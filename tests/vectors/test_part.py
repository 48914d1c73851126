from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.part import Part
from vlsearch.vectors.part_file import WrittenPart, empty_index, write_part

D, N, LISTS = 16, 500, 7


def unit(n: int, seed: int = 0) -> NDArray[np.float16]:
    rows = np.random.default_rng(seed).normal(size=(n, D))
    normalised: NDArray[np.float16] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return normalised


IDS = np.random.default_rng(1).permutation(3_000)[:N].astype(np.int64)
XB = unit(N)
CENTROIDS = unit(LISTS, 2).astype(np.float32)
NEAREST = np.argmax(XB.astype(np.float32) @ CENTROIDS.T, axis=1)


def written(path: Path, lists: NDArray[np.int64] = NEAREST) -> WrittenPart:
    return write_part(path, CENTROIDS, IDS, lists, [XB[:123], XB[123:123], XB[123:]])


def opened(path: Path, w: WrittenPart, d: int = D, lists: int = LISTS, count: int = N) -> Part:
    return Part.open(path, d, token=w.token, size=w.size, count=count, lists=lists, probes={10: 2})


def test_the_bytes_are_those_that_faiss_writes(tmp_path: Path) -> None:
    import faiss

    index = empty_index(CENTROIDS)
    index.add_with_ids(XB.astype(np.float32), IDS)
    expected = faiss.serialize_index(index).tobytes()
    written(tmp_path / "p.faiss")
    assert (tmp_path / "p.faiss").read_bytes()[: len(expected)] == expected


@pytest.mark.parametrize("lists", [NEAREST, np.zeros(N, np.int64), np.full(N, LISTS - 1)], ids=["all", "0", "last"])
def test_every_vector_is_found_again_by_its_id(tmp_path: Path, lists: NDArray[np.int64]) -> None:
    part = opened(tmp_path / "p.faiss", written(tmp_path / "p.faiss", lists))
    assert part.ids.tolist() == sorted(IDS.tolist())
    places = part.places_of(IDS)
    assert np.array_equal(part.codes(places), XB)
    assert np.array_equal(part.lists_of(places), lists)
    assert np.array_equal(part.centroids, CENTROIDS)
    unknown = np.setdiff1d(np.arange(-1, 3_001), IDS)
    assert (part.places_of(unknown) == -1).all()
    assert part.codes(places[:0]).shape == (0, D)


def test_in_memory_it_is_the_same(tmp_path: Path) -> None:
    part = Part.in_memory(D, [(IDS[:200], XB[:200]), (IDS[200:], XB[200:])])
    file = opened(tmp_path / "p.faiss", written(tmp_path / "p.faiss"))
    assert np.array_equal(part.codes(part.places_of(IDS)), XB)
    xq = unit(9, 3).astype(np.float32)
    for ours, theirs in zip(part.search(xq, 40), file.search(xq, 40, exact=True), strict=True):
        assert np.array_equal(ours, theirs)
    empty = Part.in_memory(D, [])
    assert (empty.count, empty.places_of(IDS).max()) == (0, -1)


def test_what_is_announced_has_to_come(tmp_path: Path) -> None:
    with pytest.raises(LibraryDamaged, match="500 vectors were announced, 499 came"):
        write_part(tmp_path / "p.faiss", CENTROIDS, IDS, NEAREST, [XB[:-1]])


def test_a_file_is_known_by_its_token_and_size(tmp_path: Path) -> None:
    file, other = tmp_path / "p.faiss", tmp_path / "other.faiss"
    ours, theirs = written(file), written(other)
    assert ours.size == theirs.size
    assert ours.token != theirs.token
    with pytest.raises(LibraryDamaged, match=r"other\.faiss is not the file that its manifest speaks of"):
        opened(other, ours)
    with pytest.raises(LibraryDamaged, match="501"):
        opened(file, ours._replace(size=501))
    for wrong in ({"count": N + 1}, {"lists": LISTS + 1}, {"d": D + 1}):
        with pytest.raises(LibraryDamaged, match=r"p\.faiss is"):
            opened(file, ours, **wrong)


@pytest.mark.parametrize("data", [b"", b"\0", b"IxMI" + b"\xff" * 60, b"no index" * 100])
def test_garbage_never_reaches_faiss(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "p.faiss"
    whole = written(file)
    for kept in (whole, whole._replace(size=len(data))):
        file.write_bytes(data)
        with pytest.raises(LibraryDamaged) as error:
            opened(file, kept)
        assert "\n" not in str(error.value)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.faiss"
    whole = written(file)
    data = file.read_bytes()
    for end in range(0, len(data), 997):
        file.write_bytes(data[:end])
        with pytest.raises(LibraryDamaged):
            opened(file, whole)
        with pytest.raises(LibraryDamaged):
            opened(file, whole._replace(size=end))


def test_a_damaged_head_is_no_crash(tmp_path: Path) -> None:
    file = tmp_path / "p.faiss"
    whole = written(file)
    data = bytearray(file.read_bytes())
    data[:4] = b"IxZZ"
    file.write_bytes(data)
    with pytest.raises(LibraryDamaged, match="no FAISS index"):
        opened(file, whole)


def test_lists_that_a_query_looks_at_grow_with_k() -> None:
    part = Part.in_memory(D, [(IDS, XB)])
    assert part.nprobe(10) == 1
    part.lists, part.probes = 1_000, {10: 3, 100: 20}
    assert [part.nprobe(k) for k in (1, 10, 11, 100, 150, 5_000_000)] == [3, 3, 20, 20, 30, 1_000]
