"""Task A: captions look for their photos and photos for their captions, with the words in order and out of order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit import metrics
from vlsearch.audit.metrics import Chance, Ranks
from vlsearch.audit.perturb import english, lookup
from vlsearch.audit.report import AuditReport, Direction, IndexLoss
from vlsearch.audit.tasks.figures import Side, results, summary
from vlsearch.audit.tasks.rows import rows_of
from vlsearch.audit.tasks.wording import Known, Wording, as_written, reworded
from vlsearch.errors import LibraryDamaged, ModelError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Vectors = NDArray[np.float32]
EmbedTexts = Callable[[Sequence[str]], Vectors]
EmbedPhotos = Callable[[str, int], Vectors]
"""a perturbation of photos and a seed to all photos perturbed so, (N, d)"""
Nearest = Callable[[Vectors, int], NDArray[np.int64]]
"""(n, d) queries and k to the rows of xb (n, k) that an index finds, best first, -1 for none"""
Progress = Callable[[str, int, int], None]

CONTROLS = ("identity", "sort")
FOREIGN = 0.05
"""share of captions that do not look English, beyond which parts of speech are not to be trusted"""

_TEXTS_A_CALL = 8192


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
    photos: Sequence[str] | None = None,
    embed_photos: EmbedPhotos | None = None,
    nearest: Nearest | None = None,
    need: Callable[[Sequence[str]], object] = lambda _texts: None,
    is_cut: Callable[[Sequence[str]], NDArray[np.bool_]] | None = None,
    known: Known | None = None,
    tokenizer: str = "own",
    force: bool = False,
    progress: Progress = lambda *_: None,
    subject: str = "library",
    part: str = "",
    model: str = "",
    fingerprint: str = "",
) -> tuple[AuditReport, pa.Table]:
    """How far retrieval falls when the captions' words, or the photos' parts, lose their order; and the rows behind it,
    one for each query, perturbation and seed (see `rows.rows_of`).

    xb: (N, d) float32 unit rows, the photos; texts: M captions; owner: (M,) the row of xb that each caption describes.
    Photos without captions stay in the gallery; captions without a word are left out; a caption that stands with
    several photos is right for each. `perturbations` are names from `vlsearch.audit.perturb`; those of photos need
    `embed_photos`. "identity" and "sort" always run beside them as controls. Seeds 0 … seeds - 1 each perturb every
    caption, or `known` has the captions of an earlier run. Each distinct text goes to `embed_texts` once, after all of
    them were shown to `need`. `photos`: N names for the rows. `nearest` asks for what an index loses.
    Raises UsageError when there is nothing to measure, a name is unknown, or parts of speech are needed of captions
    that are not English (unless `force`); ModelError or LibraryDamaged for vectors that cannot be scored.
    """
    names, controls = _names(perturbations)
    ks = sorted(set(ks))
    owner = np.asarray(owner, dtype=np.int64)
    _check(xb, texts, owner, seeds, ks, resamples)
    worded = np.array([bool(text.split()) for text in texts])
    texts, owner = [text for text, some in zip(texts, worded, strict=True) if some], owner[worded]
    _check_captions(texts, owner)
    foreign = sum(not english(text) for text in texts)
    _check_language(names, foreign, len(texts), force)
    of_text = [name for name in names if lookup(name).kind == "text"]
    of_photo = [name for name in names if lookup(name).kind == "photo"]
    if of_photo and embed_photos is None:
        raise UsageError(
            f"{of_photo[0]} perturbs photos, and the photos themselves are not at hand, only their vectors"
        )

    clean = as_written(texts, tokenizer)
    runs = {name: reworded(texts, name, seeds, tokenizer, known, progress) for name in of_text}
    distinct = list(dict.fromkeys(run.texts for run in [clean, *(run for name in of_text for run in runs[name])]))
    need(list(dict.fromkeys(text for wording in distinct for text in wording)))
    same = np.unique(texts, return_inverse=True)[1].reshape(-1)
    ranked: dict[tuple[str, ...], tuple[Ranks, Ranks]] = {}
    index: tuple[IndexLoss, ...] = ()
    xt_clean = np.empty((0, xb.shape[1]), np.float32)
    for texts_of_run, xt in _embedded(embed_texts, distinct, xb.shape[1], progress):
        ranked[texts_of_run] = metrics.ranks(xt, xb, owner, same)
        if texts_of_run == clean.texts:
            xt_clean = xt
    of_name = {name: [ranked[run.texts] for run in runs[name]] for name in of_text}
    for name in of_photo:
        assert embed_photos is not None
        of_name[name] = [
            metrics.ranks(xt_clean, _scorable(embed_photos(name, seed), len(xb), xb.shape[1]), owner, same)
            for seed in range(seeds if lookup(name).random else 1)
        ]
        runs[name] = [clean] * len(of_name[name])
    of_name = {name: of_name[name] for name in names}
    if nearest is not None:
        index = tuple(_index_loss(nearest, xt_clean, owner, same, ranked[clean.texts][0], k) for k in ks)

    sides = _sides(len(xb), owner, same, ranked[clean.texts], of_name, runs)
    unperturbable = {
        name: 0 if name == "identity" or name in of_photo else int(np.sum(~runs[name][0].changed)) for name in names
    }
    shared = metrics.photos_of_each_text(owner, same)
    report = AuditReport(
        model=model,
        fingerprint=fingerprint,
        subject=subject,
        part=part,
        tokenizer=tokenizer,
        photos=len(xb),
        photos_with_captions=len(np.unique(owner)),
        captions=len(texts),
        duplicates=int(np.sum(shared > 1)),
        empty=int(np.sum(~worded)),
        truncated=int(np.sum(is_cut(clean.texts))) if is_cut is not None else 0,
        not_english=foreign,
        seeds=seeds,
        resamples=resamples,
        results=tuple(r for side in sides for r in results(side, controls, ks, seeds, resamples, unperturbable)),
        ranks=tuple(summary(side, name) for side in sides for name in names),
        index=index,
    )
    named = [str(n) for n in range(len(xb))] if photos is None else list(photos)
    return report, rows_of(sides, named, np.unique(owner), owner, texts, runs)


def texts_of(
    texts: Sequence[str], perturbations: Sequence[str], seeds: int, tokenizer: str, progress: Progress
) -> list[str]:
    """Every distinct text that `audit_retrieval` embeds."""
    some = [text for text in texts if text.split()]
    runs = [as_written(some, tokenizer)]
    for name in _names(perturbations)[0]:
        if lookup(name).kind == "text":
            runs += reworded(some, name, seeds, tokenizer, None, progress)
    return list(dict.fromkeys(text for run in runs for text in run.texts))


def _names(perturbations: Sequence[str]) -> tuple[list[str], set[str]]:
    """All that run, in order, and which of them are controls."""
    asked = list(dict.fromkeys(perturbations))
    controls = {name for name in asked if lookup(name).control}
    controls.update(name for name in CONTROLS if name not in asked)
    if any(lookup(name).kind == "photo" for name in asked):
        controls.add("identity-photos")
    return [*(name for name in asked if name not in controls), *sorted(controls)], controls


def _check(
    xb: Vectors, texts: Sequence[str], owner: NDArray[np.int64], seeds: int, ks: Sequence[int], resamples: int
) -> None:
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
    if not np.all(np.isfinite(xb)):
        raise LibraryDamaged("some photos' vectors hold values that are no numbers; `vlsearch verify` finds them")


def _check_captions(texts: Sequence[str], owner: NDArray[np.int64]) -> None:
    if not texts:
        raise UsageError("all captions are empty; `vlsearch captions import FILE` brings in others")
    if len(np.unique(owner)) < 2:
        raise UsageError(
            "only one photo has captions, and an audit compares photos; `vlsearch captions import FILE` adds more"
        )


def _check_language(names: Sequence[str], foreign: int, captions: int, force: bool) -> None:
    tagged = [name for name in names if lookup(name).tagged]
    if tagged and foreign > FOREIGN * captions and not force:
        raise UsageError(
            f"{foreign:,} of {captions:,} captions do not look English, and {tagged[0]} needs parts of speech, which "
            "are known for English only; take shuffle, reverse or another that does not, or --force"
        )


def _embedded(
    embed_texts: EmbedTexts, wordings: Sequence[tuple[str, ...]], dim: int, progress: Progress
) -> Iterator[tuple[tuple[str, ...], Vectors]]:
    """Each of `wordings` with its vectors (M, dim), every distinct text embedded once.

    Vectors are kept only while a later wording still needs them, so that memory does not grow with the seeds.
    """
    last_use = {text: i for i, wording in enumerate(wordings) for text in wording}
    kept: dict[str, Vectors] = {}
    done, total = 0, len(last_use)
    progress("texts", done, total)
    for i, wording in enumerate(wordings):
        new = [text for text in dict.fromkeys(wording) if text not in kept]
        for start in range(0, len(new), _TEXTS_A_CALL):
            batch = new[start : start + _TEXTS_A_CALL]
            kept.update(zip(batch, _scorable(embed_texts(batch), len(batch), dim), strict=True))
            done += len(batch)
            progress("texts", done, total)
        yield wording, np.stack([kept[text] for text in wording])
        # Copies, for a row holds on to all rows that came with it.
        kept = {text: row.copy() for text, row in kept.items() if last_use[text] > i}


def _scorable(vectors: Vectors, n: int, dim: int) -> Vectors:
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.shape != (n, dim):
        raise ModelError(
            f"the model gives vectors of shape {rows.shape}, and the photos' have {dim} dimensions; audit with the "
            "model that the photos were ingested with"
        )
    if not np.all(np.isfinite(rows)):
        raise ModelError("the model gives vectors that hold no numbers; its weights are damaged")
    return rows


def _index_loss(
    nearest: Nearest, xt: Vectors, owner: NDArray[np.int64], same: NDArray[np.int64], exact: Ranks, k: int
) -> IndexLoss:
    found = nearest(xt, k)
    photos = int(max(owner.max(), found.max())) + 1
    own = np.unique(same * photos + owner)
    hit = (np.isin(same[:, None] * photos + found, own) & (found >= 0)).any(axis=1)
    recall, through = metrics.recall_at_k(exact.rank, k), float(np.mean(hit))
    return IndexLoss(k, recall, through, recall - through)


def _sides(
    photos: int,
    owner: NDArray[np.int64],
    same: NDArray[np.int64],
    clean: tuple[Ranks, Ranks],
    of_name: dict[str, list[tuple[Ranks, Ranks]]],
    runs: dict[str, list[Wording]],
) -> list[Side]:
    _, place = np.unique(owner, return_inverse=True)
    place = place.reshape(-1).astype(np.int64)
    movable = {name: runs[name][0].changed for name in of_name}
    some = {name: np.bincount(place[moves], minlength=int(place.max()) + 1) > 0 for name, moves in movable.items()}
    right_photos, right_captions = metrics.photos_of_each_text(owner, same), metrics.texts_of_each_photo(owner, same)
    shape: list[tuple[Direction, NDArray[np.int64], dict[str, NDArray[np.bool_]], Chance]] = [
        ("text_to_image", place, movable, metrics.chance(photos, right_photos)),
        ("image_to_text", np.arange(len(right_captions)), some, metrics.chance(len(owner), right_captions)),
    ]
    return [
        Side(
            direction=direction,
            clean=clean[i],
            perturbed={name: [pair[i] for pair in ranked] for name, ranked in of_name.items()},
            photo=photo,
            effective=effective,
            chance=chance,
        )
        for i, (direction, photo, effective, chance) in enumerate(shape)
    ]
