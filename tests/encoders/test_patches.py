"""Vectors of an image's parts: what they are in each kind of tower, and that they stand where the parts are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.encoders.conftest import random_model, tokenizer_of
from vlsearch.encoders import registry
from vlsearch.encoders.openclip import OpenClipEncoder
from vlsearch.encoders.patches import patch_features

TIMM = {
    "avg": {"timm_model_name": "resnet10t", "timm_pool": "avg", "timm_proj": ""},
    "norm": {"timm_model_name": "convnext_atto", "timm_pool": "", "timm_proj": "linear"},
    "swin": {"timm_model_name": "swin_tiny_patch4_window7_224", "timm_pool": "avg", "timm_proj": "linear"},
    "map": {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "map", "timm_proj": "none"},
    "token": {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "token", "timm_proj": "linear"},
    "abs_attn": {"timm_model_name": "resnet10t", "timm_pool": "abs_attn", "timm_proj": ""},
    "eva": {"timm_model_name": "eva02_tiny_patch14_224", "timm_pool": "token", "timm_proj": ""},
}


def timm_tower(kind: str, size: int = 224) -> Any:
    from open_clip.timm_model import TimmModel

    torch.manual_seed(0)
    config = {name.removeprefix("timm_"): value for name, value in TIMM[kind].items() if name != "timm_model_name"}
    return TimmModel(TIMM[kind]["timm_model_name"], 32, size, **config).eval().requires_grad_(False)


def vit(**changes: Any) -> Any:
    from open_clip.transformer import VisionTransformer

    torch.manual_seed(0)
    options = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "heads": 2, "mlp_ratio": 4.0}
    tower = VisionTransformer(**{**options, "output_dim": 32, **changes}).eval().requires_grad_(False)
    for parameter in tower.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.08)
    return tower


def images(size: int, n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def parts(tower: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found = patch_features(tower, x)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("tower", "size", "grid"),
    [(lambda: timm_tower("avg"), 96, (3, 3)), (lambda: vit(pool_type="avg"), 32, (4, 4))],
    ids=["convolutions", "transformer"],
)
def test_the_mean_of_the_parts_is_the_image_where_pooling_is_a_mean(
    tower: Any, size: int, grid: tuple[int, int]
) -> None:
    tower, x = tower(), images(size)
    found = parts(tower, x)
    assert found.shape == (2, *grid, 32)
    torch.testing.assert_close(found.mean((1, 2)), tower(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["norm", "swin"])
def test_an_even_map_gives_the_image_in_every_cell(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tower, x = timm_tower(kind), images(224)
    one = tower.trunk.forward_features(x)
    dims = (1, 2) if kind == "swin" else (2, 3)
    monkeypatch.setattr(tower.trunk, "forward_features", lambda _: one.mean(dims, keepdim=True).expand_as(one))
    found = parts(tower, x)
    assert found.shape == (2, 7, 7, 32)
    torch.testing.assert_close(found, tower(x)[:, None, None].expand_as(found), rtol=1e-4, atol=1e-5)


def alone_reference(tower: Any, x: torch.Tensor) -> torch.Tensor:
    """open_clip's tower with a mask in its last block that lets every token see nothing but itself."""
    last = tower.transformer.resblocks[-1]
    tokens = tower._embeds(x)
    for block in tower.transformer.resblocks[:-1]:
        tokens = block(tokens)
    t = tokens.shape[1]
    tokens = last(tokens, attn_mask=torch.full((t, t), -torch.inf).fill_diagonal_(0))
    return tower.ln_post(tokens)[:, 1:] @ tower.proj


@pytest.mark.parametrize("ls_init_value", [None, 0.3])
def test_a_class_token_tower_takes_the_values_of_its_last_attention(ls_init_value: float | None) -> None:
    tower, x = vit(ls_init_value=ls_init_value), images(32)
    torch.testing.assert_close(parts(tower, x).flatten(1, 2), alone_reference(tower, x), rtol=1e-4, atol=1e-5)


def test_of_timm_as_of_open_clip() -> None:
    tower, x = timm_tower("token"), images(224)
    trunk = tower.trunk
    tokens: list[torch.Tensor] = []
    hook = trunk.blocks[-1].register_forward_hook(lambda _m, inputs, _o: tokens.append(inputs[0]))
    tower(x)
    hook.remove()
    one = tokens[0][:, 1 + 14 * 3 + 5].unsqueeze(1)
    alone = tower.head(trunk.fc_norm(trunk.norm(trunk.blocks[-1](one)))[:, 0])
    torch.testing.assert_close(parts(tower, x)[:, 3, 5], alone, rtol=1e-4, atol=1e-5)


def test_attention_pooling_sees_one_token_at_a_time() -> None:
    tower, x = timm_tower("map"), images(224)
    trunk = tower.trunk
    tokens = trunk.forward_features(x)
    found = parts(tower, x)
    place = trunk.num_prefix_tokens + 14 * 3 + 5
    torch.testing.assert_close(found[:, 3, 5], trunk.attn_pool(tokens[:, place : place + 1]), rtol=1e-4, atol=1e-5)
    coca = vit(attentional_pool=True, attn_pooler_queries=8, attn_pooler_heads=2, output_tokens=True)
    assert parts(coca, images(32)).shape == (2, 4, 4, 32)


def test_of_a_clip_resnet() -> None:
    from open_clip.modified_resnet import ModifiedResNet

    torch.manual_seed(0)
    tower = ModifiedResNet([1, 1, 1, 1], 32, heads=4, image_size=64, width=16).eval().requires_grad_(False)
    tower.attnpool.positional_embedding.zero_()
    maps: list[torch.Tensor] = []
    hook = tower.attnpool.register_forward_hook(lambda _m, inputs, _o: maps.append(inputs[0]))
    tower(images(64))
    hook.remove()
    even = maps[0][:, :, :1, 1:].expand_as(maps[0]).contiguous()  # row 0, column 1 everywhere
    found = parts(tower, images(64))
    assert found.shape == (2, 2, 2, 32)
    torch.testing.assert_close(found[:, 0, 1], tower.attnpool(even), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["abs_attn", "eva"])
def test_no_parts_where_they_cannot_be_told_apart(kind: str) -> None:
    size = 224 if kind == "eva" else 256
    assert patch_features(timm_tower(kind, size), images(size, 1)) is None


def noise(n: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_encoder_gives_unit_vectors(precision: str) -> None:
    encoder = OpenClipEncoder(random_model("tiny"), tokenizer_of("tiny"), "tiny", {}, precision, "cpu")
    found = encoder.patch_vectors(noise(3, 32))
    assert found is not None
    assert found.shape == (3, 4, 4, 32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_the_built_in_models_parts_lie_as_the_photo_does() -> None:
    """A change in one quarter shows most in that quarter: the map is neither turned nor mirrored."""
    encoder = registry.load("builtin", precision="fp32")
    size = encoder.preprocess.size[0]
    marked = np.full((5, size, size, 3), 120, np.uint8)
    quarters = [
        (slice(top, top + size // 2), slice(left, left + size // 2))
        for top in (0, size // 2)
        for left in (0, size // 2)
    ]
    for i, (rows, columns) in enumerate(quarters):
        marked[i, rows, columns] = noise(1, size)[0, rows, columns]
    found = encoder.patch_vectors(marked)
    assert found is not None
    change = 1 - (found[:4] * found[4]).sum(-1)
    corners = change[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.argmax(1).tolist() == [0, 1, 2, 3]
