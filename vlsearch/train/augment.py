"""Photos of a batch, each seen a little differently in every step: cropped, mirrored, sharpened, tinted.

What is done to a photo is drawn for the whole batch by seed and step, so that each of several processes can do its own
share of it, and a run that goes on does what it would have done.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F

from vlsearch.encoders.lanes import own_threads
from vlsearch.train.pairs import generator

ASPECT = math.log(4 / 3)
"""largest change of the ratio of sides, where crops are smaller than SMALL"""
SMALL = 0.9
SHARPNESS = -0.5, 2.0
"""of the unsharp mask, whose blur is the mean over 3 x 3: photos that were stored small are softer than what people
have"""
BRIGHTNESS, CONTRAST, SATURATION, TINT = 0.15, 0.25, 0.4, 0.08
"""largest changes at colour 1"""


class _Draws(NamedTuple):
    """Of n photos; everything is drawn whether or not it is used, so that one option does not change another."""

    area: torch.Tensor
    aspect: torch.Tensor
    top: torch.Tensor
    left: torch.Tensor
    flip: torch.Tensor
    sharpness: torch.Tensor
    brightness: torch.Tensor
    contrast: torch.Tensor
    saturation: torch.Tensor
    tint: torch.Tensor
    """(n, 3); all others (n,), and all uniform in 0..1"""


@torch.no_grad()
def augmented(
    pixels: torch.Tensor,
    size: int | tuple[int, int],
    seed: int,
    step: int,
    *,
    area: tuple[float, float] = (0.9, 1.0),
    flip: bool = False,
    colour: float = 0.0,
    sharpness: bool = False,
    rows: slice | None = None,
    of: int | None = None,
) -> torch.Tensor:
    """(n, height, width, 3) uint8 to (n, 3, *size) float32 of 0..1 in channels_last, on the device of `pixels`.

    `area`: the least and the largest share of a photo that is kept; below SMALL, crops are also stretched. `flip`
    mirrors half of the photos, of which no caption may say left or right. `colour` scales how far brightness, contrast,
    saturation and tint are changed, as `sharpness` is or is not.
    `pixels` are the photos `rows` of a batch of `of` photos (default: all of it): they come out, on the CPU to the bit,
    as they would have from the whole batch. Crops are scaled bilinearly with antialiasing, on the CPU in uint8.
    """
    height, width = (size, size) if isinstance(size, int) else size
    of = len(pixels) if of is None else of
    drawn = torch.from_numpy(generator(seed, step, 4).random((of, 12), "float32"))[rows or slice(None)]
    if len(drawn) != len(pixels):
        raise ValueError(f"{len(pixels)} photos for {len(drawn)} rows of a batch of {of}")
    draws = _Draws._make([*drawn[:, :9].unbind(1), drawn[:, 9:]])
    boxes = _boxes(draws, area, *pixels.shape[1:3])
    out = torch.empty(
        (len(pixels), 3, height, width), device=pixels.device, memory_format=torch.channels_last
    )  # several times faster than to write into what is in the other order
    on_cpu = pixels.device.type == "cpu"
    # On the CPU one photo at a time stays in its cache, and is too little for several threads.
    with own_threads(1) if on_cpu else nullcontext():
        for first in range(0, len(pixels), 1 if on_cpu else max(1, len(pixels))):
            some = slice(first, first + 1 if on_cpu else len(pixels))
            own = _Draws._make(values[some].to(pixels.device) for values in draws)
            x = (_resized if on_cpu else _resized_by_matrices)(pixels[some], boxes[some], height, width)
            if flip:
                x = torch.where(own.flip[:, None, None, None] < 0.5, x.flip(-1), x)
            if sharpness:
                x = _sharpened(x, own)
            if colour:
                x = _coloured(x, own, colour)
            out[some] = x.clamp_(0, 1)
    return out


def _boxes(draws: _Draws, area: tuple[float, float], height: int, width: int) -> torch.Tensor:
    """(n, 4) int64: top, left, height and width of each crop in pixels."""
    share = area[0] + (area[1] - area[0]) * draws.area
    aspect = torch.exp((2 * draws.aspect - 1) * (ASPECT if area[0] < SMALL else 0.0))
    h = ((share / aspect).sqrt().clamp(max=1) * height).round().clamp(min=1)
    w = ((share * aspect).sqrt().clamp(max=1) * width).round().clamp(min=1)
    top, left = (draws.top * (height - h + 1)).floor(), (draws.left * (width - w + 1)).floor()
    return torch.stack([torch.minimum(top, height - h), torch.minimum(left, width - w), h, w], 1).long()


def _resized(pixels: torch.Tensor, boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(1, 3, height, width) of 0..1, of one photo."""
    top, left, h, w = boxes[0].tolist()
    crop = pixels[:, top : top + h, left : left + w].permute(0, 3, 1, 2)
    if (h, w) != (height, width):
        crop = F.interpolate(crop, (height, width), mode="bilinear", antialias=True)
    return crop.float().div_(255)


def _resized_by_matrices(pixels: torch.Tensor, boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(n, 3, height, width) of 0..1: the same but for rounding, of many photos at once, for a GPU."""
    boxes = boxes.to(pixels.device).float()
    rows = _weights(boxes[:, 0], boxes[:, 2], pixels.shape[1], height)
    columns = _weights(boxes[:, 1], boxes[:, 3], pixels.shape[2], width)
    x = pixels.permute(0, 3, 1, 2).float().div_(255)
    return rows[:, None] @ x @ columns[:, None].transpose(2, 3)


def _weights(start: torch.Tensor, length: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """(n, after, before): which pixels of a line make up each of those that its part from `start` is scaled to, by the
    triangular filter of Pillow and of `interpolate`."""
    scale = (length / after)[:, None, None]
    support = scale.clamp(min=1)
    at = torch.arange(before, device=start.device) + 0.5 - start[:, None, None]
    centre = (torch.arange(after, device=start.device)[:, None] + 0.5) * scale
    weights = (1 - (at - centre).abs() / support).clamp(min=0)
    weights = weights * ((at > 0) & (at < length[:, None, None]))
    return weights / weights.sum(2, keepdim=True)


def _sharpened(x: torch.Tensor, draws: _Draws) -> torch.Tensor:
    least, most = SHARPNESS
    amount = (least + (most - least) * draws.sharpness)[:, None, None, None]
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    blurred = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    blurred = blurred[..., :-2] + blurred[..., 1:-1] + blurred[..., 2:]
    return x * (1 + amount) - blurred * (amount / 9)


def _coloured(x: torch.Tensor, draws: _Draws, colour: float) -> torch.Tensor:
    """Saturation about each pixel's grey and tint, then contrast about the photo's grey and brightness: all linear, so
    one matrix for each photo."""

    def change(drawn: torch.Tensor, most: float) -> torch.Tensor:
        return (2 * drawn - 1) * (most * colour)

    contrast = 1 + change(draws.contrast, CONTRAST)
    grey = x.mean((1, 2, 3))
    to_grey = torch.full((3, 3), 1 / 3, device=x.device)
    saturation = to_grey + (1 + change(draws.saturation, SATURATION))[:, None, None] * (
        torch.eye(3, device=x.device) - to_grey
    )
    matrix = contrast[:, None, None] * (1 + change(draws.tint, TINT))[:, :, None] * saturation
    offset = grey * (1 - contrast) + change(draws.brightness, BRIGHTNESS)
    return torch.baddbmm(offset[:, None, None], matrix, x.flatten(2)).view_as(x)
