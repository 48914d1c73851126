"""An image tower whose transformer blocks compute in int8: a ViT of open_clip or timm, quantised when it is first used.

Activations have one scale for each product, found on drawn images (so that a photo's vector depends on the photo and
the model alone). What would make such a scale coarse, single channels much larger than the others, is moved into the
weights beforehand, where it is exact: x W = (x / s)(s W), SmoothQuant (Xiao et al. 2023, arXiv:2211.10438), and
x W = (x − c) W + c W, Outlier Suppression+ (Wei et al. 2023, arXiv:2304.09145). The divisions cost nothing, they become
part of the layer norm's weights and of the values' projection.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.int8 import LOWEST, ZERO, Linear8, RowLinear8, to_levels
from vlsearch.encoders.vit import Parts, activate, is_plain, layout, parts_of, pools_at_first_token

MARGIN = 1.4
"""how far beyond the activations of the drawn images the scales reach"""
SHORT = 256
"""tokens up to which all attention weights of a few photos fit into the cache, and plain products beat flash"""
CALIBRATION_TOKENS = 1200
"""what the drawn images are cut into together, if two to eight of them can be"""
COARSE = 0.08
"""a level, in root mean squares of what is rounded, beyond which each row gets a scale of its own: slower, but one
token's outlier (Sun et al. 2024, arXiv:2402.17762) then costs the others nothing"""
HIDDEN_ZERO = 8
"""the level of 0 where each row has a scale: activations reach far above it, and hardly below"""


class Norm8:
    """Layer norm whose results are levels for the product that follows."""

    def __init__(self, norm: nn.LayerNorm, span: tuple[torch.Tensor, torch.Tensor], following: torch.Tensor) -> None:
        """`span`: lowest and highest of each channel after `norm`; `following`: weights (n, d) of what comes after."""
        low, high = span
        self.centre = (high + low) / 2
        self.divisor, self.scale = balance((high - low) / 2, following)
        self.eps = norm.eps
        unit = self.divisor * self.scale
        self.weight = norm.weight.float() / unit
        self.bias = (norm.bias.float() - self.centre) / unit + (ZERO + 0.5)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return to_levels(F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps))

    def product(self, weight: torch.Tensor, bias: torch.Tensor) -> Linear8:
        return Linear8(weight * self.divisor, bias + weight @ self.centre, self.scale)


