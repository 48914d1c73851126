"""One audit from beginning to end: what was asked, of a library or a dataset, with a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.asked import LOG, Asked
from vlsearch.audit.datasets import Captioned, Choices, order
from vlsearch.audit.perturb import ALL, expand, lookup
from vlsearch.audit.report import Report
from vlsearch.audit.subject import Subject, captions_of, dataset_of, of_library, with_captions
from vlsearch.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from vlsearch.audit.model import AuditModel
    from vlsearch.audit.tasks.wording import Known
    from vlsearch.library import Library

Vectors = NDArray[np.float32]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Replay:
    """What an earlier run was of: the same photos, captions and wordings again, or the same queries."""

    ids: NDArray[np.int64] | None = None
    """of the library's photos; None for a dataset"""
    texts: tuple[str, ...] = ()
    owner: NDArray[np.int64] | None = None
    known: Known | None = None
    queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audited:
    asked: Asked
    report: Report
    rows: pa.Table
    photos: tuple[str, ...] = ()
    """those that were ranked, N, in the gallery's order; none for tasks that rank none"""
    ids: NDArray[np.int64] | None = None
    """of `photos`, in a library"""


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
            return _lists(asked, queries if replay is None else replay.queries, model, _needed(library), progress)
        dataset, subject = _subject(asked, model, library, replay)
        if isinstance(dataset, Choices):
            return _choice(asked, dataset, subject, model, library)
        if asked.task == "order" or dataset.task == "order":
            chosen = order(subject.captioned, asked.seeds, asked.tokenizer)
            return _choice(replace(asked, task="order"), chosen, subject, model, library)
        return _retrieval(asked, subject, model, library, progress, known if replay is None else replay.known)
    finally:
        model.flush()


def resolved(asked: Asked) -> Asked:
    """With all perturbations by their names, those of saved captions among them. UsageError for unknown ones."""
    names = tuple(expand(asked.perturbations))
    if asked.queries is not None:
        if asked.dataset is not None or asked.task == "order":
            raise UsageError("an audit of queries needs no captions and no dataset; leave out --dataset and --task")
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
        from vlsearch.audit.datasets import PhotoFolder, available, load

        captioned = load(asked.dataset, Path(asked.data) if asked.data else None)
        if asked.available and asked.images:
            captioned = available(captioned, PhotoFolder(Path(asked.images)).__contains__)
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


def _subject(
    asked: Asked, model: AuditModel, library: Library | None, replay: Replay | None
) -> tuple[Captioned | Choices, Subject]:
    if asked.dataset is None:
        subject = of_library(_needed(library), model, None if replay is None else replay.ids)
        dataset: Captioned | Choices = subject.captioned
    else:
        dataset, read = dataset_of(asked, model)
        none = Captioned(dataset.name, (), (), np.empty(0, np.int64))
        subject = Subject(none if isinstance(dataset, Choices) else dataset, read)
    if replay is not None and replay.owner is not None:
        subject = with_captions(subject, replay.texts, replay.owner)
    return dataset, subject


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
    return Audited(asked, report, rows, captioned.photos, subject.ids)


def _choice(asked: Asked, choices: Choices, subject: Subject, model: AuditModel, library: Library | None) -> Audited:
    from vlsearch.audit.tasks.choice import audit_choice, texts_of

    model.need(texts_of(choices))
    own = subject.captioned
    if subject.row is None:
        embed = lambda photos: model.embed_photos(photos, subject.read)  # noqa: E731
    else:
        rows = dict(zip(own.photos, subject.vectors(library, model), strict=True))
        embed = lambda photos: np.stack([rows[photo.path] for photo in photos])  # noqa: E731
    corpus = [(text, own.photos[n]) for text, n in zip(own.texts, own.owner.tolist(), strict=True)]
    if not corpus and library is not None:
        captioned, _ = captions_of(library)
        corpus = [(text, captioned.photos[n]) for text, n in zip(captioned.texts, captioned.owner, strict=True)]
    report, table = audit_choice(
        choices,
        model.embed_texts,
        embed,
        corpus,
        truncated=lambda texts: int(np.sum(model.is_cut(texts))),
        model=model.name,
        fingerprint=model.fingerprint,
    )
    return Audited(replace(asked, task="order" if asked.task == "order" else "choice"), report, table)


def _lists(asked: Asked, queries: Sequence[str], model: AuditModel, library: Library, progress: Progress) -> Audited:
    from vlsearch.audit.tasks.lists import audit_queries

    if model.file is not None:
        raise UsageError(
            "an audit of queries asks the library's index; take the model that its photos were ingested with"
        )
    subject = of_library(library, model)
    assert subject.ids is not None
    nearest = _through_index(library, subject)
    report, rows = audit_queries(
        model.embed_texts,
        nearest,
        queries,
        perturbations=asked.perturbations,
        seeds=asked.seeds,
        ks=asked.ks,
        photos=len(subject.ids),
        subject=LOG if asked.queries == LOG else Path(asked.queries or "").name,
        model=model.name,
        fingerprint=model.fingerprint,
        truncated=int(np.sum(model.is_cut(queries))),
        progress=lambda done, total: progress("texts", done, total),
        tokenizer=asked.tokenizer,
    )
    return Audited(asked, report, rows)


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
