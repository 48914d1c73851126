"""Quantised products and towers against the exact ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.encoders.conftest import random_model
from vlsearch.encoders import int8, int8_tower
from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.int8 import ZERO, Linear8, RowLinear8, to_levels
from vlsearch.encoders.int8_tower import Norm8, Patches8, drawn, quantised
from vlsearch.encoders.openclip import preprocess_of
from vlsearch.encoders.vit import layout, parts_of

pytestmark = pytest.mark.skipif(not int8._has_instructions(), reason="no int8 products on this processor")


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.float() - exact).norm() / exact.norm())


def lowest_cosine(found: torch.Tensor, exact: torch.Tensor) -> float:
    """After the mean is taken off, which all photos have in common: what is left tells them apart."""
    return float(F.cosine_similarity(found - exact.mean(0), exact - exact.mean(0)).min())


def exact_features(visual: Any, pixels: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (preprocess.mean, preprocess.std))
    features: torch.Tensor = visual((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
    return features


def both(visual: Any, preprocess: Preprocess, n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of photos that the calibration has not seen, in int8 and exact."""
    pixels = drawn(n + 8, preprocess.size)[8:].flip(2)
    tower = quantised(visual, preprocess, torch.bfloat16)
    assert tower is not None
    return tower(pixels.permute(0, 3, 1, 2)), exact_features(visual, pixels, preprocess)


def test_levels_are_rounded_and_saturate() -> None:
    values = torch.tensor([-40.0, 0.2, 0.6, 127.49, 128.51, 254.9, 256.0, 9e5])
    assert to_levels(values + 0.5).tolist() == [0, 0, 1, 127, 129, 255, 255, 255]


def test_a_product_is_that_of_floats() -> None:
    weight, bias = torch.randn(96, 64), torch.randn(96)
    x = torch.randint(0, 256, (50, 64), dtype=torch.uint8)
    exact = (x.float() - 99) * 0.02 @ weight.T + bias
    layer = Linear8(weight, bias, 0.02, 99)
    assert relative(layer(x, torch.float32), exact) < 0.01
    assert relative(layer(x, torch.bfloat16), exact) < 0.012
    assert relative(layer.add_to(torch.ones(50, 96), x) - 1, exact) < 0.01


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "quick_gelu"])
def test_a_product_with_its_activation(activation: str) -> None:
    from vlsearch.encoders.vit import activate

    weight, bias = torch.randn(96, 64) / 8, torch.randn(96)
    x = torch.randint(0, 256, (50, 64), dtype=torch.uint8)
    exact = activate((x.float() - ZERO) * 0.01 @ weight.T + bias, activation)
    found = Linear8(weight, bias, 0.01).activated(x, activation, 0.03, 6)
    assert found.dtype == torch.uint8
    assert relative((found.float() - 6) * 0.03, exact) < 0.015


def test_pytorch_has_the_products_that_the_processor_has() -> None:
    assert int8._works()


def test_a_layer_norm_is_rounded_to_the_nearest_level() -> None:
    norm, x = torch.nn.LayerNorm(64), torch.randn(200, 64) * 3 + 1
    norm.weight.copy_(torch.rand(64) + 0.5)
    exact = norm(x)
    made = Norm8(norm, (exact.amin(0), exact.amax(0)), torch.randn(96, 64))
    gaps = (made(x).float() - ZERO) - (exact - made.centre) / (made.divisor * made.scale)
    assert gaps.abs().max() < 0.51
    assert gaps.abs().max() > 0.4


def test_a_large_row_costs_the_others_nothing() -> None:
    weight, bias, x = torch.randn(96, 64), torch.randn(96), torch.randn(50, 64)
    layer, exact = RowLinear8(weight, bias), x @ weight.T + bias
    x[7] *= 1000
    found = layer.add_to(torch.zeros(50, 96), x.clone())
    others = torch.arange(50) != 7
    assert relative(found[others], exact[others]) < 0.015


def test_patches_are_those_of_the_convolution() -> None:
    conv = torch.nn.Conv2d(3, 48, 8, 8)
    preprocess = Preprocess((24, 32), (0.48, 0.41, 0.3), (0.2, 0.3, 0.25))
    pixels = torch.randint(0, 256, (3, 24, 32, 3), dtype=torch.uint8)
    exact = exact_features(conv, pixels, preprocess)
    found = Patches8(conv, preprocess)(pixels.permute(0, 3, 1, 2))
    assert found.shape == exact.shape == (3, 48, 3, 4)
    assert relative(found, exact) < 0.01


@pytest.mark.parametrize("arch", ["tiny", "tiny-custom", "tiny-quickgelu", "tiny-64", "tiny-deep"])
def test_a_tower_of_open_clip(arch: str) -> None:
    model = random_model(arch)
    found, exact = both(model.visual, preprocess_of(model))
    assert found.dtype == torch.float32
    assert lowest_cosine(found, exact) > 0.98
    assert not torch.allclose(found, exact, atol=1e-4), "int8 was not used"


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_a_tower_of_timm(pool: str) -> None:
    from open_clip.timm_model import TimmModel

    visual = TimmModel("vit_tiny_patch16_224", 32, pool=pool, proj="linear").eval()
    visual.trunk.set_input_size(img_size=64)
    visual.trunk.blocks = visual.trunk.blocks[:2]
    preprocess = Preprocess((64, 64), (0.5,) * 3, (0.5,) * 3)  # type: ignore[arg-type]
    found, exact = both(visual, preprocess)
    assert lowest_cosine(found, exact) > 0.99


