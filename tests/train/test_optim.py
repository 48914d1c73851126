"""Which parameter is stepped by what, Muon's arithmetic, the rate, and that an optimiser goes on from its state."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace

import open_clip
import pytest
import torch
from torch import nn

from vlsearch.train.optim import Muon, optimizers, orthogonal, rate, set_rates
from vlsearch.train.settings import Settings

TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 2}
CNN = {"image_size": 32, "timm_model_name": "test_efficientnet", "timm_pool": "avg", "timm_proj": ""}


def tiny(vision: dict[str, object] = VIT, text: dict[str, object] = TEXT) -> nn.Module:
    torch.manual_seed(0)
    return open_clip.CLIP(16, vision, text)  # type: ignore[no-any-return]


def names(model: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    known = {id(p): name for name, p in model.named_parameters()}
    return {known[id(p)] for p in parameters}


def test_only_matrices_are_decayed() -> None:
    model = tiny()
    (adamw,) = optimizers(model, Settings(weight_decay=0.3))
    decayed, plain = adamw.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    of_blocks = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    assert names(model, decayed["params"]) == {
        "text_projection",
        "visual.proj",
        "visual.conv1.weight",
        *(f"{tower}transformer.resblocks.{i}.{w}" for tower in ("", "visual.") for i in (0, 1) for w in of_blocks),
    }
    assert {"token_embedding.weight", "positional_embedding", "logit_scale"} <= names(model, plain["params"])
    assert sum(map(len, (decayed["params"], plain["params"]))) == len(list(model.parameters()))


def test_what_is_frozen_is_not_stepped() -> None:
    model = tiny()
    model.visual.requires_grad_(False)  # type: ignore[union-attr]
    stepped = {n for o in optimizers(model, Settings()) for g in o.param_groups for n in names(model, g["params"])}
    assert stepped == {name for name, _ in model.named_parameters() if not name.startswith("visual.")}


def test_muon_takes_hidden_matrices_only() -> None:
    model = tiny()
    muon, adamw = optimizers(model, Settings(optimizer="muon"))
    single, packed = muon.param_groups
    assert names(model, packed["params"]) == {n for n, _ in model.named_parameters() if n.endswith("in_proj_weight")}
    assert packed["pieces"] == 3
    assert "visual.transformer.resblocks.1.mlp.c_fc.weight" in names(model, single["params"])
    others = names(model, [p for group in adamw.param_groups for p in group["params"]])
    assert {"visual.conv1.weight", "token_embedding.weight", "positional_embedding", "ln_final.weight"} <= others
    assert not {n for n in others if "resblocks" in n and n.endswith(("_weight", "fc.weight", "proj.weight"))}


def test_muon_takes_convolutions_but_for_the_first_narrow_ones_and_those_by_groups() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, bias=False),
        nn.Conv2d(32, 32, 3, groups=2, bias=False),
        nn.Conv2d(32, 64, 3, bias=False),
        nn.Conv2d(64, 8, 1, bias=False),
    )
    muon, adamw = optimizers(model, Settings(optimizer="muon"))
    assert names(model, muon.param_groups[0]["params"]) == {"2.weight"}
    assert names(model, adamw.param_groups[0]["params"]) == {"0.weight", "1.weight", "3.weight"}


@pytest.mark.parametrize("shape", [(2, 24, 64), (3, 64, 24), (1, 32, 32)])
def test_singular_values_end_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    matrices = torch.randn(shape)
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.3
    ideal = torch.linalg.svd(matrices, full_matrices=False)
    cosine = torch.cosine_similarity(orthogonal(matrices).flatten(1), (ideal.U @ ideal.Vh).flatten(1))
    assert cosine.min() > 0.95


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch before 2.9")
@pytest.mark.parametrize("shape", [(64, 24), (24, 64)])
def test_muon_is_pytorchs_for_a_matrix(shape: tuple[int, int]) -> None:
    torch.manual_seed(2)
    own, theirs = (nn.Parameter(t) for t in torch.randn(shape).repeat(2, 1, 1))
    pair = (
        Muon([{"params": [own], "weight_decay": 0.1}], lr=0.1),
        torch.optim.Muon([theirs], lr=0.1, weight_decay=0.1, momentum=0.95),
    )
    for step in range(3):
        before = own.detach().clone()
        own.grad = theirs.grad = torch.randn(shape, generator=torch.Generator().manual_seed(step))
        for optimizer in pair:
            optimizer.step()
        assert (own - theirs).norm() < 0.01 * (own - before).norm()  # both are in bfloat16
        theirs.data.copy_(own.data)


def test_query_key_and_value_are_three_matrices_and_a_convolution_is_one() -> None:
    torch.manual_seed(3)
    packed, convolution = nn.Parameter(torch.randn(48, 16)), nn.Parameter(torch.randn(32, 16, 3, 3))
    apart = [nn.Parameter(piece.clone()) for piece in packed.detach().chunk(3)]
    flat = nn.Parameter(convolution.detach().flatten(1))
    packed.grad, convolution.grad = torch.randn(48, 16), torch.randn(32, 16, 3, 3)
    for parameter, gradient in zip(apart, packed.grad.chunk(3), strict=True):
        parameter.grad = gradient.clone()
    flat.grad = convolution.grad.flatten(1)
    Muon([{"params": [packed], "pieces": 3}, {"params": [convolution]}]).step()
    Muon([{"params": [*apart, flat]}]).step()
    torch.testing.assert_close(packed.data, torch.cat([p.data for p in apart]), atol=1e-4, rtol=0)
    torch.testing.assert_close(convolution.data.flatten(1), flat.data, atol=1e-4, rtol=0)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("vision", [VIT, CNN], ids=["vit", "efficientnet"])
def test_a_loaded_state_goes_on_exactly(optimizer: str, vision: dict[str, object]) -> None:
    model = tiny(vision).eval()
    settings = replace(Settings(), optimizer=optimizer, rate=1e-3)  # type: ignore[arg-type]
    steppers = optimizers(model, settings)
    step(model, steppers, 0)
    other = copy.deepcopy(model)
    others = optimizers(other, settings)
    for fresh, kept in zip(others, steppers, strict=True):
        fresh.load_state_dict(copy.deepcopy(kept.state_dict()))
    for s in (1, 2):
        step(model, steppers, s)
        step(other, others, s)
    pairs = zip(model.named_parameters(), other.parameters(), strict=True)
    assert [name for (name, p), q in pairs if not torch.equal(p, q)] == []


def step(model: nn.Module, steppers: list[torch.optim.Optimizer], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    photos = torch.rand(4, 3, 32, 32, generator=generator)
    texts = torch.randint(1, 64, (4, 8), generator=generator)
    for stepper in steppers:
        stepper.zero_grad()
    xi, xt, scale = model(photos, texts)
    nn.functional.cross_entropy(scale * xi @ xt.T, torch.arange(4)).backward()
    for stepper in steppers:
        stepper.step()


def test_the_rate_warms_up_and_falls_to_a_hundredth() -> None:
    rates = [rate(s, 101, 10) for s in range(101)]
    assert rates[:2] == [1 / 11, 2 / 11]
    assert rates[10] == max(rates) == 1
    assert rates[55] == pytest.approx(0.505)
    assert rates[100] == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate(0, 1, 0) == 1


def test_rates_are_shares_of_each_groups_peak() -> None:
    steppers = optimizers(tiny(), Settings(optimizer="muon", rate=0.001, rate_of_matrices=0.02))
    peaks = [[float(group["lr"]) for group in stepper.param_groups] for stepper in steppers]
    for _ in range(2):
        set_rates(steppers, peaks, 0.5)
    assert [g["lr"] for stepper in steppers for g in stepper.param_groups] == [0.01, 0.01, 0.0005, 0.0005]


def test_denormals_are_flushed_in_every_thread() -> None:
    program = (
        "import torch; from vlsearch.train.optim import flush_denormals; torch.set_num_threads(2); flush_denormals(); "
        "print(int((torch.full((1_000_000,), 1e-40) * 1.0).count_nonzero()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
