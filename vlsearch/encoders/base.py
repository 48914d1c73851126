"""What the rest of vlsearch knows about a model: images and texts in, unit vectors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def resized(height: int, width: int, preprocess: Preprocess) -> tuple[int, int]:
    """Height and width that a photo is scaled to before it is cropped or padded to `preprocess.size`: torchvision's
    `Resize`, or open_clip's `ResizeKeepRatio`."""
    rows, columns = preprocess.size
    if preprocess.resize_mode == "squash":
        return rows, columns
    if preprocess.resize_mode == "shortest" and rows == columns:
        if width <= height:
            return int(rows * height / width), rows
        return rows, int(rows * width / height)
    ratios = height / rows, width / columns
    ratio = max(ratios) if preprocess.resize_mode == "longest" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


class TextEncoder(Protocol):
    """The half of a vision-language model that takes texts."""

    name: str
    fingerprint: str
    """hex digest over weights, preprocessing and tokenizer: equal fingerprints mean comparable vectors"""
    dim: int

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """n texts, of any length (cut at `context_length` tokens), to (n, dim) unit rows."""
        ...


class Encoder(TextEncoder, Protocol):
    """A vision-language model. Its methods may be called from one thread at a time, what `image_lanes` returns from
    several."""

    preprocess: Preprocess
    context_length: int
    logit_scale: float
    source: dict[str, Any]
    """what `registry.load_source` needs to load the same model again (JSON)"""

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, height, width, 3) uint8 sRGB at `preprocess.size` to (n, dim) unit rows."""
        ...

    def image_lanes(self) -> list[Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
        """Functions like `embed_images`, each to be called from a thread of its own, all at the same time: one for
        each core, two for each GPU, say."""
        ...

    @property
    def lane_batch(self) -> int:
        """Photos that a lane takes at a time; give it as many."""
        ...

    def probe(self) -> object:
        """Find out how the lanes run best on this machine, in about a second; said by a line of the log (INFO)."""
        ...