@pytest.mark.parametrize("change", ["qk_norm", "no attention bias", "ReLU"])
def test_a_tower_that_is_not_plain_is_left_alone(change: str) -> None:
    model = random_model("tiny", force_custom_text=True)
    block = model.visual.transformer.resblocks[1]
    if change == "qk_norm":
        block.attn = torch.nn.Identity()
    elif change == "ReLU":
        block.mlp.gelu = torch.nn.ReLU()
    else:
        block.attn = torch.nn.MultiheadAttention(64, 2, kdim=32, batch_first=True)
    assert quantised(model.visual, preprocess_of(model), torch.float32) is None
    assert quantised(torch.nn.Conv2d(3, 8, 3), preprocess_of(model), torch.float32) is None


def test_a_photos_features_do_not_depend_on_its_batch() -> None:
    model = random_model("tiny")
    tower = quantised(model.visual, preprocess_of(model), torch.bfloat16)
    assert tower is not None
    pixels = drawn(9, (32, 32)).permute(0, 3, 1, 2)
    together = tower(pixels)
    alone = torch.cat([tower(pixel[None]) for pixel in pixels])
    assert torch.equal(together, tower(pixels)), "it is not the same twice"
    assert (together - alone).abs().max() < 2e-3 * together.abs().max()


def test_what_nobody_looks_at_is_not_computed() -> None:
    model = random_model("tiny")
    tower = quantised(model.visual, preprocess_of(model), torch.bfloat16)
    places = layout(tower)
    assert places is not None
    pixels = drawn(5, (32, 32)).permute(0, 3, 1, 2)
    sizes: list[int] = []
    places.blocks[-1].register_forward_hook(lambda _module, _inputs, result: sizes.append(result.shape[1]))
    few = tower(pixels)  # type: ignore[misc]
    places.blocks[-1].only_first = False  # type: ignore[assignment]
    assert (few - tower(pixels)).abs().max() < 1e-5  # type: ignore[misc]
    assert sizes == [1, 17]


def test_the_model_is_left_as_it_was() -> None:
    model = random_model("tiny").bfloat16()
    before = copy.deepcopy(model.visual.state_dict())
    quantised(model.visual, preprocess_of(model), torch.bfloat16)
    after = model.visual.state_dict()
    assert list(before) == list(after)
    assert all(after[key].dtype == torch.bfloat16 and torch.equal(after[key], before[key]) for key in before)


def test_channels_that_are_much_larger_than_others() -> None:
    model = random_model("tiny")
    for block in model.visual.transformer.resblocks:
        block.ln_1.weight[3] *= 60
        block.attn.in_proj_weight[:, 3] /= 60
        block.ln_2.bias[5] += 200
        block.mlp.c_fc.bias -= 200 * block.mlp.c_fc.weight[:, 5]
    found, exact = both(model.visual, preprocess_of(model))
    assert lowest_cosine(found, exact) > 0.98


def test_a_hidden_unit_that_is_huge_for_some_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("tiny")
    for block in model.visual.transformer.resblocks:
        block.mlp.c_fc.weight[0] *= 60
        block.mlp.c_proj.weight[:, 0] /= 60
    preprocess = preprocess_of(model)
    by_row = lowest_cosine(*both(model.visual, preprocess))
    monkeypatch.setattr(int8_tower, "COARSE", 1e9)
    assert by_row > 0.98
    assert by_row > lowest_cosine(*both(model.visual, preprocess)) + 0.005


def test_many_tokens_go_through_flash_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("tiny")
    plain, _ = both(model.visual, preprocess_of(model))
    monkeypatch.setattr(int8_tower, "SHORT", 4)
    flash, _ = both(model.visual, preprocess_of(model))
    assert 0 < (plain - flash).abs().max() < 0.02 * plain.abs().max()


def test_layer_scale_is_part_of_the_weights() -> None:
    model = random_model("tiny")
    block = model.visual.transformer.resblocks[0]
    before = parts_of(block)
    block.ls_1 = torch.nn.Module()
    block.ls_1.gamma = torch.full((64,), 0.5)
    assert torch.equal(parts_of(block).out_weight, before.out_weight / 2)
    assert torch.equal(parts_of(block).fc2_weight, before.fc2_weight)


def test_without_the_instructions_or_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        int8.available.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
        assert not int8.available()
        int8.available.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True}, raising=False)
        assert int8.available()
        int8.available.cache_clear()
        monkeypatch.setattr(Linear8, "add_to", lambda _self, sums, _x: sums)
        assert not int8.available()
    finally:
        monkeypatch.undo()
        int8.available.cache_clear()
