"""Photos in tars: found with their captions, addressed, and what is whole of a damaged one."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from vlsearch.ingest import tar
from vlsearch.ingest.notes import Note
from vlsearch.ingest.scan import Found, Unreadable


def make(path: Path, files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def found(path: Path) -> list[Found]:
    return [f for f in tar.photos_in(str(path)) if isinstance(f, Found)]


def unreadable(path: Path) -> list[Unreadable]:
    return [f for f in tar.photos_in(str(path)) if isinstance(f, Unreadable)]


def names(path: Path) -> list[str]:
    return [f.path.partition("#")[2] for f in found(path)]


def test_members_lie_where_they_are_said_to(tmp_path: Path) -> None:
    files = {"a/000.jpg": b"first", "a/000.cls": b"7", "a/001.PNG": b"second photo", "notes.md": b"no photo"}
    path = make(tmp_path / "x.tar", files)
    both = found(path)
    assert [f.path for f in both] == [f"{path}#a/000.jpg", f"{path}#a/001.PNG"]
    assert {f.mtime_ns for f in both} == {path.stat().st_mtime_ns}
    data = path.read_bytes()
    for f, expected in zip(both, (b"first", b"second photo"), strict=True):
        assert f.offset is not None
        assert data[f.offset : f.offset + f.size] == expected
        assert tar.read_member(str(path), f.path.partition("#")[2]) == expected
    assert unreadable(path) == []


def test_captions_share_the_key_up_to_the_first_dot_of_the_file_name(tmp_path: Path) -> None:
    files = {
        "v1.0/000.txt": b"  a dog\non a beach \n",
        "v1.0/000.jpg": b"x",
        "v1.0/000.json": b'{"caption": "A dog", "width": 3, "url": "u"}',
        "v1.0/001.jpg": b"x",
        "v1.0/001.json": b'{"caption": "a cat"}',
        "v1.0/001.txt": b"a cat",
        "v1.0/002.jpg": b"x",
        "v1.0/002.json": b'{"sentences": [{"raw": "one"}, {"raw": "two"}]}',
        "v1.0/003.jpg": b"x",
        "v1.0/003.json": b'["a list"]',
        "v1.0/003.seg.txt": b"not the caption",
        "v1.0/004.txt": b"of nothing",
        "v1.0/005.left.jpg": b"x",
        "v1.0/005.txt": b"both eyes",
    }
    path = make(tmp_path / "00001.tar", files)
    texts = {f.path.rpartition("/")[2]: [n.text for n in f.notes] for f in found(path)}
    assert texts == {
        "000.jpg": ["a dog\non a beach", "A dog"],
        "001.jpg": ["a cat"],
        "002.jpg": ["one", "two"],
        "003.jpg": [],
        "005.left.jpg": ["both eyes"],
    }
    assert found(path)[1].notes == (Note("a cat", "00001.tar"),)


def test_captions_that_cannot_be_read_are_named_and_cost_no_photo(tmp_path: Path) -> None:
    files = {
        "0.jpg": b"x",
        "0.txt": b"\xff\xfe\xfa",
        "1.jpg": b"x",
        "1.json": b"{",
        "2.jpg": b"x",
        "2.json": b"[" * 99999,
    }
    path = make(tmp_path / "x.tar", files)
    assert names(path) == ["0.jpg", "1.jpg", "2.jpg"]
    assert unreadable(path) == [
        Unreadable(f"{path}#0.txt", "its caption is no UTF-8 text"),
        Unreadable(f"{path}#1.json", "its caption is no valid JSON"),
        Unreadable(f"{path}#2.json", "its caption is no valid JSON"),
    ]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_of_any_length_and_any_bytes(tmp_path: Path, format: int) -> None:
    files = {
        "d/" * 120 + "long.jpg": b"long",
        "wide-é-\udcff.jpg": b"odd",
        "with#hash.jpg": b"hash",
        "./dot.jpg": b"dot",
    }
    path = make(tmp_path / "x.tar", files, format)
    assert names(path) == list(files)
    assert [tar.read_member(str(path), name) for name in files] == list(files.values())


def test_links_folders_hidden_and_repeated_members_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in [
            ("folder.jpg", tarfile.DIRTYPE),
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            archive.addfile(info)
        for name, data in [
            ("a.jpg", b"1"),
            ("._a.jpg", b"2"),
            ("__MACOSX/a.jpg", b"3"),
            ("b.jpg", b"4"),
            ("a.jpg", b"5"),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert names(path) == ["a.jpg", "b.jpg"]
    assert tar.read_member(str(path), "a.jpg") == b"1"


def test_a_tar_that_is_cut_short_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.tar", {f"{i:03}.{kind}": bytes(700) for i in range(4) for kind in ("jpg", "txt")})
    data = whole.read_bytes()
    first = found(whole)
    for cut in range(0, len(data), 97):
        path = tmp_path / "cut.tar"
        path.write_bytes(data[:cut])
        there = found(path)
        assert [f.offset for f in there] == [f.offset for f in first if (f.offset or 0) + f.size <= cut], cut
        if cut <= 8 * 1536:  # beyond, only the mark of the end is cut, and enough of it is left
            (problem,) = unreadable(path)
            assert problem.path == str(path)


def test_a_damaged_header_ends_the_tar_and_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "x.tar", {f"{i}.jpg": bytes(10) for i in range(5)})
    data = bytearray(path.read_bytes())
    data[2 * 1024 + 3] ^= 0x55
    path.write_bytes(data)
    assert names(path) == ["0.jpg", "1.jpg"]
    assert unreadable(path) == [Unreadable(str(path), "damaged at byte 2,048; what comes before is taken")]


def test_any_byte_may_be_damaged(tmp_path: Path) -> None:
    path = make(tmp_path / "x.tar", {"a.jpg": b"1", "é" * 80 + ".jpg": b"2"})
    data = path.read_bytes()
    for at in range(0, 4096, 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        for f in tar.photos_in(str(path)):
            assert isinstance(f, Found | Unreadable)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file, no tar"),
        (b"hello" * 1000, "no tar that can be read from byte 0 on (invalid header)"),
        (
            gzip.compress(b"x" * 100),
            "it is compressed, so its photos cannot be read one by one; unpack it with `gzip -d`",
        ),
    ],
)
def test_what_is_no_tar(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    assert list(tar.photos_in(str(path))) == [Unreadable(str(path), reason)]


def test_tars_without_photos_are_no_failure(tmp_path: Path) -> None:
    assert list(tar.photos_in(str(make(tmp_path / "empty.tar", {})))) == []
    assert list(tar.photos_in(str(make(tmp_path / "texts.tar", {"a.txt": b"x"})))) == []


def test_members_that_are_not_there(tmp_path: Path) -> None:
    path = make(tmp_path / "x.tar", {"a.jpg": b"1"})
    assert tar.has_member(str(path), "a.jpg")
    assert not tar.has_member(str(path), "b.jpg")
    assert not tar.has_member(str(tmp_path / "y.tar"), "a.jpg")
    with pytest.raises(FileNotFoundError):
        tar.read_member(str(path), "b.jpg")
    make(path, {"b.jpg": b"another"})
    assert tar.has_member(str(path), "b.jpg")
    assert tar.read_member(str(path), "b.jpg") == b"another"
    assert not tar.has_member(str(path), "a.jpg")


def test_a_large_tar_is_not_held_in_memory(tmp_path: Path) -> None:
    path = make(tmp_path / "x.tar", {f"{i:05}.{kind}": bytes(2000) for i in range(1500) for kind in ("jpg", "txt")})
    tracemalloc.start()
    try:
        assert sum(1 for _ in tar.photos_in(str(path))) == 1500
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000
