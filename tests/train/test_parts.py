"""What is trained of a model: frozen towers and blocks, and adapters that go back into its weights."""

from __future__ import annotations

import copy
import sys

import open_clip
import pytest
import torch
from torch import nn

from vlsearch.errors import UsageError, VlsearchError
from vlsearch.train.parts import freeze, merged, train_mode, with_lora

TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 3}
VIT = {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 3}
EFFICIENTNET = {"image_size": 32, "timm_model_name": "test_efficientnet", "timm_pool": "avg", "timm_proj": ""}
TIMM_VIT = {"image_size": 32, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"}
RESNET = {"image_size": 32, "layers": (1, 1, 1, 1), "width": 8}
MODELS = {
    "vit": lambda: open_clip.CLIP(16, VIT, TEXT),
    "custom text": lambda: open_clip.CustomTextCLIP(16, VIT, TEXT, init_logit_bias=-10.0),
    "efficientnet": lambda: open_clip.CLIP(16, EFFICIENTNET, TEXT),
    "timm vit": lambda: open_clip.CLIP(16, TIMM_VIT, TEXT),
}


def tiny(kind: str = "vit") -> nn.Module:
    torch.manual_seed(0)
    return MODELS[kind]()  # type: ignore[no-any-return]


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def embed(model: nn.Module, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    photos = torch.rand(n, 3, 32, 32, generator=generator)
    texts = torch.randint(1, 64, (n, 8), generator=generator)
    return model.encode_image(photos), model.encode_text(texts)  # type: ignore[operator]


def train(model: nn.Module, steps: int = 3) -> None:
    train_mode(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        xi, xt = (nn.functional.normalize(x, dim=-1) for x in embed(model))
        logits = model.logit_scale.exp() * xi @ xt.T  # type: ignore[operator]
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.arange(len(xi))).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("side", ["image", "text"])
def test_a_frozen_tower_keeps_its_weights_and_statistics(kind: str, side: str) -> None:
    model = tiny(kind)
    freeze(model, [side])
    before = copy.deepcopy(model.state_dict())
    train(model)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    of_images = {name for name in changed if name.startswith("visual.")}
    assert changed - of_images - {"logit_scale"} if side == "image" else of_images
    assert not (of_images if side == "image" else changed - of_images - {"logit_scale"})
    assert "logit_scale" in changed


@pytest.mark.parametrize("kind", ["vit", "custom text"])
def test_the_last_blocks_are_trained_with_what_follows_them(kind: str) -> None:
    model = tiny(kind)
    freeze(model, ["image:2", "text:1"])
    text = "text." if kind == "custom text" else ""
    outside = {n for n in trained(model) if "resblocks" not in n and "logit" not in n}
    assert outside == {
        *("visual.ln_post.weight", "visual.ln_post.bias", "visual.proj"),
        *(text + n for n in ("ln_final.weight", "ln_final.bias", "text_projection")),
    }
    blocks = {
        n.partition("resblocks.")[0] + n.partition("resblocks.")[2][0] for n in trained(model) if "resblocks" in n
    }
    assert blocks == {"visual.transformer.1", "visual.transformer.2", f"{text}transformer.2"}


def test_the_last_blocks_of_a_timm_tower() -> None:
    model = tiny("timm vit")
    freeze(model, ["image:1", "text"])
    last = max(int(n.split(".")[3]) for n, _ in model.named_parameters() if n.startswith("visual.trunk.blocks."))
    towers = {n for n in trained(model) if not n.startswith("logit")}
    kept = (f"visual.trunk.blocks.{last}.", "visual.trunk.norm.", "visual.trunk.fc_norm.", "visual.head.")
    assert towers == {n for n, _ in model.named_parameters() if n.startswith(kept)}
    assert all(any(n.startswith(prefix) for n in towers) for prefix in (kept[0], kept[3]))


def test_frozen_modules_do_without_dropout_and_statistics() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout()),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout()),
    )
    model[0].requires_grad_(False)
    train_mode(model)
    assert [m.training for m in model.modules()] == [True, False, False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("kind", "specs", "message"),
    [
        ("vit", ["picture"], "cannot freeze 'picture'; there are 'image' and 'text', and 'image:6'"),
        ("vit", ["image:0"], "cannot freeze 'image:0'"),
        ("vit", ["image:4"], "'image:4' leaves more blocks than the 3 that the image tower has"),
        ("timm vit", ["image:99"], "than the 6 that"),
        ("vit", ["image", "text"], "image, text frozen, nothing is left to train"),
    ],
)
def test_what_cannot_be_frozen_is_refused(kind: str, specs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        freeze(tiny(kind), specs)


def test_a_tower_without_blocks_cannot_be_frozen_in_part() -> None:
    model = open_clip.CLIP(16, RESNET, TEXT)
    with pytest.raises(UsageError, match="image tower cannot be frozen in part; freeze 'image'"):
        freeze(model, ["image:1"])


@pytest.mark.parametrize("kind", MODELS)
def test_adapters_begin_at_the_model_and_go_back_into_its_weights(kind: str) -> None:
    model = tiny(kind).eval()
    keys, first = set(model.state_dict()), embed(model)
    weights = copy.deepcopy(model.state_dict())
    with_lora(model, 4)
    for own, base in zip(embed(model), first, strict=True):
        torch.testing.assert_close(own, base, atol=1e-6, rtol=0)
    assert {n for n in trained(model) if "lora_" not in n} == {n for n in keys if n.startswith("logit_")}
    assert {n.startswith("visual.") for n in trained(model) if "lora_" in n} == {True, False}

    train(model)
    model.eval()
    after = embed(model)
    assert all((own - base).abs().max() > 1e-3 for own, base in zip(after, first, strict=True))
    plain = merged(model)
    assert type(plain) is type(tiny(kind))
    assert set(plain.state_dict()) == keys
    fresh = tiny(kind).eval()
    fresh.load_state_dict(plain.state_dict())
    for own, whole in zip(embed(fresh), after, strict=True):
        torch.testing.assert_close(own, whole, atol=1e-5, rtol=1e-5)
    for own, still in zip(embed(model), after, strict=True):
        torch.testing.assert_close(own, still, atol=0, rtol=0)
    untouched = {n.replace(".base_layer", ""): t for n, t in model.state_dict().items() if "lora_" not in n}
    assert {n for n in keys if not torch.equal(untouched[n], weights[n])} <= {"logit_scale", "logit_bias"}


def test_adapters_all_have_gradients() -> None:
    model = with_lora(tiny(), 4)
    train(model, 2)
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []


def test_adapters_are_beside_what_is_not_frozen() -> None:
    model = tiny()
    freeze(model, ["image", "text:1"])
    with_lora(model, 4)
    adapted = {n.partition(".lora_")[0].removesuffix(".base_layer") for n in trained(model) if "lora_" in n}
    block = "transformer.resblocks.2"
    assert adapted == {f"{block}.attn", f"{block}.attn.base_layer.out_proj", f"{block}.mlp.c_fc", f"{block}.mlp.c_proj"}


def test_adapters_are_drawn_from_the_seed_alone() -> None:
    def drawn(seed: int, other: int) -> torch.Tensor:
        model = tiny()
        torch.manual_seed(other)
        with_lora(model, 4, seed)
        assert torch.initial_seed() == other
        return torch.cat([p.flatten() for n, p in model.named_parameters() if "lora_A" in n])

    assert torch.equal(drawn(1, 10), drawn(1, 20))
    assert not torch.equal(drawn(1, 10), drawn(2, 10))


def test_a_model_without_adapters_is_itself() -> None:
    model = tiny()
    assert merged(model) is model


def test_adapters_need_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(VlsearchError, match=r"LoRA needs a package more: pip install 'vlsearch\[train\]'"):
        with_lora(tiny(), 4)


def test_nothing_to_adapt_is_refused() -> None:
    model = tiny()
    model.requires_grad_(False)
    with pytest.raises(UsageError, match="no linear layer that is not frozen"):
        with_lora(model, 4)
