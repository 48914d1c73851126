"""Photos in the rows of Parquet files, of whatever column and shape."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlsearch.errors import UnreadableFile
from vlsearch.ingest import parquet
from vlsearch.ingest.notes import Note
from vlsearch.ingest.parquet import RowReader
from vlsearch.ingest.scan import Found, Unreadable


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


PHOTOS = [png(shade) for shade in range(5)]
STRUCTS = [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(PHOTOS)]
COLUMNS: dict[str, dict[str, Any]] = {
    "Hugging Face": {"image": STRUCTS},
    "img2dataset": {"jpg": PHOTOS, "caption": ["a", None, " ", "d", "e"]},
    "in capitals": {"ID": range(5), "Image_Bytes": PHOTOS},
    "large": {"image": pa.array(PHOTOS, pa.large_binary())},
    "another name": {"md5": [b"x" * 16] * 5, "frame": PHOTOS},
    "another name for a struct": {"thing": STRUCTS},
    "first rows empty": {"frame": pa.array([None, None, *PHOTOS[2:]], pa.binary())},
}


def write(path: Path, row_group_size: int | None = None, **columns: Any) -> str:
    table = pa.table({n: v if isinstance(v, pa.Array) else pa.array(list(v)) for n, v in columns.items()})
    pq.write_table(table, path, row_group_size=row_group_size)
    return str(path)


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS.keys())
def test_the_image_column_is_found(tmp_path: Path, columns: dict[str, Any]) -> None:
    path = write(tmp_path / "x.parquet", 2, **columns)
    found = list(parquet.photos_in(path))
    assert [f.path for f in found] == [f"{path}#{row}" for row in range(5)]
    assert all(isinstance(f, Found) and f.offset is None for f in found)
    with RowReader(path) as reader:
        assert [reader.read(row) for row in range(2, 5)] == PHOTOS[2:]


@pytest.mark.parametrize(
    ("captions", "texts"),
    [
        ({"text": ["one", "two"]}, [["one"], ["two"]]),
        ({"Caption": ["one", None]}, [["one"], []]),
        ({"caption": [["a", "b", "a"], []]}, [["a", "b"], []]),
        ({"sentences": [[{"raw": "a", "id": 1}], [{"raw": "b", "id": 2}]]}, [["a"], ["b"]]),
        ({"caption": ["c", "d"], "text": ["e", "f"]}, [["c"], ["d"]]),
        ({"raw": PHOTOS[:2], "title": ["c", "d"]}, [["c"], ["d"]]),
        ({"caption": [3, 4]}, [[], []]),
        ({"label": [3, 4]}, [[], []]),
    ],
)
def test_captions_come_along(tmp_path: Path, captions: dict[str, Any], texts: list[list[str]]) -> None:
    image = {} if "raw" in captions else {"image": STRUCTS[:2]}
    path = write(tmp_path / "train.parquet", **image, **captions)
    found = [f for f in parquet.photos_in(path) if isinstance(f, Found)]
    assert [f.notes for f in found] == [tuple(Note(text, "train.parquet") for text in row) for row in texts]


def test_rows_without_bytes_are_unreadable_and_cost_no_other(tmp_path: Path) -> None:
    rows = [STRUCTS[0], None, {"bytes": None, "path": "elsewhere.jpg"}, {"bytes": b"", "path": None}, STRUCTS[4]]
    path = write(tmp_path / "x.parquet", image=rows)
    with RowReader(path) as reader:
        assert reader.read(0) == PHOTOS[0]
        for row in (1, 2, 3):
            with pytest.raises(UnreadableFile, match="its row holds no image bytes"):
                reader.read(row)
        assert reader.read(4) == PHOTOS[4]


@pytest.mark.parametrize("group", [1, 3, 7, 1000])
def test_rows_in_any_order(tmp_path: Path, group: int) -> None:
    data = [png(n % 256) + str(n).encode() for n in range(60)]
    path = write(tmp_path / "x.parquet", group, jpg=data)
    with RowReader(path) as reader:
        for row in (0, 1, 40, 41, 2, 59, 0, 17, 16, 15, 33, 59):
            assert reader.read(row) == data[row]
        with pytest.raises(UnreadableFile, match="no row 60, only 60"):
            reader.read(60)


def test_going_forward_reads_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.parquet", 20, jpg=[png(1)] * 50)
    started = []
    with RowReader(path) as reader:
        iterate = reader._parquet.iter_batches
        monkeypatch.setattr(
            reader._parquet, "iter_batches", lambda *a, **k: started.append(k["row_groups"]) or iterate(*a, **k)
        )
        for row in range(50):
            reader.read(row)
    assert started == [[0], [1], [2]]


def test_what_holds_no_images_says_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", md5=[b"x" * 16], key=["a"])
    (problem,) = parquet.photos_in(path)
    assert isinstance(problem, Unreadable)
    assert problem.path == path
    assert problem.reason.startswith("no column of image bytes among md5, key; `vlsearch import-vectors` takes")
    with pytest.raises(UnreadableFile, match="no column of image bytes"):
        RowReader(path)


def test_no_parquet_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for data in (b"", b"hello" * 100, Path(write(tmp_path / "y.parquet", jpg=PHOTOS)).read_bytes()[:-20]):
        path.write_bytes(data)
        (problem,) = parquet.photos_in(str(path))
        assert isinstance(problem, Unreadable)
        assert problem.reason.startswith("no valid Parquet (")
        with pytest.raises(UnreadableFile, match="no valid Parquet"):
            RowReader(str(path))
        assert not parquet.has_row(str(path), 0)


def test_a_damaged_row_group_costs_only_its_own_rows(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "x.parquet", 2, jpg=[bytes([n]) * 5000 for n in range(1, 7)]))
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 30] = b"\xff" * 30
    path.write_bytes(data)
    with RowReader(str(path)) as reader:
        for row in range(6):
            if row in (2, 3):
                with pytest.raises(UnreadableFile, match=r"no valid Parquet \(\w"):
                    reader.read(row)
            else:
                assert reader.read(row)[0] == row + 1


def test_rows_that_are_there(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", jpg=PHOTOS)
    assert parquet.has_row(path, 4)
    assert not parquet.has_row(path, 5)
    assert not parquet.has_row(str(tmp_path / "y.parquet"), 0)
