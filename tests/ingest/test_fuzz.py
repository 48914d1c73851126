from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "bin" / "fuzz-photos"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        loader = importlib.machinery.SourceFileLoader("fuzz_photos", str(SCRIPT))
        spec = importlib.util.spec_from_loader(loader.name, loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return module


def test_500_damaged_files_are_embedded_or_named(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--files", "500", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "500 files (seed 0)" in done.stdout


def test_a_file_depends_on_seed_and_number_alone(fuzz: ModuleType) -> None:
    whole = {"jpg": [bytes(range(256)) * 4], "png": [b"\x89PNG\r\n\x1a\n" + bytes(300)]}
    made = [[fuzz.damaged(whole, seed, number) for number in range(200)] for seed in (0, 1, 0)]
    assert made[0] == made[2] != made[1]
    assert len({data for _, data in made[0]}) > 150
    assert {name.partition(".")[2] for name, _ in made[0]} == {"jpg", "png"}


def test_what_it_objects_to(fuzz: ModuleType, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).touch()
    good: dict[str, Any] = {
        **{"embedded": ["a.jpg"], "failures": {"b.png": "truncated file"}, "problems": [], "noise": ""},
        **{"longest": 1.0, "memory": 1e9},
    }
    assert fuzz.objections_to(good, tmp_path) == []
    bad = [
        {"embedded": []},
        {"embedded": ["a.jpg", "b.png"]},
        {"embedded": ["a.jpg", "c.jpg"]},
        {"failures": {"b.png": ""}},
        {"failures": {"b.png": "two\nlines"}},
        {"failures": {"b.png": "<PIL.Image object at 0x7f0000000000>"}},
        {"problems": ["a shard is damaged"]},
        {"noise": "libpng warning\n"},
        {"longest": 16.0},
        {"memory": 5e9},
        {"died": "it ended with SIGSEGV"},
    ]
    for change in bad:
        assert len(fuzz.objections_to(good | change, tmp_path)) == 1, change


def test_a_run_that_dies_is_told(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "dies"
    script.write_text("import os; os.abort()")
    monkeypatch.setattr(fuzz, "__file__", str(script))
    assert "SIGABRT" in fuzz.run(tmp_path, tmp_path / "library")["died"]


def test_the_seeds_are_whole(fuzz: ModuleType) -> None:
    from vlsearch.errors import UnreadableFile
    from vlsearch.ingest.decode import decode

    whole = fuzz.seeds()
    assert {"jpg", "png", "gif", "webp", "tif", "avif", "heic", "jp2", "psd", "bmp", "ico"} <= set(whole)
    read = dict.fromkeys(whole, 0)
    for suffix, files in whole.items():
        for data in files:
            try:
                decode(data, fuzz.Colours.preprocess)
                read[suffix] += 1
            except UnreadableFile:
                continue
    assert all(read.values()), read
    assert sum(read.values()) >= 0.95 * sum(map(len, whole.values()))
