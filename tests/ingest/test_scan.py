from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlsearch.errors import UsageError
from vlsearch.ingest import scan as scan_module
from vlsearch.ingest.scan import RAW, SUFFIXES, Found, Unreadable, scan


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def below(root: Path, row: Found | Unreadable) -> str:
    return Path(row.path).relative_to(root).as_posix()


def names(root: Path, *exclude: str) -> list[str]:
    return [below(root, found) for found in scan([root], exclude)]


def test_sizes_and_times_of_every_picture_in_order_of_names(tmp_path: Path) -> None:
    put(
        tmp_path,
        "b.jpg",
        "a.PNG",
        "c.heic",
        "notes.txt",
        "clip.mp4",
        "doc.pdf",
        "jpg",
        "sub/d.JPeG",
        "sub/deeper/e.avif",
    )
    os.utime(tmp_path / "b.jpg", ns=(1, 1_234_567_890_123_456_789))
    (tmp_path / "c.heic").write_bytes(bytes(77))
    rows = list(scan([tmp_path], []))
    assert [below(tmp_path, row) for row in rows] == [
        "a.PNG",
        "b.jpg",
        "c.heic",
        "sub/d.JPeG",
        "sub/deeper/e.avif",
    ]
    assert rows[1] == Found(str(tmp_path / "b.jpg"), 1, 1_234_567_890_123_456_789)
    assert rows[2].path == str(tmp_path / "c.heic")
    assert isinstance(rows[2], Found)
    assert rows[2].size == 77


def test_hidden_names_and_thumbnail_folders_are_skipped(tmp_path: Path) -> None:
    put(tmp_path, ".a.jpg", "._b.jpg", ".cache/c.jpg", "@eaDir/d.jpg", "__MACOSX/e.jpg", "f.jpg", "sub/.g.jpg")
    assert names(tmp_path) == ["f.jpg"]
    hidden = tmp_path / ".cache"
    assert names(hidden) == ["c.jpg"]  # a root that is named is meant


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "album.jpg/a.png")
    assert names(tmp_path) == ["album.jpg/a.png"]


def test_exclude(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.gif", "raw/c.jpg", "2019/june/raw/d.jpg", "2019/june/e.jpg", "2020/f.jpg")
    everything = {"a.jpg", "b.gif", "raw/c.jpg", "2019/june/raw/d.jpg", "2019/june/e.jpg", "2020/f.jpg"}
    assert set(names(tmp_path)) == everything
    assert set(names(tmp_path, "*.gif")) == everything - {"b.gif"}
    assert set(names(tmp_path, "raw")) == everything - {"raw/c.jpg", "2019/june/raw/d.jpg"}
    assert set(names(tmp_path, "raw/")) == everything - {"raw/c.jpg", "2019/june/raw/d.jpg"}
    assert set(names(tmp_path, "2019/*/raw")) == everything - {"2019/june/raw/d.jpg"}
    assert set(names(tmp_path, "2019/*")) == {"a.jpg", "b.gif", "raw/c.jpg", "2020/f.jpg"}
    assert set(names(tmp_path, "20*", "?.gif")) == {"a.jpg", "raw/c.jpg"}
    assert set(names(tmp_path, "ra", "*.GIF", "[b")) == everything
    # The path is the one below the root, whatever the root is called.
    assert set(names(tmp_path / "raw", "raw")) == {"c.jpg"}


def test_an_excluded_folder_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "raw/a.jpg", "b.jpg")
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
    assert names(tmp_path, "raw") == ["b.jpg"]
    assert listed == [str(tmp_path)]


def test_roots_that_are_files_overlap_or_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.jpg", "scan001", "sub/b.jpg", "sub/c.jpg")
    roots = [
        tmp_path / "sub",
        tmp_path,
        tmp_path / "sub" / "c.jpg",
        tmp_path / "scan001",
        tmp_path,
        tmp_path / "." / "sub",
    ]
    found = [below(tmp_path, row) for row in scan(roots, [])]
    assert sorted(found) == ["a.jpg", "scan001", "sub/b.jpg", "sub/c.jpg"]
    monkeypatch.chdir(tmp_path / "sub")
    assert [row.path for row in scan([Path(".."), Path("b.jpg")], [])] == [
        str(tmp_path / "sub" / "b.jpg"),
        str(tmp_path / "a.jpg"),
        str(tmp_path / "sub" / "c.jpg"),
    ]


def test_no_such_root_is_an_error_at_the_call(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "broken").symlink_to("nowhere")
    for root in ("nope", "a.jpg/nope", "broken", "bad\0name"):
        with pytest.raises(UsageError, match="no such file or folder: ") as caught:
            scan([tmp_path, tmp_path / root], [])
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert names(tmp_path) == []
    assert list(scan([], [])) == []


