"""A run that was stopped, by whatever, ends with the weights of one that was not."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.train import tiny
from tests.train.test_parallel import in_two
from vlsearch.errors import ModelError, UsageError, VlsearchError
from vlsearch.train import checkpoint
from vlsearch.train.loop import Batch, Encode, Fitted, Progress, fit
from vlsearch.train.negatives import HardTexts
from vlsearch.train.parallel import World
from vlsearch.train.settings import Settings
from vlsearch.train.task import PairsTask

Weights = dict[str, Tensor]
STEPS, EVERY = 7, 3
EVERYTHING: dict[str, Any] = {
    "optimizer": "muon",
    "ema": 0.9,
    "area": 0.5,
    "flip": True,
    "colour": 0.5,
    "sharpness": True,
    "dropout": 0.25,
    "micro": 3,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "augmented": {"area": 0.5, "colour": 0.5},
    "dropout": {"dropout": 0.25, "micro": 3},
    "ema": {"ema": 0.9},
    "everything": EVERYTHING,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost such small towers more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Changed:
    """`task` with another loss in one step, counted from 0."""

    def __init__(self, task: PairsTask, step: int, change: Callable[[Tensor], Tensor]) -> None:
        self._task, self._step, self._change = task, step, change

    @property
    def encoders(self) -> list[Encode]:
        return self._task.encoders

    def batch(self, step: int) -> Batch:
        batch = self._task.batch(step)
        if step != self._step:
            return batch
        return Batch(batch.inputs, lambda *rows: batch.loss(*rows) + self._change(rows[0]))


def train(
    folder: Path,
    progress: Progress = lambda *_: None,
    *,
    world: World = World(),  # noqa: B008
    change: tuple[int, Callable[[Tensor], Tensor]] | None = None,
    dropout: float = 0.0,
    recipe: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[Weights, Fitted]:
    folder.mkdir(exist_ok=True)
    chosen = Settings(**{"steps": STEPS, "batch": 8, "rate": 1e-3, "checkpoint_every": EVERY, "warmup": 2} | settings)
    model, pairs = tiny.clip(patch_dropout=dropout), tiny.pairs(alone=4)
    task: Any = PairsTask(
        model,
        tiny.tokenize,
        tiny.PREPROCESS,
        pairs,
        chosen,
        world,
        hard=HardTexts(pairs.texts, ["shuffle"], pairs.owner),
        neighbours=np.random.default_rng(0).integers(len(pairs.photos), size=(len(pairs.photos), 2)),
    )
    if change is not None:
        task = Changed(task, *change)
    fitted = fit(model, task, chosen, folder, world, recipe or chosen.to_dict(), progress)
    return model.state_dict(), fitted


def equal(got: Weights, wanted: Weights, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance)


class Killed(Exception):
    pass


def killed_at(step: int) -> Progress:
    def progress(_: str, done: int, __: int) -> None:
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_was_killed_ends_as_one_that_was_not(variant: str, tmp_path: Path) -> None:
    settings = VARIANTS[variant]
    wanted, whole = train(tmp_path / "whole", **settings)
    before = tiny.clip().state_dict()
    assert all((wanted[name] != before[name]).any() for name in wanted)
    assert whole.resumed_from == 0
    assert [step for step, _ in whole.losses] == [3, 6, 7]
    assert min(whole.seconds.values()) > 0
    # before the first checkpoint, right after one, between two
    for step, kept in ((1, 0), (3, 3), (5, 3)):
        with pytest.raises(Killed):
            train(tmp_path / str(step), killed_at(step), **settings)
        weights, fitted = train(tmp_path / str(step), **settings)
        assert fitted.resumed_from == kept
        assert fitted.losses == whole.losses
        equal(weights, wanted)


def test_variants_differ(tmp_path: Path) -> None:
    """What a variant is there for has a part in what its run ends with."""
    ended = {name: train(tmp_path / name, **settings)[0]["text_projection"] for name, settings in VARIANTS.items()}
    names = list(VARIANTS)
    for n, one in enumerate(names):
        for other in names[n + 1 :]:
            assert (ended[one] - ended[other]).abs().max() > 1e-5, (one, other)


def test_a_run_that_is_done_is_not_trained_again(tmp_path: Path) -> None:
    wanted, whole = train(tmp_path, ema=0.9)
    steps: list[int] = []
    weights, fitted = train(tmp_path, lambda _, done, __: steps.append(done), ema=0.9)
    equal(weights, wanted, 0)
    assert (steps, fitted.steps, fitted.resumed_from, fitted.losses) == ([], STEPS, STEPS, whole.losses)


def report_steps(folder: Path, told: Connection) -> None:
    torch.set_num_threads(1)
    train(folder, lambda _, done, __: told.send(done), **EVERYTHING, steps=1000)


def test_sigkill(tmp_path: Path) -> None:
    """At a random moment of a random step, or of the checkpoint after it."""
    told, tell = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=report_steps, args=(tmp_path, tell), daemon=True)
    child.start()
    tell.close()
    last = random.randrange(3, 20)
    try:
        while told.recv() < last:
            pass
    finally:
        child.kill()
        child.join()
    assert child.exitcode == -signal.SIGKILL
    state = checkpoint.load(tmp_path)
    assert state is not None
    kept = state["step"]
    assert kept >= last - last % EVERY

    def stop_later(_: str, done: int, __: int) -> None:
        if done == kept + EVERY:
            raise Killed

    for folder in (tmp_path, tmp_path / "whole"):
        with pytest.raises(Killed):
            train(folder, stop_later, **EVERYTHING, steps=1000)
    resumed, whole = checkpoint.load(tmp_path), checkpoint.load(tmp_path / "whole")
    assert resumed is not None
    assert whole is not None
    assert resumed["step"] == whole["step"] == kept + EVERY
    for part in ("model", "ema"):
        equal(resumed[part], whole[part])


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    def spoil(rows: Tensor) -> Tensor:
        return rows.sum() * float("nan")

    with pytest.raises(VlsearchError) as raised:
        train(tmp_path, change=(1, spoil))
    assert str(raised.value) == (
        "the loss is nan at step 2; no checkpoint was written yet; begin anew in another --out with a lower --rate"
    )
    with pytest.raises(VlsearchError, match=r"step 6; the last good checkpoint is kept in .*checkpoint\.pt; begin"):
        train(tmp_path, change=(5, spoil))
    assert raised.value.exit_code == 1
    good(tmp_path, 3)


@pytest.mark.parametrize("step", [5, STEPS - 1])
def test_weights_that_are_no_numbers_replace_no_checkpoint(step: int, tmp_path: Path) -> None:
    def spoil(rows: Tensor) -> Tensor:
        """0, and its gradient is not a number."""
        return (rows - rows.detach()).pow(2).sum().sqrt()

    with pytest.raises(VlsearchError, match=f"weights are no numbers after step {step + 1}; the last good checkpoint"):
        train(tmp_path, change=(step, spoil), ema=0.9)
    good(tmp_path, step - step % EVERY)


def good(folder: Path, step: int) -> None:
    state = checkpoint.load(folder)
    assert state is not None
    assert state["step"] == step
    assert all(tensor.isfinite().all() for part in ("model", "ema") for tensor in state[part].values())


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path, killed_at(4))
    with pytest.raises(UsageError, match=r"other settings \(rate 0.001, now 0.002\)"):
        train(tmp_path, rate=2e-3)
    state = checkpoint.load(tmp_path)
    assert state is not None
    state["model"]["visual.proj"] = torch.zeros(32, 8)
    checkpoint.save(tmp_path, state)
    with pytest.raises(ModelError, match=r"visual\.proj is 32 × 8, in this model 32 × 16"):
        train(tmp_path)


def test_a_full_disk_ends_the_run_and_it_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, _ = train(tmp_path / "whole")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(_: str, done: int, __: int) -> None:
        if done == 5:
            patched.setattr("os.fsync", full)

    with monkeypatch.context() as patched, pytest.raises(VlsearchError, match=r"step 6 to .*: No space") as raised:
        train(tmp_path / "out", fill)
    assert raised.value.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [checkpoint.FILE]
    weights, fitted = train(tmp_path / "out")
    assert fitted.resumed_from == 3
    equal(weights, wanted)


def interrupt(times: int) -> Callable[[Tensor], Tensor]:
    def press(rows: Tensor) -> Tensor:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return rows.new_zeros(())

    return press


@pytest.mark.usefixtures("interruptible")
def test_the_first_interrupt_ends_the_step_and_keeps_it(tmp_path: Path) -> None:
    wanted, _ = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "out", change=(4, interrupt(1)))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    good(tmp_path / "out", 5)
    weights, fitted = train(tmp_path / "out")
    assert fitted.resumed_from == 5
    assert [step for step, _ in fitted.losses] == [3, 5, 6, 7]
    equal(weights, wanted)


@pytest.mark.usefixtures("interruptible")
def test_the_second_interrupt_ends_the_run_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, change=(4, interrupt(2)))
    good(tmp_path, 3)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_the_last_checkpoint_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path, state: Any) -> None:
        if state["step"] == STEPS:
            signal.raise_signal(signal.SIGINT)
        save(folder, state)

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    good(tmp_path, STEPS)


def one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    world = World.from_environment("cpu")

    def press(_: str, done: int, __: int) -> None:
        if done == 3 and rank == 1:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = False
    try:
        train(folder / "out", press, world=world, ema=0.9, area=0.5)
    except KeyboardInterrupt:
        stopped = True
    weights, fitted = train(folder / "out", world=world, ema=0.9, area=0.5)
    world.close()
    torch.save((stopped, fitted.resumed_from, weights), folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bool, int, Weights]]:
    """Of each of two processes: whether it was stopped, the step that it went on from, and what it ended with."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patched:
        assert in_two(one_of_two, folder, patched) == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_two_processes_stop_together(two: list[tuple[bool, int, Weights]]) -> None:
    assert [(stopped, step) for stopped, step, _ in two] == [(True, 4), (True, 4)]
    equal(two[1][2], two[0][2], 0)


def test_two_processes_end_as_one(two: list[tuple[bool, int, Weights]], tmp_path: Path) -> None:
    wanted, _ = train(tmp_path, ema=0.9, area=0.5)
    weights = two[0][2]
    for name in wanted:
        if name.endswith("in_proj_bias"):
            # What is added to every key changes nothing, so its gradient is rounding, which Adam makes a step of.
            for tensor in (weights[name], wanted[name]):
                tensor.chunk(3)[1].zero_()
    equal(weights, wanted, 1e-5)
