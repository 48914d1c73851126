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
    """steps until the rate is at its peak; a cosine takes it to a hundredth of that from there"""
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

    area: float = 0.9
    """random crops keep at least this share of a photo"""
    flip: bool = False
    """mirror half of the photos: never where captions say left and right"""
    colour: float = 0.0
    """jitter of brightness, contrast and saturation"""
    sharpness: bool = False
    """blur and sharpen at random"""
    sizes: tuple[tuple[float, int], ...] = ()
    """until this share of the run, train at this many pixels; for towers that take photos of any size"""

    contrast: float = 1.0
    """weight of the contrastive loss"""
    teach_photos: float = 0.0
    """weight of 1 - cosine to the teacher's vectors of photos"""
    teach_texts: float = 0.0
    """weight of 1 - cosine to the teacher's vectors of texts"""
    teach_words: float = 0.0
    """weight of choosing among the batch's texts as the teacher has them"""
    teach_likeness: float = 0.0
    """weight of the divergence from the teacher's similarities among the batch's photos"""
    teacher_scale: float = 30.0
    """of the logits by which its texts are chosen among"""
    likeness_scale: float = 20.0
    """of the logits that similarities among photos make"""

    def size_at(self, step: int) -> int | None:
        """Pixels to train at in this step; None for the model's own size."""
        return next((size for until, size in self.sizes if step < until * self.steps), None)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
