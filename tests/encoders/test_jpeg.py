"""Which JPEG files go to a GPU, and that its arithmetic, here on the CPU, makes of them what Pillow does."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.jpeg import decode_plain, orientation_if_plain, to_model_size, upright
from vlsearch.errors import UnreadableFile

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
MEAN = (0.0, 0.0, 0.0)


def picture(width: int = 120, height: int = 80, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def jpeg(image: Image.Image, orientation: int | None = None, **options: Any) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92, exif=exif, **options)
    return out.getvalue()


def profile(name: str) -> bytes:
    if name == "sRGB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return b"\0" * 100 + name.encode() + b"\0" * 100


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_plain_files_and_their_orientation(orientation: int | None) -> None:
    assert orientation_if_plain(jpeg(picture(), orientation)) == (orientation or 1)
    assert orientation_if_plain(jpeg(picture(mode="L"), orientation)) == (orientation or 1)
    assert orientation_if_plain(jpeg(picture(), orientation, icc_profile=profile("sRGB"))) == (orientation or 1)


def test_files_that_are_not_plain() -> None:
    png = io.BytesIO()
    picture().save(png, "PNG")
    plain = jpeg(picture())
    others = {
        "progressive": jpeg(picture(), progressive=True),
        "CMYK": jpeg(picture(mode="CMYK")),
        "RGB": jpeg(picture(), keep_rgb=True),
        "Display P3": jpeg(picture(), icc_profile=profile("Display P3")),
        "PNG": png.getvalue(),
        "empty": b"",
        "no frame": plain[:20],
        "a length beyond the end": b"\xff\xd8\xff\xe1\xff\xff",
        "12 bits": plain.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
        "too large": plain.replace(b"\xff\xc0\x00\x11\x08\x00\x50\x00\x78", b"\xff\xc0\x00\x11\x08\xff\x50\xff\x78"),
    }
    assert plain not in others.values()
    assert {name: orientation_if_plain(data) for name, data in others.items()} == dict.fromkeys(others)


@pytest.mark.parametrize("cut", range(2, 700, 13))
def test_a_file_cut_anywhere_raises_nothing(cut: int) -> None:
    assert orientation_if_plain(jpeg(picture(), 6)[:cut]) in (None, 1, 6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_pillows(orientation: int) -> None:
    image = picture(24, 16)
    exif = image.getexif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(out)))
    found = upright(torch.from_numpy(np.array(image)).permute(2, 0, 1), orientation).permute(1, 2, 0)
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", [(800, 536), (301, 640), (40, 24)])
def test_resizing_is_pillows_to_two_levels(mode: str, interpolation: str, shape: tuple[int, int]) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    cfg = PreprocessCfg(size=64, interpolation=interpolation, resize_mode=mode, fill_color=7, mean=MEAN, std=(1.0,) * 3)
    image = picture(*shape)
    expected = image_transform_v2(cfg, is_train=False)(image) * 255
    preprocess = Preprocess((64, 64), MEAN, (1.0, 1.0, 1.0), interpolation, mode, 7)
    found = to_model_size(torch.from_numpy(np.array(image)).permute(2, 0, 1), preprocess)
    assert (found.shape, found.dtype) == ((64, 64, 3), torch.uint8)
    gaps = (found.permute(2, 0, 1).float() - expected).abs()
    assert gaps.max() <= 8, "Pillow differs by as much from itself when it is asked for rows and columns one by one"
    assert (gaps > 2).float().mean() < 0.001


def test_files_are_decoded_turned_and_resized() -> None:
    preprocess = Preprocess((32, 32), MEAN, (1.0, 1.0, 1.0))
    files = [jpeg(picture(), 6), jpeg(picture(mode="L")), jpeg(picture(200, 96), 3)]
    orientations = [orientation_if_plain(data) or 0 for data in files]
    found = decode_plain(files, orientations, preprocess, torch.device("cpu"))
    for data, pixels in zip(files, found, strict=True):
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        expected = to_model_size(torch.from_numpy(np.array(image)).permute(2, 0, 1), preprocess)
        assert (pixels.int() - expected.int()).abs().max() <= 2
    with pytest.raises(UnreadableFile, match="damaged JPEG"):
        decode_plain([files[0], files[1][:200]], [1, 1], preprocess, torch.device("cpu"))
