"""A text tower for one short text at a time: its weights laid out as oneDNN multiplies them, all else kept lean.

A daemon answers with it: a single text spends its time on reading weights, and this reads them at twice the speed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from vlsearch.encoders.cut_text import lengths
from vlsearch.encoders.text_graph import is_known
from vlsearch.encoders.vit import Parts, activate, parts_of

ROWS = 8
"""tokens that the layout is best for"""


def packed_text(tower: Any, dtype: torch.dtype) -> PackedText | None:
    """The tower in `dtype`; None where its blocks are not CLIP's, or PyTorch has no oneDNN."""
    if not is_known(tower) or not torch._C._has_mkldnn:
        return None
    try:
        packed = PackedText(tower, dtype)
        with torch.inference_mode():
            packed(torch.zeros((1, 2), dtype=torch.long))
    except (AttributeError, RuntimeError, TypeError):  # operators that PyTorch has for itself, and may change
        return None
    return packed


class PackedText:
    """(n, length) token ids to (n, d) text features, not normalised, as `cut_text.encode_cut` has them."""

    def __init__(self, tower: Any, dtype: torch.dtype) -> None:
        self._tower, self._dtype = tower, dtype
        self._blocks = [Block(parts_of(block), dtype) for block in tower.transformer.resblocks]

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        tower, (n, length) = self._tower, tokens.shape
        x = tower.token_embedding(tokens).to(self._dtype) + tower.positional_embedding[:length].to(self._dtype)
        x = x.reshape(n * length, -1)
        for block in self._blocks:
            x = block(x, n)
        ends = torch.arange(n) * length + lengths(tower, tokens) - 1
        x = tower.ln_final(x[ends])
        projection = tower.text_projection
        if projection is not None:
            x = projection(x) if callable(projection) else x @ projection
        features: torch.Tensor = x
        return features


class Block:
    """One layer, causal, over the tokens of n texts as rows of one matrix."""

    def __init__(self, parts: Parts, dtype: torch.dtype) -> None:
        self._heads, self._activation = parts.heads, parts.activation
        self._norm1, self._norm2 = parts.norm1, parts.norm2
        self._qkv = Linear(parts.qkv_weight, parts.qkv_bias, dtype)
        self._out = Linear(parts.out_weight, parts.out_bias, dtype)
        self._fc1 = Linear(parts.fc1_weight, parts.fc1_bias, dtype)
        self._fc2 = Linear(parts.fc2_weight, parts.fc2_bias, dtype)

    def __call__(self, x: torch.Tensor, n: int) -> torch.Tensor:
        rows, width = x.shape
        qkv = self._qkv(self._norm1(x)).view(n, rows // n, 3, self._heads, width // self._heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self._out(y.transpose(1, 2).reshape(rows, width))
        return x + self._fc2(activate(self._fc1(self._norm2(x)), self._activation))


class Linear:
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), ROWS)
        self._bias = bias.to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return y
