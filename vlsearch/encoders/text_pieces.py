"""Many texts through a text tower, in pieces that all have the same shape: where the tower can be packed, end to end
without padding.

Rows of one shape are multiplied by the same code whatever stands beside them, so a text's vector is a function of the
text alone, to the last bit: not of the batch that it came in, of the order of texts, or of the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from vlsearch.encoders.lanes import cores, own_threads

if TYPE_CHECKING:
    from vlsearch.encoders.packed_text import PackedText

ROWS = 512
"""tokens of a piece: enough for the multiplications to run at full speed, few enough to stay in the cache"""

BATCH = 64
"""texts at a time of a tower that cannot be packed"""

Progress = Callable[[int], None]


def embed_pieces(tower: PackedText, tokens: torch.Tensor, columns: torch.Tensor, progress: Progress) -> torch.Tensor:
    """`tokens` (n, context_length ≤ ROWS), of which each row needs its first `columns` (n,), to features (n, d)
    float32. `progress` is told how many texts are done, from this thread."""
    order = torch.argsort(columns, descending=True, stable=True)
    parts = list(pieces(columns[order].tolist()))

    def lane(piece: slice) -> torch.Tensor:
        with torch.inference_mode(), own_threads(1):
            return piece_features(tower, tokens[order[piece]], columns[order[piece]].tolist())

    found = []
    with ThreadPoolExecutor(cores()) as pool:
        for piece, rows in zip(parts, pool.map(lane, parts), strict=True):
            found.append(rows)
            progress(piece.stop)
    features = torch.cat(found)
    back = torch.empty_like(features)
    back[order] = features
    return back


def pieces(lengths: list[int]) -> Iterator[slice]:
    """Which texts go together: as many, in their order, as have ROWS tokens between them."""
    start, filled = 0, 0
    for n, length in enumerate(lengths):
        if filled + length > ROWS:
            yield slice(start, n)
            start, filled = n, 0
        filled += length
    yield slice(start, len(lengths))


def piece_features(tower: PackedText, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """Features (n, d) float32 of the texts of one piece, the longest first."""
    groups = [(sum(1 for _ in same), length) for length, same in groupby(lengths)]
    used = torch.tensor(lengths)
    ends = used.cumsum(0) - 1
    flat = torch.zeros(ROWS, dtype=torch.long)
    places = torch.zeros(ROWS, dtype=torch.long)
    kept = torch.arange(tokens.shape[1]) < used[:, None]
    flat[: int(ends[-1]) + 1] = tokens[kept]
    places[: int(ends[-1]) + 1] = torch.arange(tokens.shape[1]).expand_as(tokens)[kept]
    # Pooled from as many rows in every piece, for the projection at the end is a multiplication too.
    padded = torch.zeros(ROWS, dtype=torch.long)
    padded[: len(ends)] = ends
    return tower.run(flat, places, groups, padded)[: len(ends)].float()


def embed_batches(
    encode: Callable[[torch.Tensor], torch.Tensor], tokens: torch.Tensor, columns: torch.Tensor, progress: Progress
) -> torch.Tensor:
    """The same for any `encode` of (BATCH, length) tokens: batches of texts of about one length, filled up."""
    lengths = ((columns + 7) // 8 * 8).clamp(max=tokens.shape[1])
    parts, places, done = [], [], 0
    for length in sorted(set(lengths.tolist())):
        for place in torch.split(torch.nonzero(lengths == length)[:, 0], BATCH):
            filled = torch.cat([place, place[-1:].expand(BATCH - len(place))])
            parts.append(encode(tokens[filled.to(tokens.device), :length])[: len(place)])
            places.append(place)
            done += len(place)
            progress(done)
    features = torch.cat(parts)
    back = torch.empty_like(features)
    back[torch.cat(places).to(back.device)] = features
    return back
