from __future__ import annotations

from pathlib import Path

import pytest

from vlsearch.cli import deliver
from vlsearch.errors import VlsearchError
from vlsearch.search.engine import Hit


def test_copy_to_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    out = tmp_path / "out"
    good, bad = Hit(1, 0.5, str(tmp_path / "a.jpg"), 1), Hit(2, 0.4, str(tmp_path / "b\n.jpg"), 2)
    assert deliver.copy_to(out, [good]) == 0
    assert capsys.readouterr() == ("", f"vlsearch: 1 copied ({out})\n")
    assert deliver.copy_to(out, [good, bad]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"vlsearch: cannot copy '{tmp_path}/b\\n.jpg': no such file or directory",
        f"vlsearch: 0 copied, 1 there already, 1 failed ({out})",
    ]


def test_open(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("click.launch", lambda name: opened.append(name) or 0)
    deliver.open_file(Path("sheet.html"))
    assert opened == [str(tmp_path / "sheet.html")]
    assert capsys.readouterr().err == "vlsearch: opened sheet.html\n"
    monkeypatch.setattr("click.launch", lambda _: 1)
    with pytest.raises(VlsearchError, match=r"nothing here can open sheet\.html"):
        deliver.open_file(Path("sheet.html"))


def test_a_sheet_of_its_own_for_every_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one, two = deliver.sheet_to_open(), deliver.sheet_to_open()
    assert one != two
    assert (one.parent, two.parent, one.suffix) == (tmp_path, tmp_path, ".html")
    assert one.stat().st_mode & 0o077 == 0
