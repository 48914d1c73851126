from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.vectors import calibrate as calibration
from vlsearch.vectors.build import build_exact, build_lists
from vlsearch.vectors.calibrate import calibrate, milliseconds, questions, unit
from vlsearch.vectors.manifest import PartRow
from vlsearch.vectors.part import Part
from vlsearch.vectors.recipes import Recipe

D, N = 32, 4_000
RECIPE = Recipe("lists", 1.0, least_share=0.02)


@pytest.fixture(scope="module")
def xb() -> NDArray[np.float16]:
    """40 clusters of 100."""
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(40, D)))
    return unit(centres[rng.integers(0, 40, N)] + 0.6 * unit(rng.normal(size=(N, D)))).astype(np.float16)


def pieces(xb: NDArray[np.float16], first: int = 0):  # type: ignore[no-untyped-def]
    def make():  # type: ignore[no-untyped-def]
        for start in range(0, len(xb), 1_000):
            yield np.arange(first + start, first + min(start + 1_000, len(xb))), xb[start : start + 1_000]

    return make


def opened(file: Path, row: PartRow) -> Part:
    probes = {int(k): lists for k, lists in row.probes.items()}
    return Part.open(file, D, token=row.token, size=row.size, count=row.count, lists=row.lists, probes=probes)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, xb: NDArray[np.float16]) -> tuple[PartRow, Part]:
    file = tmp_path_factory.mktemp("built") / "p.faiss"
    row = build_lists(file, D, pieces(xb), N, RECIPE, 0.95)
    return row, opened(file, row)


def recall(part: Part, xq: NDArray[np.float32], xb: NDArray[np.float16]) -> float:
    exact = np.argsort(-(xq @ xb.astype(np.float32).T), axis=1)[:, :10]
    found = part.search(xq, 10)[1]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


def test_the_recall_that_is_claimed_is_reached_with_few_lists(
    built: tuple[PartRow, Part], xb: NDArray[np.float16]
) -> None:
    row, part = built
    assert (row.count, row.lists, row.trained) == (N, 63, N)
    assert 1 <= row.probes["10"] < 32
    assert list(row.probes.values()) == sorted(row.probes.values())
    measured = [recall(part, xq, xb) for xq in questions(part)]
    assert min(measured) == pytest.approx(row.recall, abs=1e-4)
    assert row.recall >= 0.95
    fewer = Part(part.index, part.data, part.ids, part.places, {10: 1})
    assert min(recall(fewer, xq, xb) for xq in questions(part)) < 0.95, "the test asks for nothing"


def test_no_fewer_lists_would_do(built: tuple[PartRow, Part]) -> None:
    part = built[1]
    asked = questions(part)
    for target in (0.5, 0.9, 0.99, 1.0):
        found = calibrate(part, asked, target)
        assert found.recall >= target
        needed = [calibration.lists_needed(part, xq)[:, :10] for xq in asked]
        assert min(float((ranks < found.probes[10] - 1).mean()) for ranks in needed) < target + (1 - target) / 2
    assert calibrate(part, asked, 0.5, least=40).probes[10] == 40


def test_texts_that_are_asked_take_the_place_of_drawn_ones(built: tuple[PartRow, Part]) -> None:
    part = built[1]
    near, texts = questions(part, 3 * unit(np.random.default_rng(3).normal(size=(5, D))))
    assert near.shape == (128, D)
    assert texts.shape == (5, D)
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)
    top = [part.search(xq, 1, exact=True)[0].mean() for xq in questions(part)]
    assert top[0] > 0.75
    assert 0.3 < top[1] < 0.7


def test_lists_are_kept_until_the_collection_has_grown(
    tmp_path: Path, built: tuple[PartRow, Part], xb: NDArray[np.float16]
) -> None:
    row, part = built
    again = build_lists(tmp_path / "a", D, pieces(xb), N, RECIPE, 0.95, earlier=(part, N))
    kept = opened(tmp_path / "a", again)
    assert again.trained == N
    assert np.array_equal(kept.centroids, part.centroids)
    assert np.array_equal(kept.places, part.places)
    anew = build_lists(tmp_path / "b", D, pieces(xb), N, Recipe("lists", 0.5), 0.95, earlier=(part, N // 4))
    assert (anew.lists, anew.trained) == (32, N)
    assert row.lists == 63


def test_progress_is_told(tmp_path: Path, xb: NDArray[np.float16]) -> None:
    told: list[tuple[str, int, int]] = []
    build_lists(tmp_path / "p", D, pieces(xb), N, RECIPE, 0.9, progress=lambda *row: told.append(row))
    assert [row for row in told if row[1] == row[2]] == [
        ("index: sampled", N, N),
        ("index: assigned", N, N),
        ("index: written", N, N),
    ]


def test_an_exact_part_of_any_size(tmp_path: Path, xb: NDArray[np.float16]) -> None:
    for n in (0, 1, N):
        row = build_exact(tmp_path / "p", D, pieces(xb[:n]), "exact")
        assert (row.count, row.lists, row.recall, row.probes) == (n, 1, 1.0, {})
    part = opened(tmp_path / "p", row)
    assert recall(part, questions(part)[1], xb) == 1.0


def test_milliseconds_leave_the_threads_as_they_were(built: tuple[PartRow, Part]) -> None:
    import faiss

    threads = faiss.omp_get_max_threads()
    assert 0 < milliseconds(built[1], questions(built[1])) < 1_000
    assert faiss.omp_get_max_threads() == threads
