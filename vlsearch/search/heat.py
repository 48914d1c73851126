"""Heat maps: where in a photo the query is found, as a translucent picture to lay over its thumbnail."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vlsearch.encoders.base import resized
from vlsearch.errors import UnreadableFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.encoders.base import Preprocess
    from vlsearch.ingest.decode import Photo

BATCH = 16
SIDE = 320
"""longest side in pixels of a thumbnail, and of the map that lies over it"""
COLOURS = (
    *("#0d0887", "#46039f", "#7201a8", "#9c179e", "#bd3786"),
    *("#d8576b", "#ed7953", "#fb9f3a", "#fdca26", "#f0f921"),
)
"""from least to most alike: matplotlib's plasma (Smith and van der Walt, CC0) ; its steps are even to the eye"""
OPACITY = (0.1, 0.75)
"""of the least and of the most alike part: the photo stays visible"""
LEVELS = 128
FLAT = 1e-4
"""cosines of a photo's parts that differ by no more than this differ by rounding"""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Heat:
    """How much the parts of a photo resemble the query, as a PNG to lay over the photo."""

    data: str
    """data URI of a PNG with transparency"""
    low: float
    """cosine of the part that resembles the query least"""
    high: float
    """cosine of the one that resembles it most"""


class PatchEncoder(Protocol):
    """A model that may tell the parts of an image apart."""

    preprocess: Preprocess

    def patch_vectors(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(n, height, width, 3) uint8 to unit vectors (n, rows, columns, d); None where it cannot tell them apart."""
        ...


def heat_maps(paths: Sequence[str], xq: NDArray[np.float32], encoder: Any) -> list[Heat | None]:
    """A map for each photo, by its path or address, of a query's unit vector xq (d,).

    None for a photo that cannot be read any more, and for all of them where `encoder` is no `PatchEncoder` or its
    architecture does not allow it.
    """
    found: list[Heat | None] = [None] * len(paths)
    if not hasattr(encoder, "patch_vectors"):
        return found
    model: PatchEncoder = encoder
    for places, photos in _batches(paths, model.preprocess):
        patches = model.patch_vectors(np.stack([photo.pixels for photo in photos]))
        if patches is None:
            return found
        for place, photo, cells in zip(places, photos, patches @ xq, strict=True):
            size = thumbnail_size(photo.width, photo.height)
            found[place] = heat_of(cells, size, window(photo.height, photo.width, model.preprocess))
    return found


def heat_of(cells: NDArray[np.float32], size: tuple[int, int], seen: Box) -> Heat | None:
    """Cosines (rows, columns) of what a model sees of a photo, stretched to `size` (width, height) of all of it.

    The scale is that of the photo alone: parts that a model adds around it do not count. None where less than a pixel
    is seen.
    """
    values = stretched(cells, size, seen)
    if np.isnan(values).all():
        return None
    return Heat(picture(normalised(values)), float(np.nanmin(values)), float(np.nanmax(values)))


def _batches(paths: Sequence[str], preprocess: Preprocess) -> Iterator[tuple[list[int], list[Photo]]]:
    """The photos that can be read, and where their paths stand."""
    from vlsearch.ingest.decode import decode
    from vlsearch.ingest.sources import read_address

    places: list[int] = []
    photos: list[Photo] = []
    for place, path in enumerate(paths):
        try:
            photos.append(decode(read_address(path), preprocess))
        except (OSError, ValueError, UnreadableFile):  # ValueError: a path with a NUL in it
            continue
        places.append(place)
        if len(photos) == BATCH:
            yield places, photos
            places, photos = [], []
    if photos:
        yield places, photos


def normalised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines (height, width) to 0 … 1 from the least to the greatest; all 0 where they hardly differ. NaN stays."""
    low, high = np.nanmin(values), np.nanmax(values)
    scaled: NDArray[np.float32] = (values - low) / (high - low if high - low > FLAT else np.float32(np.inf))
    return scaled


def window(height: int, width: int, preprocess: Preprocess) -> Box:
    """Which part of an upright photo the model sees, as left, top, right, bottom in shares of its width and height:
    within 0 … 1 where the photo is cropped, beyond where it is padded (see `ingest.resize`)."""
    rows, columns = preprocess.size
    tall, wide = resized(height, width, preprocess)
    top, left = _margin(tall, rows), _margin(wide, columns)
    return left / wide, top / tall, (left + columns) / wide, (top + rows) / tall


def _margin(size: int, seen: int) -> int:
    """What is cut off before what is seen; negative: what is padded."""
    return round((size - seen) / 2) if size >= seen else -((seen - size) // 2)


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the photo when neither is to be more than SIDE."""
    scale = min(1.0, SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def stretched(heat: NDArray[np.float32], size: tuple[int, int], seen: Box) -> NDArray[np.float32]:
    """A map (rows, columns) to (height, width) pixels of the whole photo, bilinear; NaN outside of `seen`."""
    width, height = size
    left, top, right, bottom = seen
    down = _bilinear(heat.shape[0], height, top, bottom)
    across = _bilinear(heat.shape[1], width, left, right)
    whole: NDArray[np.float32] = (down @ heat @ across.T).astype(np.float32)
    return whole


def _bilinear(cells: int, pixels: int, begin: float, end: float) -> NDArray[np.float64]:
    """Weights (pixels, cells): each pixel's of the two cells whose centres lie around it. Beyond the outer centres the
    outer cells go on as they are; NaN outside of `begin` … `end`."""
    place = ((np.arange(pixels) + 0.5) / pixels - begin) / (end - begin)
    centre = np.clip(place * cells - 0.5, 0, cells - 1)
    weights: NDArray[np.float64] = np.maximum(1 - np.abs(centre[:, None] - np.arange(cells)), 0)
    weights[(place < 0) | (place > 1)] = np.nan
    return weights


def picture(values: NDArray[np.float32]) -> str:
    """(height, width) of 0 … 1 as the data URI of a PNG, clear where they are NaN."""
    from PIL import Image

    clear = np.isnan(values)
    levels = np.where(clear, 0, 1 + np.rint(np.nan_to_num(values) * (LEVELS - 1))).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(_palette().tobytes(), "RGBA")
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _palette() -> NDArray[np.uint8]:
    """(1 + LEVELS, 4) RGBA: nothing, then from least to most."""
    anchors = np.array([[*bytes.fromhex(colour[1:])] for colour in COLOURS], float)
    at = np.linspace(0, 1, LEVELS)
    channels = [np.interp(at, np.linspace(0, 1, len(anchors)), channel) for channel in anchors.T]
    alpha = 255 * (OPACITY[0] + (OPACITY[1] - OPACITY[0]) * at)
    palette = np.zeros((1 + LEVELS, 4), np.uint8)
    palette[1:] = np.rint(np.stack([*channels, alpha], axis=1))
    return palette
