"""What a run is given: photos with captions, parted into those trained on and those held out, and the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vlsearch.errors import UsageError, VlsearchError
from vlsearch.train.optim import flush_denormals
from vlsearch.train.pairs import Pairs, Unreadable, decode_photos, open_photos, split
from vlsearch.train.parallel import World
from vlsearch.train.settings import Settings

if TYPE_CHECKING:
    from vlsearch.audit.datasets import Captioned
    from vlsearch.encoders.base import Preprocess
    from vlsearch.library import Library

Progress = Callable[[str, int, int], None]

RATES = {"lora": 2e-4, "nothing": 1e-3, "weights": 1e-5}
"""peak learning rates of AdamW where none is asked for: of adapters, of random weights, of trained ones"""
DONE = "training.json"
PHOTOS = ("photos.npy", "photos.json")
HELD = ("held-out.npy", "held-out.json")


@dataclass(frozen=True)
class Asked:
    """As the command line has it; see `vlsearch train negclip --help`."""

    out: Path
    library_path: Path | None = None
    dataset: str | None = None
    data: Path | None = None
    images: Path | None = None
    model_name: str | None = None
    weights: Path | None = None
    arch: str | None = None
    epochs: float = 5.0
    steps: int | None = None
    batch: int = 128
    micro: int = 64
    optimizer: Literal["adamw", "muon"] = "adamw"
    rate: float | None = None
    weight_decay: float = 0.1
    ema: float = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    loss: Literal["softmax", "sigmoid"] | None = None
    freeze: tuple[str, ...] = ()
    lora: int | None = None
    held_out: float = 0.1
    sugarcrepe: Path | None = None
    sugarcrepe_images: Path | None = None
    labelled: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Material:
    asked: Asked
    world: World
    model: Any
    """open_clip's, fp32, on the CPU"""
    tokenizer: Any
    config: dict[str, Any]
    """what open_clip_config.json says"""
    preprocess: Preprocess
    name: str
    """of the model that the run begins with"""
    pairs: Pairs
    """to train on"""
    held: Captioned | None
    """to measure on"""
    read: Callable[[str], bytes]
    unreadable: Unreadable
    """photos that could not be decoded, of both parts"""
    progress: Progress

    def settings(self, **more: Any) -> Settings:
        """Of a run over these photos. UsageError for a batch of one."""
        asked = self.asked
        batch = min(asked.batch, self.pairs.captioned)
        if batch < 2:
            raise UsageError("one photo with captions has nothing to be told apart from; a batch takes two or more")
        steps = asked.steps or max(1, round(asked.epochs * self.pairs.captioned / batch))
        rate = asked.rate or RATES["lora" if asked.lora else "nothing" if asked.arch else "weights"]
        loss = asked.loss or ("sigmoid" if self.model.logit_bias is not None else "softmax")
        if loss == "sigmoid" and self.model.logit_bias is None:
            raise UsageError(f"the sigmoid loss needs a bias, which {self.name} has not; take --loss softmax")
        return Settings(
            steps=steps,
            batch=batch,
            micro=asked.micro,
            optimizer=asked.optimizer,
            rate=rate,
            weight_decay=asked.weight_decay,
            warmup=min(Settings.warmup, steps // 10 + 1),
            ema=asked.ema,
            precision=asked.precision,
            loss=loss,
            freeze=tuple(asked.freeze),
            lora=asked.lora or 0,
            seed=asked.seed,
            **more,
        )


def _nothing(_what: str, _done: int, _total: int) -> None:
    """Progress of which nobody is told."""


@contextmanager
def material(asked: Asked, progress: Progress = _nothing) -> Iterator[Material]:
    """Everything that a run needs, decoded and loaded. UsageError for what is missing or does not go together."""
    _check(asked)
    with ExitStack() as stack:
        stack.callback(flush_denormals, False)
        flush_denormals()
        world = World.from_environment()
        stack.callback(world.close)
        if world.rank != 0:
            progress = _nothing
        captioned, read, library = _photos(asked, stack)
        train, held = split(captioned, asked.held_out) if asked.held_out else (captioned, None)
        asked.out.mkdir(parents=True, exist_ok=True)
        model, tokenizer, config, name = _model(asked, library)
        preprocess = _preprocess(model)
        if world.rank == 0:
            pairs, unreadable = decode_photos(train, read, preprocess, asked.out / PHOTOS[0], progress)
            if held is not None:
                held, more = _readable(held, read, preprocess, asked.out / HELD[0], progress)
                unreadable += more
        world.barrier()
        if world.rank != 0:
            pairs, unreadable = open_photos(train, preprocess, asked.out / PHOTOS[0])
        yield Material(
            asked, world, model, tokenizer, config, preprocess, name, pairs, held, read, unreadable, progress
        )


def _check(asked: Asked) -> None:
    """What can be told without a look at photos or models."""
    from vlsearch.encoders.hub import WEIGHTS
    from vlsearch.train import checkpoint

    begun = (asked.out / checkpoint.FILE).exists()
    if (asked.out / DONE).exists() or ((asked.out / WEIGHTS[0]).exists() and not begun):
        raise UsageError(f"{asked.out} holds a trained model already; give another --out, or delete it")
    if (asked.sugarcrepe is None) != (asked.sugarcrepe_images is None):
        raise UsageError("--sugarcrepe DIR, its files, and --sugarcrepe-images DIR, COCO's val2017, go together")
    if not asked.held_out and (asked.sugarcrepe or asked.labelled):
        raise UsageError("with --held-out 0 nothing is measured, --sugarcrepe and --labelled neither; hold photos out")


def _readable(
    held: Captioned, read: Callable[[str], bytes], preprocess: Preprocess, file: Path, progress: Progress
) -> tuple[Captioned, Unreadable]:
    """Without the photos that cannot be decoded, on which measuring would stop."""
    found, unreadable = decode_photos(held, read, preprocess, file, progress)
    return replace(held, photos=found.photos, texts=found.texts, owner=found.owner), unreadable


def _photos(asked: Asked, stack: ExitStack) -> tuple[Captioned, Callable[[str], bytes], Library | None]:
    from vlsearch.audit import asked as audit_asked
    from vlsearch.audit.datasets import Choices
    from vlsearch.audit.subject import captions_of, dataset_of, reader
    from vlsearch.ingest.sources import read_address
    from vlsearch.library import open_library

    if asked.dataset is not None:
        wanted = audit_asked.Asked(
            dataset=asked.dataset,
            data=None if asked.data is None else str(asked.data),
            images=None if asked.images is None else str(asked.images),
        )
        dataset = dataset_of(wanted, names_only=False)
        if isinstance(dataset, Choices):
            raise UsageError(f"{dataset.name} is a choice between texts, not photos with captions; train on another")
        return dataset, reader(wanted), None
    if asked.data or asked.images:
        raise UsageError("--data and --images are of a dataset; name it with --dataset")
    library = stack.enter_context(open_library(asked.library_path))
    captioned, _ = captions_of(library)
    if not captioned.texts:
        raise UsageError(
            f"no photo of the library {library.path} has a caption to learn from; import some with `vlsearch captions`"
        )
    return captioned, read_address, library


def _model(asked: Asked, library: Library | None) -> tuple[Any, Any, dict[str, Any], str]:
    """Model and tokenizer to begin with, their open_clip_config.json, and the model's name."""
    from vlsearch.encoders import registry
    from vlsearch.encoders.names import source_of
    from vlsearch.train.export import config_of

    if asked.arch is not None:
        if asked.model_name or asked.weights:
            raise UsageError("--arch begins with random weights, --model with trained ones; give one of them")
        config = arch_config(asked.arch, bias=asked.loss == "sigmoid")
        return *from_nothing(config, asked.out, asked.seed), config, Path(asked.arch).stem
    if asked.model_name is not None:
        source = source_of(asked.model_name, asked.weights)
    elif library is not None:
        source = library.model(None).source
    else:
        source = {"name": registry.BUILTIN}
    with registry.quiet():
        model, tokenizer = registry.create(source["name"], Path(source["weights"]) if "weights" in source else None)
    return model, tokenizer, config_of(model, source), told_name(source)


def told_name(source: Mapping[str, Any]) -> str:
    """What a card calls a model: a folder by its name, wherever it is on this machine."""
    from vlsearch.encoders.names import FOLDER, shown_name

    name = shown_name(dict(source))
    return f"{FOLDER}{Path(name.removeprefix(FOLDER)).name}" if name.startswith(FOLDER) else name


def arch_config(arch: str, *, bias: bool = False) -> dict[str, Any]:
    """open_clip_config.json of an architecture by name, or by a file that holds it or its "model_cfg" alone."""
    import open_clip

    if arch.endswith(".json"):
        try:
            config = json.loads(Path(arch).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read {arch}: {(error.strerror or str(error)).lower()}") from error
        except ValueError as error:
            raise UsageError(f"{arch} is no JSON: {error}") from error
        if not isinstance(config, dict) or not {"model_cfg", "vision_cfg"} & set(config):
            raise UsageError(f"{arch} holds no open_clip architecture: neither vision_cfg nor model_cfg is in it")
    else:
        config = open_clip.get_model_config(arch)
        if config is None:
            raise UsageError(f"{arch} is no architecture of open_clip (`vlsearch models`), and no .json file")
    if "model_cfg" not in config:
        config = {"model_cfg": config, "preprocess_cfg": {}}
    found: dict[str, Any] = config
    if bias:
        found["model_cfg"].setdefault("init_logit_bias", -10)  # Zhai et al. 2023, section 3.2
    return found


def from_nothing(config: dict[str, Any], folder: Path, seed: int) -> tuple[Any, Any]:
    """A model with random weights, the same for the same seed, and its tokenizer. `folder` gets the configuration."""
    import open_clip
    import torch

    from vlsearch.encoders import registry

    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    where = f"{registry.FOLDER}{folder}"
    torch.manual_seed(seed)
    try:
        with registry.quiet():
            tokenizer = registry.tokenizer_of(str(folder), where, config["model_cfg"]["text_cfg"])
            model = open_clip.create_model(where, load_weights=False, pretrained_image=False, pretrained_text=False)
    except VlsearchError:
        raise
    except Exception as error:
        raise UsageError(f"open_clip cannot make this architecture: {error}") from error
    return model, tokenizer


def _preprocess(model: Any) -> Preprocess:
    from vlsearch.encoders.openclip import preprocess_of

    return preprocess_of(model)
