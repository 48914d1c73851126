"""Heat maps: they lie where the photo has what was asked, in whatever way the model cuts its photos."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import ColourEncoder, unit
from vlsearch.encoders.base import Preprocess
from vlsearch.ingest.thumbnail import thumbnail
from vlsearch.search.heat import (
    COLOURS,
    SIDE,
    Heat,
    heat_maps,
    heat_of,
    normalised,
    picture,
    stretched,
    thumbnail_size,
    window,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)
RED = np.array([1, 0, 0], np.float32)
BIN = Path(__file__).parents[2] / "bin"


@dataclass
class Cells:
    """An encoder whose parts are the mean colours of 8 × 8 cells."""

    mode: str = "squash"
    size: tuple[int, int] = (64, 64)
    batches: list[int] = field(default_factory=list)

    @property
    def preprocess(self) -> Preprocess:
        return Preprocess(self.size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize_mode=self.mode)

    def patch_vectors(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(pixels))
        n, height, width, _ = pixels.shape
        cells = pixels.reshape(n, 8, height // 8, 8, width // 8, 3).astype(np.float32).mean((2, 4))
        cells[..., 2] += 0.01  # no colour is 0
        return unit(cells.reshape(-1, 3)).reshape(n, 8, 8, 3)


def drawn(path: Path, size: tuple[int, int], red: tuple[int, int, int, int]) -> str:
    """A blue photo with a red box, in pixels."""
    photo = Image.new("RGB", size, "blue")
    photo.paste("red", red)
    photo.save(path)
    return str(path)


def shown(heat: Heat | None) -> NDArray[np.uint8]:
    """(height, width, 4)"""
    assert heat is not None
    head, _, data = heat.data.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGBA"))


def hottest(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Centre of the most opaque tenth, as shares of width and height."""
    alpha = pixels[..., 3].astype(float)
    y, x = np.nonzero(alpha >= np.quantile(alpha, 0.9))
    return x.mean() / alpha.shape[1], y.mean() / alpha.shape[0]


