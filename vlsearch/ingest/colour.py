"""Pixels of any kind to 8-bit sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageCms


def plain(image: Image.Image) -> Image.Image:
    """To one of the modes L, RGB, CMYK, LAB, LA, RGBA, whose samples are 8 bits and may be averaged."""
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_to_8_bit(np.asarray(image), image.mode))
    if image.mode in ("LA", "La"):
        return image.convert("LA")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _to_8_bit(samples: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """(h, w) samples of more than 8 bits to uint8: 0 to 65535, for floats 0 to 1, else lowest to highest."""
    values = np.nan_to_num(samples.astype(np.float32))
    if mode == "F":
        values = values.astype(np.float64)  # for differences of the largest numbers
    low, high = float(values.min()), float(values.max())
    top = 1.0 if mode == "F" else 65535.0
    if low >= 0 and high <= top:
        low, high = 0.0, top
    scaled: NDArray[np.uint8] = np.rint((values - low) * (255.0 / max(high - low, 1e-30))).astype(np.uint8)
    return scaled


def srgb(pixels: NDArray[np.uint8], mode: str, icc: bytes | None) -> NDArray[np.uint8]:
    """Pixels of a `plain` image to (h, w, 3) sRGB, on white. Meant for the small image: all photos of a phone carry a
    profile."""
    from PIL import Image

    alpha = pixels[..., -1] if mode in ("LA", "RGBA") else None
    if alpha is not None:
        mode, pixels = mode[:-1], pixels[..., :-1]
    transform = _to_srgb(icc or b"", mode) if icc or mode == "LAB" else None
    if transform is not None or mode != "RGB":
        image = Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
        pixels = np.asarray(image.convert("RGB") if transform is None else transform.apply(image))
    if alpha is None:
        return pixels
    cover = alpha[..., None].astype(np.float32) / 255
    blended: NDArray[np.uint8] = np.rint(pixels * cover + 255 * (1 - cover)).astype(np.uint8)
    return blended


@lru_cache(maxsize=16)
def _to_srgb(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where there is nothing to do: no profile, a broken one, one for another kind of pixels, or sRGB itself."""
    from PIL import Image, ImageCms

    try:
        if mode == "LAB":
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
                return None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:
        return None
    if mode in ("L", "RGB"):
        levels = np.arange(0, 256, 51, dtype=np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        probe = Image.fromarray(grid if mode == "RGB" else np.ascontiguousarray(grid[..., 0]))
        change = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
        if int(np.abs(change).max()) <= 2:
            return None
    return transform
