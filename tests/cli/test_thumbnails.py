"""Photos in the terminal, with a pseudo-terminal that answers as the terminals in question do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from vlsearch.cli import thumbnails
from vlsearch.errors import UsageError, VlsearchError

pty = pytest.importorskip("pty")
pytest.importorskip("textual_image")

SIXEL, KITTY, HALF = b"\x1bP", b"\x1b_G", "▀".encode()
ATTRIBUTES, PROBE = b"\x1b[c", re.compile(rb"\x1b_Gi=(\d+),[^;]*a=q")

SHOW = """
import sys, time
from rich.console import Console
from tests.cli.test_thumbnails import PRELOADED
from vlsearch.cli import thumbnails
from vlsearch.search.engine import Hit
for module in PRELOADED:
    __import__(module)
began = time.perf_counter()
thumbnails.check_terminal()
thumbnails.print_thumbnails([Hit(n, 0.5, path, n) for n, path in enumerate(sys.argv[1:], 1)], Console())
print("seconds", time.perf_counter() - began)
"""
PRELOADED = ["PIL.Image", "pi_heif", "rich.console", "textual_image._pixeldata", "textual_image._sixel"]


class Shown(NamedTuple):
    code: int
    out: bytes

    @property
    def seconds(self) -> float:
        return float(self.out.split(b"seconds ")[1].split()[0])


def show(
    *paths: str | Path, sixel: bool = False, kitty: bool = False, size: tuple[int, ...] = (40, 80, 800, 800)
) -> Shown:
    """What a terminal gets that knows these protocols."""
    import fcntl
    import select
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    environment = os.environ | {"TERM": "xterm-256color"}
    command = [sys.executable, "-c", SHOW, *map(str, paths)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    out, answered, until = b"", set(), time.monotonic() + 20
    while time.monotonic() < until:
        if not select.select([ours], [], [], 0.2)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            out += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        probe = PROBE.search(out)
        if ATTRIBUTES in out and "attributes" not in answered and (sixel or kitty):
            answered.add("attributes")
            os.write(ours, b"\x1b[?62;4;22c" if sixel else b"\x1b[?62;22c")
        if probe and "probe" not in answered and kitty:
            answered.add("probe")
            os.write(ours, b"\x1b_Gi=" + probe[1] + b";OK\x1b\\")
    os.close(ours)
    return Shown(process.wait(10), out)


@pytest.fixture
def photo(photos: Callable[..., Path]) -> Path:
    return photos(1) / "00000.jpg"


def test_sixel(photo: Path) -> None:
    shown = show(photo, sixel=True)
    assert shown.code == 0
    assert SIXEL in shown.out
    assert KITTY not in shown.out
    assert HALF not in shown.out


def test_kitty(photo: Path) -> None:
    shown = show(photo, kitty=True)
    assert shown.code == 0
    assert re.search(rb"\x1b_Gi=\d+,m=[01],f=100,q=2;iVBOR", shown.out), "a PNG"
    assert re.search(rb"\x1b_Ga=p,i=\d+,c=\d+,r=10,U=1", shown.out), "a place for it"
    assert chr(0x10EEEE).encode() in shown.out
    assert SIXEL not in shown.out


def test_a_terminal_that_says_nothing_gets_half_blocks_soon(photo: Path) -> None:
    shown = show(photo)
    assert shown.code == 0
    assert HALF in shown.out
    assert SIXEL not in shown.out
    assert shown.seconds < 0.2 + 0.5  # 0.2 of waiting, the rest is the work


def test_lines_and_photos_that_cannot_be_shown(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad\x1b[2J.jpg").write_bytes(b"no photo")
    shown = show(photo, tmp_path / "bad\x1b[2J.jpg", tmp_path / "gone.jpg", photo, size=(40, 80, 0, 0))
    assert shown.code == 0
    text = re.sub(rb"\x1b\[[\d;]*m", b"", shown.out).decode()
    assert re.findall(r"(\d)  0\.500", text) == ["1", "2", "3", "4"]
    assert "(not a picture that can be read)" in text
    assert "(no such file or directory)" in text
    assert "bad\\x1b[2J.jpg" in text.replace("\r\n", "")
    assert "\x1b[2J" not in text
    assert "Traceback" not in text
    assert "WARNING" not in text


def test_no_terminal_no_thumbnails() -> None:
    with pytest.raises(UsageError, match="--html FILE"):
        thumbnails.check_terminal()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal, open(ours, "rb", buffering=0):  # noqa: PTH123 - descriptors
        monkeypatch.setattr(sys, "stdout", terminal)
        with pytest.raises(UsageError, match="without input from elsewhere"):
            thumbnails.check_terminal()
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
        thumbnails.check_terminal()
        monkeypatch.setitem(sys.modules, "textual_image", None)
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(VlsearchError, match=r"pip install 'vlsearch\[thumbnails\]'"):
            thumbnails.check_terminal()
