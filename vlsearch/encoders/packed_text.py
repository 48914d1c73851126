"""A text tower with its weights laid out as oneDNN multiplies them, all else kept lean.

For one short text at a time, which spends its time on reading weights: this reads them at twice the speed. And for
many texts: end to end in one matrix, none padded to the length of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from vlsearch.encoders.cut_text import lengths
from vlsearch.encoders.text_graph import is_known
from vlsearch.encoders.vit import Parts, activate, parts_of

SINGLE = 8
"""tokens that the layout for one text at a time is best for"""

Group = tuple[int, int]
"""n texts of one length that stand one behind the other"""


def packed_text(tower: Any, dtype: torch.dtype, rows: int = SINGLE) -> PackedText | None:
    """The tower in `dtype`, best for `rows` tokens at a time; None where its blocks are not CLIP's, or PyTorch has no
    oneDNN."""
    if not is_known(tower) or not torch._C._has_mkldnn:
        return None
    try:
        packed = PackedText(tower, dtype, rows)
        with torch.inference_mode():
            packed(torch.zeros((1, 2), dtype=torch.long))
    except (AttributeError, RuntimeError, TypeError):  # operators that PyTorch has for itself, and may change
        return None
    return packed


class PackedText:
    """Token ids to text features (n, d), not normalised, as `cut_text.encode_cut` has them."""

    def __init__(self, tower: Any, dtype: torch.dtype, rows: int) -> None:
        self._tower, self._dtype = tower, dtype
        self._blocks = [Block(parts_of(block), dtype, rows) for block in tower.transformer.resblocks]

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """`tokens` (n, length)."""
        n, length = tokens.shape
        ends = torch.arange(n) * length + lengths(self._tower, tokens) - 1
        places = torch.arange(length).repeat(n)
        return self.run(tokens.reshape(-1), places, [(n, length)], ends)

    def run(
        self, tokens: torch.Tensor, places: torch.Tensor, groups: Sequence[Group], ends: torch.Tensor
    ) -> torch.Tensor:
        """`tokens` (rows,) of texts one behind the other, by `groups`, rows behind the last of them counting for
        nothing; `places` (rows,) of each token in its text; `ends` (n,) the row that each text is pooled at."""
        tower = self._tower
        x = tower.token_embedding(tokens).to(self._dtype) + tower.positional_embedding[places].to(self._dtype)
        for block in self._blocks:
            x = block(x, groups)
        x = tower.ln_final(x[ends])
        projection = tower.text_projection
        if projection is not None:
            x = projection(x) if callable(projection) else x @ projection
        features: torch.Tensor = x
        return features


class Block:
    """One layer, causal, over the tokens of texts as rows of one matrix."""

    def __init__(self, parts: Parts, dtype: torch.dtype, rows: int) -> None:
        self._heads, self._activation = parts.heads, parts.activation
        self._norm1, self._norm2 = parts.norm1, parts.norm2
        self._qkv = Linear(parts.qkv_weight, parts.qkv_bias, dtype, rows)
        self._out = Linear(parts.out_weight, parts.out_bias, dtype, rows)
        self._fc1 = Linear(parts.fc1_weight, parts.fc1_bias, dtype, rows)
        self._fc2 = Linear(parts.fc2_weight, parts.fc2_bias, dtype, rows)

    def __call__(self, x: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        x = x + self._out(self._attend(self._qkv(self._norm1(x)), groups))
        return x + self._fc2(activate(self._fc1(self._norm2(x)), self._activation))

    def _attend(self, qkv: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        width = qkv.shape[1] // 3
        parts, start = [], 0
        for n, length in groups:
            rows = qkv[start : start + n * length].view(n, length, 3, self._heads, width // self._heads)
            q, k, v = rows.permute(2, 0, 3, 1, 4).unbind(0)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            parts.append(y.transpose(1, 2).reshape(n * length, width))
            start += n * length
        if start < len(qkv):
            parts.append(qkv.new_zeros(len(qkv) - start, width))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class Linear:
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype, rows: int) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), rows)
        self._bias = bias.to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return y
