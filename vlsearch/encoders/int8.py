"""Matrix products in int8 on a CPU: eight-bit activations × eight-bit weights, summed exactly in 32 bits.

Processors with VNNI (or AMX) do them at twice the speed of bf16. PyTorch reaches oneDNN's kernels through operators of
its own compiler, which are not public: `available` tries them before anything relies on them.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from vlsearch.encoders.lanes import own_threads

if TYPE_CHECKING:
    import torch

ZERO = 128
"""the level that stands for 0 in activations of either sign"""
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


class Linear8:
    """y = x Wᵀ + b for x in uint8 levels: x = scale · (level − zero).

    Weights are rounded to 255 levels for each output channel on its own; `weight` (n, k) and `bias` (n) are float32.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, scale: float, zero: int = ZERO) -> None:
        import torch

        steps = (weight.abs().amax(1) / 127).clamp_min_(torch.finfo(torch.float32).tiny)
        rounded = (weight / steps[:, None]).round_().to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.steps, self.zeros = steps, torch.zeros(len(steps), dtype=torch.int32)
        self.bias = None if bias is None else bias.float().contiguous()
        self.scale, self.zero = float(scale), int(zero)

    def __call__(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(m, k) levels to (m, n) of `dtype`, float32 or bfloat16."""
        return self._run(x, self.scale, self.bias, 1.0, 0, dtype, "none", [], "")

    def activated(self, x: torch.Tensor, activation: str, scale: float, zero: int) -> torch.Tensor:
        """(m, k) levels to (m, n) levels, of `scale` and `zero`, of activation(y); one of ACTIVATIONS."""
        import torch

        operator, algorithm, gain = ACTIVATIONS[activation]
        bias = None if self.bias is None else self.bias * gain
        return self._run(x, self.scale * gain, bias, scale * gain, zero, torch.uint8, operator, [], algorithm)

    def add_to(self, sums: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """sums + y for (m, n) float32 sums, which are overwritten."""
        import torch

        added: torch.Tensor = torch.ops.onednn.qlinear_pointwise.binary(
            *(x, self.scale, self.zero, self.packed, self.steps, self.zeros, sums, self.bias),
            *(1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], ""),
        )
        return added

    def _run(self, x: torch.Tensor, scale: float, bias: torch.Tensor | None, *result: Any) -> torch.Tensor:
        import torch

        y: torch.Tensor = torch.ops.onednn.qlinear_pointwise.default(
            *(x, scale, self.zero, self.packed, self.steps, self.zeros, bias, *result)
        )
        return y


class RowLinear8:
    """y = x Wᵀ + b for float32 x, each row of which is rounded to levels of a scale of its own."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, zero: int = ZERO) -> None:
        self.product, self.bias = Linear8(weight, None, 1.0, zero), bias.float().contiguous()

    def add_to(self, sums: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """sums + y for (m, n) and x (m, k); both are overwritten."""
        import torch

        zero = self.product.zero
        scales = torch.maximum(x.amax(1, keepdim=True) / (255 - zero), x.amin(1, keepdim=True) / -zero)
        scales.clamp_min_(1e-9)
        y = self.product(to_levels(x.div_(scales).add_(zero + 0.5)), torch.float32)
        return torch.addcmul(sums.add_(self.bias), y, scales, out=sums)


ACTIVATIONS = {"gelu": ("gelu", "none", 1.0), "gelu_tanh": ("gelu", "tanh", 1.0), "quick_gelu": ("swish", "", 1.702)}
"""oneDNN's operator, its algorithm, and g where it computes g · activation(y) from g · y"""
LOWEST = -0.17
"""no activation of ACTIVATIONS is below it"""


def to_levels(x: torch.Tensor) -> torch.Tensor:
    """float32 in units of a level, ½ added so that cutting off rounds, to uint8; `x` is overwritten.

    By way of int16: PyTorch vectorises these two conversions but not the direct one, which takes five times as long.
    """
    import torch

    return x.clamp_(0, 255).to(torch.int16).to(torch.uint8)


@cache
def available() -> bool:
    """Whether int8 products are right and fast here: the processor has them, PyTorch reaches them."""
    try:
        return _has_instructions() and _works()
    except Exception:
        return False


def _has_instructions() -> bool:
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        return any(has.get(name) for name in VNNI)
    return bool(torch.cpu._is_vnni_supported())


def _works() -> bool:
    """Every kind of product that is used, against the same in float; and none in oneDNN's reference kernel, which is
    right but thousands of times slower."""
    import torch
    from torch.nn.functional import gelu, silu

    with torch.inference_mode(), own_threads(1):
        random = torch.Generator().manual_seed(0)
        x = torch.randint(0, 256, (64, 256), generator=random, dtype=torch.uint8)
        weight, bias = torch.randn(128, 256, generator=random), torch.randn(128, generator=random)
        layer = Linear8(weight, bias, 0.001)
        exact = (x.float() - ZERO) * 0.001 @ weight.T + bias
        seen = [layer(x, torch.float32), layer(x, torch.bfloat16), layer.add_to(exact.clone(), x) / 2]
        gaps = [(exact - y.float()).abs().max() for y in seen]
        wanted = {
            "quick_gelu": silu(1.702 * exact) / 1.702,
            "gelu": gelu(exact),
            "gelu_tanh": gelu(exact, approximate="tanh"),
        }
        for name, y in wanted.items():
            found = (layer.activated(x, name, 0.05, 4).float() - 4) * 0.05
            gaps.append((found - y).abs().max())
        return bool(max(gaps) < 0.1) and _seconds(lambda: layer(x, torch.float32)) < 0.03


def _seconds(work: Any) -> float:
    took = []
    for _ in range(5):
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
    return min(took)
