"""What a run is made of: an architecture, a length and a rate for the photos there are, a folder to write in."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlsearch.encoders.base import Preprocess
from vlsearch.errors import UsageError
from vlsearch.train.material import Asked, Material, arch_config, from_nothing, material, told_name
from vlsearch.train.pairs import Pairs
from vlsearch.train.parallel import World

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESS = Preprocess((32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Model:
    logit_bias: float | None = None


def given(photos: int, *, bias: float | None = None, **asked: Any) -> Material:
    """Of so many photos with a caption each."""
    model = Model()
    model.logit_bias = bias
    pairs = Pairs(
        name="x",
        photos=tuple(map(str, range(photos))),
        pixels=np.zeros((photos, 32, 32, 3), np.uint8),
        texts=tuple(map(str, range(photos))),
        owner=np.arange(photos),
        captioned=photos,
        digest="",
    )
    return Material(
        Asked(Path("out"), **asked),
        World(),
        model,
        None,
        {},
        PREPROCESS,
        "tiny",
        pairs,
        None,
        lambda _: b"",
        (),
        lambda *_: None,
    )


def test_epochs_are_steps() -> None:
    assert given(1000).settings().steps == round(5 * 1000 / 128)
    assert given(1000, epochs=0.5, batch=100).settings().steps == 5
    assert given(1000, steps=7).settings().steps == 7
    assert given(3, epochs=0.01).settings().steps == 1


def test_a_batch_is_cut_to_the_photos_there_are() -> None:
    assert given(20).settings().batch == 20
    assert given(2).settings().batch == 2
    with pytest.raises(UsageError, match="one photo with captions has nothing to be told apart from"):
        given(1).settings()


@pytest.mark.parametrize(
    ("asked", "rate"),
    [({}, 1e-5), ({"lora": 4}, 2e-4), ({"arch": "tiny.json"}, 1e-3), ({"arch": "tiny.json", "rate": 0.5}, 0.5)],
)
def test_rates_are_of_what_is_trained(asked: dict[str, Any], rate: float) -> None:
    assert given(20, **asked).settings().rate == rate


def test_a_warm_up_leaves_most_of_a_short_run() -> None:
    assert given(20, steps=10_000).settings().warmup == 50
    assert given(20, steps=20).settings().warmup == 3


def test_the_loss_is_the_one_that_the_model_was_trained_with() -> None:
    assert given(20).settings().loss == "softmax"
    assert given(20, bias=-10.0).settings().loss == "sigmoid"
    assert given(20, bias=-10.0, loss="softmax").settings().loss == "softmax"
    with pytest.raises(UsageError, match="the sigmoid loss needs a bias, which tiny has not; take --loss softmax"):
        given(20, loss="sigmoid").settings()


@pytest.mark.parametrize("told", [TINY, {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}])
def test_an_architecture_with_and_without_its_preprocessing(told: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "tiny.json"
    file.write_text(json.dumps(told))
    config = arch_config(str(file))
    assert config["model_cfg"] == TINY
    assert config["preprocess_cfg"] == told.get("preprocess_cfg", {})
    assert "init_logit_bias" not in config["model_cfg"]
    assert arch_config(str(file), bias=True)["model_cfg"]["init_logit_bias"] == -10


def test_random_weights_are_those_of_the_seed(tmp_path: Path) -> None:
    config = {"model_cfg": TINY, "preprocess_cfg": {}}
    models = [from_nothing(config, tmp_path, seed)[0] for seed in (1, 1, 2)]
    first, again, other = (model.visual.conv1.weight for model in models)
    assert first.equal(again)
    assert not first.equal(other)


def test_a_folder_is_called_by_its_name() -> None:
    assert told_name({"name": f"local-dir:{Path.cwd() / 'mine'}"}) == "local-dir:mine"
    assert told_name({"name": "ViT-B-32", "weights": str(Path.cwd() / "w.safetensors")}) == "ViT-B-32@w.safetensors"


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """12 photos, of which 0, 1 and 2 are broken, with a caption each."""
    images = tmp_path / "images"
    images.mkdir()
    for n in range(12):
        out = io.BytesIO()
        Image.new("RGB", (32, 32), (20 * n, 0, 0)).save(out, "PNG")
        (images / f"{n}.png").write_bytes(out.getvalue() if n > 2 else b"no photo")
    told = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(12)],
        "annotations": [{"id": n, "image_id": n, "caption": f"photo number {n}"} for n in range(12)],
    }
    (tmp_path / "captions.json").write_text(json.dumps(told))
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    return Asked(
        tmp_path / "out",
        dataset=str(tmp_path / "captions.json"),
        images=images,
        arch=str(tmp_path / "tiny.json"),
        held_out=0.5,
    )


def test_broken_photos_are_in_neither_part(asked: Asked) -> None:
    with material(asked) as found:
        assert found.held is not None
        trained, held = {*found.pairs.photos}, {*found.held.photos}
        assert trained | held == {f"{n}.png" for n in range(3, 12)}
        assert trained.isdisjoint(held)
        assert {name for name, _ in found.unreadable} == {"0.png", "1.png", "2.png"}
        owners = [found.held.photos[n] for n in found.held.owner]
        assert [f"photo number {name.removesuffix('.png')}" for name in owners] == list(found.held.texts)


def test_small_numbers_are_flushed_only_while_it_trains(asked: Asked) -> None:
    small = np.array([1e-40], np.float32)
    with material(asked):
        assert (small * np.float32(0.5)).item() == 0
    assert (small * np.float32(0.5)).item() > 0


def test_all_are_trained_on_where_none_is_held_out(asked: Asked) -> None:
    with material(replace(asked, held_out=0)) as found:
        assert found.held is None
        assert len(found.pairs.photos) == 9


@pytest.mark.parametrize("file", ["training.json", "open_clip_model.safetensors"])
def test_a_model_is_not_written_over(asked: Asked, file: str) -> None:
    asked.out.mkdir()
    (asked.out / file).touch()
    with pytest.raises(UsageError, match="holds a trained model already; give another --out, or delete it"):
        material(asked).__enter__()


def test_a_run_that_was_stopped_while_it_measured_goes_on(asked: Asked) -> None:
    """Its model is saved, its checkpoint is still there."""
    asked.out.mkdir()
    for file in ("open_clip_model.safetensors", "checkpoint.pt"):
        (asked.out / file).touch()
    with material(asked) as found:
        assert found.pairs.captioned > 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sugarcrepe": Path("x")}, "--sugarcrepe DIR, its files, and --sugarcrepe-images DIR"),
        ({"sugarcrepe_images": Path("x")}, "--sugarcrepe DIR, its files, and --sugarcrepe-images DIR"),
        ({"labelled": Path("x"), "held_out": 0}, "with --held-out 0 nothing is measured"),
        ({"dataset": None}, "--data and --images are of a dataset; name it with --dataset"),
    ],
)
def test_options_that_would_not_be_heeded(asked: Asked, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        material(replace(asked, **options)).__enter__()
    assert not asked.out.exists()
