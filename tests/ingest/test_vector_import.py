"""Vectors of others become a library: searchable, with captions, never twice, and tied to the photos where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ColourEncoder, unit
from vlsearch.catalog import imports, queries
from vlsearch.errors import UsageError
from vlsearch.ingest import vector_source
from vlsearch.ingest.pipeline import Summary
from vlsearch.ingest.vector_files import open_files
from vlsearch.ingest.vector_import import ImportSummary, VectorImport, import_vectors
from vlsearch.library import Library

Take = Callable[..., Summary]

ROUNDING = 2**-11
"""of a cosine at the most, where one of the vectors is float16"""


def vectors(n: int, d: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def table(file: Path, photos: list[Any], xb: np.ndarray | list[Any], **columns: Any) -> Path:
    xb = xb.tolist() if isinstance(xb, np.ndarray) else xb
    pq.write_table(pa.table({"path": photos, "vector": pa.array(xb, pa.list_(pa.float32())), **columns}), file)
    return file


def take_in(library: Library, *files: Path, **options: Any) -> ImportSummary:
    return import_vectors(library, open_files(files), options.pop("name", "m"), **options)


def counts(summary: ImportSummary) -> tuple[int, int, int, int]:
    return summary.added, summary.unchanged, summary.captions, summary.failed


def test_a_library_that_is_searched_without_any_model(library: Library, tmp_path: Path) -> None:
    xb = 7 * vectors(50)
    names = [f"{n}.jpg" for n in range(50)]
    captions = [["one", "two"] if n % 2 else [] for n in range(50)]
    summary = take_in(library, table(tmp_path / "v.parquet", names, xb, captions=captions), name="ViT-B-32/openai")
    assert counts(summary) == (50, 0, 50, 0)
    assert str(summary).startswith("50 vectors added, 0 unchanged, 50 captions in ")
    model = library.model()
    assert (model.name, model.fingerprint, model.dim) == ("ViT-B-32/openai", "", 48)
    assert model.source == {"name": "ViT-B-32/openai"}
    stored = library.photo_vectors(model)
    assert sorted(stored) == sorted(names)
    np.testing.assert_allclose(np.stack([stored[name] for name in names]), unit(xb), atol=1e-3)
    D, I = library.index(model).search(unit(xb[:5]), 2)  # noqa: E741
    with library.read() as c:
        paths = queries.paths_of(c, I[:, 0].tolist())
        texts = queries.captions_of(c, I[:, 0].tolist())
    assert [paths[i] for i in I[:, 0].tolist()] == [[name] for name in names[:5]]
    assert [texts.get(i, []) for i in I[:, 0].tolist()] == captions[:5]
    np.testing.assert_allclose(D[:, 0], 1, atol=1e-3)


def test_again_adds_nothing_twice(library: Library, tmp_path: Path) -> None:
    file = table(tmp_path / "v.parquet", ["a", "b", "c"], vectors(3), text=["x", "y", "z"])
    assert counts(take_in(library, file)) == (3, 0, 3, 0)
    assert counts(take_in(library, file)) == (0, 3, 0, 0)
    table(file, ["b", "d"], vectors(2), text=["y", "new"])
    assert counts(take_in(library, file)) == (1, 1, 1, 0)
    with library.read() as c:
        assert queries.counts(c)["photos"] == queries.counts(c)["files"] == 4


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_the_first_of_several_rows_of_one_photo_is_taken(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(vector_source, "BLOCK_ROWS", rows_at_once)
    xb = vectors(4)
    file = table(tmp_path / "v.parquet", ["a", "b", "a", "a"], xb, text=["1", "2", "3", "1"])
    assert counts(take_in(library, file)) == (2, 2, 3, 0)
    np.testing.assert_allclose(library.photo_vectors(library.model())["a"], unit(xb[:1])[0], atol=1e-3)


def test_rows_that_cannot_be_taken_are_counted_and_named(library: Library, tmp_path: Path) -> None:
    xb: list[Any] = vectors(8).tolist()
    xb[1][3], xb[2], xb[3], xb[4], xb[6][0] = np.nan, None, [0.0] * 48, [1.0] * 5, np.inf
    names = ["0", "1", "2", "3", "4", None, "6", "nul\0l"]
    summary = take_in(library, table(tmp_path / "v.parquet", names, xb))
    assert counts(summary) == (1, 0, 0, 7)
    bad = "its vector is missing, not finite, or not of 48 numbers"
    nameless = "nothing that can be a path names its photo"
    where = [f"row {n} of {tmp_path}/v.parquet" for n in range(8)]
    assert summary.failures == [
        *((f"{n} ({where[n]})", bad) for n in (1, 2)),
        (f"3 ({where[3]})", "its vector is zero"),
        (f"4 ({where[4]})", bad),
        (where[5], nameless),
        (f"6 ({where[6]})", bad),
        (where[7], nameless),
    ]
    assert str(summary).split(" in ")[0] == "1 vectors added, 0 unchanged, 7 failed"


def test_dimensions_must_agree(library: Library, tmp_path: Path) -> None:
    small, large = (table(tmp_path / f"{d}.parquet", ["a"], vectors(1, d)) for d in (4, 8))
    with pytest.raises(UsageError, match=r"8\.parquet' have 8 dimensions, not 4"):
        take_in(library, small, large)
    with pytest.raises(UsageError, match="have 4 dimensions, not 5"):
        take_in(library, small, dim=5)
    assert library.models() == []
    take_in(library, small, dim=4)
    with pytest.raises(UsageError, match="have 8 dimensions, not 4"):
        take_in(library, large)
    with pytest.raises(UsageError, match="the library's vectors of m have 4 dimensions, not 8"):
        take_in(library, large, dim=8)
    assert counts(take_in(library, large, name="another")) == (1, 0, 0, 0)


# photos that are there


def test_photos_are_known_by_their_bytes(library: Library, tmp_path: Path, photos: Any, take: Take) -> None:
    root = photos(3)
    names = ["00000.jpg", "elsewhere/00001.jpg", str(root / "00002.jpg"), "gone.jpg", "n" * 500]
    summary = take_in(library, table(tmp_path / "v.parquet", names, vectors(5)), images=root)
    assert counts(summary) == (5, 0, 0, 0)
    with library.read() as c:
        places = imports.places_of(c, [*(str(root / f"{n:05}.jpg") for n in range(3)), "gone.jpg", "n" * 500])
        assert imports.with_vector(c, library.model().id, [p.content_id for p in places.values()]) == {1, 2, 3, 4, 5}
    for name in ("00000.jpg", "00001.jpg", "00002.jpg"):
        status = (root / name).stat()
        assert places[str(root / name)][1:] == (status.st_size, status.st_mtime_ns, False)
    assert places["gone.jpg"][1:] == places["n" * 500][1:] == (0, 0, False)
    again = take(root, model=ColourEncoder("colour"))
    assert again.embedded == 3
    with library.read() as c:
        assert queries.counts(c)["photos"] == 5


def test_a_photo_that_was_ingested_gets_another_models_vector(
    library: Library, tmp_path: Path, photos: Any, take: Take
) -> None:
    root = photos(2)
    take(root)
    names = [str(root / f"{n:05}.jpg") for n in range(2)]
    with library.read() as c:
        places = imports.places_of(c, names)
    assert counts(take_in(library, table(tmp_path / "v.parquet", names, vectors(2)))) == (2, 0, 0, 0)
    with library.read() as c:
        assert queries.counts(c)["photos"] == 2
        assert imports.places_of(c, names) == places
    assert sorted(library.photo_vectors(library.model("m"))) == names
    assert take(root).unchanged == 2


def test_a_photo_that_is_missing_is_there_again_once_its_file_is(
    library: Library, tmp_path: Path, photos: Any, take: Take
) -> None:
    root = photos(1)
    path = str(root / "00000.jpg")
    take(root)
    with library.transaction() as c:
        queries.mark_missing(c, [path], 1.0)
    file = table(tmp_path / "v.parquet", [path], vectors(1))
    for images, missing in ((None, True), (root, False)):
        take_in(library, file, images=images)
        with library.read() as c:
            assert queries.counts(c)["photos"] == 1
            assert imports.places_of(c, [path])[path].missing == missing


def test_two_files_of_the_same_bytes_are_one_photo(library: Library, tmp_path: Path, photos: Any) -> None:
    root = photos(1)
    (root / "copy.jpg").write_bytes((root / "00000.jpg").read_bytes())
    file = table(tmp_path / "v.parquet", ["00000.jpg", "copy.jpg"], vectors(2), text=["a", "b"])
    assert counts(take_in(library, file, images=root)) == (1, 1, 2, 0)
    with library.read() as c:
        assert (queries.counts(c)["photos"], queries.counts(c)["files"]) == (1, 2)


def test_a_photo_that_changed_since_is_a_new_one(library: Library, tmp_path: Path, photos: Any) -> None:
    root = photos(1)
    file = table(tmp_path / "v.parquet", ["00000.jpg"], vectors(1))
    take_in(library, file, images=root)
    (root / "00000.jpg").write_bytes(b"another photo")
    assert counts(take_in(library, file, images=root)) == (1, 0, 0, 0)
    assert counts(take_in(library, file, images=root)) == (0, 1, 0, 0)


# what is interrupted


def test_what_was_committed_before_a_kill_is_kept(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_source, "BLOCK_ROWS", 10)
    file = table(tmp_path / "v.parquet", [str(n) for n in range(35)], vectors(35), text=[f"t{n}" for n in range(35)])
    commit, done = VectorImport._commit, []

    def dies(self: VectorImport, *args: Any) -> None:
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt
        commit(self, *args)

    monkeypatch.setattr(VectorImport, "_commit", dies)
    with pytest.raises(KeyboardInterrupt):
        take_in(library, file)
    assert len(library.photo_vectors(library.model())) == 20
    monkeypatch.setattr(VectorImport, "_commit", commit)
    assert counts(take_in(library, file)) == (15, 20, 15, 0)
    assert len(library.vectors(library.model())[0]) == 35


@pytest.mark.parametrize("part", ["test", "val"])
def test_real_vectors_have_their_exact_neighbours(library: Library, shared: Path, part: str) -> None:
    file = shared / f"data/flickr8k_clip_embeddings/{part}_image_embeddings_safe.npz"
    with np.load(file) as arrays:
        xb, photos = unit(arrays["emb"]), [f"data/images/{i}.jpg" for i in arrays["ids"].tolist()]
    summary = take_in(library, file, name="ViT-B-32/openai")
    assert (summary.added, summary.failed) == (len(xb), 0)
    assert summary.captions > 6000
    with library.read() as c:
        content_ids = queries.contents_by_path(c)
    row = np.zeros(len(xb) + 1, np.int64)
    row[[content_ids[photo] for photo in photos]] = np.arange(len(xb))
    near = row[library.index(library.model()).search(xb, 11)[1]]
    exact = xb @ xb.T
    best = np.argsort(-exact, axis=1, kind="stable")[:, :11]
    scores = np.take_along_axis(exact, best, axis=1)
    np.testing.assert_allclose(np.take_along_axis(exact, near, axis=1), scores, atol=ROUNDING)
    gaps = scores[:, :-1] - scores[:, 1:] > ROUNDING  # neighbours that float16 cannot exchange
    clear = gaps & np.pad(gaps, ((0, 0), (1, 0)), constant_values=True)[:, :-1]
    np.testing.assert_array_equal(near[:, :10][clear], best[:, :10][clear])
    assert clear.mean() > 0.5
