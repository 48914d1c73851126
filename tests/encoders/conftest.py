"""Small open_clip models with random weights, and a Hugging Face cache of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from huggingface_hub import constants

VISION = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "tiny-custom": {"custom_text": True},
    "tiny-quickgelu": {"quick_gelu": True},
    "tiny-64": {"vision_cfg": {**VISION, "image_size": 64}},
    "tiny-deep": {"vision_cfg": {**VISION, "layers": 3}},
    "tiny-wide": {"vision_cfg": {**VISION, "width": 96}, "text_cfg": {**TEXT, "width": 96}},
    "tiny-last": {
        "custom_text": True,
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last"},
        "init_logit_bias": -10,
    },
    "tiny-class": {
        "custom_text": True,
        "text_cfg": {**TEXT, "context_length": 76, "embed_cls": True},
    },
    "tiny-causal-last": {"custom_text": True, "text_cfg": {**TEXT, "pool_type": "last"}},
    "tiny-open": {"text_cfg": {**TEXT, "no_causal_mask": True}},
    "tiny-eos": {"text_cfg": {**TEXT, "vocab_size": 100, "pool_type": "eos", "eos_id": 7}},
    "tiny-custom-eos": {
        "custom_text": True,
        "text_cfg": {**TEXT, "vocab_size": 100, "pool_type": "eos", "eos_id": 7, "proj_bias": True},
    },
}


@pytest.fixture(scope="session", autouse=True)
def _tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """open_clip knows ARCHITECTURES while these tests run."""
    folder = tmp_path_factory.mktemp("architectures")
    for name, changes in ARCHITECTURES.items():
        config = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT, **changes}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS.remove(folder)
    for name in ARCHITECTURES:
        del open_clip.factory._MODEL_CONFIGS[name]


def random_model(arch: str, seed: int = 0, **options: Any) -> Any:
    """Larger weights than open_clip starts a training with, so that every part of the model shows in its output."""
    torch.manual_seed(seed)
    model = open_clip.create_model(arch, **options).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.08)
    return model


@cache
def tokenizer_of(arch: str) -> Any:
    """open_clip takes a third of a second for it."""
    return open_clip.get_tokenizer(arch)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model's weights to a file, in the format that the file's suffix says."""

    def write(model: Any, name: str = "weights.safetensors", **extra: Any) -> Path:
        from safetensors.torch import save_file

        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
        if file.suffix == ".safetensors":
            save_file(state, file)
        else:
            torch.save({"state_dict": state, **extra} if extra else state, file)
        return file

    return write


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An empty cache in place of the user's; the function puts a file into it as a download would."""
    root = tmp_path / "hf" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))

    def put(repo: str, filename: str, source: Path | str, revision: str = "a" * 40) -> Path:
        folder = root / f"models--{repo.replace('/', '--')}"
        blob = folder / "blobs" / f"{filename}.blob"
        place = folder / "snapshots" / revision / filename
        for parent in (blob.parent, place.parent, folder / "refs"):
            parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text(revision)
        if isinstance(source, Path):
            blob.write_bytes(source.read_bytes())
        else:
            blob.write_text(source)
        place.symlink_to(blob)
        return place

    return put


@pytest.fixture
def tag(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds a tag to open_clip's table of pretrained weights, as `open_clip.pretrained` itself writes them."""
    from open_clip import pretrained

    def add(arch: str, name: str, **config: Any) -> None:
        kind = config.pop("kind", "_pcfg")
        known = pretrained._PRETRAINED.get(arch, {})
        monkeypatch.setitem(pretrained._PRETRAINED, arch, {**known, name: getattr(pretrained, kind)(**config)})

    return add
