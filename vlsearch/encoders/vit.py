"""Where a vision transformer of open_clip or timm keeps its parts, so that they can be computed another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Parts:
    """A pre-norm block on (n, t, d): x + out(attention(norm1(x))), then x + fc2(activation(fc1(norm2(x)))).

    Weights (n, k) and biases (n) are float32; what scales a branch's end is part of `out` and `fc2`.
    """

    norm1: nn.LayerNorm
    norm2: nn.LayerNorm
    heads: int
    qkv_weight: torch.Tensor
    qkv_bias: torch.Tensor
    out_weight: torch.Tensor
    out_bias: torch.Tensor
    fc1_weight: torch.Tensor
    fc1_bias: torch.Tensor
    fc2_weight: torch.Tensor
    fc2_bias: torch.Tensor
    activation: str
    """"gelu", "gelu_tanh" or "quick_gelu\""""


@dataclass(frozen=True)
class Layout:
    """A tower's places: `blocks` hold one another's outputs in order, `owner.patches` is the convolution before."""

    blocks: nn.ModuleList | nn.Sequential
    owner: nn.Module
    patches: str

    @property
    def convolution(self) -> nn.Conv2d:
        found: nn.Conv2d = getattr(self.owner, self.patches)
        return found


def layout(visual: Any) -> Layout | None:
    """None for a tower that is neither open_clip's VisionTransformer nor timm's."""
    if type(visual).__name__ == "VisionTransformer" and hasattr(visual, "transformer"):
        return Layout(visual.transformer.resblocks, visual, "conv1")
    trunk: Any = getattr(visual, "trunk", None)
    if type(trunk).__name__ == "VisionTransformer" and hasattr(trunk, "patch_embed"):
        return Layout(trunk.blocks, trunk.patch_embed, "proj")
    return None


def is_plain(visual: Any) -> bool:
    """Whether all of a tower's blocks are such as `parts_of` describes in full, behind a convolution that cuts the
    picture into squares."""
    found = layout(visual)
    if found is None:
        return False
    conv = found.convolution
    cuts = isinstance(conv, nn.Conv2d) and conv.kernel_size == conv.stride and conv.in_channels == 3
    return cuts and conv.padding == (0, 0) and conv.groups == 1 and all(_is_plain(block) for block in found.blocks)


def pools_at_first_token(visual: Any) -> bool:
    """Whether nothing but the first token is looked at after the last block."""
    trunk = getattr(visual, "trunk", None)
    if trunk is not None:
        return trunk.global_pool == "token" and trunk.attn_pool is None and trunk.cls_token is not None
    return bool(visual.attn_pool is None and visual.pool_type == "tok" and not visual.output_tokens)


def _is_plain(block: Any) -> bool:
    kind, attention = type(block).__name__, block.attn
    if kind == "ResidualAttentionBlock":
        whole = type(attention) is nn.MultiheadAttention and attention.in_proj_weight is not None
        norms = (block.ln_1, block.ln_2)
        whole = whole and attention.bias_k is None and not attention.add_zero_attn and not hasattr(block, "ln_1_kv")
    elif kind == "Block":
        others = (
            attention.q_norm,
            attention.k_norm,
            getattr(attention, "norm", None),
            getattr(block.mlp, "norm", None),
        )
        whole = type(attention).__name__ == "Attention" and getattr(attention, "gate", None) is None
        whole = whole and type(block.mlp).__name__ == "Mlp" and type(block.mlp.fc1) is nn.Linear
        whole = whole and all(other is None or isinstance(other, nn.Identity) for other in others)
        norms = (block.norm1, block.norm2)
    else:
        return False
    plain = all(isinstance(norm, nn.LayerNorm) and norm.bias is not None for norm in norms)
    return whole and plain and _activation(block) is not None


def parts_of(block: Any) -> Parts:
    if type(block).__name__ == "ResidualAttentionBlock":
        attention, mlp = block.attn, block.mlp
        return Parts(
            *(block.ln_1, block.ln_2, attention.num_heads),
            *_floats(attention.in_proj_weight, attention.in_proj_bias),
            *_scaled(attention.out_proj, block.ls_1),
            *_floats(mlp.c_fc.weight, mlp.c_fc.bias),
            *_scaled(mlp.c_proj, block.ls_2),
            activation=_activation(block) or "",
        )
    return Parts(
        *(block.norm1, block.norm2, block.attn.num_heads),
        *_floats(block.attn.qkv.weight, block.attn.qkv.bias),
        *_scaled(block.attn.proj, block.ls1),
        *_floats(block.mlp.fc1.weight, block.mlp.fc1.bias),
        *_scaled(block.mlp.fc2, block.ls2),
        activation=_activation(block) or "",
    )


def _activation(block: Any) -> str | None:
    act = getattr(block.mlp, "gelu", None) or getattr(block.mlp, "act", None)
    name = type(act).__name__
    if name == "GELU":
        return "gelu" if getattr(act, "approximate", "none") == "none" else "gelu_tanh"
    return {"GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu"}.get(name)


def activate(x: torch.Tensor, activation: str) -> torch.Tensor:
    if activation == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if activation == "gelu_tanh" else "none")


def _floats(weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    return weight.float(), torch.zeros(len(weight)) if bias is None else bias.float()


def _scaled(linear: nn.Linear, scale: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A linear layer with the LayerScale (or the identity) that follows."""
    weight, bias = _floats(linear.weight, linear.bias)
    gamma = getattr(scale, "gamma", None)
    return (weight, bias) if gamma is None else (weight * gamma.float()[:, None], bias * gamma.float())
