"""What takes a step: AdamW, Muon for matrices if asked for, and the rate that they follow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from vlsearch.train.settings import Settings

LAST_RATE = 0.01
"""of the peak, at the last step"""
SMALLEST_MATRIX = 16
PACKED = ("in_proj_weight", "qkv.weight")
"""query, key and value above each other"""
PROJECTIONS = ("proj", "text_projection")
"""matrices that open_clip keeps as bare parameters"""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def optimizers(model: nn.Module, settings: Settings) -> list[torch.optim.Optimizer]:
    """AdamW, and before it Muon where `settings` ask for it, for every parameter of `model` that is to be trained.

    Weight decay is for what is multiplied with an input: weights of linear layers, convolutions and attention. Biases,
    norms, scales, class and positional embeddings have none; nor have tables of token embeddings, since Adam moves a
    row only where its token occurs while decay would shrink it at every step, and rare words would fade.

    AdamW's betas are those of CLIP's vision transformers (Radford et al. 2021, table 18).
    """
    muon: list[dict[str, Any]] = [_group(settings.rate_of_matrices, settings.weight_decay, pieces=n) for n in (1, 3)]
    decayed, plain = _group(settings.rate, settings.weight_decay), _group(settings.rate, 0.0)
    for name, parameter, owner in _trained(model):
        if not _is_matrix(name, owner):
            plain["params"].append(parameter)
        elif settings.optimizer == "muon" and _is_hidden(parameter, owner):
            muon[_is_packed(name, parameter)]["params"].append(parameter)
        else:
            decayed["params"].append(parameter)
    taken: list[torch.optim.Optimizer] = []
    if groups := [group for group in muon if group["params"]]:
        taken.append(Muon(groups))
    if groups := [group for group in (decayed, plain) if group["params"]]:
        fused = all(p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
        taken.append(torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8, fused=fused))
    return taken


def rate(step: int, steps: int, warmup: int) -> float:
    """The share of the peak rate in step `step` of `steps`, counted from 0: linear warm-up, then a cosine.

    1 in step `warmup`, `LAST_RATE` in the last one. (Loshchilov and Hutter 2017, one period)
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    passed = (step - warmup) / max(1, steps - 1 - warmup)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * min(1.0, passed))) / 2


def set_rates(optimizers: Sequence[torch.optim.Optimizer], peaks: Sequence[Sequence[float]], factor: float) -> None:
    """Set the learning rate of each optimiser's groups to `factor` times its peak."""
    for optimizer, own in zip(optimizers, peaks, strict=True):
        for group, peak in zip(optimizer.param_groups, own, strict=True):
            group["lr"] = peak * factor


def flush_denormals(on: bool = True) -> None:
    """Count numbers below 1e-38 as 0 in this thread, or no longer: moments of rare tokens fade to them, which is slow.

    To be called before PyTorch computes anything: its threads take the setting from the one that starts them, and
    those that run already keep theirs.
    """
    torch.set_flush_denormal(on)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal by Newton-Schulz iterations, with decoupled weight decay (Jordan et al. 2024).

    torch.optim.Muon came with PyTorch 2.9 and takes matrices only; this one flattens convolutions to (out, rest), and
    makes `pieces` matrices of a group's parameters that have as many above each other.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], *, lr: float = 0.02, momentum: float = 0.95, iterations: int = 5
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "pieces": 1, "iterations": iterations}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(momentum, group["momentum"]).flatten(1)
                pieces = update.reshape(group["pieces"], -1, update.shape[1])
                alike.setdefault(pieces.shape, []).append((parameter, pieces))
            for shape, members in alike.items():
                # matrices of one shape go through the iterations together: alone they are too small for a GPU
                directions = orthogonal(torch.cat([pieces for _, pieces in members]), group["iterations"])
                length = group["lr"] * math.sqrt(max(1.0, shape[1] / shape[2]))
                for (parameter, _), direction in zip(members, directions.chunk(len(members)), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(direction.reshape(parameter.shape), alpha=-length)


def orthogonal(matrices: Tensor, iterations: int = 5) -> Tensor:
    """About U V^T for each of (n, rows, cols) matrices U S V^T; singular values end between 0.7 and 1.2.

    In bfloat16 as in the paper (Jordan et al. 2024), and returned in the type of `matrices`.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[1] <= matrices.shape[2]
    x: Tensor = (matrices if wide else matrices.mT).bfloat16()
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).to(matrices.dtype)


def _group(peak: float, weight_decay: float, **more: Any) -> dict[str, Any]:
    return {"params": [], "lr": peak, "weight_decay": weight_decay, **more}


def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, nn.Module]]:
    """Name, parameter and the module that it is a parameter of; each once, also where two modules share it."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter, model.get_submodule(name.rpartition(".")[0])


def _is_matrix(name: str, owner: nn.Module) -> bool:
    own = name.rpartition(".")[2]
    if own == "weight":
        return isinstance(owner, (nn.Linear, _ConvNd))
    return own.endswith("proj_weight") or own in PROJECTIONS


def _is_hidden(parameter: Tensor, owner: nn.Module) -> bool:
    """Whether Muon takes it: not the convolution that sees pixels, nor one by groups, nor anything narrow."""
    if isinstance(owner, _ConvNd) and (owner.groups > 1 or owner.in_channels <= 3):
        return False
    return min(parameter.flatten(1).shape) >= SMALLEST_MATRIX


def _is_packed(name: str, parameter: Tensor) -> bool:
    return name.endswith(PACKED) and parameter.shape[0] == 3 * parameter.shape[1]
