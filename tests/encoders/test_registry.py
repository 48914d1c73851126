"""Names to models, out of a cache that a download has filled; nothing but results reaches the user's terminal."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray

from tests.encoders.conftest import TEXT, VISION, random_model, tokenizer_of
from vlsearch.encoders import catalogue, registry
from vlsearch.errors import ModelError, UsageError

Save = Callable[..., Path]
Put = Callable[..., Path]
Tag = Callable[..., None]
SAFE, PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"


def same_as(model: Any, arch: str, encoder: Any) -> bool:
    """Whether `encoder` gives what open_clip's own `model` gives, in fp32."""
    pixels: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    cfg = model.visual.preprocess_cfg
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - shaped(cfg["mean"])) / shaped(cfg["std"])
    with torch.inference_mode():
        images = torch.nn.functional.normalize(model.eval().encode_image(x), dim=-1).numpy()
        texts = torch.nn.functional.normalize(model.encode_text(tokenizer_of(arch)(["a dog", "!÷"])), dim=-1).numpy()
    found = encoder.embed_images(pixels), encoder.embed_texts(["a dog", "!÷"])
    return bool(np.abs(found[0] - images).max() <= 1e-5 and np.abs(found[1] - texts).max() <= 1e-5)


def shaped(values: Any) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


@pytest.mark.parametrize(("kind", "mean", "mode"), [("_pcfg", 0.48145466, "shortest"), ("_slpcfg", 0.5, "squash")])
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("filename", [SAFE, PICKLED])
def test_a_tag_equals_what_open_clip_makes_of_it(
    kind: str, mean: float, mode: str, quick: bool, filename: str, save: Save, hub_cache: Put, tag: Tag
) -> None:
    tag("tiny", "published", kind=kind, hf_hub="org/tiny/", **({"quick_gelu": True} if quick else {}))
    hub_cache("org/tiny", filename, save(random_model("tiny"), "w" + Path(filename).suffix))
    encoder = registry.load("tiny/published", precision="fp32")
    model = open_clip.create_model("tiny", pretrained="published", force_quick_gelu=quick)
    assert same_as(model, "tiny", encoder)
    assert (encoder.preprocess.mean[0], encoder.preprocess.resize_mode) == (mean, mode)
    assert encoder.preprocess.interpolation == "bicubic"
    assert quick == any(type(m).__name__ == "QuickGELU" for m in encoder._model.modules())
    assert not quick or not same_as(random_model("tiny"), "tiny", encoder), "the activation must show in this test"


def test_an_architecture_with_quickgelu_keeps_it_where_its_tag_says_nothing(
    save: Save, hub_cache: Put, tag: Tag
) -> None:
    # roberta-ViT-B-32/laion2b_s12b_b32k is such a one
    tag("tiny-quickgelu", "published", hf_hub="org/tiny/")
    hub_cache("org/tiny", SAFE, save(random_model("tiny")))
    assert same_as(random_model("tiny-quickgelu"), "tiny", registry.load("tiny-quickgelu/published", precision="fp32"))


def test_a_tag_with_a_file_of_its_own(save: Save, hub_cache: Put, tag: Tag) -> None:
    tag("tiny", "published", hf_hub="org/tiny/special.pt")
    hub_cache("org/tiny", SAFE, save(random_model("tiny", seed=1)))
    hub_cache("org/tiny", "special.pt", save(random_model("tiny"), "w.pt"))
    assert same_as(random_model("tiny"), "tiny", registry.load("tiny/published", precision="fp32"))


def test_a_tag_is_found_however_it_is_spelt(save: Save, hub_cache: Put, tag: Tag) -> None:
    tag("tiny", "made_by_us", hf_hub="org/tiny/")
    hub_cache("org/tiny", SAFE, save(random_model("tiny")))
    assert registry.load("tiny/made-by-US").name == "tiny/made-by-US"


def test_the_revision_that_main_names_is_read(save: Save, hub_cache: Put, tag: Tag) -> None:
    tag("tiny", "published", hf_hub="org/tiny/")
    hub_cache("org/tiny", SAFE, save(random_model("tiny", seed=1)), "b" * 40)
    hub_cache("org/tiny", SAFE, save(random_model("tiny")), "c" * 40)
    assert same_as(random_model("tiny"), "tiny", registry.load("tiny/published", precision="fp32"))


