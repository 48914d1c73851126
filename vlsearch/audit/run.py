"""Audit a library: its photos, its captions, one of its models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.audit.report import AuditReport
from vlsearch.audit.tasks.retrieval import audit_retrieval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.catalog.rows import ModelRow
    from vlsearch.encoders.base import TextEncoder
    from vlsearch.library import Library


def audit_library(
    library: Library,
    encoder: TextEncoder,
    perturbations: Sequence[str] = ("shuffle",),
    *,
    seeds: int = 5,
    ks: Sequence[int] = (1, 5, 10),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> AuditReport:
    """Every caption looks for its photo and every photo for its captions, as written and with the words moved.

    `encoder` must be the model that made the library's vectors. UsageError for an unknown perturbation, and for a
    library without captions.
    """
    row = library.model_of(encoder)
    xb, texts, owner = captioned(library, row)
    return audit_retrieval(
        encoder.embed_texts,
        xb,
        texts,
        owner,
        perturbations=perturbations,
        seeds=seeds,
        ks=ks,
        progress=progress,
        model=row.name,
        fingerprint=row.fingerprint,
    )


def captioned(library: Library, row: ModelRow) -> tuple[NDArray[np.float32], list[str], NDArray[np.int64]]:
    """The photos that can be seen, xb (N, d); their captions, M texts; and each caption's row in xb, (M,)."""
    from vlsearch.catalog import queries

    ids, xb = library.vectors(row)
    with library.read() as c:
        shown = ~np.isin(ids, queries.hidden_contents(c))
        place = {content_id: n for n, content_id in enumerate(ids[shown].tolist())}
        rows = queries.all_captions(c)
        # keywords have no order that could be lost
        captions = [
            (text, place[i]) for _, i, text, source, _ in rows if i in place and not source.endswith(":keywords")
        ]
    return xb[shown], [text for text, _ in captions], np.array([n for _, n in captions], np.int64)
