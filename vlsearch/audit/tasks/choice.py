"""Tasks B and C: a photo and a few texts, of which one is true, and what else is asked of photos and texts in pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.datasets import Choices, Item, Pair, Photo, Statement, photo_key, photo_names
from vlsearch.audit.perturb import perturb
from vlsearch.audit.perturb.words import join, tokenise
from vlsearch.audit.report import ChoiceReport
from vlsearch.audit.scores import exact
from vlsearch.audit.tasks.verdicts import Scores, results, solved
from vlsearch.errors import ModelError, UsageError

if TYPE_CHECKING:
    import pyarrow

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
EmbedTexts = Callable[[Sequence[str]], Vectors]
EmbedPhotos = Callable[[Sequence[Photo]], Vectors]

_ITEMS_A_BLOCK = 1024


def audit_choice(
    choices: Choices,
    embed_texts: EmbedTexts,
    embed_photos: EmbedPhotos,
    blind_corpus: Sequence[tuple[str, str]] = (),
    *,
    resamples: int = 2000,
    truncated: Callable[[Sequence[str]], int] = lambda _texts: 0,
    model: str = "",
    fingerprint: str = "",
) -> tuple[ChoiceReport, pyarrow.Table]:
    """How often the true text, or the true photo, scores highest, beside chance and two controls.

    `blind_corpus` are captions and their photos, from which, with the true texts of `choices`, the blind control
    learns; photos are the same where `photo_key` says so. Both embed functions give unit rows (n, d) float32; each
    distinct text, as it is and with its words sorted, and each distinct photo is embedded once. `truncated` counts
    texts beyond the model's context.

    The table has a row for each item: task, split, group, photo (the first), texts (the true one first), scores (texts
    of the first photo, then of the second), right, blind, bag_of_words, seed. What is right, `verdicts.solved` says; a
    statement's split is "true" or "false".
    Raises UsageError when there is nothing to choose between, ModelError for vectors that cannot be scored.
    """
    _check(choices)
    if resamples < 1:
        raise UsageError("an audit needs at least one resample")
    matrices = list(_matrices(choices.items, embed_texts, embed_photos))
    scores = Scores(
        model=[model_scores for model_scores, _ in matrices],
        bag_of_words=[sorted_scores for _, sorted_scores in matrices],
        blind=_blind(choices.items, blind_corpus),
    )
    report = ChoiceReport(
        model=model,
        fingerprint=fingerprint,
        subject=choices.name,
        part=choices.part,
        items=len(choices.items),
        photos=len(photo_names(choices)),
        seeds=choices.seeds,
        unperturbable=choices.unperturbable,
        truncated=truncated(list(dict.fromkeys(text for item in choices.items for text in item.texts))),
        left_out=choices.left_out,
        results=results(choices, scores, resamples=resamples),
    )
    return report, _rows(choices, scores)


def texts_of(choices: Choices) -> list[str]:
    """Every distinct text that `audit_choice` embeds."""
    texts = dict.fromkeys(text for item in choices.items for text in item.texts)
    return list(dict.fromkeys([*texts, *map(_bag, texts)]))


def _check(choices: Choices) -> None:
    name = choices.name
    if choices.unperturbable and not choices.items:
        raise UsageError(f"none of the {choices.unperturbable:,} captions of {name} is changed by all perturbations")
    if not choices.items:
        left_out = "".join(f"; left out: {line}" for line in choices.left_out)
        raise UsageError(f"{name} has no items to choose between{left_out}")
    labels = {item.true for item in choices.items if isinstance(item, Statement)}
    if len(labels) == 1:
        raise UsageError(
            f"the {len(choices.items):,} statements of {name} are all {'true' if True in labels else 'false'}; an AUC "
            "compares true ones with false ones"
        )


def _bag(text: str) -> str:
    return perturb(text, "sort", 0).text


def _matrices(
    items: Sequence[Item], embed_texts: EmbedTexts, embed_photos: EmbedPhotos
) -> Iterator[tuple[Floats, Floats]]:
    """Of each item the exact scores (photos, texts) of its texts, and of the same with their words sorted.

    Vectors of texts are kept only while a later block of items needs them: five seeds of COCO-Order have 500,000.
    """
    photos = {photo: n for n, photo in enumerate(dict.fromkeys(photo for item in items for photo in item.photos))}
    xb = _checked(embed_photos(list(photos)), len(photos), None)
    bags = {text: _bag(text) for text in dict.fromkeys(text for item in items for text in item.texts)}
    blocks = [items[i : i + _ITEMS_A_BLOCK] for i in range(0, len(items), _ITEMS_A_BLOCK)]
    needed = [
        dict.fromkeys(form for item in block for text in item.texts for form in (text, bags[text])) for block in blocks
    ]
    last_use = {text: b for b, texts in enumerate(needed) for text in texts}
    kept: dict[str, Floats] = {}
    for b, block in enumerate(blocks):
        new = [text for text in needed[b] if text not in kept]
        if new:
            xt = _checked(embed_texts(new), len(new), xb.shape[1])
            kept.update((text, row.copy()) for text, row in zip(new, xt, strict=True))
        for item in block:
            own = xb[[photos[photo] for photo in item.photos]]
            as_written = np.stack([kept[text] for text in item.texts])
            in_order = np.stack([kept[bags[text]] for text in item.texts])
            yield own @ as_written.T, own @ in_order.T
        kept = {text: row for text, row in kept.items() if last_use[text] > b}


def _checked(vectors: Vectors, n: int, dim: int | None) -> Floats:
    x = np.asarray(vectors, dtype=np.float32)
    if x.ndim != 2 or len(x) != n or dim not in (None, x.shape[1]):
        wanted = "" if dim is None else f", and photos vectors of {dim} dimensions"
        raise ModelError(f"the model gives {n} inputs vectors of shape {x.shape}{wanted}; audit with another model")
    if not np.all(np.isfinite(x)):
        raise ModelError("the model gives vectors that hold no numbers; its weights are damaged")
    return exact(x)


def _blind(items: Sequence[Item], corpus: Sequence[tuple[str, str]]) -> list[Floats] | None:
    """Scores (1, texts) of a model of captions that never sees a photo; None for pairs: both texts are true."""
    if isinstance(items[0], Pair):
        return None
    from vlsearch.audit.controls import Blind

    own = [(item.texts[0], item.photos[0].path) for item in items if not isinstance(item, Statement) or item.true]
    # A caption of the library may be a dataset's too: it counts once.
    known = dict.fromkeys((join(tokenise(text)), photo_key(photo)) for text, photo in [*corpus, *own])
    blind = Blind([text for text, _ in known], [photo for _, photo in known])
    return [blind.scores(item.texts, photo_key(item.photos[0].path))[None] for item in items]


def _rows(choices: Choices, scores: Scores) -> pyarrow.Table:
    import pyarrow as pa

    items = choices.items
    blind = pa.nulls(len(items), pa.bool_()) if scores.blind is None else pa.array(solved(items, scores.blind))
    return pa.table(
        {
            "task": pa.array([choices.task or choices.name] * len(items), pa.string()),
            "split": pa.array([_split(item) for item in items], pa.string()),
            "group": pa.array([item.group for item in items], pa.string()),
            "photo": pa.array([_utf8(item.photos[0].path) for item in items], pa.string()),
            "texts": pa.array([list(item.texts) for item in items], pa.list_(pa.string())),
            "scores": pa.array([m.ravel().tolist() for m in scores.model], pa.list_(pa.float64())),
            "right": pa.array(solved(items, scores.model), pa.bool_()),
            "blind": blind,
            "bag_of_words": pa.array(solved(items, scores.bag_of_words), pa.bool_()),
            "seed": pa.array([item.seed for item in items], pa.int16()),
        }
    )


def _split(item: Item) -> str:
    if isinstance(item, Statement):
        return "true" if item.true else "false"
    return item.split


def _utf8(path: str) -> str:
    """A path as a table can hold it; bytes that are no UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