@pytest.mark.parametrize("filename", [SAFE, PICKLED])
def test_a_repository_of_the_hub(filename: str, save: Save, hub_cache: Put) -> None:
    config = {
        "model_cfg": {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT, "custom_text": True, "quick_gelu": True},
        "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "resize_mode": "longest", "fill_color": 9},
    }
    hub_cache("org/own", "open_clip_config.json", json.dumps(config))
    hub_cache("org/own", filename, save(random_model("tiny-custom"), "w" + Path(filename).suffix))
    encoder = registry.load("hf-hub:org/own", precision="fp32")
    model = open_clip.create_model("hf-hub:org/own")
    assert same_as(model, "tiny", encoder)
    assert (encoder.preprocess.mean, encoder.preprocess.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (encoder.preprocess.resize_mode, encoder.preprocess.fill_color) == ("longest", 9)


def test_a_repository_with_weights_of_ones_own(save: Save, hub_cache: Put) -> None:
    config = {"model_cfg": {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}, "preprocess_cfg": {}}
    hub_cache("org/own", "open_clip_config.json", json.dumps(config))
    encoder = registry.load("hf-hub:org/own", save(random_model("tiny")), "fp32")
    assert same_as(random_model("tiny"), "tiny", encoder)


def test_damaged_weights_in_the_cache_are_named(hub_cache: Put, tag: Tag) -> None:
    tag("tiny", "published", hf_hub="org/tiny/")
    place = hub_cache("org/tiny", SAFE, "not what it was")
    with pytest.raises(ModelError, match="is damaged") as caught:
        registry.load("tiny/published")
    assert str(place) in str(caught.value)


@pytest.mark.slow
def test_a_real_quickgelu_tag_equals_open_clip(tmp_path: Path, hub_cache: Put) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = open_clip.create_model("ViT-B-32").half().state_dict()
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "w.safetensors")
    hub_cache("timm/vit_base_patch32_clip_224.openai", SAFE, tmp_path / "w.safetensors")
    encoder = registry.load("ViT-B-32/openai", precision="fp32")
    model = open_clip.create_model("ViT-B-32", pretrained="openai", force_quick_gelu=True).eval()
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model.encode_text(tokenizer_of("ViT-B-32")(["a dog"])), dim=-1)
    assert np.abs(encoder.embed_texts(["a dog"]) - expected.numpy()).max() <= 1e-5


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ViT-B-32", "close: ViT-B-32/"),
        ("ViT-B-32/laion2b_s34b_b79", "close: ViT-B-32/laion2b_s34b_b79k"),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "hf-hub:…"),
        ("", "unknown model"),
        ("/", "unknown model"),
        ("hf-hub:", "cannot be a repository"),
        ("hf-hub:two words", "cannot be a repository"),
        ("hf-hub:a/b/c", "cannot be a repository"),
    ],
)
def test_names_that_nobody_knows(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.load(name)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_precision_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match="auto, fp32, bf16 and int8"):
        registry.load("builtin", precision="fp16")


@pytest.mark.parametrize("name", [row["name"] for row in catalogue.recommended() if "requires" in row])
def test_a_package_that_is_missing_is_named_before_anything_is_downloaded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    monkeypatch.setattr(registry.hub, "fetch", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(ModelError, match="pip install transformers"):
        registry.load(name)


def test_a_package_that_is_missing_for_a_tag_that_is_not_recommended(
    monkeypatch: pytest.MonkeyPatch, hub_cache: Put
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install transformers"):
        registry.load("ViT-B-16-SigLIP/webli")
    hub_cache("org/text", "open_clip_config.json", '{"model_cfg": {"text_cfg": {"hf_tokenizer_name": "x/y"}}}')
    with pytest.raises(ModelError, match="pip install transformers"):
        registry.load("hf-hub:org/text")


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, "fp32"),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_half_precision_where_the_processor_has_it(
    capabilities: dict[str, Any], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert registry.best_precision("cpu") == precision


@pytest.mark.parametrize(("has", "precision"), [(True, "bf16"), (False, "fp32")])
def test_older_torch_and_gpus_are_asked_otherwise(has: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has)
    assert registry.best_precision("cuda") == precision
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    assert registry.best_precision("cpu") == precision


def test_auto_takes_the_best(monkeypatch: pytest.MonkeyPatch, save: Save) -> None:
    file = save(random_model("tiny"))
    for best in ("fp32", "bf16"):
        monkeypatch.setattr(registry, "best_precision", lambda _, best=best: best)
        assert registry.load("tiny", file).precision == best


def test_loading_is_quiet_and_leaves_logging_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    root, others = logging.getLogger(), logging.getLogger("huggingface_hub")
    before = root.level, list(root.handlers), list(root.filters), others.level
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as said:
        with registry.quiet():
            logging.error("open_clip could not")
            others.error("retrying")
            warnings.warn("QuickGELU mismatch", stacklevel=1)
            logging.getLogger("application").warning("mine")
        logging.warning("after")
    assert [record.message for record in caplog.records] == ["mine", "after"]
    assert said == []
    caplog.clear()
    assert (list(root.handlers), list(root.filters), others.level) == before[1:]


def test_a_program_sees_nothing_but_its_own_output(save: Save) -> None:
    file = save(random_model("tiny", seed=3))
    config = json.dumps({"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT})
    (file.parent / "tiny.json").write_text(config)
    script = (
        "import logging, sys, open_clip; from pathlib import Path; from vlsearch.encoders import registry\n"
        "open_clip.add_model_config(Path(sys.argv[1]).with_name('tiny.json'))\n"
        "print(registry.load('tiny', Path(sys.argv[1])).dim, logging.getLogger().handlers)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert (done.stdout, done.stderr) == ("32 []\n", "")
