"""A library's photos as files for others: whole, in bounded memory, and a library again when they are imported."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ColourEncoder, unit
from vlsearch.catalog import imports, queries
from vlsearch.catalog.tables import Content, File
from vlsearch.errors import UsageError
from vlsearch.ingest import photo_export
from vlsearch.ingest.photo_export import export_clip_retrieval, export_parquet
from vlsearch.ingest.pipeline import Summary
from vlsearch.ingest.vector_files import open_files
from vlsearch.ingest.vector_import import import_vectors
from vlsearch.library import Library, open_library

Take = Callable[..., Summary]


@pytest.fixture
def filled(library: Library, photos: Callable[..., Path], take: Take) -> Library:
    """Seven photos: one with captions and keywords, one in two places, one that is gone, one a model lacks."""
    root = photos(6)
    (root / "copy.jpg").write_bytes((root / "00001.jpg").read_bytes())
    take(root)
    (root / "00005.jpg").unlink()
    (root / "00001.jpg").unlink()
    take(root)
    with library.transaction() as c:
        ids = queries.contents_by_path(c)
        first = ids[str(root / "00000.jpg")]
        queries.add_captions(c, [(first, "a dog", None), (first, "on a beach", "en")], "x.json")
        queries.add_captions(c, [(first, "sea, sun", None)], "iptc:keywords")
        queries.add_captions(c, [(first, "sun, sand", None)], "xmp:keywords")
        lacking = {"id": 99, "sha256": bytes(32), "width": 3, "height": 4, "format": "PNG", "camera": "Box"}
        queries.add_contents(c, [lacking])
        queries.put_files(c, [{"path": "/p/99.png", "size": 1, "mtime_ns": 1, "content_id": 99}])
    return library


def export(library: Library, path: Path, **options: Any) -> pa.Table:
    export_parquet(library, path, library.model(), **options)
    return pq.read_table(path)


def test_one_row_a_present_photo(filled: Library, tmp_path: Path) -> None:
    table = export(filled, tmp_path / "x.parquet")
    root = tmp_path / "photos"
    names = ["00000.jpg", "copy.jpg", "00002.jpg", "00003.jpg", "00004.jpg"]
    assert table["path"].to_pylist() == [*(str(root / name) for name in names), "/p/99.png"]
    assert table["captions"].to_pylist() == [["a dog", "on a beach"], [], [], [], [], []]
    assert table["keywords"].to_pylist() == [["sea", "sun", "sand"], [], [], [], [], []]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 48)
    stored = filled.photo_vectors(filled.model())
    for path, vector in zip(table["path"].to_pylist(), table["vector"].to_pylist(), strict=True):
        assert vector == (stored[path].tolist() if path in stored else None)
    last = table.to_pylist()[-1]
    assert (last["width"], last["height"], last["format"], last["camera"]) == (3, 4, "PNG", "Box")
    assert (last["taken_at"], last["lens"], last["lat"], last["lon"], last["sha256"]) == (
        None,
        None,
        None,
        None,
        "0" * 64,
    )
    model = filled.model()
    made_by = {"model": "colour", "fingerprint": model.fingerprint, "dim": 48}
    assert json.loads(table.schema.metadata[b"vlsearch"]) == made_by


def test_without_vectors(filled: Library, tmp_path: Path) -> None:
    assert export_parquet(filled, tmp_path / "x.parquet", None) == 6
    table = pq.read_table(tmp_path / "x.parquet")
    assert "vector" not in table.column_names
    assert len(set(table["path"].to_pylist())) == 6
    assert table.schema.metadata is None


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 100])
def test_groups_of_any_size_over_shards_of_any_size(
    filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, photos: Any, take: Take
) -> None:
    for seed in (1, 2):
        take(photos(3, f"more{seed}", seed))
    monkeypatch.setattr(photo_export, "ROW_GROUP", rows)
    table = export(filled, tmp_path / "x.parquet")
    with filled.read() as c:
        every = queries.paths_of(c, [i for ids in imports.present_contents(c) for i in ids], missing=False)
    assert sorted(table["path"].to_pylist()) == sorted(paths[0] for paths in every.values())
    stored = filled.photo_vectors(filled.model())
    for row in table.to_pylist():
        assert row["vector"] == (stored[row["path"]].tolist() if row["path"] in stored else None)
    metadata = pq.ParquetFile(tmp_path / "x.parquet").metadata
    assert max(metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)) == min(rows, 12)


@pytest.mark.parametrize("kind", ["parquet", "clip-retrieval"])
def test_an_export_is_a_library_again(
    library: Library, tmp_path: Path, photos: Callable[..., Path], take: Take, kind: str, encoder: ColourEncoder
) -> None:
    root = photos(30)
    take(root)
    with library.transaction() as c:
        ids = queries.contents_by_path(c)
        queries.add_captions(c, [(i, f"photo {i}", None) for i in ids.values()], "x")
    target = tmp_path / "out.parquet"
    if kind == "parquet":
        assert export_parquet(library, target, library.model()) == 30
    else:
        assert export_clip_retrieval(library, target, library.model()) == 30
    with open_library(tmp_path / "again", write=True, create=True) as again:
        summary = import_vectors(again, open_files([target]), encoder.name)
        assert (summary.added, summary.captions, summary.failed) == (30, 30, 0)
        before, after = library.photo_vectors(library.model()), again.photo_vectors(again.model())
        assert sorted(before) == sorted(after)
        cosines = [float(unit(before[p][None])[0] @ unit(after[p][None])[0]) for p in before]
        assert min(cosines) > 0.9999
        with again.read() as c:
            texts = queries.captions_of(c, list(range(1, 31)))
            assert {p: texts[i] for p, i in queries.contents_by_path(c).items()} == {
                p: [f"photo {i}"] for p, i in ids.items()
            }
    with library.transaction() as c:
        assert import_vectors(library, open_files([target]), encoder.name).unchanged == 30


def test_as_clip_retrieval_writes_it(filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_export, "PART_ROWS", 3)
    assert export_clip_retrieval(filled, tmp_path / "e", filled.model()) == 5
    parts = [np.load(tmp_path / f"e/img_emb/img_emb_{n}.npy") for n in range(2)]
    tables = [pq.read_table(tmp_path / f"e/metadata/metadata_{n}.parquet") for n in range(2)]
    assert [part.dtype for part in parts] == [np.float16] * 2
    assert [len(part) for part in parts] == [len(table) for table in tables] == [3, 2]
    assert tables[0].column_names == ["image_path", "caption"]
    assert tables[0]["caption"].to_pylist() == ["a dog", "", ""]
    stored = filled.photo_vectors(filled.model())
    for part, table in zip(parts, tables, strict=True):
        np.testing.assert_array_equal(part, [stored[path] for path in table["image_path"].to_pylist()])
    with pytest.raises(UsageError, match="is there already"):
        export_clip_retrieval(filled, tmp_path / "e", filled.model())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e", "library", "photos"]


def test_names_that_are_no_utf8_are_written_out(filled: Library, tmp_path: Path) -> None:
    with filled.transaction() as c:
        path = os.fsdecode(b"/p/\xff.png")
        queries.put_files(c, [{"path": path, "size": 1, "mtime_ns": 1, "content_id": 99}])
        c.execute(File.__table__.delete().where(File.path == "/p/99.png"))  # type: ignore[attr-defined]
    assert export(filled, tmp_path / "x.parquet")["path"].to_pylist()[-1] == "/p/\\xff.png"
    export_clip_retrieval(filled, tmp_path / "e", filled.model())


def test_every_column_of_a_photo_is_exported(filled: Library) -> None:
    columns = {column.name for column in Content.__table__.columns} - {"id"}
    assert columns <= set(photo_export.schema_of(filled.model()).names)


def test_a_place_that_cannot_be_written_to(filled: Library, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        export_parquet(filled, tmp_path / "no/x.parquet", filled.model())
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write to"):
        export_clip_retrieval(filled, tmp_path / "file/e", filled.model())


def test_an_export_that_fails_leaves_what_was_there(
    filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"old")

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(photo_export, "table_of", fails)
    with pytest.raises(UsageError, match="no space left on device"):
        export(filled, tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").read_bytes() == b"old"
    assert not (tmp_path / "x.parquet.part").exists()