def balance(ranges: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Divisors (k) of a product's channels that share their range evenly between activations and weights (n, k), and
    the scale of a level after that. SmoothQuant's equation 4 with α = ½."""
    ranges = (ranges * MARGIN).clamp_min(1e-5)
    divisor = (ranges / weight.abs().amax(0).clamp_min(1e-5)).sqrt()
    return divisor, float((ranges / divisor).max()) / 127


class Block8(nn.Module):
    """A pre-norm transformer block on (n, t, d) float32, its four products in int8."""

    only_first = False
    """give the first token alone, as nothing looks at the others after the last block"""

    def __init__(self, parts: Parts, seen: Seen, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads, self.dtype = parts.heads, dtype
        head = len(parts.out_weight[0]) // parts.heads
        self.norm1 = Norm8(parts.norm1, seen.norm1, parts.qkv_weight)
        self.norm2 = Norm8(parts.norm2, seen.norm2, parts.fc1_weight)

        divisor, _ = balance(seen.attention, parts.out_weight)
        value = torch.cat([torch.full_like(divisor, head**-0.5), torch.ones_like(divisor), 1 / divisor])
        self.qkv = self.norm1.product(parts.qkv_weight * value[:, None], parts.qkv_bias * value)
        self.out = RowLinear8(parts.out_weight * divisor, parts.out_bias)

        self.fc1 = self.norm2.product(parts.fc1_weight, parts.fc1_bias)
        self.activation = parts.activation
        self.step = (max(seen.hidden * MARGIN, 0.1) - LOWEST) / 255
        self.fc2: Linear8 | RowLinear8
        if self.step > COARSE * seen.hidden_rms:
            self.fc2 = RowLinear8(parts.fc2_weight, parts.fc2_bias, HIDDEN_ZERO)
        else:
            self.fc2 = Linear8(parts.fc2_weight, parts.fc2_bias, self.step, round(-LOWEST / self.step))

    def forward(self, x: torch.Tensor, attn_mask: None = None) -> torch.Tensor:
        n, t, d = x.shape
        qkv = self.qkv(self.norm1(x.reshape(n * t, d)), self.dtype)
        q, k, v = qkv.view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.only_first:
            q, x = q[:, :, :1], x[:, :1]
        sums = self.out.add_to(x.reshape(-1, d).contiguous(), attended(q, k, v))
        hidden = self.norm2(sums)
        if isinstance(self.fc2, RowLinear8):
            sums = self.fc2.add_to(sums, activate(self.fc1(hidden, torch.float32), self.activation))
        else:
            levels = self.fc1.activated(hidden, self.activation, self.step, self.fc2.zero)
            sums = self.fc2.add_to(sums, levels)
        return sums.view(n, -1, d)


def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(n, heads, t, d/heads) queries, scaled already, keys and values to (n·t, d) float32."""
    n, heads, t, width = q.shape
    if k.shape[2] <= SHORT:
        q, k, v = (each.reshape(n * heads, -1, width) for each in (q, k, v))
        weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)).float(), -1).to(v.dtype)
        mixed = torch.bmm(weights, v).view(n, heads, t, width)
    else:
        mixed = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return torch.empty(n, t, heads, width).copy_(mixed.transpose(1, 2)).view(n * t, -1)


class Patches8(nn.Module):
    """A convolution whose stride is its kernel, on (n, 3, height, width) uint8 pixels that lie as (n, h, w, 3), with
    the pixels' normalisation folded in: the activations are exact."""

    def __init__(self, conv: nn.Conv2d, preprocess: Preprocess) -> None:
        super().__init__()
        self.size = conv.kernel_size
        mean, std = torch.tensor(preprocess.mean), torch.tensor(preprocess.std)
        weight = conv.weight.float() / (255 * std.view(1, 3, 1, 1))
        bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.float()
        grey = round(float(255 * mean.mean()))
        shift = weight.sum((2, 3)) @ (grey - 255 * mean)
        self.product = Linear8(weight.permute(0, 2, 3, 1).flatten(1), bias + shift, 1.0, grey)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        n, _, height, width = pixels.shape
        rows, columns = height // self.size[0], width // self.size[1]
        x = pixels.permute(0, 2, 3, 1).reshape(n, rows, self.size[0], columns, self.size[1] * 3).transpose(2, 3)
        y = self.product(x.reshape(n * rows * columns, -1), torch.float32)
        return y.view(n, rows, columns, -1).permute(0, 3, 1, 2)


class Seen:
    """The ranges of a block's activations on some images."""

    def __init__(self, parts: Parts, x: torch.Tensor, dtype: torch.dtype) -> None:
        """Also the block's `result` for x (n, t, d) float32; products in `dtype`."""
        n, t, _ = x.shape

        def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
            return F.linear(x.to(dtype), weight.to(dtype)).float() + bias

        y = normalised(parts.norm1, x)
        self.norm1 = span(y)
        qkv = linear(y, parts.qkv_weight, parts.qkv_bias)
        q, k, v = qkv.view(n, t, 3, parts.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, -1)
        self.attention = y.abs().flatten(0, 1).amax(0)
        x = x + linear(y, parts.out_weight, parts.out_bias)
        y = normalised(parts.norm2, x)
        self.norm2 = span(y)
        y = activate(linear(y, parts.fc1_weight, parts.fc1_bias), parts.activation)
        self.hidden, self.hidden_rms = float(y.amax()), float(y.square().mean().sqrt())
        self.result = x + linear(y, parts.fc2_weight, parts.fc2_bias)


def normalised(norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], norm.weight.float(), norm.bias.float(), norm.eps)


def span(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The lowest and the highest of each channel, the last dimension."""
    rows = x.flatten(0, -2)
    return rows.amin(0), rows.amax(0)


class Calibration(nn.Module):
    """Stands in for a block during one pass over the drawn images, and makes a Block8 of it."""

    def __init__(self, block: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._block, self._dtype = (block,), dtype

    def forward(self, x: torch.Tensor, attn_mask: None = None) -> torch.Tensor:
        parts = parts_of(self._block[0])
        seen = Seen(parts, x, self._dtype)
        self.made = Block8(parts, seen, self._dtype)
        return seen.result


def quantised(visual: Any, preprocess: Preprocess, dtype: torch.dtype) -> nn.Module | None:
    """A copy of an image tower with blocks in int8, taking (n, 3, height, width) uint8 pixels to (n, dim) float32
    features; None for a tower of another kind. `dtype` is that of attention, bfloat16 where the processor has it."""
    old = layout(visual)
    if old is None or not is_plain(visual):
        return None
    stand_ins = [Calibration(block, dtype) for block in old.blocks]
    shared: dict[int, Any] = {id(block): stand_in for block, stand_in in zip(old.blocks, stand_ins, strict=True)}
    tower: nn.Module = copy.deepcopy(visual, shared).float()
    new = layout(tower)
    assert new is not None
    conv = old.convolution
    setattr(new.owner, new.patches, Patches8(conv, preprocess))
    size = preprocess.size
    tokens = (size[0] // conv.kernel_size[0]) * (size[1] // conv.kernel_size[1])
    tower(drawn(min(max(2, CALIBRATION_TOKENS // tokens), 8), size).permute(0, 3, 1, 2))
    for place, stand_in in enumerate(stand_ins):
        new.blocks[place] = stand_in.made
    stand_ins[-1].made.only_first = pools_at_first_token(visual)
    return tower


def drawn(n: int, size: tuple[int, int]) -> torch.Tensor:
    """(n, height, width, 3) uint8 images whose spectra fall off like those of photos, always the same."""
    height, width = size
    random = torch.Generator().manual_seed(0)
    waves = torch.fft.rfft2(torch.randn(n, 3, height, width, generator=random))
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None] * height, torch.fft.rfftfreq(width)[None] * width)
    images = torch.fft.irfft2(waves / frequency.clamp_min(0.5), (height, width))
    images = 0.3 * images + 0.7 * images.mean(1, keepdim=True)
    images = images / images.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
    contrast, colour = torch.linspace(20, 100, n).view(n, 1, 1, 1), torch.rand(n, 3, 1, 1, generator=random) * 255
    pixels: torch.Tensor = (images * contrast + colour).clamp(0, 255).byte()
    return pixels.permute(0, 2, 3, 1).contiguous()
