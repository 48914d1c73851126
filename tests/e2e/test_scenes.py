"""bin/make-scenes keeps its promises about pictures and captions; bin/demo-photos finds its photographs."""

from __future__ import annotations

import importlib.util
import itertools
import json
import runpy
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BIN = Path(__file__).parents[2] / "bin"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BIN / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Scenes:
    folder: Path
    told: dict[str, Any]
    done: subprocess.CompletedProcess[str]

    @property
    def captions(self) -> dict[int, str]:
        return {a["image_id"]: a["caption"] for a in self.told["annotations"]}

    def pixels(self, image_id: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        (name,) = (image["file_name"] for image in self.told["images"] if image["id"] == image_id)
        with Image.open(self.folder / name) as picture:
            return np.asarray(picture)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "mine.png").write_text("kept")
    done = run("make-scenes", folder, "--size", 64)
    assert done.returncode == 0, done.stderr
    return Scenes(folder, json.loads((folder / "captions.json").read_text(encoding="utf-8")), done)


def bag(caption: str) -> tuple[str, ...]:
    return tuple(sorted(caption.split()))


def test_same_bytes_every_time(scenes: Scenes, tmp_path: Path) -> None:
    assert run("make-scenes", tmp_path / "new" / "folder", "--size", 64).returncode == 0
    again = {file.name: file.read_bytes() for file in (tmp_path / "new" / "folder").iterdir()}
    assert again == {file.name: file.read_bytes() for file in scenes.folder.iterdir() if file.name != "mine.png"}


def test_every_picture_has_one_caption_and_other_files_stay(scenes: Scenes) -> None:
    images = scenes.told["images"]
    assert 200 <= len(images) <= 400
    assert sorted(scenes.captions) == [image["id"] for image in images]
    assert len(scenes.told["annotations"]) == len(images)
    drawn = {file.name for file in scenes.folder.glob("*.png")} - {"mine.png"}
    assert drawn == {image["file_name"] for image in images}
    assert (scenes.folder / "mine.png").read_text() == "kept"
    for image in images:
        assert scenes.pixels(image["id"]).shape == (image["height"], image["width"], 3) == (64, 64, 3)


def test_summary_is_the_last_line_and_nothing_goes_to_stdout(scenes: Scenes) -> None:
    assert scenes.done.stdout == ""
    assert f"{len(scenes.told['images'])} scenes in" in scenes.done.stderr.splitlines()[-1]


def test_pairs_say_the_same_words_in_another_order(scenes: Scenes) -> None:
    captions, pairs = scenes.captions, scenes.told["pairs"]
    assert len(pairs) >= 75
    bags = Counter(map(bag, captions.values()))
    for one, other in pairs:
        assert captions[one] != captions[other]
        assert bag(captions[one]) == bag(captions[other])
        assert bags[bag(captions[one])] == 2


def test_pictures_of_a_pair_differ_in_the_same_place(scenes: Scenes) -> None:
    for one, other in scenes.told["pairs"]:
        same = (scenes.pixels(one) == scenes.pixels(other)).all(axis=2).mean()
        assert 0.3 < same < 0.99, scenes.captions[one]


def test_of_the_other_half_the_words_alone_decide(scenes: Scenes) -> None:
    paired = {image_id for pair in scenes.told["pairs"] for image_id in pair}
    bags = Counter(map(bag, scenes.captions.values()))
    alone = [caption for image_id, caption in scenes.captions.items() if image_id not in paired]
    assert len(alone) >= len(paired)
    assert [caption for caption in alone if bags[bag(caption)] != 1] == []


def test_one_dog_on_the_beach(scenes: Scenes) -> None:
    assert [c for c in scenes.captions.values() if {"dog", "beach"} <= set(c.split())] == ["a dog on the beach"]


def test_articles_fit(scenes: Scenes) -> None:
    for caption in scenes.captions.values():
        words = caption.split()
        for article, word in itertools.pairwise(words):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou"), caption


def test_bad_calls_say_so_in_one_line(tmp_path: Path) -> None:
    size = run("make-scenes", tmp_path, "--size", 20)
    assert (size.returncode, size.stderr.splitlines()[-1]) == (
        2,
        "make-scenes: error: --size 20 is not between 64 and 1024",
    )
    (tmp_path / "file").touch()
    for script in ("make-scenes", "demo-photos"):
        blocked = run(script, tmp_path / "file" / "folder")
        assert blocked.returncode == 1
        assert len(blocked.stderr.splitlines()) == 1
        assert blocked.stderr.endswith("choose another DIR\n")


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("skimage", "sklearn"))), reason="needs pip install 'vlsearch[demo]'"
)
def test_demo_photographs_have_captions(tmp_path: Path) -> None:
    done = run("demo-photos", tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "captions.json").read_text(encoding="utf-8"))
    assert len(told["images"]) >= 15
    assert {a["image_id"] for a in told["annotations"]} == {image["id"] for image in told["images"]}
    for image in told["images"]:
        with Image.open(tmp_path / image["file_name"]) as photo:
            photo.load()
            assert photo.size == (image["width"], image["height"])


def test_demo_without_its_packages_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(sys, "argv", ["demo-photos", str(tmp_path / "photos")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BIN / "demo-photos"), run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "demo-photos: scikit-image is not installed; pip install 'vlsearch[demo]'\n"
    assert not (tmp_path / "photos").exists()
