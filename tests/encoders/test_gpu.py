"""The lanes of a GPU: their arithmetic on the CPU, the rest where there is one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from tests.encoders.conftest import random_model, tokenizer_of
from tests.encoders.test_jpeg import jpeg, picture
from vlsearch.encoders import gpu
from vlsearch.encoders.gpu import Lane, Tower, gpu_lanes
from vlsearch.encoders.openclip import OpenClipEncoder

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "BATCH", 8)


@pytest.fixture
def encoder() -> Iterator[OpenClipEncoder]:
    return OpenClipEncoder(random_model("tiny"), tokenizer_of("tiny"), "tiny", {"name": "tiny"}, "fp32", "cpu")


def photos(n: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def tower_of(encoder: OpenClipEncoder) -> Tower:
    return Tower(encoder._model.visual, encoder.preprocess, torch.float32, CPU)


@pytest.mark.parametrize("n", [0, 1, 8, 21])
def test_a_lane_fills_up_its_batches(n: int, encoder: OpenClipEncoder) -> None:
    tower = tower_of(encoder)
    sizes: list[int] = []
    tower.compute = lambda x: (sizes.append(len(x)), tower.features(x))[1]
    found = Lane(tower)(photos(n))
    assert (found.shape, found.dtype) == ((n, 32), np.float32)
    assert sizes == [8] * -(-n // 8)
    assert n == 0 or np.abs(found - encoder.embed_images(photos(n))).max() < 1e-5


def test_jpegs_and_pixels_through_one_lane(encoder: OpenClipEncoder) -> None:
    from vlsearch.encoders.jpeg import decode_plain

    lane = Lane(tower_of(encoder))
    files = [jpeg(picture(80 + 8 * i, 64), 1 + i % 8) for i in range(11)]
    orientations = [1 + i % 8 for i in range(11)]
    decoded = torch.stack(decode_plain(files, orientations, encoder.preprocess, CPU)).numpy()
    assert np.abs(lane.embed_jpegs(files, orientations) - encoder.embed_images(decoded)).max() < 1e-5
    assert np.abs(lane(photos(3)) - encoder.embed_images(photos(3))).max() < 1e-5


def test_what_cannot_be_compiled_runs_as_it_is(
    encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no C compiler\nat all")

    caplog.set_level(logging.INFO, "vlsearch")
    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    tower = tower_of(encoder)
    tower.compile()
    lines = [record.message for record in caplog.records if record.name != "root"]
    assert lines == ["the image tower runs uncompiled on cpu (no C compiler)"]
    assert np.abs(Lane(tower)(photos(3)) - encoder.embed_images(photos(3))).max() < 1e-5


def test_a_replica_is_no_part_of_the_model(encoder: OpenClipEncoder) -> None:
    visual = encoder._model.visual
    Tower(visual, encoder.preprocess, torch.bfloat16, CPU)
    assert {parameter.dtype for parameter in visual.parameters()} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_lanes_of_a_gpu_at_the_same_time() -> None:
    model = random_model("tiny")
    exact = OpenClipEncoder(random_model("tiny"), tokenizer_of("tiny"), "tiny", {"name": "tiny"}, "fp32", "cpu")
    lanes = gpu_lanes(model.cuda().visual, exact.preprocess, torch.bfloat16)
    assert len(lanes) == gpu.LANES_PER_GPU * torch.cuda.device_count()
    pixels = photos(50)
    expected = exact.embed_images(pixels)
    with ThreadPoolExecutor(len(lanes)) as pool:
        for rows in pool.map(lambda lane: lane(pixels), lanes * 5):
            assert (rows * expected).sum(1).min() > 0.999
    files = [jpeg(picture(640, 480), 1 + i % 8) for i in range(20)]
    on_gpu = lanes[0].embed_jpegs(files, [1 + i % 8 for i in range(20)])
    on_cpu = Lane(Tower(exact._model.visual, exact.preprocess, torch.float32, CPU))
    assert (on_gpu * on_cpu.embed_jpegs(files, [1 + i % 8 for i in range(20)])).sum(1).min() > 0.99
