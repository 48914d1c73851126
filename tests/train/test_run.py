"""A run measures, trains, measures again and leaves a model; it says what was lost, and stops before work is done in
vain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from vlsearch.errors import UsageError, VlsearchError
from vlsearch.train import run
from vlsearch.train.material import Asked, material
from vlsearch.train.run import encoder_of, train_distill, train_negclip

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
CAPTIONS = [f"a {a} dog chases a {b} cat" for a in ("red", "green", "blue") for b in ("white", "black", "grey")]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """Nine photos in colours of their own, with a caption each; three steps."""
    images = tmp_path / "images"
    images.mkdir()
    told: dict[str, Any] = {"images": [], "annotations": []}
    for n, caption in enumerate(CAPTIONS):
        Image.new("RGB", (32, 32), (25 * n, 255 - 25 * n, 99)).save(images / f"{n}.png")
        told["images"].append({"id": n, "file_name": f"{n}.png"})
        told["annotations"].append({"id": n, "image_id": n, "caption": caption})
    (tmp_path / "captions.json").write_text(json.dumps(told))
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    return Asked(
        tmp_path / "out",
        dataset=str(tmp_path / "captions.json"),
        images=images,
        arch=str(tmp_path / "tiny.json"),
        steps=3,
        held_out=0,
    )


@contextmanager
def measured_first(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a run does, in its order."""
    done: list[str] = []
    for name in ("measure", "fit", "save_model"):
        before = getattr(run, name)

        def told(*args: Any, _name: str = name, _before: Any = before, **options: Any) -> Any:
            done.append(_name)
            return _before(*args, **options)

        monkeypatch.setattr(run, name, told)
    yield done


def test_it_is_measured_before_and_after(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    with material(replace(asked, held_out=0.5)) as found, measured_first(monkeypatch) as done:
        trained = train_negclip(found, ("nouns",), 0)
    assert done == ["measure", "fit", "save_model", "measure"]
    assert {change.kind for change in trained.changes} == {"retrieval", "order"}


def test_nothing_of_the_work_is_left(asked: Asked) -> None:
    with material(asked) as found:
        train_negclip(found, ("nouns",), 2)
    assert {file.name for file in asked.out.iterdir()} == {
        "README.md",
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "training.json",
    }
    recipe = json.loads((asked.out / "training.json").read_text())["recipe"]
    assert {key: recipe[key] for key in ("method", "from", "negatives", "neighbours", "steps", "batch")} == {
        "method": "negclip",
        "from": "tiny",
        "negatives": ["nouns"],
        "neighbours": 2,
        "steps": 3,
        "batch": 9,
    }


def test_captions_without_a_negative_are_counted(asked: Asked, tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(captions.read_text().replace("a red dog chases a white cat", "dog"))
    with material(asked) as found:
        trained = train_negclip(found, ("nouns",), 0)
    assert trained.remarks == ("1 of 9 captions have no hard negative and are trained on without",)
    assert "No hard negative could be made of 1 of 9 captions." in (asked.out / "README.md").read_text()


def test_a_run_too_short_to_change_much_says_so(asked: Asked) -> None:
    with material(replace(asked, steps=None, epochs=4)) as found:
        trained = train_negclip(found, ("nouns",), 0)
    assert trained.remarks == ("4 steps change a model little; 9 photos want more --epochs",)


def test_what_cannot_be_trained_is_not_measured_first(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    for wrong, error in ((replace(asked, freeze=("all",)), UsageError), (replace(asked, lora=4), VlsearchError)):
        with material(replace(wrong, held_out=0.5)) as found, measured_first(monkeypatch) as done:
            with pytest.raises(error):
                train_negclip(found, ("nouns",), 0)
            assert done == []


def test_a_run_that_failed_goes_on_to_the_same_weights(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails when all steps are done and the model is to be saved."""
    with material(replace(asked, out=tmp_path / "whole")) as found:
        train_negclip(found, ("nouns",), 2)

    def full(*_: Any, **__: Any) -> None:
        raise VlsearchError("no room")

    with monkeypatch.context() as patched, material(asked) as found:
        patched.setattr(run, "save_model", full)
        with pytest.raises(VlsearchError, match="no room"):
            train_negclip(found, ("nouns",), 2)
    with material(asked) as found:
        again = train_negclip(found, ("nouns",), 2)
    assert again.fitted.resumed_from == 3
    own, whole = (load_file(folder / "open_clip_model.safetensors") for folder in (asked.out, tmp_path / "whole"))
    assert all(own[name].equal(whole[name]) for name in whole)


def test_an_encoder_leaves_the_model_as_it_is(asked: Asked) -> None:
    with material(asked) as found:
        found.model.train()
        encoder_of(found, found.model).embed_texts(CAPTIONS)
        assert found.model.training
        assert all(parameter.requires_grad for parameter in found.model.parameters())


def teach(tmp_path: Path, texts: list[str]) -> str:
    """A file with vectors of these texts and of all photos."""
    keys = [*texts, *(f"{n}.png" for n in range(9))]
    rows = np.random.default_rng(0).normal(size=(len(keys), 16)).astype(np.float32)
    np.savez(tmp_path / "teacher.npz", key=np.array(keys), vector=rows)
    return f"vectors:{tmp_path / 'teacher.npz'}"


def test_a_teacher_is_called_by_its_name(asked: Asked, tmp_path: Path) -> None:
    with material(asked) as found:
        train_distill(found, teach(tmp_path, CAPTIONS), None)
    text = (asked.out / "README.md").read_text()
    assert "Its teacher was vectors:teacher.npz; none of its weights is in here." in text
    assert str(tmp_path) not in text


def test_a_teacher_that_lacks_texts_is_refused(asked: Asked, tmp_path: Path) -> None:
    with material(asked) as found, pytest.raises(UsageError, match="2 of 9 texts"):
        train_distill(found, teach(tmp_path, CAPTIONS[:7]), None)
