"""Lanes beside each other, and what they compute with."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.encoders.conftest import random_model, tokenizer_of
from vlsearch.encoders import int8, lanes, registry
from vlsearch.encoders.lanes import Checked, Plan, cores, fastest, own_threads, plan_for, quota
from vlsearch.encoders.openclip import OpenClipEncoder
from vlsearch.errors import UsageError

ONE = torch.zeros((1, 4, 4, 3), dtype=torch.uint8)
needs_int8 = pytest.mark.skipif(not int8.available(), reason="no fast int8 products on this processor")


def encoder_of(int8: bool | None = False, precision: str = "fp32", arch: str = "tiny") -> OpenClipEncoder:
    return OpenClipEncoder(random_model(arch), tokenizer_of(arch), arch, {"name": arch}, precision, "cpu", int8)


def photos(n: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def in_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_a_thread_has_its_own_count_and_the_others_keep_theirs() -> None:
    before = torch.get_num_threads()
    with own_threads(before + 3):
        assert torch.get_num_threads() == before + 3
        assert in_thread(torch.get_num_threads) == before
    assert torch.get_num_threads() == in_thread(torch.get_num_threads) == before


@pytest.mark.parametrize(("said", "processors"), [("150000 100000", 2), ("max 100000", 1 << 16), ("", 1 << 16)])
def test_a_containers_share(said: str, processors: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(said)
    assert quota(tmp_path / "cpu.max") == processors
    assert quota(tmp_path / "none") == 1 << 16


def test_cores_are_what_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(lanes.os, "sched_getaffinity", lambda _: range(6), raising=False)
    monkeypatch.setattr(lanes, "quota", lambda: 4)
    assert cores() == 4
    monkeypatch.setattr(lanes, "quota", lambda: 1 << 16)
    assert cores() == 6


def test_a_lanes_batch_takes_a_fraction_of_a_second() -> None:
    def busy(seconds: float) -> None:
        began = time.thread_time()
        while time.thread_time() - began < seconds:
            pass

    for seconds, batches in ((0.03, (8,)), (0.05, (4, 8)), (0.5, (1,)), (0.0, (64,))):
        plan = plan_for(lambda x, seconds=seconds: (busy(seconds), x)[1], ONE)  # type: ignore[misc]
        assert plan.batch in batches
        assert (plan.lanes, plan.threads) == (cores(), 1)


def test_the_fastest_plan_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def rate(_features: object, _pixels: object, plan: Plan, _seconds: float) -> float:
        tried.append(plan)
        return 2.0 ** -abs(plan.threads - 4) * (1.2 if plan.batch == 16 else 1.05 if plan.batch == 4 else 1)

    tried: list[Plan] = []
    monkeypatch.setattr(lanes, "throughput", rate)
    assert fastest(lambda x: x, ONE, Plan(8, 1, 8), 1.0) == (Plan(2, 4, 16), 1.2)
    assert {(plan.lanes, plan.threads) for plan in tried} == {(8, 1), (4, 2), (2, 4), (1, 8)}


def test_a_slow_model_is_not_tried_for_long() -> None:
    began = time.perf_counter()
    plan, rate = fastest(lambda x: (time.sleep(0.3), x)[1], ONE, Plan(2, 1, 1), 0.5)  # type: ignore[func-returns-value]
    assert time.perf_counter() - began < 1.3
    assert rate > 0
    assert plan.lanes * plan.threads == 2


def test_lanes_give_what_embed_images_gives() -> None:
    encoder, pixels = encoder_of(), photos(30)
    before, expected = torch.get_num_threads(), encoder.embed_images(pixels)
    encoder._plan = Plan(3, 1, 4)
    made = encoder.image_lanes()
    assert (len(made), encoder.lane_batch) == (3, 4)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda lane: lane(pixels), made))
    for rows in [*found, made[0](pixels)]:
        assert rows.dtype == np.float32
        assert np.abs(rows - expected).max() < 1e-5
    assert made[0](photos(0)).shape == (0, 32)
    with pytest.raises(ValueError, match="pixels must be uint8"):
        made[0](pixels[0])
    assert torch.get_num_threads() == in_thread(torch.get_num_threads) == before


def test_a_probe_says_what_it_chose(caplog: pytest.LogCaptureFixture) -> None:
    encoder = encoder_of()
    caplog.set_level(logging.INFO, "vlsearch")
    began = time.perf_counter()
    found = encoder.probe(0.2)
    assert time.perf_counter() - began < 1.5
    assert len(encoder.image_lanes()) == found["lanes"]
    assert encoder.lane_batch == found["batch"]
    assert found["photos_per_second"] > 0
    assert [record.message for record in caplog.records if record.name != "root"] == [
        f"tiny: {found['lanes']} lanes of {found['threads']} threads, batches of {found['batch']}: "
        f"{found['photos_per_second']:.1f} photos/s"
    ]


class Ways:
    """A fast and an exact way to compute, which count what they are given."""

    def __init__(self, noise: float) -> None:
        self.noise, self.counts, self.lock = noise, {"fast": 0, "exact": 0}, threading.Lock()

    def fast(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._rows("fast", pixels) + self.noise * torch.tensor([0.0, 1.0])

    def exact(self, pixels: torch.Tensor) -> torch.Tensor:
        return self._rows("exact", pixels)

    def _rows(self, way: str, pixels: torch.Tensor) -> torch.Tensor:
        with self.lock:
            self.counts[way] += len(pixels)
        return torch.ones(len(pixels), 1) * torch.tensor([1.0, 0.0])


def test_the_first_photos_go_both_ways() -> None:
    ways = Ways(0.1)
    checked = Checked(ways.fast, ways.exact, "m")
    with ThreadPoolExecutor(4) as pool:
        rows = torch.cat(list(pool.map(checked, [ONE.expand(6, 4, 4, 3)] * 10)))
    assert ways.counts == {"fast": 60, "exact": 16}
    assert torch.equal(rows, torch.tensor([[1.0, 0.1]]).expand(60, 2))


def test_what_does_not_agree_is_left_for_good(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vlsearch")
    ways = Ways(0.2)
    checked = Checked(ways.fast, ways.exact, "m")
    for _ in range(5):
        assert torch.equal(checked(ONE.expand(6, 4, 4, 3)), torch.tensor([[1.0, 0.0]]).expand(6, 2))
    assert ways.counts == {"fast": 6, "exact": 36}
    assert [record.message for record in caplog.records] == ["m: int8 is not exact enough (cosine 0.9806), left alone"]


@needs_int8
@pytest.mark.parametrize("asked", [True, None])
def test_lanes_in_int8(asked: bool | None) -> None:
    encoder, pixels = encoder_of(asked, "bf16"), photos(40)
    exact, found = encoder.embed_images(pixels), encoder.image_lanes()[0](pixels)
    assert (exact * found).sum(1).min() > 0.995
    assert np.abs(exact - encoder_of(False, "bf16").embed_images(pixels)).max() == 0
    assert np.abs(exact - found).max() > 1e-4, "int8 was not used"
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-5


@needs_int8
def test_lanes_leave_int8_where_it_is_not_exact_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "AGREEMENT", 1.1)
    encoder, pixels = encoder_of(None, "bf16"), photos(20)
    assert np.abs(encoder.image_lanes()[0](pixels) - encoder.embed_images(pixels)).max() < 0.01
    kept = encoder_of(True, "bf16")
    assert np.abs(kept.image_lanes()[0](pixels) - encoder.image_lanes()[0](pixels)).max() > 1e-4


def test_without_int8_lanes_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "available", lambda: False)
    encoder, pixels = encoder_of(None), photos(5)
    assert np.abs(encoder.image_lanes()[0](pixels) - encoder.embed_images(pixels)).max() < 1e-5


def test_a_tower_that_cannot_be_quantised_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from vlsearch.encoders import int8_tower

    monkeypatch.setattr(int8, "available", lambda: True)
    monkeypatch.setattr(int8_tower, "Seen", None)
    caplog.set_level(logging.INFO, "vlsearch")
    encoder, pixels = encoder_of(None), photos(5)
    assert np.abs(encoder.image_lanes()[0](pixels) - encoder.embed_images(pixels)).max() < 1e-5
    assert "tiny: its image tower cannot be had in int8" in caplog.text
    with pytest.raises(TypeError):
        encoder_of(True).image_lanes()


@pytest.mark.parametrize("missing", ["processor", "tower"])
def test_int8_that_cannot_be_had(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "available", lambda: missing != "processor")
    with pytest.raises(UsageError, match="VNNI" if missing == "processor" else "vision transformers, which builtin"):
        registry.load("builtin", precision="int8")


@needs_int8
def test_precisions_of_the_registry(save: Callable[..., Path]) -> None:
    file, pixels = save(random_model("tiny")), photos(6)
    found = {p: registry.load("tiny", file, p).image_lanes()[0](pixels) for p in ("fp32", "bf16", "int8", "auto")}
    for precision, least in (("bf16", 1e-5), ("int8", 1e-4)):
        assert np.abs(found[precision] - found["fp32"]).max() > least
    assert np.abs(found["auto"] - found["int8"]).max() < 1e-6
