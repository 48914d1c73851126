"""From a model's name to an encoder. Names: `builtin`, `builtin-neg`, `ARCH/tag` as open_clip lists them,
`hf-hub:org/repo`, `local-dir:FOLDER` for a folder with open_clip's two files, as `vlsearch train` writes it."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vlsearch.encoders import catalogue, hub
from vlsearch.encoders.names import BUILT_IN as BUILT_IN
from vlsearch.encoders.names import DEFAULT as DEFAULT
from vlsearch.encoders.names import FOLDER as FOLDER
from vlsearch.encoders.names import shown_name as shown_name
from vlsearch.encoders.names import source_of as source_of
from vlsearch.encoders.openclip import OpenClipEncoder
from vlsearch.encoders.weights import load_weights
from vlsearch.errors import ModelError, ModelUnavailable, UsageError, VlsearchError

BUILTIN = "builtin"
HUB = "hf-hub:"
PRECISIONS = ("auto", "fp32", "bf16", "int8")
PIXELS = ("mean", "std", "interpolation", "resize_mode")


def load(name: str = DEFAULT, weights: Path | None = None, precision: str = "auto") -> OpenClipEncoder:
    """Load a model.

    `weights` is a .safetensors file (or .pt, read with weights_only) for `name`, here an open_clip architecture, or
    ARCH/tag to take the activation and the preprocessing of published weights. An open_clip_config.json beside a file
    that is called as open_clip calls its own takes precedence over both.
    `precision`: "fp32", "bf16", "int8" (the image lanes; the rest bf16 or fp32), or "auto": what the processor has
    instructions for, int8 for as long as it agrees with the exact vectors.
    Raises ModelUnavailable, ModelError for weights that do not fit, UsageError for a name that open_clip does not know.
    """
    return load_source(source_of(name, weights), precision)


def load_source(source: dict[str, Any], precision: str = "auto") -> OpenClipEncoder:
    """Load the model that `source_of` described."""
    name = source["name"]
    weights = Path(source["weights"]) if "weights" in source else None
    if precision not in PRECISIONS:
        raise UsageError(f"no precision {precision!r}; there are {', '.join(PRECISIONS[:-1])} and {PRECISIONS[-1]}")
    if weights is not None and not weights.is_file():
        raise ModelUnavailable(f"no weights at {weights}; give --weights the place where they are now")
    with quiet():
        model, tokenizer = create(name, weights)
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        if precision == "int8":
            need_int8(name, model, device)
        int8 = {"auto": None, "int8": True}.get(precision, False)
        precision = best_precision(device) if precision in ("auto", "int8") else precision
        return OpenClipEncoder(model, tokenizer, shown_name(source), source, precision, device, int8)


def create(name: str, weights: Path | None) -> tuple[Any, Any]:
    """open_clip's model (fp32, on the CPU) and tokenizer."""
    if weights is not None:
        return create_from_file(name, weights)
    if name in BUILT_IN:
        with builtin_folder(name) as folder:
            return build(name, f"{FOLDER}{folder}", folder / hub.WEIGHTS[0])
    if name.startswith(FOLDER):
        return create_from_folder(name)
    if name.startswith(HUB):
        where = hub_config(name)
        return build(name, where, hub.fetch(name, name.removeprefix(HUB), hub.WEIGHTS))
    return create_from_tag(name)


def create_from_tag(name: str) -> tuple[Any, Any]:
    """A recommended model's files are looked for before open_clip is imported, which takes seconds."""
    started = time.monotonic()
    row = catalogue.recommended_row(name)
    if row:
        if row.get("requires") == "transformers":
            need_transformers(name)
        weights = hub.fetch(name, catalogue.repo_of(row), hub.WEIGHTS)
    import open_clip

    arch, _, tag = name.rpartition("/")
    known = open_clip.get_pretrained_cfg(arch, tag) if arch else {}
    if not known:
        raise UsageError(unknown(name))
    if "hf_tokenizer_name" in open_clip.get_model_config(arch)["text_cfg"]:
        need_transformers(name)
    if not row:
        if not known.get("hf_hub"):
            raise ModelUnavailable(
                f"no hub has {name}; download {known.get('url')} and use --weights FILE --model {name}"
            )
        repo, filename = os.path.split(known["hf_hub"])
        wanted = (str(Path(filename).with_suffix(".safetensors")), filename) if filename else hub.WEIGHTS
        left = hub.PATIENCE - (time.monotonic() - started)
        weights = hub.fetch(name, repo, tuple(dict.fromkeys(wanted)), max(left, 1.5))
    return build(name, arch, weights, known)


def create_from_folder(name: str) -> tuple[Any, Any]:
    folder = Path(name.removeprefix(FOLDER))
    missing = [file for file in (hub.CONFIG, hub.WEIGHTS[0]) if not (folder / file).is_file()]
    if missing:
        raise ModelUnavailable(f"no model in {folder}: it has no {' and no '.join(missing)}")
    return build(name, name, folder / hub.WEIGHTS[0])


def create_from_file(name: str, weights: Path) -> tuple[Any, Any]:
    import open_clip

    if (weights.parent / hub.CONFIG).is_file() and weights.name in hub.WEIGHTS:
        return build(name, f"{FOLDER}{weights.parent}", weights)
    if name in BUILT_IN:
        with builtin_folder(name) as folder:
            return build(name, f"{FOLDER}{folder}", weights)
    if name.startswith(HUB):
        return build(name, hub_config(name), weights)
    if name in open_clip.list_models():
        return build(name, name, weights, agreed_tag(name))
    arch, _, tag = name.rpartition("/")
    known = open_clip.get_pretrained_cfg(arch, tag) if arch else {}
    if not known:
        raise UsageError(f"{name} is no architecture of open_clip; `--weights FILE` needs `--model ARCH` or ARCH/tag")
    return build(name, arch, weights, known)


