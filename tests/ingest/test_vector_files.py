"""Files of vectors as other programs write them: shapes, names, captions, and what is wrong with some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlsearch.errors import UnreadableFile, UsageError, VlsearchError
from vlsearch.ingest import vector_source
from vlsearch.ingest.vector_files import open_file, open_files
from vlsearch.ingest.vector_source import VectorSource

RNG = np.random.default_rng(0)


def vectors(n: int, d: int = 8) -> np.ndarray:
    return RNG.normal(size=(n, d)).astype(np.float32)


def clip_retrieval(folder: Path, *sizes: int, **columns: Any) -> np.ndarray:
    """A folder as clip-retrieval writes it; returns all vectors."""
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    parts = [vectors(n) for n in sizes]
    for number, part in enumerate(parts):
        np.save(folder / f"img_emb/img_emb_{number}.npy", part.astype(np.float16))
        table = {"image_path": [f"{number}/{row}.jpg" for row in range(len(part))]}
        pq.write_table(
            pa.table(table | {n: v[: len(part)] for n, v in columns.items()}),
            folder / f"metadata/metadata_{number}.parquet",
        )
    return np.concatenate(parts).astype(np.float16)


def rows(*sources: VectorSource) -> tuple[np.ndarray, list[str], list[list[str]]]:
    blocks = [block for source in sources for block in source.blocks()]
    photos = [photo for block in blocks for photo in block.photos]
    return np.concatenate([b.vectors for b in blocks]), photos, [list(c) for b in blocks for c in b.captions]


def test_a_folder_of_clip_retrieval_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    xb = clip_retrieval(tmp_path / "e", *[3] * 11, caption=["a", None, "c"])
    read, photos, captions = rows(*open_files([tmp_path / "e"]))
    np.testing.assert_array_equal(read, xb)
    assert read.dtype == np.float32
    assert photos == [f"{number}/{row}.jpg" for number in range(11) for row in range(3)]
    assert captions == [["a"], [], ["c"]] * 11


def test_metadata_beside_the_vectors(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "e", 3)
    for place in ("metadata_0.parquet", "img_emb_0.parquet"):
        (tmp_path / place).write_bytes((tmp_path / "e/metadata/metadata_0.parquet").read_bytes())
        (tmp_path / "img_emb_0.npy").write_bytes((tmp_path / "e/img_emb/img_emb_0.npy").read_bytes())
        assert rows(open_file(tmp_path / "img_emb_0.npy"))[1] == ["0/0.jpg", "0/1.jpg", "0/2.jpg"]
        (tmp_path / place).unlink()
    with pytest.raises(UsageError, match="nothing says which photos"):
        open_file(tmp_path / "img_emb_0.npy")


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
def test_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr(vector_source, "BLOCK_ROWS", rows_at_once)
    xb = clip_retrieval(tmp_path / "e", 10)
    table = pa.table({"path": [f"0/{n}.jpg" for n in range(10)], "vector": list(xb)})
    pq.write_table(table, tmp_path / "v.parquet", row_group_size=3)
    np.savez(tmp_path / "v.npz", emb=xb, ids=table["path"].to_pylist())
    for file in ("e", "v.parquet", "v.npz"):
        sources = open_files([tmp_path / file])
        read, photos, _ = rows(*sources)
        np.testing.assert_array_equal(read, xb)
        assert photos == table["path"].to_pylist()
        blocks = list(sources[0].blocks())
        assert max(len(b.photos) for b in blocks) <= rows_at_once
        assert [b.first for b in blocks] == np.cumsum([0] + [len(b.photos) for b in blocks])[:-1].tolist()


@pytest.mark.parametrize(
    "arrays",
    [
        {"embeddings": vectors(3), "paths": ["a", "b", "c"]},
        {"emb": vectors(3), "ids": np.array([b"a", b"b", b"c"])},
        {"Image_Embeddings": vectors(3), "text_embeddings": vectors(3), "file_names": ["a", "b", "c"]},
        {"thing": vectors(3).astype(np.float64), "who": ["a", "b", "c"]},
        {
            "vectors": vectors(3).astype(np.float16),
            "labels": [1, 2, 3],
            "caption": ["x", "", "z"],
            "who": ["a", "b", "c"],
        },
    ],
)
def test_npz_of_many_names(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    read, photos, captions = rows(open_file(tmp_path / "x.npz"))
    np.testing.assert_allclose(read, next(iter(arrays.values())), rtol=1e-6)
    assert photos == ["a", "b", "c"]
    assert captions == ([["x"], [], ["z"]] if "caption" in arrays else [[], [], []])


def test_a_jsonl_beside_the_npz_knows_paths_and_captions(tmp_path: Path) -> None:
    np.savez(tmp_path / "val_image.npz", emb=vectors(3), ids=[7, 8, 9])
    lines = [
        {"image_id": 7, "image_path": "p/7.jpg", "caption": "one"},
        {"image_id": 9, "caption": "three"},
        {"image_id": 7, "image_path": "p/7.jpg", "caption": "uno"},
        {"image_id": 1, "image_path": "p/1.jpg", "caption": "of another"},
        ["no object"],
    ]
    (tmp_path / "val.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    (tmp_path / "va.jsonl").write_text("of another file")
    _, photos, captions = rows(open_file(tmp_path / "val_image.npz"))
    assert photos == ["p/7.jpg", "8", "9"]
    assert captions == [["one", "uno"], [], ["three"]]
    (tmp_path / "val_image.jsonl").write_text('{"image_id": 7}\nnonsense')
    with pytest.raises(UnreadableFile, match="line 2 is not a JSON object"):
        rows(open_file(tmp_path / "val_image.npz"))


LISTS = {
    "fixed": pa.list_(pa.float32(), 8),
    "list": pa.list_(pa.float32()),
    "large": pa.large_list(pa.float64()),
    "half": pa.list_(pa.float16()),
}


@pytest.mark.parametrize("type_", LISTS.values(), ids=LISTS.keys())
def test_parquet_with_a_column_of_vectors(tmp_path: Path, type_: Any) -> None:
    xb = vectors(4).astype(np.float16)
    cells: list[Any] = list(xb) if type_.value_type == pa.float16() else xb.tolist()
    cells[2] = None
    if not pa.types.is_fixed_size_list(type_):
        cells[0] = cells[0][:5]
    columns = {"Key": ["a", None, "c", "d"], "boxes": [[1, 2]] * 4, "emb": pa.array(cells, type_), "text": list("wxyz")}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    source = open_file(tmp_path / "x.parquet")
    assert (source.rows, source.dim) == (4, 8)
    read, photos, captions = rows(source)
    bad = [2] if pa.types.is_fixed_size_list(type_) else [0, 2]
    assert np.flatnonzero(np.isnan(read).any(1)).tolist() == bad
    good = np.setdiff1d(range(4), bad)
    np.testing.assert_array_equal(read[good], xb[good])
    assert photos == ["a", "", "c", "d"]
    assert captions == [["w"], ["x"], ["y"], ["z"]]


def test_the_path_of_an_image_of_hugging_face_names_it(tmp_path: Path) -> None:
    images = [{"bytes": b"x", "path": "a.jpg"}, {"bytes": b"y", "path": None}, None]
    pq.write_table(pa.table({"image": images, "vector": vectors(3).tolist()}), tmp_path / "x.parquet")
    assert rows(open_file(tmp_path / "x.parquet"))[1] == ["a.jpg", "", ""]
    pq.write_table(pa.table({"image": [b"x"], "id": [12], "vector": vectors(1).tolist()}), tmp_path / "x.parquet")
    assert rows(open_file(tmp_path / "x.parquet"))[1] == ["12"]


def parquet(file: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), file)


BAD = {
    "no such": ("x/no.npy", lambda p: p.parent.mkdir(), "no such file or folder"),
    "another kind": ("x.txt", lambda p: p.write_text("1 2 3"), "expected .npy, .npz"),
    "empty folder": ("x", lambda p: p.mkdir(), "no vectors in"),
    "npy: text": ("x.npy", lambda p: np.save(p, np.array(["a"])), "rows of a matrix of floats"),
    "npy: one row": ("x.npy", lambda p: np.save(p, np.ones(5)), "rows of a matrix of floats"),
    "npy: objects": ("x.npy", lambda p: np.save(p, np.array([{}]), allow_pickle=True), "holds Python objects"),
    "npy: junk": ("x.npy", lambda p: p.write_bytes(b"junk" * 99), "cannot read vectors from"),
    "npy: empty": ("x.npy", lambda p: p.write_bytes(b""), "cannot read vectors from"),
    "npz: no names": ("x.npz", lambda p: np.savez(p, embeddings=vectors(3), ids=["a"]), "an array of 3 paths or ids"),
    "npz: which": ("x.npz", lambda p: np.savez(p, a=vectors(3), b=vectors(3)), "its arrays are a, b"),
    "npz: nothing": ("x.npz", lambda p: np.savez(p), "its arrays are none"),
    "npz: objects": ("x.npz", lambda p: np.savez(p, emb=vectors(1), ids=np.array([None])), "holds Python objects"),
    "npz: junk": ("x.npz", lambda p: p.write_bytes(b"PK\3\4" + b"junk" * 99), "cannot read vectors from"),
    "parquet: junk": ("x.parquet", lambda p: p.write_bytes(b"junk" * 99), "cannot read vectors from"),
    "parquet: no vectors": ("x.parquet", lambda p: parquet(p, path=["a"]), "its columns are path"),
    "parquet: no names": ("x.parquet", lambda p: parquet(p, vector=[[1.0]]), "nothing in .* names the photos"),
    "parquet: empty": (
        "x.parquet",
        lambda p: parquet(p, path=["a"], vector=pa.array([None], LISTS["list"])),
        "is empty",
    ),
}


@pytest.mark.parametrize(("name", "write", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, name: str, write: Any, message: str) -> None:
    write(tmp_path / name)
    with pytest.raises(VlsearchError, match=message) as error:
        open_files([tmp_path / name])
    assert "\n" not in str(error.value)


def test_vectors_and_metadata_of_different_runs(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "e", 3)
    np.save(tmp_path / "e/img_emb/img_emb_0.npy", vectors(4))
    with pytest.raises(UsageError, match=r"holds 4 vectors but .* 3 rows"):
        open_files([tmp_path / "e"])


def test_a_npy_that_is_cut_short(tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "e", 300)
    file = tmp_path / "e/img_emb/img_emb_0.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UnreadableFile, match="damaged"):
        open_files([tmp_path / "e"])