@pytest.mark.parametrize("mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(400, 300), (300, 400), (320, 320)])
def test_the_heat_lies_on_what_was_asked(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    width, height = size
    middle = (width // 2, height // 2)
    box = (middle[0] - 100, middle[1] - 100, middle[0] - 50, middle[1] - 50)
    (found,) = heat_maps([drawn(tmp_path / "a.png", size, box)], RED, Cells(mode))
    assert found is not None
    x, y = hottest(shown(found))
    assert x == pytest.approx((box[0] + 25) / width, abs=0.07)
    assert y == pytest.approx((box[1] + 25) / height, abs=0.07)
    assert 0 <= found.low < 0.01 < 0.4 < found.high <= 1


def test_what_the_model_does_not_see_stays_plain(tmp_path: Path) -> None:
    path = drawn(tmp_path / "wide.png", (640, 320), (480, 0, 640, 320))
    cropped, padded = (shown(heat_maps([path], RED, Cells(mode))[0]) for mode in ("shortest", "longest"))
    assert cropped.shape == padded.shape == (160, 320, 4)
    assert (cropped[:, :80, 3] == 0).all()
    assert (cropped[:, 240:, 3] == 0).all()
    assert (cropped[:, 80:240, 3] > 0).all()
    assert (padded[..., 3] > 0).all()
    assert padded[80, 300, 3] > 2 * padded[80, 20, 3]


def test_a_turned_photo_has_its_heat_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright: to be turned a quarter clockwise
    lying = Image.new("RGB", (400, 200), "blue")
    lying.paste("red", (0, 0, 100, 200))  # its left becomes the top
    lying.save(tmp_path / "turned.jpg", exif=exif)
    (found,) = heat_maps([str(tmp_path / "turned.jpg")], RED, Cells())
    assert shown(found).shape[:2] == (SIDE, SIDE // 2)
    assert hottest(shown(found))[1] < 0.2


def test_photos_that_cannot_be_read_have_none(tmp_path: Path) -> None:
    good = [drawn(tmp_path / f"{i}.png", (64, 64), (0, 0, 32, 32)) for i in range(17)]
    (tmp_path / "text.jpg").write_text("no photo")
    encoder = Cells()
    paths = [str(tmp_path / "gone.jpg"), *good, str(tmp_path / "text.jpg"), str(tmp_path), "a\0b"]
    found = heat_maps(paths, RED, encoder)
    assert [heat is not None for heat in found] == [False, *[True] * 17, False, False, False]
    assert encoder.batches == [16, 1]
    assert heat_maps([], RED, encoder) == []


def test_a_strip_of_which_the_model_sees_next_to_nothing(tmp_path: Path) -> None:
    path = drawn(tmp_path / "strip.png", (3000, 2), (0, 0, 1500, 2))
    assert heat_maps([path], RED, Cells("shortest")) == [None]
    assert shown(heat_maps([path], RED, Cells("squash"))[0]).shape == (1, SIDE, 4)


def test_models_that_cannot_tell_parts_apart_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drawn(tmp_path / "a.png", (64, 64), (0, 0, 32, 32))
    assert heat_maps([path], RED, ColourEncoder()) == [None]
    monkeypatch.setattr(Cells, "patch_vectors", lambda *_: None)
    assert heat_maps([path, path], RED, Cells()) == [None, None]


def test_each_photo_has_its_own_scale() -> None:
    values = np.array([[0.1, 0.2], [np.nan, 0.3]], np.float32)
    np.testing.assert_allclose(normalised(values), [[0, 0.5], [np.nan, 1]], atol=1e-6)
    np.testing.assert_array_equal(normalised(np.full((2, 2), 0.2, np.float32)), np.zeros((2, 2)))


def test_what_is_added_around_a_photo_does_not_count() -> None:
    cells = np.array([[0.9], [0.2], [0.3], [-0.5]], np.float32)  # the outer two are padding
    found = heat_of(cells, (40, 20), (0.0, -0.5, 1.0, 1.5))
    alone = heat_of(np.array([[0.9], [0.2], [0.3], [-0.5]], np.float32), (40, 40), WHOLE)
    assert found is not None
    assert alone is not None
    assert (alone.low, alone.high) == pytest.approx((-0.5, 0.9))
    assert -0.1 < found.low < 0.2 < 0.3 < found.high < 0.6
    assert shown(found)[..., 3].min() < 40
    assert shown(found)[..., 3].max() > 180


def test_cells_are_stretched_bilinearly() -> None:
    heat = np.array([[0, 1], [2, 3]], np.float32)
    whole = stretched(heat, (8, 8), WHOLE)
    assert whole.shape == (8, 8)
    np.testing.assert_allclose(whole[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])
    np.testing.assert_allclose(whole[:, 0], 2 * whole[0])
    pillow = Image.fromarray(heat).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(whole, np.asarray(pillow), atol=1e-6)
    part = stretched(heat, (8, 4), (0.25, 0.0, 0.75, 1.0))
    assert np.isnan(part[:, :2]).all()
    assert np.isnan(part[:, 6:]).all()
    np.testing.assert_allclose(part[0, 2:6], [0, 0.25, 0.75, 1])


@pytest.mark.parametrize(
    ("size", "mode", "model", "seen"),
    [
        ((100, 200), "squash", (64, 64), WHOLE),
        ((100, 200), "shortest", (50, 50), (0.25, 0.0, 0.75, 1.0)),
        ((200, 100), "shortest", (50, 50), (0.0, 0.25, 1.0, 0.75)),
        ((100, 200), "longest", (50, 50), (0.0, -0.48, 1.0, 1.52)),
        ((100, 100), "shortest", (50, 25), (0.24, 0.0, 0.74, 1.0)),
    ],
)
def test_what_the_model_sees(size: tuple[int, int], mode: str, model: tuple[int, int], seen: tuple[float, ...]) -> None:
    preprocess = Preprocess(model, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize_mode=mode)
    assert window(*size, preprocess) == pytest.approx(seen)


@pytest.mark.parametrize("size", [(640, 427), (50, 20), (2000, 3), (333, 1000)])
def test_a_map_is_as_large_as_the_thumbnail(size: tuple[int, int]) -> None:
    buffer = BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    assert thumbnail_size(*size) == thumbnail(buffer.getvalue(), SIDE)[1]


def lightness(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """OKLab (Ottosson 2020) of sRGB (n, 3)."""
    c = pixels / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    lab: NDArray[np.float64] = np.cbrt(linear @ np.transpose(to_lms)) @ np.transpose(to_lab)
    return lab


def test_equal_steps_of_heat_are_equal_steps_to_the_eye() -> None:
    lab = lightness(np.array([[*bytes.fromhex(colour[1:])] for colour in COLOURS]))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() < 1.25 * steps.min()
    assert (np.diff(lab[:, 0]) > 0.05).all()  # readable without colour: ever lighter


def test_more_heat_covers_more() -> None:
    ramp = shown(Heat(picture(np.linspace(0, 1, 64, dtype=np.float32)[None]), 0, 1))[0]
    assert (np.diff(ramp[:, 3].astype(int)) >= 0).all()
    assert 0 < ramp[0, 3] < 60 < 150 < ramp[-1, 3] < 220
    assert tuple(ramp[-1, :3]) == tuple(bytes.fromhex(COLOURS[-1][1:]))


@pytest.mark.slow
def test_the_built_in_model_points_roughly(tmp_path: Path) -> None:
    """What docs/explain.md says of it: of two drawn things side by side, the map of one is warmer on its half in about
    seven of ten; which of the two maps is warmer there tells them apart in nearly nine of ten."""
    from vlsearch.encoders import registry
    from vlsearch.ingest.decode import decode

    subprocess.run([sys.executable, str(BIN / "make-scenes"), str(tmp_path)], check=True, capture_output=True)
    told: dict[str, Any] = json.loads((tmp_path / "captions.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in told["images"]}
    pairs = []
    for row in told["annotations"]:
        if match := re.fullmatch("(.+) (left|right) of (.+)", row["caption"]):
            left, right = match.group(1, 3) if match[2] == "left" else match.group(3, 1)
            pairs.append((names[row["image_id"]], left, right))
    assert len(pairs) == 52
    encoder = registry.load("builtin", precision="fp32")
    photos = np.stack([decode((tmp_path / name).read_bytes(), encoder.preprocess).pixels for name, _, _ in pairs])
    patches = encoder.patch_vectors(photos)
    assert patches is not None
    lean = []
    for texts in ([left for _, left, _ in pairs], [right for _, _, right in pairs]):
        cells = np.einsum("nhwd,nd->nhw", patches, encoder.embed_texts(texts))
        lean.append(cells[:, :, :2].mean((1, 2)) - cells[:, :, 2:].mean((1, 2)))
    own_half = np.mean([lean[0] > 0, lean[1] < 0])
    told_apart = np.mean(lean[0] > lean[1])
    assert own_half > 0.62
    assert told_apart > 0.8
