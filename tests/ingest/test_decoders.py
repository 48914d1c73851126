"""Decoders that crash, hang, or eat memory. The plug-in that does it is a Pillow plug-in in a real child process."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlsearch.check import verify
from vlsearch.encoders.base import Preprocess
from vlsearch.errors import VlsearchError
from vlsearch.ingest import decoder_child, decoder_process
from vlsearch.ingest.decoder_child import Item, Settings
from vlsearch.ingest.decoders import Decoder, Read
from vlsearch.ingest.scan import Found
from vlsearch.library import Library

SQUARE = Preprocess((16, 16), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize_mode="squash")

PLUG_IN = """
import os, sys, time
from PIL import BmpImagePlugin, Image

class Trap(BmpImagePlugin.BmpImageFile):
    def load(self):
        if not self.fp:  # loaded before
            return super().load()
        place = self.fp.tell()
        self.fp.seek(0)
        data = self.fp.read()
        if b"abort" in data: os.abort()
        if b"once" in data and not os.path.exists({mark!r}): open({mark!r}, "w").close(); os.abort()
        if b"spin" in data:
            while True: pass
        if b"sleep" in data: time.sleep(100)
        if b"eat" in data: bytearray(1 << 40)
        if b"leave" in data: os._exit(7)
        if b"print" in data: os.write(1, b"noise\\n" * 100); print("noise"); sys.stderr.write("noise")
        self.fp.seek(place)
        return super().load()

Image.init()
Image.register_open("BMP", Trap, BmpImagePlugin._accept)
"""


@pytest.fixture
def traps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bytes]:
    """Makes decoder processes load the plug-in; gives the bytes of a BMP that sets off one of its traps."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PLUG_IN.format(mark=str(tmp_path / "mark")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))

    def bmp(trap: str) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (20, 20), "red").save(buffer, "BMP")
        return buffer.getvalue() + trap.encode()

    return bmp


