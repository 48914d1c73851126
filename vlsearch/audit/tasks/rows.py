"""What each query of an audit came to, as a table: one row for each direction, perturbation, seed and query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.tasks.figures import Side
from vlsearch.audit.tasks.wording import Wording

if TYPE_CHECKING:
    import pyarrow as pa


def rows_of(
    sides: Sequence[Side],
    photos: Sequence[str],
    with_captions: NDArray[np.int64],
    owner: NDArray[np.int64],
    texts: Sequence[str],
    runs: Mapping[str, Sequence[Wording]],
) -> pa.Table:
    """`photos`: N names; `with_captions`: (Q,) which of them are queries; `owner`: (M,) each caption's photo.

    Columns: direction, perturbation, photo (a caption's own, or the one that asks), text (the caption as written; ""
    where a photo asks), perturbed (the caption as it was asked) are strings; seed int16; changed bool, whether the
    perturbation can change the caption, or any of the photo's; rank_clean, rank, ties_clean, ties int32.
    """
    import pyarrow as pa

    names = pa.array([as_text(photo) for photo in photos], pa.string())
    written = pa.array([*texts, ""], pa.string())
    tables = []
    for side in sides:
        captions = side.direction == "text_to_image"
        asks = owner if captions else with_captions
        queries = np.arange(len(asks)) if captions else np.full(len(asks), len(texts))
        for name, ranked in side.perturbed.items():
            for seed, (ranks, wording) in enumerate(zip(ranked, runs[name], strict=True)):
                perturbed = pa.array(wording.texts, pa.string()) if captions else _all("", len(asks))
                columns = {
                    "direction": _all(side.direction, len(asks)),
                    "perturbation": _all(name, len(asks)),
                    "seed": pa.array(np.full(len(asks), seed), pa.int16()),
                    "photo": pa.DictionaryArray.from_arrays(pa.array(asks, pa.int32()), names),
                    "text": pa.DictionaryArray.from_arrays(pa.array(queries, pa.int32()), written),
                    "perturbed": perturbed.cast(pa.string()),
                    "changed": pa.array(side.effective[name]),
                    "rank_clean": pa.array(side.clean.rank, pa.int32()),
                    "rank": pa.array(ranks.rank, pa.int32()),
                    "ties_clean": pa.array(side.clean.ties, pa.int32()),
                    "ties": pa.array(ranks.ties, pa.int32()),
                }
                tables.append(pa.table(columns))
    return pa.concat_tables(tables).unify_dictionaries()


def _all(value: str, n: int) -> Any:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n), pa.int32()), pa.array([value]))


def as_text(path: str) -> str:
    """A path as UTF-8 can hold it; bytes that are none become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
