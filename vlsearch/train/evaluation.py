"""How well a model finds, and how well it hears the order of words, on photos that it was not trained on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.asked import Asked
from vlsearch.audit.datasets import Captioned, Photo, order
from vlsearch.audit.model import AuditModel
from vlsearch.audit.perturb import english, lookup
from vlsearch.audit.report import AuditReport, Report
from vlsearch.audit.report.retrieval import telling_k
from vlsearch.audit.report.tables import DIRECTIONS
from vlsearch.audit.run import audit
from vlsearch.audit.tasks.choice import audit_choice
from vlsearch.audit.tasks.retrieval import FOREIGN, audit_retrieval
from vlsearch.errors import UsageError
from vlsearch.ingest.scan import Found, scan
from vlsearch.search.prompts import Prompts, embed_prompts
from vlsearch.search.tagging import TEMPLATE, class_prompts
from vlsearch.train.change import Change as Change
from vlsearch.train.change import Kind, Measure, Measured
from vlsearch.train.change import compare as compare
from vlsearch.train.change import verdict as verdict

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

KS = (1, 5, 10)


@dataclass(frozen=True)
class HeldOut:
    """What a model is measured on."""

    captioned: Captioned
    read: Callable[[str], bytes]
    """a photo's bytes by its name in `captioned`"""
    sugarcrepe: Asked | None = None
    """what `sugarcrepe` makes"""
    labelled: Path | None = None
    """a folder of classes: FOLDER/LABEL/photo.jpg"""
    perturbations: tuple[str, ...] = ("swap", "shuffle")
    seeds: int = 3


def sugarcrepe(data: Path, images: Path) -> Asked:
    """What of SugarCrepe, its folder of files or one of them, has its photo in the folder `images`."""
    name, files = ("sugarcrepe", str(data)) if data.is_dir() else (str(data), None)
    return Asked(task="choice", dataset=name, data=files, images=str(images), available=True)


def measure(encoder: Any, held: HeldOut, progress: Progress = lambda *_: None) -> Measured:
    """Retrieval both ways, what moved words take from it (task A), the choice of the caption in order (task B); where
    they are given, SugarCrepe (Hsieh et al. 2023) and zero-shot classes.

    `encoder` is a `base.Encoder`. UsageError where fewer than two photos have captions, or there is only one class;
    UnreadableFile for a photo that cannot be read.
    """
    captioned = held.captioned
    n = len(np.unique(captioned.owner))
    if n < 2:
        raise UsageError(
            f"only {n} captioned photo{'' if n == 1 else 's'} of {captioned.name} would be held out, and figures need "
            "2, better 100 or more; hold out a larger share"
        )
    model = AuditModel(encoder, None, progress)
    left_out: list[str] = []
    names = _perturbations(held, left_out)
    xb = model.embed_photos([Photo(name) for name in captioned.photos], held.read)
    report, rows = audit_retrieval(
        model.embed_texts,
        xb,
        captioned.texts,
        captioned.owner,
        perturbations=names,
        seeds=held.seeds,
        ks=KS,
        photos=captioned.photos,
        is_cut=model.is_cut,
        progress=progress,
        subject=captioned.name,
        model=model.name,
        fingerprint=model.fingerprint,
    )
    reports: list[Report] = [report]
    measures = list(_recalls(rows, report))
    choices = order(captioned, held.seeds)
    if choices.items:
        place = dict(zip(captioned.photos, xb, strict=True))
        chosen, table = audit_choice(
            choices,
            model.embed_texts,
            lambda photos: np.stack([place[photo.path] for photo in photos]),
            model=model.name,
            fingerprint=model.fingerprint,
        )
        reports.append(chosen)
        measures.append(_accuracy("order", "order choice", table, 1 / 5))
    else:
        left_out.append("order choice: its perturbations change no caption of the held-out photos")
    for name in names:
        if all(r.unperturbable == report.captions for r in report.results if r.perturbation == name):
            left_out.append(f"{name}: it changes no caption of the held-out photos")
        else:
            measures += _drops(rows, report, name)
    if held.sugarcrepe is not None:
        audited = audit(held.sugarcrepe, model, progress=progress)
        reports.append(audited.report)
        measures += _splits("composition", "SugarCrepe", audited.rows, 1 / 2)
    if held.labelled is not None:
        measures.append(_zero_shot(model, held.labelled))
    return Measured(model.name, tuple(measures), tuple(reports), tuple(left_out))