def test_symlink_loops_are_survived_and_files_keep_their_real_paths(tmp_path: Path) -> None:
    put(tmp_path, "z/a.jpg", "z/deep/b.jpg", "outside/c.jpg")
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "z").rename(root / "z")
    (root / "a-link").symlink_to(root / "z", target_is_directory=True)
    (root / "z" / "deep" / "up").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to("self")
    (root / "elsewhere").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "elsewhere2").symlink_to(tmp_path / "outside", target_is_directory=True)
    expected = ["z/a.jpg", "z/deep/b.jpg", "elsewhere/c.jpg"]
    assert names(root) == expected
    # A root that is itself a link keeps its name.
    assert next(scan([root / "a-link"], [])).path == str(root / "a-link" / "a.jpg")


def test_linked_files_are_found_and_broken_links_reported(tmp_path: Path) -> None:
    put(tmp_path, "real/a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (tmp_path / "c.jpg").symlink_to("gone.jpg")
    rows = list(scan([tmp_path], []))
    assert [row.path for row in rows if isinstance(row, Found)] == [
        str(tmp_path / "b.jpg"),
        str(tmp_path / "real" / "a.jpg"),
    ]
    assert [row for row in rows if isinstance(row, Unreadable)] == [
        Unreadable(str(tmp_path / "c.jpg"), "no such file or directory")
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_named_like_a_picture_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert names(tmp_path) == []
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        scan([tmp_path / "pipe.jpg"], [])


def test_an_unreadable_folder_is_reported_and_the_walk_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/x.jpg", "locked/y.jpg", "z/w.jpg")
    scandir = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(scan_module.os, "scandir", refuse)
    assert [(type(row), below(tmp_path, row)) for row in scan([tmp_path], [])] == [
        (Found, "a/x.jpg"),
        (Unreadable, "locked"),
        (Found, "z/w.jpg"),
    ]
    assert [row.reason for row in scan([tmp_path / "locked"], []) if isinstance(row, Unreadable)] == [
        "permission denied"
    ]


def test_a_file_that_vanishes_meanwhile_is_not_reported(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    walk = scan([tmp_path], [])
    assert next(walk).path == str(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").unlink()
    assert list(walk) == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode here")
def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[31m.jpg"
    Path(os.fsdecode(raw)).write_bytes(b"abc")
    (found,) = scan([tmp_path], ["*.png"])
    assert isinstance(found, Found)
    assert os.fsencode(found.path) == raw
    assert found.size == 3


def test_a_raw_file_beside_its_jpeg_is_the_same_photo(tmp_path: Path) -> None:
    put(
        tmp_path, "a.NEF", "a.jpg", "b.CR2", "c.DNG", "C.heic", "d.arw", "d.png", "e.jpg", "sub/e.raf", "f.dng", "f.cr3"
    )
    put(tmp_path, "g.nef.jpg", "g.nef", "album.nef/a.nef")
    (tmp_path / "h.orf").touch()
    (tmp_path / "h.jpg").mkdir()
    everything = [
        "C.heic",
        "a.jpg",
        "b.CR2",
        "d.arw",
        "d.png",
        "e.jpg",
        "f.cr3",
        "f.dng",
        "g.nef",
        "g.nef.jpg",
        "h.orf",
    ]
    assert names(tmp_path) == [*everything, "album.nef/a.nef", "sub/e.raf"]
    # One that is named is meant, and so is one whose JPEG is not wanted.
    assert [below(tmp_path, row) for row in scan([tmp_path / "a.NEF", tmp_path / "a.jpg"], [])] == ["a.NEF", "a.jpg"]
    assert "a.NEF" not in [below(tmp_path, row) for row in scan([tmp_path / "a.jpg", tmp_path], [])]
    assert "a.NEF" in names(tmp_path, "*.jpg")


def test_the_suffixes_are_those_of_pillow_and_each_has_a_decoder() -> None:
    import pi_heif
    from PIL import Image

    from vlsearch.ingest.formats import FORMATS

    Image.init()
    pi_heif.register_heif_opener()
    registered = Image.registered_extensions() | {".jxl": "JXL"}
    assert set(registered) >= SUFFIXES - RAW
    left_out = ".pdf .eps .ps .emf .wmf .mpg .mpeg .fit .h5 .hdf .grib .bufr .im .iim .palm"
    assert {suffix for suffix in registered if suffix not in SUFFIXES} <= set(left_out.split())
    assert {registered[suffix] for suffix in SUFFIXES - RAW} - {"MPO"} == set(FORMATS)


def test_walking_imports_neither_pillow_nor_numpy() -> None:
    code = "import sys, vlsearch.ingest.scan; print(sorted({'PIL', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
