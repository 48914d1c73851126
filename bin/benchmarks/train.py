"""Photos/s of training with hard negatives beside forward and backward of the same towers alone; where the time goes.

NegCLIP as `vlsearch train negclip` has it, in pieces of 64 rows, on coco200's captions, with random weights, in bf16
where the hardware has it, on a GPU where there is one. Alone: the same encoders on the same tensors, which are in
memory already, in pieces of the same size, each once forward and once backward; no batches to make, no loss, no step of
an optimiser. In turn, medians. Training embeds all pieces but the last twice (GradCache); `forward` has both. Photos/s
leave out the first and the last step of a run, which prepare and save it; seconds by phase are of all steps.
"""

from __future__ import annotations

import statistics
import time
from importlib import resources
from pathlib import Path

from benchmarks._material import REPEATS, coco200, temporary

BATCHES = {"builtin": 128, "ViT-B-32": 16}
STEPS = 6
"""of a run; all but two are counted"""
PHASES = {"data": "waiting for batches", "forward": "forward", "backward": "backward", "optimiser": "optimiser"}


def run() -> dict[str, float]:
    from vlsearch.encoders import registry
    from vlsearch.train.optim import flush_denormals
    from vlsearch.train.parallel import World

    flush_denormals()
    coco200()
    world = World.from_environment()
    precision = registry.best_precision(world.device.type)
    print(f"on {world.device.type} in {precision}, medians of {REPEATS}; batches of {BATCHES}")
    figures = {}
    for name, batch in BATCHES.items():
        with temporary() as folder:
            figures |= {
                f"{name}, {key}": value for key, value in measured(name, batch, precision, world, folder).items()
            }
    return figures


def measured(name: str, batch: int, precision: str, world, folder: Path) -> dict[str, float]:
    from vlsearch.train.settings import Settings

    settings = Settings(steps=STEPS, batch=batch, precision=precision)
    model, task = made(name, settings, world, folder)
    counted = range(1, STEPS - 1)
    began = time.perf_counter()
    batches = [task.batch(step).inputs for step in counted]
    making = (time.perf_counter() - began) / len(counted)
    batches = [[rows.to(world.device) for rows in inputs] for inputs in batches]
    photos = len(counted) * batch
    forward_backward(model, task, batches[:1], settings.micro, world)
    alone, training, runs = [], [], []
    for _ in range(REPEATS):
        alone.append(photos / forward_backward(model, task, batches, settings.micro, world))
        seconds, fitted = trained(model, task, settings, world, folder)
        training.append(photos / seconds)
        runs.append(fitted.seconds)
    step = batch / statistics.median(training)
    figures = {
        "training, photos/s": statistics.median(training),
        "forward and backward alone, photos/s": statistics.median(alone),
        "training over forward and backward alone": statistics.median(training) / statistics.median(alone),
        "a step, s": step,
    }
    figures |= {
        f"{what}, s a step": statistics.median(s[phase] for s in runs) / STEPS for phase, what in PHASES.items()
    }
    return figures | {
        "a batch made with nothing beside it, s": making,
        "a checkpoint, s": statistics.median(s["checkpoints"] for s in runs),
    }


def made(name: str, settings, world, folder: Path):
    """A model with random weights, and its task."""
    from vlsearch.audit import datasets
    from vlsearch.encoders.openclip import preprocess_of
    from vlsearch.train.material import arch_config, from_nothing
    from vlsearch.train.negatives import HardTexts
    from vlsearch.train.pairs import decode_photos
    from vlsearch.train.task import PairsTask

    builtin = resources.files("vlsearch.encoders") / "builtin" / "open_clip_config.json"
    with resources.as_file(builtin) as config:
        model, tokenizer = from_nothing(arch_config(str(config) if name == "builtin" else name), folder, 0)
    preprocess = preprocess_of(model)
    captioned = datasets.load(str(coco200().parent / "captions.json"))
    pairs, _ = decode_photos(
        captioned, lambda photo: (coco200() / photo).read_bytes(), preprocess, folder / "photos.npy"
    )
    hard = HardTexts(pairs.texts, owner=pairs.owner)
    model.to(world.device)
    return model, PairsTask(model, tokenizer, preprocess, pairs, settings, world, hard=hard)


def forward_backward(model, task, batches, micro: int, world) -> float:
    """Seconds."""
    import torch

    from vlsearch.train.parts import train_mode

    train_mode(model)
    began = time.perf_counter()
    for inputs in batches:
        model.zero_grad()
        for encode, rows in zip(task.encoders, inputs, strict=True):
            for piece in rows.tensor_split(-(-len(rows) // micro)):
                encode(piece).sum().backward()
    if world.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def trained(model, task, settings, world, folder: Path):
    """Seconds of the steps that count, and what `fit` says of all."""
    from vlsearch.train import checkpoint
    from vlsearch.train.loop import fit

    ended = []
    fitted = fit(model, task, settings, folder, world, {}, lambda *_: ended.append(time.perf_counter()))
    (folder / checkpoint.FILE).unlink()
    return ended[-2] - ended[0], fitted
