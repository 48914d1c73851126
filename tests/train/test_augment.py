"""Photos seen a little differently in every step, the same for the same step and for any share of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlsearch.train import augment
from vlsearch.train.augment import augmented

ALL: dict[str, Any] = {"area": (0.5, 1.0), "flip": True, "colour": 1.0, "sharpness": True}


def photos(n: int = 12, height: int = 24, width: int = 32) -> torch.Tensor:
    """Smooth ones: what scaling should keep."""
    coarse = torch.rand(n, 3, 5, 5, generator=torch.Generator().manual_seed(n))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def plain(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def test_nothing_asked_for_changes_nothing() -> None:
    pixels = photos()
    torch.testing.assert_close(augmented(pixels, (24, 32), 0, 5, area=(1, 1)), plain(pixels), rtol=0, atol=1e-6)
    small = F.interpolate(plain(pixels), (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(augmented(pixels, 16, 0, 5, area=(1, 1)), small, rtol=0, atol=2 / 255)


@pytest.mark.parametrize("options", [{}, ALL], ids=["crops", "all"])
def test_seed_and_step_decide(options: dict[str, Any]) -> None:
    pixels = photos()
    first = augmented(pixels, 20, 1, 5, **options)
    assert first.shape == (12, 3, 20, 20)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= first.min() < first.max() <= 1
    assert torch.equal(first, augmented(pixels, 20, 1, 5, **options))
    for other in ((1, 6), (2, 5)):
        changed = (augmented(pixels, 20, *other, **options) != first).flatten(1).any(1)
        assert changed.float().mean() > 0.5  # few crops differ at this size


@pytest.mark.parametrize("size", [24, 16, (24, 32)])
def test_a_share_of_a_batch_comes_out_as_from_the_whole(size: int | tuple[int, int]) -> None:
    pixels = photos(13)
    whole = augmented(pixels, size, 3, 7, **ALL)
    for parts in (2, 3, 13):
        for rows in torch.arange(13).tensor_split(parts):
            some = slice(int(rows[0]), int(rows[-1]) + 1)
            assert torch.equal(augmented(pixels[some], size, 3, 7, **ALL, rows=some, of=13), whole[some])
    assert augmented(pixels[:0], size, 3, 7, **ALL, rows=slice(0, 0), of=13).shape[0] == 0
    with pytest.raises(ValueError, match="5 photos for 4 rows of a batch of 13"):
        augmented(pixels[:5], size, 3, 7, rows=slice(0, 4), of=13)


def test_crops_keep_the_share_asked_for_and_lie_within() -> None:
    n = 4000
    drawn = torch.from_numpy(np.random.default_rng(0).random((n, 12), "float32"))
    draws = augment._Draws._make([*drawn[:, :9].unbind(1), drawn[:, 9:]])
    for area, stretched in (((0.5, 1.0), True), ((0.9, 1.0), False)):
        boxes = augment._boxes(draws, area, 200, 200)
        top, left, h, w = boxes.unbind(1)
        assert min(top.min(), left.min()) == 0
        assert max((top + h).max(), (left + w).max()) == 200
        assert abs((top + h / 2).mean() - 100) < 1  # nowhere more often than elsewhere
        share = h * w / 200**2
        assert area[0] * 0.86 < share.min() < area[0] * 1.05
        assert share.max() > 0.97
        assert ((h != w).float().mean() > 0.5) == stretched
        assert (w / h).max() <= 4 / 3 + 0.02


def test_half_of_the_photos_are_mirrored() -> None:
    pixels = photos(200, 8, 8)
    seen = augmented(pixels, 8, 0, 0, area=(1, 1), flip=True)
    as_they_are = (seen == plain(pixels)).flatten(1).all(1)
    mirrored = (seen == plain(pixels).flip(-1)).flatten(1).all(1)
    assert (as_they_are ^ mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_colours_change_about_the_photos_grey() -> None:
    pixels = photos(400, 6, 6) // 3 + 80  # far enough from black and white
    before, after = plain(pixels), augmented(pixels, 6, 0, 0, area=(1, 1), colour=0.5)
    shift = after.mean((1, 2, 3)) - before.mean((1, 2, 3))
    assert abs(shift.mean()) < 0.01
    assert 0.05 < shift.abs().max() <= 0.5 * (augment.BRIGHTNESS + augment.TINT)
    contrast = after.mean(1).std((1, 2)) / before.mean(1).std((1, 2))
    assert 0.82 < contrast.min() < 0.9
    assert 1.1 < contrast.max() < 1.19
    assert (augmented(pixels, 6, 0, 0, area=(1, 1), colour=0.01) - before).abs().max() < 0.01


def test_sharpness_is_an_unsharp_mask() -> None:
    pixels = photos(50) // 3 + 80
    x = plain(pixels)
    mask = x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    amount = ((augmented(pixels, (24, 32), 0, 0, area=(1, 1), sharpness=True) - x) * mask).sum((1, 2, 3))
    amount /= mask.square().sum((1, 2, 3))
    assert -0.5 <= amount.min() < -0.3
    assert 1.7 < amount.max() <= 2.0


@pytest.mark.parametrize("size", [(24, 32), (40, 40), (9, 12)])
def test_what_a_gpu_does_is_the_same_but_for_rounding(size: tuple[int, int]) -> None:
    pixels = photos()
    boxes = torch.tensor([[i % 5, i % 7, 12 + i % 8, 20 + i % 6] for i in range(12)])
    boxes[0] = torch.tensor([0, 0, 24, 32])
    one_by_one = torch.cat([augment._resized(pixels[i : i + 1], boxes[i : i + 1], *size) for i in range(12)])
    torch.testing.assert_close(augment._resized_by_matrices(pixels, boxes, *size), one_by_one, rtol=0, atol=1.5 / 255)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_augments_as_the_cpu_does() -> None:
    pixels = photos()
    on_gpu = augmented(pixels.cuda(), 20, 1, 5, **ALL)
    assert on_gpu.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(on_gpu.cpu(), augmented(pixels, 20, 1, 5, **ALL), rtol=0, atol=0.08)