def agreed_tag(arch: str) -> dict[str, Any]:
    """The pixels that all published weights of an architecture want; its name alone says its activation."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(arch)
    wants = [{key: open_clip.get_pretrained_cfg(arch, tag)[key] for key in PIXELS} for tag in tags]
    differing = next((tag for tag, pixels in zip(tags, wants, strict=True) if pixels != wants[0]), None)
    if differing is not None:
        raise UsageError(
            f"weights of {arch} come with different preprocessing; say which as --model {arch}/{tags[0]} or "
            f"{arch}/{differing}"
        )
    return wants[0] if wants else {}


def build(name: str, where: str, weights: Path, tag: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """Model and tokenizer of `where`, an architecture of open_clip or local-dir:FOLDER, with `weights`.

    `tag`, an entry of open_clip's table of pretrained weights, knows what the architecture does not: the activation
    that they were trained with, and their preprocessing.
    """
    import open_clip

    tag = tag or {}
    try:
        text = open_clip.get_model_config(where)["text_cfg"]
        tokenizer = tokenizer_of(name, where, text)
        if "hf_model_name" in text:
            hub.fetch(name, text["hf_model_name"], ("config.json",))
        with hub.offline():
            model = open_clip.create_model(
                where,
                load_weights=False,
                pretrained_text=False,
                force_quick_gelu=bool(tag.get("quick_gelu")),
                force_preprocess_cfg={key: tag[key] for key in PIXELS if key in tag},
            )
    except VlsearchError:
        raise
    except Exception as error:
        raise ModelError(f"open_clip cannot make {name}: {hub.first_line(error)}") from error
    load_weights(model, weights, name)
    return model, tokenizer


def hub_config(name: str) -> str:
    config = hub.fetch(name, name.removeprefix(HUB), (hub.CONFIG,))
    if '"hf_tokenizer_name"' in config.read_text(encoding="utf-8"):
        need_transformers(name)
    return f"{FOLDER}{config.parent}"


def builtin_folder(name: str = BUILTIN) -> AbstractContextManager[Path]:
    return resources.as_file(resources.files("vlsearch.encoders") / BUILT_IN[name])


def need_transformers(name: str) -> None:
    if find_spec("transformers") is None:
        raise ModelError(f"the texts of {name} need a package more: pip install transformers")


def tokenizer_of(name: str, where: str, text: dict[str, Any]) -> Any:
    """The model's own tokenizer: from the package, its folder or the cache, else from the hub."""
    import open_clip

    kind = text.get("hf_tokenizer_name")
    if not kind:
        return open_clip.get_tokenizer(where)
    need_transformers(name)
    if where.startswith(FOLDER) and Path(where.removeprefix(FOLDER), "tokenizer_config.json").is_file():
        return open_clip.get_tokenizer(where)
    from open_clip.tokenizer import HFTokenizer

    options = {
        "context_length": text.get("context_length", 77),
        "tokenizer_mode": text.get("tokenizer_mode"),
        **(text.get("tokenizer_kwargs") or {}),
    }
    try:
        return HFTokenizer(kind, local_files_only=True, **options)
    except Exception:
        hub.fetch(name, kind, ("tokenizer_config.json",))
        try:
            return HFTokenizer(kind, **options)
        except Exception as error:
            raise hub.unavailable(name, f"its tokenizer {kind}: {hub.first_line(error)}") from error


def unknown(name: str) -> str:
    import difflib

    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    known = [f"{arch}/{tag}" for arch, tag in open_clip.list_pretrained()]
    close = [f"{name}/{tag}" for tag in tags[-3:]] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; close: {', '.join(close)}" if close else ""
    kinds = "`builtin`, `builtin-neg`, `hf-hub:…`, `local-dir:…`"
    return f"unknown model {name}: neither {kinds} nor an open_clip ARCH/tag{hint} (`vlsearch models`)"


def best_precision(device: str) -> str:
    """bf16 where the processor multiplies it in hardware (AVX-512 BF16 or AMX; CUDA), else fp32."""
    import torch

    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
    else:
        has = {"avx512_bf16": torch.cpu._is_avx512_bf16_supported()}
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"


def need_int8(name: str, model: Any, device: str) -> None:
    """Raises UsageError where int8 was asked for and cannot be had."""
    from vlsearch.encoders import int8
    from vlsearch.encoders.vit import is_plain

    if device != "cpu":
        raise UsageError("precision int8 is for processors; on a GPU take bf16")
    if not int8.available():
        raise UsageError("precision int8 needs a processor with VNNI or AMX, and a PyTorch with oneDNN; take auto")
    if not is_plain(model.visual):
        raise UsageError(
            f"precision int8 is for vision transformers, which {name} is not, or not a plain one; take auto"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Loggers of others and warnings say while a model is loaded what concerns us, not the user.

    open_clip logs on the root logger itself: a filter there stops its lines and nobody else's. Without a handler
    there, its first line would make one, for good.
    """
    import huggingface_hub.utils.logging as hub_logging

    root, chatty = logging.getLogger(), [hub_logging.get_logger("huggingface_hub"), logging.getLogger("transformers")]
    handler, levels = logging.NullHandler(), [logger.level for logger in chatty]
    root.addHandler(handler)
    root.addFilter(nothing)
    for logger in chatty:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(nothing)
        root.removeHandler(handler)
        for logger, level in zip(chatty, levels, strict=True):
            logger.setLevel(level)


def nothing(_record: logging.LogRecord) -> bool:
    return False
