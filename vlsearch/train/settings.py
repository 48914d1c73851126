"""How a model is trained: what a checkpoint, and the model card, say about a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Settings:
    steps: int = 1000
    batch: int = 128
    """photos in a batch, over all processes"""
    micro: int = 64
    """photos, or texts, that are in memory at a time"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """"muon": matrices by orthogonalised momentum (`rate_of_matrices`), everything else by AdamW"""
    rate: float = 1e-5
    """peak learning rate"""
    rate_of_matrices: float = 0.02
    """peak learning rate of Muon; AdamW does not look at it"""
    weight_decay: float = 0.1
    """of matrices; biases, norms and scales have none"""
    warmup: int = 50
    """steps until the rate is at its peak; a cosine takes it to zero from there"""
    clip: float = 1.0
    """norm that gradients are scaled down to"""
    ema: float = 0.0
    """decay of the moving average of weights that is saved; 0 saves the weights themselves"""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: autocast; weights, optimiser and loss stay in fp32"""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    freeze: tuple[str, ...] = ()
    """"image", "text", or "image:6" for all but its last 6 blocks"""
    lora: int = 0
    """rank of adapters that are trained instead of the weights; 0 for none"""
    seed: int = 0
    checkpoint_every: int = 200
    """steps"""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
