"""Photos decoded once into a file, and again only where they have changed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vlsearch.audit.datasets import Captioned
from vlsearch.encoders.base import Preprocess
from vlsearch.errors import UsageError, VlsearchError
from vlsearch.train import decoded
from vlsearch.train.pairs import Pairs, decode_photos, open_photos

PREPROCESS = Preprocess((6, 8), (0.0,) * 3, (1.0,) * 3, resize_mode="squash")


class Album:
    """Photos of one colour each, and how often each was decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
        self.names = tuple(f"{i}.png" for i in range(n))
        self.bytes = {name: self.photo(i) for i, name in enumerate(self.names)}
        self.decoded = 0
        monkeypatch.setattr(decoded, "decode", self._counted(decoded.decode))

    @staticmethod
    def photo(shade: int) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (16, 12), (shade, shade, shade)).save(file, "PNG")
        return file.getvalue()

    def _counted(self, decode: Callable[..., object]) -> Callable[..., object]:
        def counted(data: bytes, preprocess: Preprocess) -> object:
            self.decoded += 1
            return decode(data, preprocess)

        return counted

    def read(self, name: str) -> bytes:
        if name not in self.bytes:
            raise FileNotFoundError(2, "No such file or directory", name)
        return self.bytes[name]

    def captioned(self, owner: list[int] | None = None) -> Captioned:
        of = np.arange(len(self.names)) if owner is None else np.array(owner, np.int64)
        return Captioned("album", self.names, tuple(f"shade {n}" for n in of), of)


@pytest.fixture
def album(monkeypatch: pytest.MonkeyPatch) -> Album:
    monkeypatch.setattr(decoded, "PART", 4)
    return Album(monkeypatch, 10)


def shades(pairs: Pairs) -> list[int]:
    assert (pairs.pixels == pairs.pixels[:, :1, :1, :1]).all()
    return [int(shade) for shade in pairs.pixels[:, 0, 0, 0]]


def test_photos_are_decoded_once(album: Album, tmp_path: Path) -> None:
    file = tmp_path / "out" / "photos.npy"
    said: list[tuple[int, int]] = []
    pairs, unreadable = decode_photos(
        album.captioned(), album.read, PREPROCESS, file, lambda _, *count: said.append(count)
    )
    assert (shades(pairs), unreadable, pairs.pixels.shape) == (list(range(10)), (), (10, 6, 8, 3))
    assert isinstance(pairs.pixels, np.memmap)
    assert said == [(0, 10), (4, 10), (8, 10), (10, 10)]
    again, _ = decode_photos(album.captioned(), album.read, PREPROCESS, file)
    assert (shades(again), album.decoded, again.digest) == (list(range(10)), 10, pairs.digest)
    opened, _ = open_photos(album.captioned(), PREPROCESS, file)
    assert (shades(opened), opened.digest) == (list(range(10)), pairs.digest)


def test_photos_with_captions_come_first(album: Album, tmp_path: Path) -> None:
    given = album.captioned([7, 2, 7])
    pairs, _ = decode_photos(given, album.read, PREPROCESS, tmp_path / "photos.npy")
    assert pairs.photos == ("2.png", "7.png", *(f"{i}.png" for i in (0, 1, 3, 4, 5, 6, 8, 9)))
    assert shades(pairs) == [2, 7, 0, 1, 3, 4, 5, 6, 8, 9]
    assert (pairs.owner.tolist(), pairs.texts, pairs.captioned) == ([1, 0, 1], ("shade 7", "shade 2", "shade 7"), 2)
    pairs, _ = decode_photos(given, album.read, PREPROCESS, tmp_path / "photos.npy", uncaptioned=False)
    assert pairs.photos == ("2.png", "7.png")


