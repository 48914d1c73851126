"""The training loop: batches of a task through a model, with checkpoints to go on from, exactly.

A step draws everything from its own number, so a run that was killed and resumed ends with the same weights as one
that was not.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from vlsearch.errors import VlsearchError
from vlsearch.train import checkpoint
from vlsearch.train.cached import backward
from vlsearch.train.ema import Ema
from vlsearch.train.optim import optimizers, rate, set_rates
from vlsearch.train.parallel import World
from vlsearch.train.parts import train_mode
from vlsearch.train.settings import Settings

PATIENCE = 300.0
"""seconds of work that a kill may cost, where steps are slow"""
Progress = Callable[[str, int, int], None]
Encode = Callable[[torch.Tensor], torch.Tensor]


class Batch(NamedTuple):
    inputs: Sequence[torch.Tensor]
    """one tensor for each of the task's encoders, this process's share of the rows"""
    loss: Callable[..., torch.Tensor]
    """of the embeddings of the whole batch, one tensor for each encoder"""


class Task(Protocol):
    @property
    def encoders(self) -> Sequence[Encode]: ...

    def batch(self, step: int) -> Batch:
        """The same for the same step, whenever and wherever it is asked for."""
        ...


@dataclass
class Fitted:
    steps: int = 0
    resumed_from: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    """step, mean loss since the one before"""
    seconds: dict[str, float] = field(default_factory=dict)
    """where this process's time went since it was started: data, forward, backward, optimiser, checkpoints"""


def fit(
    model: torch.nn.Module,
    task: Task,
    settings: Settings,
    folder: Path,
    world: World,
    recipe: Mapping[str, Any],
    progress: Progress = lambda *_: None,
) -> Fitted:
    """Train `model` in place, from the checkpoint in `folder` if there is one; it ends with the weights to be saved.

    `recipe`, JSON, is everything that the run depends on besides: a checkpoint of another one is refused. VlsearchError
    for a loss or weights that are no numbers and for a disk that is full; the last good checkpoint stays. Ctrl-C ends
    the step, writes a checkpoint and raises KeyboardInterrupt; a second one raises it at once.
    """
    steppers = optimizers(model, settings)
    peaks = [[float(group["lr"]) for group in stepper.param_groups] for stepper in steppers]
    ema = Ema(model, settings.ema) if settings.ema else None
    trained = [p for p in model.parameters() if p.requires_grad]
    fitted = Fitted(seconds=dict.fromkeys(("data", "forward", "backward", "optimiser", "checkpoints"), 0.0))
    clock = _Clock(fitted.seconds, world.device)

    state = checkpoint.load(folder)
    if state is not None:
        checkpoint.require_same(state, model.state_dict(), recipe, folder)
        model.load_state_dict(state["model"])
        for stepper, kept in zip(steppers, state["optimizers"], strict=True):
            stepper.load_state_dict(kept)
        if ema is not None:
            ema.load_state_dict(state["ema"])
        fitted.steps = fitted.resumed_from = state["step"]
        fitted.losses = [(int(step), float(loss)) for step, loss in state["losses"]]

    def keep() -> None:
        # A finite loss can have a gradient that is not.
        if not all(bool(p.isfinite().all()) for p in trained):
            raise VlsearchError(_no_number(f"weights are no numbers after step {fitted.steps:,}", folder))
        if world.rank == 0:
            checkpoint.save(
                folder,
                {
                    "step": fitted.steps,
                    "model": model.state_dict(),
                    "ema": ema.state_dict() if ema is not None else {},
                    "optimizers": [stepper.state_dict() for stepper in steppers],
                    "losses": fitted.losses,
                    "recipe": dict(recipe),
                },
            )
        world.barrier()

    train_mode(model)
    encoders = [clock.timed(encode) for encode in task.encoders]
    since: list[float] = []
    kept_at = time.monotonic()
    with ThreadPoolExecutor(1) as ahead, _first_interrupt_waits() as interrupted:
        coming = ahead.submit(task.batch, fitted.steps)
        for step in range(fitted.steps, settings.steps):
            with clock("data"):
                batch = coming.result()
                if step + 1 < settings.steps:
                    coming = ahead.submit(task.batch, step + 1)
                inputs = [rows.to(world.device, non_blocking=True) for rows in batch.inputs]
            with clock("backward"):
                torch.manual_seed(hash((settings.seed, step)) & 0x7FFFFFFF)
                loss = backward(model, list(zip(encoders, inputs, strict=True)), batch.loss, settings.micro, world)
                value = float(loss)
            if not math.isfinite(value):
                raise VlsearchError(_no_number(f"the loss is {value} at step {step + 1:,}", folder))
            with clock("optimiser"):
                torch.nn.utils.clip_grad_norm_(trained, settings.clip)
                set_rates(steppers, peaks, rate(step, settings.steps, settings.warmup))
                for stepper in steppers:
                    stepper.step()
                if ema is not None:
                    ema.update(model, step)
            fitted.steps = step + 1
            since.append(value)
            stop = world.any(interrupted.is_set())
            due = world.any(time.monotonic() - kept_at > PATIENCE)
            if stop or due or fitted.steps == settings.steps or fitted.steps % settings.checkpoint_every == 0:
                fitted.losses.append((fitted.steps, sum(since) / len(since)))
                since.clear()
                with clock("checkpoints"):
                    keep()
                kept_at = time.monotonic()
            progress("training", fitted.steps, settings.steps)
            if stop:
                raise KeyboardInterrupt
        if world.any(interrupted.is_set()):  # during the last checkpoint
            raise KeyboardInterrupt
    # Time in the encoders is within that of `backward`, which runs them.
    fitted.seconds["backward"] -= fitted.seconds["forward"]
    if ema is not None:
        ema.copy_to(model)
    model.eval()
    return fitted


def _no_number(what: str, folder: Path) -> str:
    file = folder / checkpoint.FILE
    kept = f"the last good checkpoint is kept in {file}" if file.exists() else "no checkpoint was written yet"
    return f"{what}; {kept}; begin anew in another --out with a lower --rate"


class _Clock:
    """Seconds by phase. On a GPU the phases end when their work does, not when it is queued."""

    def __init__(self, seconds: dict[str, float], device: torch.device) -> None:
        self._seconds, self._device = seconds, device

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            if self._device.type == "cuda" and phase != "data":
                torch.cuda.synchronize(self._device)
            self._seconds[phase] += time.perf_counter() - began

    def timed(self, encode: Encode) -> Encode:
        def timed(rows: torch.Tensor) -> torch.Tensor:
            with self("forward"):
                return encode(rows)

        return timed


@contextmanager
def _first_interrupt_waits() -> Iterator[threading.Event]:
    """Ctrl-C sets the event; a second one ends the run on the spot."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
