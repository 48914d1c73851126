"""Vectors of an image's parts in the space of the texts, so that a query can be looked for within a photo.

An image tower pools its cells (tokens, or places of a feature map) and projects the result. Here each cell is pooled
and projected by itself, as if the image were made of that cell only. Where pooling is a mean and all behind it is
linear, the mean of the cells is the image's vector. Where it is attention, a cell that sees itself only passes its
values on unchanged: that is MaskCLIP's value path (Zhou, Loy and Dai 2022, arXiv:2112.01071), and it is taken through
the last block as well where a tower looks at nothing but its class token.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from vlsearch.encoders.vit import Layout, Parts, activate, is_plain, layout, parts_of, pools_at_first_token


def patch_features(visual: Any, x: torch.Tensor) -> torch.Tensor | None:
    """Normalised images (n, 3, height, width) to their parts (n, rows, columns, d), not of unit length.

    `visual` is an open_clip model's image tower. None where its parts cannot be told apart: no feature map, a pooling
    that depends on the place, or a class token behind blocks that are not known.
    """
    if found := layout(visual):
        return _of_tokens(visual, found, x)
    if type(visual).__name__ == "ModifiedResNet":
        cells = _at(visual.attnpool, visual, x)[0].permute(0, 2, 3, 1)
        own: torch.Tensor = visual.attnpool.c_proj(visual.attnpool.v_proj(cells))
        return own
    return _of_map(visual, x) if hasattr(visual, "trunk") else None


def _of_map(visual: Any, x: torch.Tensor) -> torch.Tensor | None:
    trunk = visual.trunk
    cells = trunk.forward_features(x)
    if cells.ndim != 4 or hasattr(visual.head, "pool"):
        return None
    channels_last = getattr(trunk, "output_fmt", "NCHW") == "NHWC"
    if not channels_last:
        cells = cells.permute(0, 2, 3, 1)
    n, rows, columns, c = cells.shape
    alone = cells.reshape((-1, 1, 1, c) if channels_last else (-1, c, 1, 1))
    features: torch.Tensor = visual.head(trunk.forward_head(alone))
    return features.view(n, rows, columns, -1)


def _of_tokens(visual: Any, found: Layout, x: torch.Tensor) -> torch.Tensor | None:
    trunk = getattr(visual, "trunk", None)
    first = pools_at_first_token(visual)
    if (first and not is_plain(visual)) or getattr(getattr(trunk, "attn_pool", None), "pos_embed", None) is not None:
        return None
    before, after = _at(found.blocks[-1], visual, x)
    tokens = _own_values(parts_of(found.blocks[-1]), before).to(after.dtype) if first else after
    prefix = 1 if trunk is None else trunk.num_prefix_tokens
    rows, columns = visual.grid_size if trunk is None else trunk.patch_embed.grid_size
    n, t, c = tokens.shape
    if t != prefix + rows * columns:
        return None
    # Enough copies that there is one behind the prefix, for towers that leave the prefix out of their mean.
    alone = tokens[:, prefix:].reshape(-1, 1, c).expand(-1, prefix + 1, c)
    if trunk is None:
        features = visual._pool(alone)[0]
        features = features if visual.proj is None else features @ visual.proj
    else:
        features = visual.head(trunk.forward_head(trunk.norm(alone)))
    placed: torch.Tensor = features.view(n, rows, columns, -1)
    return placed


def _own_values(parts: Parts, x: torch.Tensor) -> torch.Tensor:
    """What a block makes of (n, t, d) tokens each of which attends to itself only, float32."""
    x = x.float()
    d = x.shape[-1]
    values = F.linear(_norm(parts.norm1, x), parts.qkv_weight[2 * d :], parts.qkv_bias[2 * d :])
    x = x + F.linear(values, parts.out_weight, parts.out_bias)
    hidden = activate(F.linear(_norm(parts.norm2, x), parts.fc1_weight, parts.fc1_bias), parts.activation)
    return x + F.linear(hidden, parts.fc2_weight, parts.fc2_bias)


def _norm(norm: torch.nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps)


def _at(module: Any, visual: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What comes into `module` and out of it when the tower sees x."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = module.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0], output)))
    try:
        visual(x)
    finally:
        hook.remove()
    return seen[0]
