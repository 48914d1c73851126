"""Which parts of a model are trained: towers or their last blocks, or low-rank adapters beside their weights."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from vlsearch.errors import UsageError, VlsearchError

SPEC = re.compile(r"(image|text)(?::([1-9][0-9]*))?")
AFTER_BLOCKS = ("ln_post", "attn_pool", "proj", "ln_final", "text_projection")
"""what follows the blocks of open_clip's own towers"""


def freeze(model: nn.Module, specs: Sequence[str]) -> None:
    """Leave weights of an open_clip `model` as they are: "image" or "text" tower, "image:6" all but its last 6 blocks.

    What follows the blocks (norm, pooling, projection) is trained with them, embeddings are frozen. Scale and bias of
    the logits belong to no tower. UsageError for what is none of these, for more blocks than there are, for a tower
    without blocks, and where nothing of either tower is left.
    """
    for spec in specs:
        match = SPEC.fullmatch(spec)
        if match is None:
            raise UsageError(
                f"cannot freeze '{spec}'; there are 'image' and 'text', and 'image:6' for all but the last 6 blocks"
            )
        side, blocks = match[1], match[2]
        kept = _last_blocks(model, side, int(blocks)) if blocks else set()
        for name, parameter in _tower(model, side):
            if name not in kept:
                parameter.requires_grad_(False)
    if specs and not any(p.requires_grad for side in ("image", "text") for _, p in _tower(model, side)):
        raise UsageError(f"{', '.join(specs)} frozen, nothing is left to train; freeze less")


def train_mode(model: nn.Module) -> None:
    """Training mode, but for modules that are frozen whole: no dropout there, and BatchNorm keeps its statistics."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def with_lora(model: nn.Module, rank: int, seed: int = 0) -> nn.Module:
    """`model` itself, with adapters of `rank` beside each linear layer that is not frozen (Hu et al. 2022).

    Linear layers are those of attention and MLP, and convolutions of 1 × 1. Only adapters, and scale and bias of the
    logits, are trained from here on. Adapters add nothing until the first step; they are drawn from `seed`, alike in
    all processes. VlsearchError without the package peft, UsageError where there is nothing to adapt.
    """
    try:
        import peft
    except ImportError as error:
        raise VlsearchError("LoRA needs a package more: pip install 'vlsearch[train]'") from error
    names = list(_linear(model))
    if not names:
        raise UsageError("LoRA finds no linear layer that is not frozen; freeze less, or train without --lora")
    logits = [p for name, p in model.named_parameters() if _of_logits(name) and p.requires_grad]
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, names)))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, model)
    for parameter in logits:
        parameter.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, peft.tuners.lora.layer.MultiheadAttention):
            _keep_base(module)
    return model


def merged(model: nn.Module) -> nn.Module:
    """A copy of `model` with adapters added to its weights, so that it has the keys that it had without them.

    `model` itself where it has no adapters.
    """
    if not hasattr(model, "peft_config"):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = copy.deepcopy(model)
    adapted = [
        (name, module)
        for name, module in plain.named_modules()
        if isinstance(module, BaseTunerLayer) and not _is_output_of_attention(plain, name)
    ]
    for name, module in adapted:
        if hasattr(module, "unload_and_optionally_merge_module"):
            base = module.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
        else:
            module.merge()
            base = module.get_base_layer()
        plain.set_submodule(name, base)
    del plain.peft_config
    return plain


def _of_logits(name: str) -> bool:
    return name in ("logit_scale", "logit_bias")


def _tower(model: nn.Module, side: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters of one tower; CLIP's own text tower has no module of its own."""
    for name, parameter in model.named_parameters():
        if name.startswith("visual.") == (side == "image") and not _of_logits(name):
            yield name, parameter


def _last_blocks(model: nn.Module, side: str, count: int) -> set[str]:
    """Names of the parameters of a tower's last `count` blocks, and of what follows them."""
    prefix = "visual." if side == "image" else "text." if hasattr(model, "text") else ""
    tower = model.get_submodule(prefix.rstrip("."))
    names = [name for name, _ in _tower(model, side)]
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if blocks is not None:
        groups = [[n for n in names if n.startswith(f"{prefix}transformer.resblocks.{i}.")] for i in range(len(blocks))]
        after = {n for n in names if n.removeprefix(prefix).partition(".")[0] in AFTER_BLOCKS}
    elif hasattr(tower, "trunk"):
        from timm.models import group_parameters

        trunk: Any = tower.trunk
        stages = group_parameters(trunk, trunk.group_matcher())
        groups = [[f"{prefix}trunk.{name}" for name in stages[i]] for i in sorted(stages) if i > 0]
        after = {n for n in names if not n.startswith(f"{prefix}trunk.")}
    else:
        raise UsageError(f"this model's {side} tower cannot be frozen in part; freeze '{side}', or nothing of it")
    if count > len(groups):
        raise UsageError(f"'{side}:{count}' leaves more blocks than the {len(groups)} that the {side} tower has")
    return after.union(*groups[-count:])


def _linear(model: nn.Module) -> Iterator[str]:
    """Names of the modules that get adapters; open_clip multiplies with a text projection without calling it."""
    for name, module in model.named_modules():
        pointwise = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        called = isinstance(module, nn.Linear) and not name.endswith("text_projection")
        if not (pointwise or called or isinstance(module, nn.MultiheadAttention)):
            continue
        weight = next(module.parameters(recurse=False))
        if weight.requires_grad and not _is_output_of_attention(model, name):
            yield name


def _is_output_of_attention(model: nn.Module, name: str) -> bool:
    """Whether `name` is the output layer of nn.MultiheadAttention, whose weight is used without calling the layer."""
    return isinstance(model.get_submodule(name.rpartition(".")[0]), nn.MultiheadAttention)


def _keep_base(attention: nn.Module) -> None:
    """Have the base weights as they were after each pass: peft adds the adapters and takes them off, and rounds."""

    def before(module: Any, _: object) -> None:
        base = module.get_base_layer()
        module.base_weights = base.in_proj_weight, base.out_proj.get_base_layer().weight

    def after(module: Any, _: object, __: object) -> None:
        base = module.get_base_layer()
        base.in_proj_weight, base.out_proj.get_base_layer().weight = module.base_weights
        del module.base_weights

    attention.register_forward_pre_hook(before)
    attention.register_forward_hook(after)
