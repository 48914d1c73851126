"""The table of recommended models: every name exists, every figure is a figure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

TABLE = Path(__file__).parents[2] / "vlsearch/encoders/recommended.toml"
FIGURES = {
    "coco_text_to_image_r1",
    "coco_image_to_text_r1",
    "flickr30k_text_to_image_r1",
    "flickr30k_image_to_text_r1",
}
TEXTS = {"name", "licence", "page", "note"}


@pytest.fixture(scope="module")
def models() -> list[dict[str, Any]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))["model"]


def test_default_comes_first_and_names_are_distinct(models: list[dict[str, Any]]) -> None:
    names = [model["name"] for model in models]
    assert names[0] == "ViT-B-32-256/datacomp_s34b_b86k"
    assert len(set(names)) == len(names) >= 8


def test_every_name_is_one_of_open_clip(models: list[dict[str, Any]]) -> None:
    open_clip = pytest.importorskip("open_clip")
    known = {f"{arch}/{tag}" for arch, tag in open_clip.list_pretrained()}
    assert [model["name"] for model in models if model["name"] not in known] == []


def test_image_size_and_required_packages_are_those_of_the_architecture(models: list[dict[str, Any]]) -> None:
    open_clip = pytest.importorskip("open_clip")
    for model in models:
        config = open_clip.get_model_config(model["name"].partition("/")[0])
        assert model["image_size"] == config["vision_cfg"]["image_size"], model["name"]
        from_transformers = {"hf_tokenizer_name", "hf_model_name"} & config["text_cfg"].keys()
        assert model.get("requires") == ("transformers" if from_transformers else None), model["name"]


def test_columns_are_complete_and_plausible(models: list[dict[str, Any]]) -> None:
    for model in models:
        assert model.keys() <= TEXTS | FIGURES | {"params_millions", "image_size", "gflops", "requires"}, model["name"]
        assert all(isinstance(model[key], str) and model[key] for key in TEXTS), model["name"]
        given = FIGURES & model.keys()
        assert given in (set(), FIGURES), model["name"]
        assert all(0.3 < model[key] < 1 for key in given), model["name"]
        if given:
            # Published for every model of this kind: an image finds one of its five captions more easily than
            # a caption its one image, so a row with its columns exchanged is seen here.
            assert model["coco_text_to_image_r1"] < model["coco_image_to_text_r1"], model["name"]
            assert model["flickr30k_text_to_image_r1"] < model["flickr30k_image_to_text_r1"], model["name"]