@pytest.fixture
def decoder() -> Iterator[Callable[..., Decoder]]:
    made = []

    def make(**limits: Any) -> Decoder:
        made.append(Decoder(dataclasses.replace(Settings(SQUARE), **limits), lambda _: {}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def item(number: int, data: bytes) -> Item:
    return Item(number, Found(f"/photo {number}", len(data), 1), data)


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def outcomes(reads: Iterator[Read]) -> dict[int, str | None]:
    found = sorted((read.number, read.reason) for read in reads)
    assert len({number for number, _ in found}) == len(found), "each once"
    return dict(found)


@pytest.mark.parametrize(
    ("trap", "limits", "reason"),
    [
        ("abort", {}, "its decoder crashed (SIGABRT)"),
        ("leave", {}, "its decoder crashed (exit code 7)"),
        ("spin", {"seconds": 0.3}, "takes too long to decode"),
        ("sleep", {"hangs": 1.0}, "takes too long to decode"),
        ("eat", {}, "too large for this machine's memory"),
        ("print", {}, None),
    ],
)
def test_a_file_that_breaks_its_decoder_costs_itself(
    decoder: Callable[..., Decoder],
    traps: Callable[[str], bytes],
    trap: str,
    limits: dict[str, float],
    reason: str | None,
) -> None:
    files = [item(n, traps(trap) if n == 2 else jpeg(n)) for n in range(5)]
    assert outcomes(decoder(**limits).read(files)) == {0: None, 1: None, 2: reason, 3: None, 4: None}


def test_a_decoder_that_crashes_once_is_given_a_second_try(
    decoder: Callable[..., Decoder], traps: Callable[[str], bytes]
) -> None:
    """What broke it may have been the file before."""
    assert outcomes(decoder().read([item(n, traps("once")) for n in range(3)])) == {0: None, 1: None, 2: None}


def test_several_that_crash_in_a_row(decoder: Callable[..., Decoder], traps: Callable[[str], bytes]) -> None:
    files = [item(n, traps("abort" if n in (0, 1, 4) else "")) for n in range(5)]
    found = outcomes(decoder().read(files))
    assert [number for number, reason in found.items() if reason] == [0, 1, 4]


def test_a_child_that_is_killed_between_two_chunks(decoder: Callable[..., Decoder]) -> None:
    one = decoder()
    assert outcomes(one.read([item(0, jpeg(0))])) == {0: None}
    assert one._child is not None
    os.kill(one._child._process.pid, signal.SIGKILL)
    assert outcomes(one.read([item(n, jpeg(n)) for n in range(3)])) == {0: None, 1: None, 2: None}


def test_no_child_can_be_started(decoder: Callable[..., Decoder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_child, "START", "raise SystemExit(3) # {path}")
    with pytest.raises(VlsearchError, match=r"cannot start a process that decodes photos: .*exit code 3"):
        outcomes(decoder().read([item(0, jpeg(0))]))


def test_what_is_large_waits_for_leave(decoder: Callable[..., Decoder]) -> None:
    """One large photo at a time, in whatever process."""
    buffer = io.BytesIO()
    Image.new("1", (8000, 7000)).save(buffer, "PNG")
    large = item(0, buffer.getvalue())
    found: list[dict[int, str | None]] = []
    with Decoder._one_large_at_a_time:
        thread = threading.Thread(target=lambda: found.append(outcomes(decoder().read([large]))))
        thread.start()
        assert outcomes(decoder().read([item(1, jpeg(1))])) == {1: None}, "a small one does not wait"
        assert found == []
    thread.join(30)
    assert found == [{0: None}]


def test_pixels_and_words_arrive_as_they_were_decoded(decoder: Callable[..., Decoder]) -> None:
    from vlsearch.ingest.decode import decode

    data = jpeg(5)
    (read,) = decoder().read([item(3, data)])
    assert read.pixels is not None
    expected = decode(data, SQUARE)
    assert np.array_equal(read.pixels, expected.pixels)
    for name in decoder_process.PHOTO_FIELDS:
        assert getattr(read.photo, name) == getattr(expected, name)
    assert read.pixels.flags.writeable


def test_max_pixels(decoder: Callable[..., Decoder]) -> None:
    found = outcomes(decoder(max_pixels=63).read([item(0, jpeg(0))]))
    assert "over the limit" in str(found[0])


def test_a_crash_in_the_middle_of_1000_photos(
    library: Library, take: Callable[..., Any], photos: Callable[..., Path], traps: Callable[[str], bytes]
) -> None:
    folder = photos(999)
    (folder / "00500 trap.bmp").write_bytes(traps("abort"))
    summary = take(folder)
    assert (summary.embedded, summary.failed) == (999, 1)
    assert summary.failures == [(str(folder / "00500 trap.bmp"), "its decoder crashed (SIGABRT)")]
    assert take(folder).skipped == 1
    assert verify(library) == []


# What the child does with files, looked at from inside


def test_read_steadily_gives_size_and_time_of_what_it_read(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"12345")
    assert decoder_process.read_steadily(str(file)) == (5, file.stat().st_mtime_ns, b"12345")
    assert decoder_process.read_steadily(str(file), 1, 3) == (3, file.stat().st_mtime_ns, b"234")


class Growing(io.FileIO):
    """A file that grows by some bytes whenever it has been read, for the first `times` times."""

    times = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if Growing.times:
            Growing.times -= 1
            with Path(os.fsdecode(self.name)).open("ab") as handle:
                handle.write(b"more")
        return data


@pytest.mark.parametrize(("times", "whole"), [(1, True), (2, False)])
def test_a_photo_that_grows_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, whole: bool
) -> None:
    """Once: it is read again. On and on: it is left for the next run."""
    file = tmp_path / "a.jpg"
    file.write_bytes(b"start")
    Growing.times = times
    original = Path.open

    def opened(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        return Growing(str(self), "rb") if mode == "rb" else original(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", opened)
    answer, data = decoder_process.read_file({"container": str(file), "offset": None, "size": 5}, io.BytesIO())
    if whole:
        assert (answer["size"], data) == (9, b"startmore")
    else:
        assert "changes while it is being read" in answer["error"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_what_the_system_refuses_is_an_answer(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(decoder_process, "read_steadily", refuse)
    asked = {"container": "/a.jpg", "offset": None, "size": 5}
    assert decoder_process.read_file(asked, io.BytesIO()) == ({"error": error.strerror}, b"")


def test_sidecars(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    assert decoder_process.sidecar_of(str(photo)) is None
    (tmp_path / "a.xmp").write_bytes(b"second")
    assert decoder_process.sidecar_of(str(photo)) == b"second"
    (tmp_path / "a.jpg.xmp").write_bytes(b"first")
    assert decoder_process.sidecar_of(str(photo)) == b"first"