def test_decoding_goes_on_where_it_was_stopped(album: Album, tmp_path: Path) -> None:
    file = tmp_path / "photos.npy"

    def interrupted(name: str) -> bytes:
        if name == "9.png":
            raise KeyboardInterrupt
        return album.read(name)

    with pytest.raises(KeyboardInterrupt):
        decode_photos(album.captioned(), interrupted, PREPROCESS, file)
    with pytest.raises(VlsearchError, match="8 of 10 photos decoded"):
        open_photos(album.captioned(), PREPROCESS, file)
    album.decoded = 0
    pairs, _ = decode_photos(album.captioned(), album.read, PREPROCESS, file)
    assert (shades(pairs), album.decoded) == (list(range(10)), 2)


def test_a_photo_that_has_changed_is_decoded_anew(album: Album, tmp_path: Path) -> None:
    file = tmp_path / "photos.npy"
    before, _ = decode_photos(album.captioned(), album.read, PREPROCESS, file)
    digest = before.digest
    album.bytes["6.png"] = album.photo(200)
    after, _ = decode_photos(album.captioned(), album.read, PREPROCESS, file)
    assert shades(after) == [0, 1, 2, 3, 4, 5, 200, 7, 8, 9]
    assert after.digest != digest
    assert album.decoded == 14


@pytest.mark.parametrize("what", ["preprocessing", "photos", "damage"])
def test_a_file_of_something_else_is_made_anew(album: Album, tmp_path: Path, what: str) -> None:
    file, given, preprocess = tmp_path / "photos.npy", album.captioned(), PREPROCESS
    decode_photos(given, album.read, preprocess, file)
    if what == "preprocessing":
        preprocess = Preprocess((8, 6), (0.0,) * 3, (1.0,) * 3, resize_mode="squash")
    elif what == "photos":
        album.names = album.names[::-1]
        given = album.captioned()
    else:
        file.write_bytes(b"no array")
    pairs, _ = decode_photos(given, album.read, preprocess, file)
    assert (shades(pairs), album.decoded) == ([int(name[:-4]) for name in given.photos], 20)
    assert pairs.pixels.shape[1:3] == preprocess.size


def test_photos_that_cannot_be_read_are_left_out_with_their_captions(album: Album, tmp_path: Path) -> None:
    kept = album.bytes["1.png"]
    del album.bytes["1.png"]
    album.bytes["5.png"] = b"no photo"
    file = tmp_path / "photos.npy"
    for _ in range(2):  # the second time from the file
        pairs, unreadable = decode_photos(album.captioned(), album.read, PREPROCESS, file)
        assert [name for name, _ in unreadable] == ["1.png", "5.png"]
        assert unreadable[0][1] == "no such file or directory"
        assert shades(pairs) == [0, 2, 3, 4, 6, 7, 8, 9]
        assert [pairs.texts[i] for n in range(8) for i in pairs.texts_of(n)] == [f"shade {n}" for n in shades(pairs)]
        assert pairs.captioned == 8
        assert album.decoded == 9
    album.bytes["1.png"] = kept
    pairs, _ = decode_photos(album.captioned(), album.read, PREPROCESS, file)
    assert shades(pairs) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_nothing_to_train_on_is_refused(album: Album, tmp_path: Path) -> None:
    album.bytes["3.png"] = b"no photo"
    with pytest.raises(UsageError, match=r"no photo of album that has a caption can be read, such as '3\.png': "):
        decode_photos(album.captioned([3]), album.read, PREPROCESS, tmp_path / "photos.npy")


def test_a_disk_without_room_is_seen_beforehand(album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    large = Preprocess((224, 224), (0.0,) * 3, (1.0,) * 3)
    said = r"10 photos of 224 × 224 pixels take 1\.5 MB decoded, and .* has 1\.0 MB left; make room"
    with pytest.raises(VlsearchError, match=said):
        decode_photos(album.captioned(), album.read, large, tmp_path / "out" / "photos.npy")
    assert album.decoded == 0


def test_a_disk_that_fills_up_is_said(album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded.os, "posix_fallocate", full, raising=False)
    with pytest.raises(VlsearchError, match=r"photos\.npy: No space left on device; make room"):
        decode_photos(album.captioned(), album.read, PREPROCESS, tmp_path / "photos.npy")
