"""What the rest of vlsearch knows about a model: images and texts in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Preprocess:
    """How a model wants its pixels; the fields and their values are open_clip's `PreprocessCfg`."""

    size: tuple[int, int]
    """height, width in pixels"""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    """"bicubic" or "bilinear"; both with antialiasing, as Pillow does it"""
    resize_mode: str = "shortest"
    """"shortest": scale the shorter side, crop the centre; "longest": scale the longer side, pad with `fill_color`;
    "squash": scale both sides on their own"""
    fill_color: int = 0


class Encoder(Protocol):
    """A vision-language model. Both methods may be called from one thread at a time."""

    name: str
    fingerprint: str
    """hex digest over weights, preprocessing and tokenizer: equal fingerprints mean comparable vectors"""
    dim: int
    preprocess: Preprocess
    context_length: int
    logit_scale: float
    source: dict[str, Any]
    """what `registry.load_source` needs to load the same model again (JSON)"""

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, height, width, 3) uint8 sRGB at `preprocess.size` to (n, dim) unit rows."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """n texts, of any length (cut at `context_length` tokens), to (n, dim) unit rows."""
        ...
