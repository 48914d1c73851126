"""One audit from beginning to end: what was asked, of a library or a dataset, with a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.asked import LOG, Asked
from vlsearch.audit.datasets import Captioned, Choices, order, require
from vlsearch.audit.perturb import ALL, expand, lookup
from vlsearch.audit.report import Report
from vlsearch.audit.subject import Subject, captions_of, dataset_of, image_folder, of_library, reader
from vlsearch.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from vlsearch.audit.model import AuditModel
    from vlsearch.audit.tasks.wording import Known
    from vlsearch.library import Library

Vectors = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

_ASKED_IN = {"": "queries", "-": "standard input", LOG: LOG}
"""where queries are from that are in no file"""


@dataclass(frozen=True)
class Replay:
    """What an earlier run was of: the same photos, captions and wordings again, or the same queries."""

    captioned: Captioned
    """what `Audited.captioned` was"""
    ids: NDArray[np.int64] | None = None
    """of its photos; None for a dataset"""
    known: Known | None = None
    choices: Choices | None = None
    """the items of a choice that perturbations made"""
    queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audited:
    asked: Asked
    report: Report
    rows: pa.Table
    captioned: Captioned
    """the gallery and its captions; of a choice what the blind control learns from beside the items; no captions where
    queries were asked"""
    ids: NDArray[np.int64] | None
    """(N,) of its photos in the library; None for a dataset"""


def audit(
    asked: Asked,
    model: AuditModel,
    library: Library | None = None,
    *,
    queries: Sequence[str] = (),
    known: Known | None = None,
    replay: Replay | None = None,
    progress: Progress = lambda *_: None,
) -> Audited:
    """Run what is asked for. `library` is needed where no dataset is named, `queries` where `asked.queries` says so;
    `known` are captions that were saved, `replay` is a whole run.

    UsageError for what cannot be measured, UnreadableFile for files that cannot be read; what was embedded until then
    is kept.
    """
    asked = resolved(asked)
    try:
        if asked.queries is not None:
            return _lists(asked, queries if replay is None else replay.queries, model, library, progress, replay)
        choices, subject = _material(asked, model, library, replay)
        if choices is not None:
            return _choice(asked, choices, subject, model, library)
        return _retrieval(asked, subject, model, library, progress, known if replay is None else replay.known)
    finally:
        model.flush()


def resolved(asked: Asked) -> Asked:
    """With all perturbations by their names. UsageError for unknown ones, and for what does not go together."""
    names = tuple(expand(asked.perturbations))
    if asked.dataset is None and (asked.data or asked.images or asked.available):
        raise UsageError("--data, --images and --available are of a dataset; name it with --dataset")
    if asked.queries is not None:
        if asked.dataset is not None or asked.task == "order":
            raise UsageError(
                "--queries and --query-log need no captions and no dataset; leave out --dataset and --task"
            )
        if ALL in asked.perturbations:
            names = tuple(name for name in names if lookup(name).kind == "text")
        return replace(asked, task="lists", perturbations=names)
    return replace(asked, perturbations=names)


def texts_needed(
    asked: Asked, library: Library | None, *, queries: Sequence[str] = (), progress: Progress = lambda *_: None
) -> list[str]:
    """Every distinct text that this audit embeds, perturbed ones too."""
    from vlsearch.audit.tasks import choice, lists, retrieval

    asked = resolved(asked)
    if asked.queries is not None:
        return lists.texts_of(queries, asked.perturbations, asked.seeds, asked.tokenizer)
    captioned: Captioned | Choices
    if asked.dataset is not None:
        captioned = dataset_of(asked, names_only=True)
    else:
        captioned, _ = captions_of(_needed(library))
    if isinstance(captioned, Choices):
        return choice.texts_of(captioned)
    if asked.task == "order" or captioned.task == "order":
        return choice.texts_of(order(captioned, asked.seeds, asked.tokenizer))
    return retrieval.texts_of(captioned.texts, asked.perturbations, asked.seeds, asked.tokenizer, progress)


def _needed(library: Library | None) -> Library:
    if library is None:
        raise UsageError("there is no library to audit; `vlsearch ingest FOLDER` makes one, --dataset needs none")
    return library


def _own(library: Library | None, model: AuditModel, replay: Replay | None) -> Subject:
    earlier = None if replay is None or replay.ids is None else (replay.captioned, replay.ids)
    return of_library(_needed(library), model, earlier)


def _material(
    asked: Asked, model: AuditModel, library: Library | None, replay: Replay | None
) -> tuple[Choices | None, Subject]:
    """The items to choose between, None where captions and photos look for each other; and these."""
    if asked.dataset is None:
        subject = _own(library, model, replay)
    elif replay is not None and asked.task != "choice":
        subject = Subject(replay.captioned, reader(asked))
        if model.file is None:
            require(replay.captioned, image_folder(asked).__contains__)
    else:
        dataset = dataset_of(asked, names_only=model.file is not None)
        if isinstance(dataset, Choices):
            if asked.task == "order":
                raise UsageError(f"{dataset.name} is a choice as it is; leave out --task order")
            return dataset, _beside(dataset, asked, library, replay)
        subject = Subject(dataset, reader(asked))
    if replay is not None and replay.choices is not None:
        return replay.choices, subject
    if asked.task == "order" or subject.captioned.task == "order":
        return order(subject.captioned, asked.seeds, asked.tokenizer), subject
    return None, subject


def _beside(choices: Choices, asked: Asked, library: Library | None, replay: Replay | None) -> Subject:
    """What the blind control of a dataset learns from: the captions of the library, where there are any."""
    if replay is not None:
        return Subject(replay.captioned, reader(asked), replay.ids)
    if library is None:
        return Subject(Captioned(choices.name, (), (), np.empty(0, np.int64)), reader(asked))
    captioned, ids = captions_of(library)
    # What has no caption need not be kept with the run.
    captioned, ids = captions_of(library, ids[np.unique(captioned.owner)])
    return Subject(captioned, reader(asked), ids)


def _retrieval(
    asked: Asked,
    subject: Subject,
    model: AuditModel,
    library: Library | None,
    progress: Progress,
    known: Known | None,
) -> Audited:
    from vlsearch.audit.tasks.retrieval import audit_retrieval

    if asked.through_index and subject.row is None:
        raise UsageError("--through-index is for a library's own photos and the model that they were ingested with")
    captioned = subject.captioned
    xb = subject.vectors(library, model)
    report, rows = audit_retrieval(
        model.embed_texts,
        xb,
        captioned.texts,
        captioned.owner,
        perturbations=asked.perturbations,
        seeds=asked.seeds,
        ks=asked.ks,
        photos=captioned.photos,
        embed_photos=lambda name, seed: subject.embed(model, name, seed),
        nearest=_through_index(_needed(library), subject) if asked.through_index else None,
        need=model.need,
        is_cut=model.is_cut,
        known=known,
        tokenizer=asked.tokenizer,
        force=asked.force,
        progress=progress,
        subject=captioned.name,
        part=captioned.part,
        model=model.name,
        fingerprint=model.fingerprint,
    )
    return Audited(asked, report, rows, captioned, subject.ids)


def _choice(asked: Asked, choices: Choices, subject: Subject, model: AuditModel, library: Library | None) -> Audited:
    from vlsearch.audit.tasks.choice import audit_choice, texts_of

    model.need(texts_of(choices))
    own = subject.captioned
    if subject.row is None:
        embed = lambda photos: model.embed_photos(photos, subject.read)  # noqa: E731
    else:
        rows = dict(zip(own.photos, subject.vectors(library, model), strict=True))
        embed = lambda photos: np.stack([rows[photo.path] for photo in photos])  # noqa: E731
    report, table = audit_choice(
        choices,
        model.embed_texts,
        embed,
        [(text, own.photos[n]) for text, n in zip(own.texts, own.owner.tolist(), strict=True)],
        truncated=lambda texts: int(np.sum(model.is_cut(texts))),
        model=model.name,
        fingerprint=model.fingerprint,
    )
    by_perturbing = choices.seeds > 0
    asked = replace(asked, task="order" if by_perturbing else "choice", perturbations=())
    return Audited(asked, report, table, own, subject.ids)


def _lists(
    asked: Asked,
    queries: Sequence[str],
    model: AuditModel,
    library: Library | None,
    progress: Progress,
    replay: Replay | None,
) -> Audited:
    from vlsearch.audit.tasks.lists import audit_queries

    if model.file is not None:
        raise UsageError(
            "an audit of queries asks the library's index; take the model that its photos were ingested with"
        )
    subject = _own(library, model, replay)
    assert subject.ids is not None
    report, rows = audit_queries(
        model.embed_texts,
        _through_index(_needed(library), subject),
        queries,
        perturbations=asked.perturbations,
        seeds=asked.seeds,
        ks=asked.ks,
        photos=len(subject.ids),
        subject=_ASKED_IN.get(asked.queries or "") or Path(asked.queries or "").name,
        model=model.name,
        fingerprint=model.fingerprint,
        truncated=int(np.sum(model.is_cut(queries))),
        progress=lambda done, total: progress("texts", done, total),
        known=None if replay is None else replay.known,
        tokenizer=asked.tokenizer,
    )
    photos = replace(subject.captioned, texts=(), owner=np.empty(0, np.int64))
    return Audited(asked, report, rows, photos, subject.ids)


def _through_index(library: Library, subject: Subject) -> Callable[[Vectors, int], NDArray[np.int64]]:
    """Rows of the gallery that the library's own index finds, (n, k), -1 for none."""
    assert subject.row is not None
    assert subject.ids is not None
    index, ids = library.index(subject.row), subject.ids

    def nearest(xq: Vectors, k: int) -> NDArray[np.int64]:
        _, found = index.search(xq, k, ids)
        place = np.searchsorted(ids, found)
        place[place == len(ids)] = 0
        return np.where(ids[place] == found, place, -1)

    return nearest
