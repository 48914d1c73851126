"""A trained model as files that open_clip loads by itself: weights, configuration, tokenizer where it needs one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vlsearch.encoders.hub import CONFIG, WEIGHTS, first_line
from vlsearch.encoders.openclip import preprocess_of
from vlsearch.encoders.registry import BUILT_IN, FOLDER, HUB, PIXELS, builtin_folder, hub_config
from vlsearch.errors import ModelError, UsageError, VlsearchError
from vlsearch.vectors.store import write_durably

LARGEST = torch.finfo(torch.float16).max


def save_model(
    model: torch.nn.Module,
    config: Mapping[str, Any],
    folder: Path,
    *,
    half: bool = False,
    tokenizer: Any = None,
) -> Path:
    """Write `folder`, which open_clip then loads as local-dir:FOLDER, and vlsearch as --weights; the file of weights.

    `config` is what `config_of` gives. `half`: matrices in fp16, which takes half the room; numbers by themselves, and
    what fp16 cannot hold, stay as they are. `tokenizer`, open_clip's, is needed where the configuration names one of
    Hugging Face. Each file is replaced as a whole, the weights last. ModelError for weights that are no numbers,
    VlsearchError where the disk does not take a file.
    """
    tensors = _tensors(model, half)
    names_tokenizer = bool(config["model_cfg"]["text_cfg"].get("hf_tokenizer_name"))
    if names_tokenizer and tokenizer is None:
        raise ValueError("a configuration with hf_tokenizer_name needs its tokenizer beside it")
    from safetensors.torch import save

    place = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if names_tokenizer:
            _save_tokenizer(tokenizer, folder)
        place = folder / CONFIG
        write_durably(place, json.dumps(config, indent=2).encode() + b"\n")
        place = folder / WEIGHTS[0]
        write_durably(place, save(tensors, metadata={"format": "pt"}))
    except OSError as error:
        raise _unwritten(place, error.strerror or first_line(error)) from error
    return place


def config_of(model: Any, source: Mapping[str, Any]) -> dict[str, Any]:
    """What open_clip_config.json says of `model`, which `registry.create` made of `source` (`names.source_of`): the
    architecture with the activation of its weights, and the preprocessing that is attached to the model.

    A bias of the logits that training has added is declared, so that it can be loaded. UsageError for a name that
    open_clip does not know.
    """
    model_cfg = _model_config(source)
    if "timm_model_name" in model_cfg["vision_cfg"]:
        model_cfg["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in model_cfg["text_cfg"]:
        model_cfg["text_cfg"]["hf_model_pretrained"] = False
    bias = getattr(model, "logit_bias", None)
    if bias is not None and model_cfg.get("init_logit_bias") is None:
        model_cfg["init_logit_bias"] = float(bias.detach().reshape(-1)[0])
    pixels = preprocess_of(model)
    told: dict[str, Any] = {**asdict(pixels), "mean": list(pixels.mean), "std": list(pixels.std)}
    preprocess_cfg = {key: told[key] for key in PIXELS}
    if pixels.fill_color:
        preprocess_cfg["fill_color"] = pixels.fill_color
    return {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}


def _model_config(source: Mapping[str, Any]) -> dict[str, Any]:
    """The order of `registry.create`."""
    import open_clip

    name = str(source["name"])
    weights = Path(source["weights"]) if "weights" in source else None
    config: dict[str, Any] | None
    if weights is not None and weights.name in WEIGHTS and (weights.parent / CONFIG).is_file():
        config = open_clip.get_model_config(f"{FOLDER}{weights.parent}")
    elif name in BUILT_IN:
        with builtin_folder(name) as folder:
            config = open_clip.get_model_config(f"{FOLDER}{folder}")
    elif name.startswith(HUB):
        config = open_clip.get_model_config(hub_config(name))
    elif name.startswith(FOLDER) or name in open_clip.list_models():
        config = open_clip.get_model_config(name)
    else:
        arch, _, tag = name.rpartition("/")
        config = open_clip.get_model_config(arch)
        if config is not None and open_clip.get_pretrained_cfg(arch, tag).get("quick_gelu"):
            config["quick_gelu"] = True
    if config is None:
        raise UsageError(f"{name} is no architecture of open_clip, so its configuration cannot be written")
    return config


def _tensors(model: torch.nn.Module, half: bool) -> dict[str, torch.Tensor]:
    """As safetensors wants them: on the CPU, in one piece, and none sharing memory with another."""
    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.is_floating_point():
            if torch.isnan(tensor).any():
                raise ModelError(f"{name} holds values that are no numbers, so the model is not saved; train it anew")
            if half and tensor.ndim and not (tensor.abs() > LARGEST).any():
                tensor = tensor.half()
        place = tensor.untyped_storage().data_ptr()
        # Tied weights are written twice: open_clip asks for every name.
        tensors[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return tensors


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    try:
        with TemporaryDirectory(prefix=".tokenizer-", dir=folder) as part:
            tokenizer.save_pretrained(part)
            for file in sorted(Path(part).iterdir()):
                write_durably(folder / file.name, file.read_bytes())
    except Exception as error:  # also what the Rust tokenizers raise for a full disk
        why = getattr(error, "strerror", None) or first_line(error)
        raise _unwritten(folder / "tokenizer_config.json", why) from error


def _unwritten(file: Path, why: str) -> VlsearchError:
    return VlsearchError(
        f"cannot write {file}: {why}; make room, or give another folder, and the same command goes on from its last "
        "checkpoint"
    )
