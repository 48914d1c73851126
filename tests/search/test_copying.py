"""Copies of what was found: no file is lost, none overwritten, none written outside of the folder."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest

from vlsearch.errors import UsageError
from vlsearch.search.copying import Copied, copy_hits, member_name


def made(folder: Path, *names: str) -> list[str]:
    """Files whose bytes are their names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return [str(folder / name) for name in names]


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def tarred(place: Path, **members: bytes) -> Path:
    with tarfile.open(place, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return place


def test_names_and_times_are_kept(tmp_path: Path) -> None:
    paths = made(tmp_path, "a.jpg", "b.tar.jpg", ".hidden")
    os.utime(paths[0], ns=(10**18, 10**18))
    done = copy_hits(paths, tmp_path / "new" / "out")
    assert contents(tmp_path / "new" / "out") == {"a.jpg": "a.jpg", "b.tar.jpg": "b.tar.jpg", ".hidden": ".hidden"}
    assert (tmp_path / "new" / "out" / "a.jpg").stat().st_mtime_ns == 10**18
    assert [place.name for place in done.copied] == ["a.jpg", "b.tar.jpg", ".hidden"]
    assert str(done) == "3 copied"


def test_equal_names_get_numbers_and_equal_bytes_stay_one(tmp_path: Path) -> None:
    paths = made(tmp_path, "x/a.jpg", "y/a.jpg", "z/a.jpg")
    (tmp_path / "z" / "a.jpg").write_text("x/a.jpg")
    done = copy_hits([*paths, paths[0]], tmp_path / "out")
    assert contents(tmp_path / "out") == {"a.jpg": "x/a.jpg", "a-2.jpg": "y/a.jpg"}
    assert str(done) == "2 copied, 1 there already"
    again = copy_hits(paths, tmp_path / "out")
    assert (len(again.copied), [place.name for place in again.there]) == (0, ["a.jpg", "a-2.jpg", "a.jpg"])
    assert len(contents(tmp_path / "out")) == 2


def test_nothing_that_is_there_is_touched(tmp_path: Path) -> None:
    (path,) = made(tmp_path, "a.jpg")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").symlink_to(tmp_path / "elsewhere")  # a link to nowhere is not written through
    (out / "a-2.jpg").mkdir()
    (out / "a-3.jpg").write_text("another")
    assert copy_hits([path], out).copied == [out / "a-4.jpg"]
    assert not (tmp_path / "elsewhere").exists()
    assert (out / "a-3.jpg").read_text() == "another"


def test_into_its_own_folder(tmp_path: Path) -> None:
    (path,) = made(tmp_path, "a.jpg")
    assert str(copy_hits([path], tmp_path)) == "0 copied, 1 there already"
    assert contents(tmp_path) == {"a.jpg": "a.jpg"}


def test_links_are_followed(tmp_path: Path) -> None:
    made(tmp_path, "real.jpg")
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    copy_hits([str(tmp_path / "link.jpg")], tmp_path / "out")
    assert not (tmp_path / "out" / "link.jpg").is_symlink()
    assert (tmp_path / "out" / "link.jpg").read_text() == "real.jpg"


def test_what_cannot_be_copied_is_named_and_the_rest_copied(tmp_path: Path) -> None:
    paths = made(tmp_path, "a.jpg", "b.jpg")
    gone, folder = str(tmp_path / "gone.jpg"), str(tmp_path / "folder.jpg")
    Path(folder).mkdir()
    done = copy_hits([paths[0], gone, folder, f"{tmp_path}/none.tar#a.jpg", paths[1]], tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == ["a.jpg", "b.jpg"]
    assert done.failed[:2] == [(gone, "no such file or directory"), (folder, "is a directory")]
    assert str(done) == "2 copied, 3 failed"


def test_a_full_disk_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = made(tmp_path, "a.jpg", "b.jpg")

    def full(data: io.BufferedReader, copy: io.BufferedWriter, _length: int) -> None:
        copy.write(data.read(2))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    done = copy_hits(paths, tmp_path / "out")
    assert done.failed == [(path, "no space left on device") for path in paths]
    assert contents(tmp_path / "out") == {}


def test_members_of_a_tar(tmp_path: Path) -> None:
    tar = tarred(tmp_path / "p.tar", **{"in/a.jpg": b"one", "a.jpg": b"two", "../../evil.jpg": b"three"})
    os.utime(tar, ns=(10**18, 10**18))
    out = tmp_path / "deep" / "out"
    done = copy_hits([f"{tar}#in/a.jpg", f"{tar}#a.jpg", f"{tar}#../../evil.jpg", f"{tar}#a.jpg"], out)
    assert contents(out) == {"a.jpg": "one", "a-2.jpg": "two", "evil.jpg": "three"}
    assert (out / "a.jpg").stat().st_mtime_ns == 10**18
    assert len(done.copied) == 3
    assert str(copy_hits([f"{tar}#in/a.jpg", f"{tar}#a.jpg"], out)) == "0 copied, 2 there already"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["deep", "p.tar"]


def test_rows_of_parquet_are_called_after_their_format(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet
    from PIL import Image

    rows = []
    for kind in ("JPEG", "PNG"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), "red").save(buffer, kind)
        rows.append(buffer.getvalue())
    file = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pa.table({"image": pa.array([*rows, b"?"], pa.binary())}), file)
    done = copy_hits([f"{file}#{n}" for n in range(4)], tmp_path / "out")
    assert [place.name for place in done.copied] == ["train-0.jpg", "train-1.png", "train-2"]
    assert done.copied[1].read_bytes() == rows[1]
    assert len(done.failed) == 1


@pytest.mark.parametrize(
    ("inside", "name"),
    [
        ("a/b.jpg", "b.jpg"),
        ("../../etc/passwd", "passwd"),
        ("/absolute.jpg", "absolute.jpg"),
        ("..\\..\\evil.jpg", ".._.._evil.jpg"),
        ("C:evil.jpg", "C_evil.jpg"),
        ("a/..", "photo"),
        ("a/", "a"),
        ("...", "photo"),
        ("a\nb\0.jpg", "a_b_.jpg"),
    ],
)
def test_hostile_names(inside: str, name: str) -> None:
    assert member_name("x.TAR", inside, b"") == name


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    paths = made(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match=r"cannot make the folder .*a\.jpg: file exists"):
        copy_hits(paths, tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="not a directory"):
        copy_hits(paths, tmp_path / "a.jpg" / "out")


@pytest.mark.usefixtures("permissions")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    paths = made(tmp_path, "a.jpg")
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="you may not write to"):
        copy_hits(paths, tmp_path / "out")


def test_nothing_to_copy(tmp_path: Path) -> None:
    assert copy_hits([], tmp_path / "out") == Copied()
