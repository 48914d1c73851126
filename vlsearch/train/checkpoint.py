"""What a run goes on from: one file, replaced as a whole, that belongs to one architecture and one recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vlsearch.errors import ModelError, UsageError, VlsearchError

FILE = "checkpoint.pt"
FREE = {"micro", "checkpoint_every"}
"""settings that a run may change on its way: where memory ran out, say"""
KEYS = {"step", "model", "ema", "optimizers", "losses", "recipe"}
_ANEW = "delete it to begin anew, or give another --out"


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint in `folder` by `state`, which has KEYS.

    VlsearchError where the disk does not take it, and the last one stays.
    """
    file = folder / FILE
    part = file.with_suffix(".part")
    try:
        with part.open("wb") as out:
            torch.save(dict(state), out)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except (OSError, RuntimeError) as error:  # RuntimeError: PyTorch's archive writer
        part.unlink(missing_ok=True)
        # The archive writer, closed after a write that failed, complains of its own state.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        why = getattr(cause, "strerror", None) or str(cause).splitlines()[0]
        kept = f"{file} of an earlier step is kept" if file.exists() else "there is none yet"
        raise VlsearchError(
            f"cannot write a checkpoint of step {state['step']:,} to {folder}: {why}; {kept}; make room, and the same "
            "command goes on from there"
        ) from error


def load(folder: Path) -> dict[str, Any] | None:
    """The checkpoint in `folder`, None where there is none; ModelError for one that cannot be read.

    A file that was cut is noticed, values that were changed within it are not.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{file} is damaged ({type(error).__name__}); {_ANEW}") from error
    if not isinstance(state, dict) or KEYS - state.keys():
        raise ModelError(f"{file} is no checkpoint of a training run; {_ANEW}")
    return dict(state)


def require_same(
    state: Mapping[str, Any], weights: Mapping[str, torch.Tensor], recipe: Mapping[str, Any], folder: Path
) -> None:
    """Refuse a checkpoint of another architecture (ModelError) or of another recipe (UsageError)."""
    other = shape_difference(state["model"], weights)
    if other:
        raise ModelError(f"{folder / FILE} is of another architecture: {other}; give another --out")
    kept = dict(state["recipe"])
    differing = sorted(key for key in {*kept, *recipe} - FREE if kept.get(key) != recipe.get(key))
    if differing:
        key = differing[0]
        raise UsageError(
            f"{folder / FILE} is of a run with other settings ({key} {kept.get(key)}, now {recipe.get(key)}); repeat "
            "those, or give another --out"
        )


def shape_difference(kept: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> str | None:
    """The first weight that only one of the two has, or that has another shape; None where they fit."""
    for name in sorted({*kept, *own}):
        if name not in own:
            return f"it has {name}, which this model has not"
        if name not in kept:
            return f"it has no {name}, which this model has"
        if kept[name].shape != own[name].shape:
            return f"{name} is {_shape(kept[name])}, in this model {_shape(own[name])}"
    return None


def _shape(tensor: torch.Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a number"
