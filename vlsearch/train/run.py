"""A run from beginning to end: measured, trained, measured again, and saved as a model that open_clip loads."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlsearch.errors import UsageError
from vlsearch.printable import printable
from vlsearch.train import checkpoint
from vlsearch.train.card import Data, card
from vlsearch.train.change import Change, compare, verdict
from vlsearch.train.evaluation import HeldOut, measure, sugarcrepe
from vlsearch.train.export import save_model
from vlsearch.train.loop import Fitted, fit
from vlsearch.train.material import DONE, HELD, PHOTOS, Material, told_name
from vlsearch.train.negatives import HardTexts, hard_photos
from vlsearch.train.parts import freeze, merged, with_lora
from vlsearch.train.settings import Settings
from vlsearch.train.task import PairsTask, Teacher
from vlsearch.vectors.store import write_durably

if TYPE_CHECKING:
    from vlsearch.encoders.openclip import OpenClipEncoder

DISTILLING = {"teach_photos": 4.0, "teach_texts": 2.0, "teach_words": 0.3, "teach_likeness": 0.5, "contrast": 0.3}
"""weights of the losses, as the built-in models were trained"""
FEW_STEPS = 50
"""below which a run that nobody gave a number of steps says so"""


@dataclass(frozen=True)
class Trained:
    folder: Path
    fitted: Fitted
    changes: tuple[Change, ...]
    remarks: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    first: bool = True
    """False for all processes of a run but one"""

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "steps": self.fitted.steps,
            "losses": self.fitted.losses,
            "seconds": {phase: round(seconds, 2) for phase, seconds in self.fitted.seconds.items()},
            "verdict": verdict(self.changes),
            "changes": [change.to_dict() for change in self.changes],
            "remarks": list(self.remarks),
            "unreadable": [list(one) for one in self.unreadable],
        }


def train_negclip(material: Material, kinds: Sequence[str], neighbours: int) -> Trained:
    """Contrast with hard negatives: `kinds` of texts (none: plain contrastive), and `neighbours` nearest photos.

    UsageError where not one caption has a negative of these kinds; VlsearchError as `loop.fit`.
    """
    pairs = material.pairs
    settings = material.settings()
    hard = HardTexts(pairs.texts, kinds, pairs.owner) if kinds else None
    near = _neighbours(material, neighbours) if neighbours else None
    how = {"negatives": list(kinds), "neighbours": neighbours}
    return _train(material, settings, "negclip" if kinds else "contrastive", how, hard=hard, neighbours=near)


def train_distill(material: Material, teacher: str, teacher_weights: Path | None) -> Trained:
    """Regression on the vectors of `teacher`, a model or vectors:FILE, beside the contrastive loss.

    UsageError where the teacher's vectors are not as wide as the model's, or a file lacks some.
    """
    settings = material.settings(**DISTILLING)
    name, vectors = _taught(material, teacher, teacher_weights)
    return _train(material, settings, "distill", {"teacher": name}, teacher=vectors)


def _taught(material: Material, teacher: str, weights: Path | None) -> tuple[str, Teacher]:
    import torch

    from vlsearch.audit.datasets import Photo
    from vlsearch.audit.model import AuditModel, load
    from vlsearch.encoders import registry
    from vlsearch.encoders.names import source_of
    from vlsearch.encoders.vectors_file import PREFIX

    if teacher.startswith(PREFIX):
        file = Path(teacher.removeprefix(PREFIX)).expanduser().absolute()
        name, source = f"{PREFIX}{file.name}", {"vectors": str(file)}
    else:
        source = source_of(teacher, weights)
        name = told_name(source)
    model = AuditModel(load(source, registry.load_source), None, material.progress)
    own = int(material.config["model_cfg"]["embed_dim"])
    if model.dim != own:
        raise UsageError(
            f"{name} has vectors of {model.dim} dimensions, {material.name} of {own}; take a model with "
            f'"embed_dim": {model.dim} (--arch FILE.json)'
        )
    pairs = material.pairs
    model.need(pairs.texts)
    photos = model.embed_photos([Photo(name) for name in pairs.photos], material.read)
    return name, Teacher(torch.from_numpy(photos), torch.from_numpy(model.embed_texts(pairs.texts)))


def _neighbours(material: Material, k: int) -> NDArray[np.int64]:
    """(N, k) the nearest photos by the vectors of the model that the run begins with."""
    vectors = encoder_of(material, material.model).embed_images(material.pairs.pixels)
    return hard_photos(vectors, k, material.pairs.texts, material.pairs.owner)


def _train(material: Material, settings: Settings, method: str, how: dict[str, Any], **task: Any) -> Trained:
    asked, world, pairs = material.asked, material.world, material.pairs
    held = _held_out(material) if world.rank == 0 else None
    earlier = None if held is None else encoder_of(material, material.model)
    freeze(material.model, settings.freeze)
    model = with_lora(material.model, settings.lora, settings.seed) if settings.lora else material.model
    before = None if held is None or earlier is None else measure(earlier, held, material.progress)
    del earlier
    model.to(world.device)
    work = PairsTask(model, material.tokenizer, material.preprocess, pairs, settings, world, **task)
    recipe = {"method": method, "from": material.name} | how | settings.to_dict()
    fitted = fit(model, work, settings, asked.out, world, recipe | {"data": pairs.digest}, material.progress)
    if world.rank != 0:
        return Trained(asked.out, fitted, (), (), (), first=False)

    plain = merged(model).cpu()
    save_model(plain, material.config, asked.out, tokenizer=material.tokenizer)
    changes: tuple[Change, ...] = ()
    left_out: tuple[str, ...] = ()
    if held is not None and before is not None:
        after = measure(encoder_of(material, plain), held, material.progress)
        changes, left_out = compare(before, after), after.left_out
    hard: HardTexts | None = task.get("hard")
    lacking = None if hard is None else hard.without
    trained = Trained(asked.out, fitted, changes, _remarks(material, settings, lacking) + left_out, material.unreadable)
    data = Data(
        name=pairs.name,
        photos=pairs.captioned,
        captions=len(pairs.texts),
        held_out=0 if held is None else len(held.captioned.photos),
        unreadable=len(material.unreadable),
        without_negatives=lacking,
    )
    text = card(
        asked.out.resolve().name,
        method,
        [data],
        recipe,
        changes,
        base=None if asked.arch else material.name,
        teacher=how.get("teacher"),
        left_out=left_out,
    )
    write_durably(asked.out / "README.md", text.encode())
    write_durably(asked.out / DONE, json.dumps(trained.to_dict() | {"recipe": recipe}, indent=2).encode() + b"\n")
    for name in (checkpoint.FILE, *PHOTOS, *HELD):
        (asked.out / name).unlink(missing_ok=True)
    return trained


def _held_out(material: Material) -> HeldOut | None:
    asked = material.asked
    if material.held is None:
        return None
    crepe = None
    if asked.sugarcrepe is not None and asked.sugarcrepe_images is not None:
        crepe = sugarcrepe(asked.sugarcrepe, asked.sugarcrepe_images)
    return HeldOut(material.held, material.read, crepe, asked.labelled)


def _remarks(material: Material, settings: Settings, lacking: int | None) -> tuple[str, ...]:
    said = []
    if material.asked.steps is None and settings.steps < FEW_STEPS:
        said.append(
            f"{settings.steps} steps change a model little; {material.pairs.captioned:,} photos want more --epochs"
        )
    if lacking:
        captions = len(material.pairs.texts)
        said.append(f"{lacking:,} of {captions:,} captions have no hard negative and are trained on without")
    return tuple(said)


def encoder_of(material: Material, model: Any) -> OpenClipEncoder:
    """`model`, which stays as it is, as an encoder to measure and to embed with."""
    from vlsearch.encoders.openclip import OpenClipEncoder
    from vlsearch.encoders.registry import best_precision

    device = material.world.device.type
    source = {"name": material.name}
    own = copy.deepcopy(model)
    return OpenClipEncoder(own, material.tokenizer, printable(material.name), source, best_precision(device), device)
