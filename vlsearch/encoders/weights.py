"""Read a file of weights into an open_clip model: without running what is in it, and only where it fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from vlsearch.encoders.hub import first_line
from vlsearch.errors import ModelError, UsageError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
POSITIONS = {
    "visual.positional_embedding": "image size",
    "positional_embedding": "context length",
    "text.positional_embedding": "context length",
}


def load_weights(model: Any, file: Path, name: str) -> None:
    """Every weight of `model`, called `name` in messages, from `file`. Raises ModelError, UsageError."""
    import open_clip

    if file.suffix not in SUFFIXES:
        raise UsageError(f"{file} is no file of weights: these end in {', '.join(SUFFIXES)}")
    other = other_positions(model, position_shapes(file))
    if other:
        # open_clip would interpolate them, silently: the result is no model that anyone has trained
        raise ModelError(f"{file} does not fit {name}: these weights are for another {other}")
    try:
        open_clip.load_checkpoint(model, str(file), strict=True, weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise ModelError(f"{file} {problem(error, name)}") from error


def position_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the position embeddings in `file`, without reading it whole; empty where that cannot be done."""
    try:
        if file.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(file, "pt") as tensors:
                names = [name for name in tensors.keys() if name.removeprefix("module.") in POSITIONS]  # noqa: SIM118
                return {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        import torch

        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        state = state.get("state_dict", state)
        return {name: tuple(t.shape) for name, t in state.items() if name.removeprefix("module.") in POSITIONS}
    except Exception:
        return {}


def other_positions(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """What differs, "image size", "context length" or "width", if the position embeddings in a file do; else None."""
    own = {POSITIONS[key]: tuple(t.shape) for key, t in model.state_dict().items() if key in POSITIONS}
    for key, shape in shapes.items():
        what = POSITIONS[key.removeprefix("module.")]
        if what in own and own[what] != shape:
            return what if own[what][-1:] == shape[-1:] else "width"
    return None


def problem(error: Exception, name: str) -> str:
    """What is wrong with a file that could not be loaded."""
    text = str(error)
    if "TorchScript" in text or "Unsupported global" in text or "Unsupported class" in text:
        return "holds a program, which vlsearch does not run; save the weights alone, as .safetensors"
    if isinstance(error, UnpicklingError):
        return "is damaged, or holds more than weights, which vlsearch does not read; .safetensors holds nothing else"
    if text.startswith("Error(s) in loading state_dict"):
        detail = text.splitlines()[1].strip() if "\n" in text else text
        return f"does not fit {name}: {detail[:160]}"
    return f"is damaged, or holds no weights of {name} ({first_line(error)})"
