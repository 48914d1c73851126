"""From a model's name to an encoder. Names: `builtin`, `ARCH/tag` as open_clip lists them, `hf-hub:org/repo`."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from vlsearch.encoders import hub
from vlsearch.encoders.openclip import OpenClipEncoder
from vlsearch.errors import ModelError, ModelUnavailable, UsageError

DEFAULT = "ViT-B-32-256/datacomp_s34b_b86k"
BUILTIN = "builtin"


def load(name: str = DEFAULT, weights: Path | None = None, precision: str = "auto") -> OpenClipEncoder:
    """Load a model.

    `weights` is a .safetensors file (or .pt, read with weights_only) for the open_clip architecture `name`; an
    open_clip_config.json beside it takes precedence over the architecture's own configuration.
    `precision`: "fp32", "bf16", or "auto", which is bf16 where the processor has instructions for it.
    Raises ModelUnavailable, or UsageError for a name that open_clip does not know.
    """
    return load_source(source_of(name, weights), precision)


def source_of(name: str, weights: Path | None = None) -> dict[str, Any]:
    """What a library keeps of how its model was loaded."""
    if weights is None:
        return {"name": name}
    return {"name": name, "weights": os.path.abspath(weights)}


def shown_name(source: dict[str, Any]) -> str:
    """The name under which a library keeps the model's vectors."""
    return f"{source['name']}@{Path(source['weights']).name}" if "weights" in source else str(source["name"])


def load_source(source: dict[str, Any], precision: str = "auto") -> OpenClipEncoder:
    """Load the model that `source_of` described."""
    import torch

    name = source["name"]
    weights = Path(source["weights"]) if "weights" in source else None
    if weights is not None and not weights.is_file():
        raise ModelUnavailable(f"no weights at {weights}; give --weights the place where they are now")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = best_precision(device) if precision == "auto" else precision
    with quiet():
        model, tokenizer = create(name, weights)
    return OpenClipEncoder(model, tokenizer, shown_name(source), source, precision, device)


def create(name: str, weights: Path | None) -> tuple[Any, Any]:
    """open_clip's model (fp32, on the CPU) and tokenizer."""
    import open_clip

    if weights is not None:
        return create_from_file(name, weights)
    if name == BUILTIN:
        with resources.as_file(resources.files("vlsearch.encoders") / "builtin") as folder:
            where = f"local-dir:{folder}"
            return open_clip.create_model(where, require_pretrained=True), open_clip.get_tokenizer(where)
    if name.startswith("hf-hub:"):
        repo = name.removeprefix("hf-hub:")
        hub.fetch(name, repo, (hub.CONFIG,))
        hub.fetch(name, repo, hub.WEIGHTS)
        with hub.offline():
            return open_clip.create_model(name, require_pretrained=True), tokenizer_of(name)
    return create_from_tag(name)


def create_from_tag(name: str) -> tuple[Any, Any]:
    import open_clip

    arch, _, tag = name.rpartition("/")
    known = open_clip.get_pretrained_cfg(arch, tag) if arch else {}
    if not known:
        raise UsageError(unknown(name))
    place = known.get("hf_hub", "")
    if place:
        repo, filename = os.path.split(place)
        names = (filename,) if filename else hub.WEIGHTS
        safe = tuple(str(Path(n).with_suffix(".safetensors")) for n in names if n.endswith((".bin", ".pth")))
        hub.fetch(name, repo, tuple(dict.fromkeys(safe + names)))
    elif known.get("url"):
        hub.fetch_url(name, known["url"])
    with hub.offline() if place else quiet():
        # the tag, not the architecture, knows which activation its weights were trained with
        model = open_clip.create_model(
            arch, pretrained=tag, require_pretrained=True, quick_gelu=bool(known.get("quick_gelu", False))
        )
        return model, tokenizer_of(arch)


def create_from_file(arch: str, weights: Path) -> tuple[Any, Any]:
    import open_clip

    if (weights.parent / hub.CONFIG).is_file() and weights.name in hub.WEIGHTS:
        where = f"local-dir:{weights.parent}"
        return open_clip.create_model(where, require_pretrained=True), open_clip.get_tokenizer(where)
    if open_clip.get_model_config(arch) is None:
        raise UsageError(f"{arch} is no architecture of open_clip; `--weights FILE` needs `--model ARCHITECTURE`")
    try:
        model = open_clip.create_model(arch, pretrained=str(weights), require_pretrained=True)
    except Exception as error:
        raise ModelError(f"{weights} does not fit the architecture {arch}: {hub.first_line(error)}") from error
    return model, tokenizer_of(arch)


def tokenizer_of(name: str) -> Any:
    """The model's own tokenizer: from the package or the cache, else from the hub."""
    import open_clip

    try:
        with hub.offline():
            return open_clip.get_tokenizer(name)
    except ImportError as error:
        raise ModelError(f"the tokenizer of {name} needs transformers: pip install 'vlsearch[hf]'") from error
    except Exception:
        try:
            return open_clip.get_tokenizer(name)
        except Exception as error:
            raise hub.unavailable(name, f"the hub for its tokenizer ({hub.first_line(error)})") from error


def unknown(name: str) -> str:
    import difflib

    import open_clip

    known = [f"{arch}/{tag}" for arch, tag in open_clip.list_pretrained()]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; close: {', '.join(close)}" if close else ""
    return f"unknown model {name}: neither `builtin`, `hf-hub:…` nor an open_clip ARCH/tag{hint} (`vlsearch models`)"


def best_precision(device: str) -> str:
    """bf16 where the processor multiplies it in hardware (AVX-512 BF16 or AMX; CUDA), else fp32."""
    import torch

    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


@contextmanager
def quiet() -> Iterator[None]:
    """open_clip reports on the root logger and by warnings what concerns us, not the user."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
