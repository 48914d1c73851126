"""From a photo's size to the size that a model takes, as open_clip's inference transform does it."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlsearch.encoders.base import Preprocess, resized

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

BLOCK = 4
"""neighbouring outputs that are computed together: more waste on zeros, fewer take more calls"""

STRIP = 1_000_000
"""samples that are converted to floats at a time"""


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned and mirrored as EXIF's orientation 1 to 8 says."""
    from PIL.Image import Transpose

    T = Transpose
    turns = (T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_270, T.TRANSVERSE, T.ROTATE_90)
    return image if orientation == 1 else image.transpose(turns[orientation - 2])


def fit(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Resized and cut to its centre: (h, w) or (h, w, channels) uint8, no larger than `preprocess.size`."""
    rows, columns = preprocess.size
    height, width = resized(image.height, image.width, preprocess)
    if height * width > 10_000_000:
        # A strip of 1 × 1,000,000 would be enlarged to 224 × 224,000,000 only to have its middle cut out.
        keep_rows = min(image.height, math.ceil(image.height * 16 * rows / height))
        keep_columns = min(image.width, math.ceil(image.width * 16 * columns / width))
        left, top = (image.width - keep_columns) // 2, (image.height - keep_rows) // 2
        image = image.crop((left, top, left + keep_columns, top + keep_rows))
        height, width = resized(image.height, image.width, preprocess)
    # open_clip does not pass the interpolation on where it resizes the shorter side for an input that is not square.
    always_bicubic = preprocess.resize_mode == "shortest" and rows != columns
    bilinear = preprocess.interpolation == "bilinear" and not always_bicubic
    rows, columns = min(rows, height), min(columns, width)
    top, left = round((height - rows) / 2), round((width - columns) / 2)
    if image.mode == "RGB" and _fast(image.height, image.width, height, width):
        across = _blocks(image.width, width, left, columns, bilinear, 3)
        return _resampled(image, across, _blocks(image.height, height, top, rows, bilinear, 1))
    from PIL.Image import Resampling

    scaled = image.resize((width, height), Resampling.BILINEAR if bilinear else Resampling.BICUBIC)
    return np.asarray(scaled.crop((left, top, left + columns, top + rows)))


def _fast(height: int, width: int, to_height: int, to_width: int) -> bool:
    """Whether `_resampled` does what Pillow does, in little memory. Pillow resizes across first and rounds in between,
    but since version 13 down first where much more goes away there."""
    across_first = height - to_height <= 2 * (width - to_width)
    return across_first and height <= 8 * to_height and width <= 8 * to_width and height * width <= 4_000_000


def pad(pixels: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """(h, w, 3) in the middle of `preprocess.size`, with `preprocess.fill_color` around."""
    if pixels.shape[:2] == preprocess.size:
        return pixels
    padded = np.full((*preprocess.size, 3), preprocess.fill_color, np.uint8)
    height, width = pixels.shape[:2]
    top, left = (padded.shape[0] - height) // 2, (padded.shape[1] - width) // 2
    padded[top : top + height, left : left + width] = pixels
    return padded


class _Blocks(NamedTuple):
    """One direction of a resize: for each BLOCK of outputs the inputs they are made of, and how."""

    starts: tuple[int, ...]
    """the first input of each block"""
    weights: NDArray[np.float64]
    """(blocks, inputs × channels, BLOCK × channels)"""
    outputs: int


@lru_cache(maxsize=64)
def _blocks(size: int, resized: int, first: int, outputs: int, bilinear: bool, channels: int) -> _Blocks:
    """Weights for `outputs` samples from `first` on, of `size` samples resized to `resized`.

    They are Pillow's (Resample.c, precompute_coeffs): the filter is stretched by the scale when shrinking, cut at the
    border, normalised, and rounded to 22 bits. In float64 all sums are exact then, and the result is Pillow's.
    """
    scale = size / resized
    stretch = max(scale, 1.0)
    support = stretch * (1 if bilinear else 2)
    centres = (np.arange(first, first + outputs) + 0.5) * scale
    begin = np.maximum((centres - support + 0.5).astype(int), 0)
    end = np.minimum((centres + support + 0.5).astype(int), size)
    taps = begin[:, None] + np.arange((end - begin).max())
    t = np.abs(taps - centres[:, None] + 0.5) / stretch
    if bilinear:
        weights = np.maximum(1 - t, 0)
    else:
        weights = np.where(t < 1, (1.5 * t - 2.5) * t * t + 1, np.where(t < 2, ((2.5 - 0.5 * t) * t - 4) * t + 2, 0))
    weights *= taps < end[:, None]
    weights /= weights.sum(axis=1, keepdims=True)
    weights = np.trunc(weights * 2**22 + np.copysign(0.5, weights)) / 2**22

    block = np.arange(outputs) // BLOCK
    starts = begin[::BLOCK]
    reach = int((end - starts[block]).max())
    starts = np.minimum(starts, size - reach)
    inside = taps - starts[block, None]
    keep = inside < reach
    dense = np.zeros((len(starts), reach, BLOCK))
    where = (
        np.broadcast_to(block[:, None], keep.shape),
        inside,
        np.broadcast_to(np.arange(outputs)[:, None] % BLOCK, keep.shape),
    )
    dense[tuple(index[keep] for index in where)] = weights[keep]
    spread = np.zeros((len(starts), reach, channels, BLOCK, channels))
    for channel in range(channels):
        spread[:, :, channel, :, channel] = dense
    return _Blocks(tuple(starts.tolist()), spread.reshape(len(starts), reach * channels, BLOCK * channels), outputs)


def _resampled(image: Image.Image, across: _Blocks, down: _Blocks) -> NDArray[np.uint8]:
    """`image.resize` and `crop` for RGB as products of small matrices, in half to three quarters of the time."""
    step, reach = 3 * BLOCK, across.weights.shape[1]
    first = across.starts[0]
    needed = np.asarray(image)[:, first : across.starts[-1] + reach // 3]
    rows = _scratch("rows", image.height, len(across.starts) * step)
    strip = max(1, STRIP // (3 * needed.shape[1]))
    for top in range(0, image.height, strip):
        part = needed[top : top + strip]
        inputs = _scratch("inputs", len(part), 3 * needed.shape[1])
        np.copyto(inputs.reshape(part.shape), part)
        for i, (start, weights) in enumerate(zip(across.starts, across.weights, strict=True)):
            at = 3 * (start - first)
            np.matmul(inputs[:, at : at + reach], weights, out=rows[top : top + strip, i * step : (i + 1) * step])
    np.floor(_rounded(rows), out=rows)
    result = _scratch("result", len(down.starts) * BLOCK, rows.shape[1])
    for i, (start, weights) in enumerate(zip(down.starts, down.weights, strict=True)):
        np.matmul(weights.T, rows[start : start + len(weights)], out=result[i * BLOCK : (i + 1) * BLOCK])
    pixels = _rounded(result).astype(np.uint8).reshape(len(result), -1, 3)
    return pixels[: down.outputs, : across.outputs]


def _scratch(name: str, height: int, width: int) -> NDArray[np.float64]:
    """Each thread keeps its own, because the kernel takes longer to clear the pages of new arrays for every photo than
    the products take."""
    held: NDArray[np.float64] | None = getattr(_kept, name, None)
    if held is None or held.size < height * width:
        held = np.empty(height * width)
        setattr(_kept, name, held)
    return held[: height * width].reshape(height, width)


_kept = threading.local()


def _rounded(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """In place, to what is 0 to 255 when its fraction is cut off."""
    samples += 0.5
    return np.clip(samples, 0, 255, out=samples)