def _perturbations(held: HeldOut, left_out: list[str]) -> list[str]:
    """Those asked for, but for what parts of speech cannot be told of."""
    texts = held.captioned.texts
    if sum(not english(text) for text in texts) <= FOREIGN * len(texts):
        return list(held.perturbations)
    tagged = [name for name in held.perturbations if lookup(name).tagged]
    left_out += [f"{name}: needs parts of speech, and many captions do not look English" for name in tagged]
    return [name for name in held.perturbations if name not in tagged]


def _recalls(rows: pa.Table, report: AuditReport) -> Iterator[Measure]:
    """Recall@k of the captions as written, both ways."""
    chance: dict[tuple[str, int], float] = {(r.direction, r.k): r.chance for r in report.results}
    for direction in DIRECTIONS:
        some = _some(rows, direction, "identity")
        for k in KS:
            yield _summed(
                "retrieval",
                f"{DIRECTIONS[direction]} Recall@{k}",
                _numbers(some, "photo"),
                _numbers(some, "rank_clean") <= k,
                chance=chance[direction, k],
            )


def _drops(rows: pa.Table, report: AuditReport, name: str) -> Iterator[Measure]:
    """Text to photo: what moving the words takes from Recall@k, as a share of what is found beyond chance (order
    sensitivity, as in `AuditReport`), and as it is."""
    k = telling_k([r for r in report.results if r.direction == "text_to_image"])
    chance = next(r.chance for r in report.results if r.direction == "text_to_image" and r.k == k)
    some = _some(rows, "text_to_image", name)
    photo, clean, moved = (_numbers(some, column) for column in ("photo", "rank_clean", "rank"))
    lost = (clean <= k).astype(np.float64) - (moved <= k)
    yield _summed("order", f"order sensitivity under {name}", photo, lost, (clean <= k) - chance)
    yield _summed("order", f"drop of Recall@{k} under {name}", photo, lost)


def _splits(kind: Kind, name: str, rows: pa.Table, chance: float) -> Iterator[Measure]:
    yield _accuracy(kind, name, rows, chance)
    splits = np.array(rows["split"].to_pylist())
    for split in sorted(set(splits.tolist()) - {""}):
        yield _accuracy(kind, f"{name} {split}", rows.filter(splits == split), chance)


def _accuracy(kind: Kind, name: str, rows: pa.Table, chance: float) -> Measure:
    return _summed(kind, name, _numbers(rows, "photo"), _numbers(rows, "right"), chance=chance)


def _zero_shot(model: AuditModel, folder: Path) -> Measure:
    """Top-1 among the names of the folders, each asked as tags are."""
    root = Path(os.path.abspath(folder))
    paths = [Path(found.path) for found in scan([root]) if isinstance(found, Found)]
    told = [(str(path), path.relative_to(root).parts[0]) for path in paths if path.parent != root]
    labels = sorted({label for _, label in told})
    if len(labels) < 2:
        raise UsageError(
            f"{folder} holds {len(labels)} classes, and zero-shot top-1 needs two or more: photos in FOLDER/LABEL/"
        )
    texts, _ = class_prompts([label.replace("_", " ") for label in labels], Prompts((TEMPLATE,)), {})
    classes = embed_prompts(model.embed_texts, texts)
    xb = model.embed_photos([Photo(path) for path, _ in told], lambda path: Path(path).read_bytes())
    best = (xb @ classes.T).argmax(axis=1)
    right = np.array([labels[n] == label for n, (_, label) in zip(best.tolist(), told, strict=True)])
    return _summed("classes", "zero-shot top-1", [path for path, _ in told], right, chance=1 / len(labels))


def _some(rows: pa.Table, direction: str, perturbation: str) -> pa.Table:
    return rows.filter((_numbers(rows, "direction") == direction) & (_numbers(rows, "perturbation") == perturbation))


def _numbers(rows: pa.Table, column: str) -> NDArray[Any]:
    values: NDArray[Any] = rows[column].to_numpy()
    return values


def _summed(
    kind: Kind,
    name: str,
    photo: Sequence[str] | NDArray[Any],
    amount: NDArray[Any],
    base: NDArray[Any] | None = None,
    *,
    chance: float | None = None,
) -> Measure:
    """amount, base (1 where there is none), photo: (n,) of n queries, items or photos."""
    names, place = np.unique(np.asarray(photo, dtype=object).astype(str), return_inverse=True)
    one = np.ones(len(place)) if base is None else base
    sums = [np.bincount(place, weights=values).astype(np.float64) for values in (amount, one)]
    return Measure(kind, name, tuple(names.tolist()), sums[0], sums[1], chance)
