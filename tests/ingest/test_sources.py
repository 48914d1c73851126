"""Where photos come from, and how their bytes are had again by what the library keeps."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.ingest.test_parquet import PHOTOS, png, write
from tests.ingest.test_tar import make
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.scan import Found, Unreadable
from vlsearch.ingest.sources import Fetcher, braces, container_of, exists, find, read_address


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path.name))


def paths(roots: list[str | Path], stdin: bytes = b"") -> list[str]:
    return [f.path for f in find(roots, stdin=io.BytesIO(stdin)) if isinstance(f, Found)]


# roots


def test_folders_files_and_containers_each_once(tmp_path: Path) -> None:
    touch(tmp_path / "f/a.jpg", tmp_path / "f/b.png", tmp_path / "c.gif")
    shard = make(tmp_path / "f/x.tar", {"0.jpg": b"0"})
    table = write(tmp_path / "t.parquet", jpg=PHOTOS[:1])
    roots: list[str | Path] = [tmp_path / "f", tmp_path / "f/a.jpg", shard, table, tmp_path / "c.gif", str(shard)]
    expected = [tmp_path / "f/a.jpg", tmp_path / "c.gif", tmp_path / "f/b.png", f"{shard}#0.jpg", f"{table}#0"]
    assert paths(roots) == [str(p) for p in expected]


def test_containers_in_folders_are_not_opened(tmp_path: Path) -> None:
    make(tmp_path / "backup.tar", {"0.jpg": b"0"})
    write(tmp_path / "t.parquet", jpg=PHOTOS[:1])
    assert list(find([tmp_path])) == []


def test_patterns_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8, 12):
        make(tmp_path / f"{number:05}.tar", {"0.jpg": b"0"})
    monkeypatch.chdir(tmp_path)
    everything = [f"{tmp_path}/{number:05}.tar#0.jpg" for number in range(8, 12)]
    assert paths(["*.tar"]) == everything
    assert paths(["{00008..00011}.tar"]) == everything
    assert paths([Path("{00011,0000*}.tar")]) == [everything[3], *everything[:2]]
    make(tmp_path / "{1,2}.tar", {"own.jpg": b"0"})
    assert paths(["{1,2}.tar"]) == [f"{tmp_path}/{{1,2}}.tar#own.jpg"]


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("a.tar", ["a.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}-{1..2}.tar", ["a-1.tar", "a-2.tar", "b-1.tar", "b-2.tar"]),
        ("{a}.tar", ["{a}.tar"]),
    ],
)
def test_braces(pattern: str, parts: list[str]) -> None:
    assert braces(pattern) == parts


@pytest.mark.parametrize("root", ["no.tar", "no*.tar", "{1..3}.parquet", "no", "no.parquet"])
def test_roots_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "1.tar", {})
    with pytest.raises(UsageError, match="no such file or folder"):
        find([root])


@pytest.mark.parametrize("name", ["x.tar.gz", "x.TGZ", "x.tar.zst", "x.tbz2", "x.txz"])
def test_compressed_tars_are_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    with pytest.raises(UsageError, match="is compressed"):
        find([tmp_path / name])


def test_a_folder_called_like_a_tar(tmp_path: Path) -> None:
    touch(tmp_path / "x.tar/a.jpg")
    assert paths([tmp_path / "x.tar"]) == [f"{tmp_path}/x.tar/a.jpg"]


# lists


def test_a_list_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"\xff.jpg")
    touch(tmp_path / "f/a.jpg", tmp_path / "f/b.jpg", tmp_path / "c", tmp_path / odd, tmp_path / "g/d.jpg")
    make(tmp_path / "x.tar", {"0.jpg": b"0"})
    names = ["f/b.jpg", "f", "c", "", odd, "x.tar", "no.jpg", "c", "/dev/null", "g"]
    expected = ["f/b.jpg", "c", odd, "g/d.jpg", "f/a.jpg", "x.tar#0.jpg"]
    for end in ("\n", "\0", "\r\n"):
        listed = os.fsencode(end.join(names) + end)
        found = list(find(["-", "g"], stdin=io.BytesIO(listed)))
        assert [f.path for f in found if isinstance(f, Found)] == [f"{tmp_path}/{name}" for name in expected]
        assert [f for f in found if isinstance(f, Unreadable)] == [
            Unreadable(f"{tmp_path}/no.jpg", "no such file or directory"),
            Unreadable("/dev/null", "neither a file nor a folder"),
        ]


def test_lists_without_an_end_and_names_with_line_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "a.jpg", tmp_path / "b\n.jpg")
    assert paths(["-"], b"a.jpg") == [f"{tmp_path}/a.jpg"]
    assert paths(["-"], b"b\n.jpg\0a.jpg") == [f"{tmp_path}/b\n.jpg", f"{tmp_path}/a.jpg"]
    assert paths(["-"], b"") == []


def test_lists_as_text_and_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{n}-{'é' * 60}.jpg" for n in range(900)]
    touch(*(tmp_path / name for name in names))
    text = "\n".join(names)
    expected = [f"{tmp_path}/{name}" for name in names]
    assert [f.path for f in find(["-"], stdin=io.StringIO(text))] == expected
    assert [f.path for f in find(["-"], stdin=io.TextIOWrapper(io.BytesIO(text.encode())))] == expected
    assert paths(["-"], text.replace("\n", "\0").encode()) == expected


def test_the_process_own_input_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.jpg")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tmp_path}/a.jpg\n"))
    assert [f.path for f in find(["-"])] == [f"{tmp_path}/a.jpg"]


# addresses


def test_addresses_lead_back(tmp_path: Path) -> None:
    shard = make(tmp_path / "x.tar", {"d/0.jpg": b"zero", "1#2.jpg": b"hash"})
    table = write(tmp_path / "t.parquet", 2, jpg=PHOTOS)
    touch(tmp_path / "f#1/x.tar#plain.jpg", tmp_path / "f#1/y.jpg")
    nested = make(tmp_path / "f#1/y.tar", {"0.jpg": b"nested"})
    for address, data, container in [
        (f"{shard}#d/0.jpg", b"zero", str(shard)),
        (f"{shard}#1#2.jpg", b"hash", str(shard)),
        (f"{table}#3", PHOTOS[3], table),
        (f"{nested}#0.jpg", b"nested", str(nested)),
        (f"{tmp_path}/f#1/x.tar#plain.jpg", b"x.tar#plain.jpg", None),
        (f"{tmp_path}/f#1/y.jpg", b"y.jpg", None),
    ]:
        assert exists(address)
        assert read_address(address) == data
        assert container_of(address) == container


def test_addresses_that_lead_nowhere(tmp_path: Path) -> None:
    shard = make(tmp_path / "x.tar", {"0.jpg": b"zero"})
    table = write(tmp_path / "t.parquet", jpg=[PHOTOS[0], None])
    for address in (f"{shard}#1.jpg", f"{table}#2", f"{tmp_path}/gone.tar#0.jpg", f"{tmp_path}/gone.jpg", f"{table}#x"):
        assert not exists(address)
        with pytest.raises(OSError):
            read_address(address)
    with pytest.raises(OSError, match="no image bytes"):
        read_address(f"{table}#1")
    assert container_of(f"{tmp_path}/gone.tar#0.jpg") == f"{tmp_path}/gone.tar"
    assert container_of(f"{table}#x") is None


# bytes of rows


def test_only_rows_of_parquet_are_fetched(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "t.parquet#0.jpg")
    shard = make(tmp_path / "x.tar", {"0.jpg": b"0"})
    tables = [write(tmp_path / f"{n}.parquet", 2, jpg=PHOTOS[n:]) for n in range(2)]
    found = [f for f in find([tmp_path, shard, *tables]) if isinstance(f, Found)]
    fetcher = Fetcher()
    fetched = [fetcher.fetch(f) for f in found]
    fetcher.close()
    assert fetched == [None, None, None, *PHOTOS, *PHOTOS[1:]]


def test_a_parquet_file_that_has_changed_since_it_was_found(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", jpg=PHOTOS)
    found = [f for f in find([table]) if isinstance(f, Found)]
    fetcher = Fetcher()
    write(tmp_path / "t.parquet", jpg=[png(9)])
    with pytest.raises(OSError, match="it has changed since it was found"):
        fetcher.fetch(found[0])
    Path(table).unlink()
    with pytest.raises(FileNotFoundError):
        fetcher.fetch(found[0])


def test_a_row_without_bytes_is_unreadable(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", jpg=[None, PHOTOS[0]])
    first, second = (f for f in find([table]) if isinstance(f, Found))
    fetcher = Fetcher()
    with pytest.raises(UnreadableFile):
        fetcher.fetch(first)
    assert fetcher.fetch(second) == PHOTOS[0]
    fetcher.close()
