"""Task A: captions look for their photos and photos for their captions, with the words in order and out of order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit import metrics
from vlsearch.audit.metrics import Chance, Ranks
from vlsearch.audit.perturb import lookup, perturb
from vlsearch.audit.report import AuditReport, Direction
from vlsearch.audit.tasks.figures import Side, results, summary
from vlsearch.errors import LibraryDamaged, ModelError, UsageError

Vectors = NDArray[np.float32]
EmbedTexts = Callable[[Sequence[str]], Vectors]
Progress = Callable[[int, int], None]

_TEXTS_A_CALL = 1024


@dataclass(frozen=True)
class _Wording:
    """All captions under one perturbation and one seed."""

    texts: tuple[str, ...]
    changed: NDArray[np.bool_]
    """(M,)"""


def audit_retrieval(
    embed_texts: EmbedTexts,
    xb: Vectors,
    texts: Sequence[str],
    owner: NDArray[np.int64],
    *,
    perturbations: Sequence[str],
    seeds: int = 5,
    ks: Sequence[int] = (1, 5, 10),
    resamples: int = 2000,
    progress: Progress | None = None,
    model: str = "",
    fingerprint: str = "",
) -> AuditReport:
    """How far retrieval falls when the captions' words lose their order.

    xb: (N, d) float32 unit rows, the photos; texts: M captions; owner: (M,) the row of xb that each caption describes.
    Photos without captions stay in the gallery. `perturbations` are names from `vlsearch.audit.perturb`; "identity"
    always runs beside them as the control. Seeds 0 … seeds - 1 each perturb every caption. Each distinct text goes to
    `embed_texts` once; `progress(done, total)` counts them.
    Raises UsageError when there is nothing to measure or a name is unknown, ModelError or LibraryDamaged for vectors
    that cannot be scored.
    """
    names = list(dict.fromkeys([*perturbations, "identity"]))
    ks = sorted(set(ks))
    _check(xb, texts, owner, names, seeds, ks, resamples)
    owner = np.asarray(owner, dtype=np.int64)
    as_written = _Wording(tuple(texts), np.ones(len(texts), np.bool_))
    wordings = {name: _reworded(texts, name, seeds) for name in names}
    runs = [as_written, *(wording for name in names for wording in wordings[name])]

    ranked: dict[tuple[str, ...], tuple[Ranks, Ranks]] = {}
    for key, xt in _embedded(embed_texts, list(dict.fromkeys(run.texts for run in runs)), xb.shape[1], progress):
        ranked[key] = metrics.ranks(xt, xb, owner)

    sides = _sides(len(xb), owner, as_written, wordings, ranked)
    unperturbable = {name: 0 if lookup(name).control else int(np.sum(~wordings[name][0].changed)) for name in names}
    return AuditReport(
        model=model,
        fingerprint=fingerprint,
        subject="library",
        part="",
        tokenizer="own",
        photos=len(xb),
        photos_with_captions=len(np.unique(owner)),
        captions=len(texts),
        duplicates=0,
        empty=0,
        truncated=0,
        not_english=0,
        seeds=seeds,
        resamples=resamples,
        results=tuple(r for side in sides for r in results(side, ks, seeds, resamples, unperturbable)),
        ranks=tuple(summary(side, name) for side in sides for name in names),
    )


def _check(
    xb: Vectors,
    texts: Sequence[str],
    owner: NDArray[np.int64],
    names: Sequence[str],
    seeds: int,
    ks: Sequence[int],
    resamples: int,
) -> None:
    for name in names:
        lookup(name)
    if seeds < 1 or resamples < 1:
        raise UsageError("an audit needs at least one seed and one resample")
    if not ks or ks[0] < 1:
        raise UsageError("k counts the first results: give 1 or more")
    if len(texts) == 0:
        raise UsageError("this library has no captions; `vlsearch captions import FILE` brings them in")
    if len(xb) < 2:
        raise UsageError("an audit compares photos, and this library has only one; `vlsearch ingest PATH` adds more")
    if len(owner) != len(texts) or np.min(owner) < 0 or np.max(owner) >= len(xb):
        raise ValueError("owner must give a row of xb for each text")
    if len(np.unique(owner)) < 2:
        raise UsageError(
            "only one photo has captions, and an audit compares photos; `vlsearch captions import FILE` adds more"
        )
    if not np.all(np.isfinite(xb)):
        raise LibraryDamaged("some photos' vectors hold values that are no numbers; `vlsearch verify` finds them")


def _reworded(texts: Sequence[str], name: str, seeds: int) -> list[_Wording]:
    """`texts` under each seed; once for a control, which has no randomness."""
    runs = range(1 if lookup(name).control else seeds)
    # Caption by caption, not seed by seed, so that the tagger's work on one serves all seeds.
    rows = [[perturb(text, name, seed) for seed in runs] for text in texts]
    return [
        _Wording(tuple(row[run].text for row in rows), np.array([row[run].changed for row in rows])) for run in runs
    ]


def _embedded(
    embed_texts: EmbedTexts, wordings: Sequence[tuple[str, ...]], dim: int, progress: Progress | None
) -> Iterator[tuple[tuple[str, ...], Vectors]]:
    """Each of `wordings` with its vectors (M, dim), every distinct text embedded once.

    Vectors are kept only while a later wording still needs them, so that memory does not grow with the seeds.
    """
    last_use = {text: i for i, wording in enumerate(wordings) for text in wording}
    kept: dict[str, Vectors] = {}
    done, total = 0, len(last_use)
    for i, wording in enumerate(wordings):
        new = [text for text in dict.fromkeys(wording) if text not in kept]
        for start in range(0, len(new), _TEXTS_A_CALL):
            batch = new[start : start + _TEXTS_A_CALL]
            vectors = np.asarray(embed_texts(batch), dtype=np.float32)
            if vectors.shape != (len(batch), dim):
                raise ModelError(
                    f"the model gives texts vectors of shape {vectors.shape}, the photos' have {dim} dimensions; "
                    "audit with the model that the photos were ingested with"
                )
            if not np.all(np.isfinite(vectors)):
                raise ModelError("the model gives texts vectors that hold no numbers; its weights are damaged")
            kept.update((text, row.copy()) for text, row in zip(batch, vectors, strict=True))
            done += len(batch)
            if progress is not None:
                progress(done, total)
        yield wording, np.stack([kept[text] for text in wording])
        kept = {text: row for text, row in kept.items() if last_use[text] > i}


def _sides(
    photos: int,
    owner: NDArray[np.int64],
    clean: _Wording,
    wordings: dict[str, list[_Wording]],
    ranked: dict[tuple[str, ...], tuple[Ranks, Ranks]],
) -> list[Side]:
    _, place, own = np.unique(owner, return_inverse=True, return_counts=True)
    place = place.reshape(-1).astype(np.int64)
    movable = {
        name: np.ones(len(owner), np.bool_) if lookup(name).control else runs[0].changed
        for name, runs in wordings.items()
    }
    some = {name: np.bincount(place[moves], minlength=len(own)) > 0 for name, moves in movable.items()}
    shape: list[tuple[Direction, NDArray[np.int64], dict[str, NDArray[np.bool_]], Chance]] = [
        ("text_to_image", place, movable, metrics.chance(photos, np.ones(len(owner), np.int64))),
        ("image_to_text", np.arange(len(own), dtype=np.int64), some, metrics.chance(len(owner), own.astype(np.int64))),
    ]
    return [
        Side(
            direction=direction,
            clean=ranked[clean.texts][i],
            perturbed={name: [ranked[run.texts][i] for run in runs] for name, runs in wordings.items()},
            photo=photo,
            effective=effective,
            chance=chance,
        )
        for i, (direction, photo, effective, chance) in enumerate(shape)
    ]
