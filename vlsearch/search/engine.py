"""Answer queries: text or photo in, photos or captions out, best first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.catalog import queries
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.decode import decode
from vlsearch.ingest.sources import read_address

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from vlsearch.catalog.queries import ModelRow
    from vlsearch.encoders.base import Encoder
    from vlsearch.library import Library


@dataclass(frozen=True)
class Hit:
    """One answer. `score` is the cosine between query and photo (or caption), -1 to 1."""

    rank: int
    """1 is best"""
    score: float
    path: str
    """where the photo lies; undecodable bytes of its name as surrogates"""
    id: int
    """the photo's id in the library"""
    captions: tuple[str, ...] = ()
    caption: str | None = None
    """the caption that was found, where captions were asked for"""

    def to_dict(self) -> dict[str, Any]:
        row = asdict(self) | {"captions": list(self.captions)}
        if self.caption is None:
            del row["caption"]
        return row


class Engine:
    """Answers queries over one model's vectors of a library. The encoder must be the one that made them."""

    def __init__(self, library: Library, encoder: Encoder) -> None:
        self.library, self.encoder = library, encoder
        self.model: ModelRow = library.model_of(encoder)

    def text(self, text: str, k: int = 10, **options: Any) -> list[Hit]:
        """The k photos (or captions, to="captions") nearest to a text. UsageError for an empty text."""
        if not text.strip():
            raise UsageError('the query is empty; say what to look for, as in vlsearch query "dog on the beach"')
        return self.vector(self.encoder.embed_texts([text])[0], k, **options)

    def image(self, file: Path, k: int = 10, **options: Any) -> list[Hit]:
        """The k photos (or captions) nearest to a photo. UsageError: no such file; UnreadableFile: not a photo."""
        try:
            data = read_address(str(file))
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from error
        try:
            photo = decode(data, self.encoder.preprocess)
        except UnreadableFile as error:
            raise UnreadableFile(f"cannot read {file}: {error}; ask with another photo") from error
        return self.vector(self.encoder.embed_images(photo.pixels[None])[0], k, **options)

    def vector(
        self, xq: NDArray[np.float32], k: int = 10, *, to: str = "photos", min_score: float | None = None
    ) -> list[Hit]:
        """The nearest to a unit vector (d,): always k of them where there are k, fewer only with `min_score`."""
        if k < 1:
            raise UsageError(f"-k must be at least 1, not {k}")
        if to not in ("photos", "captions"):
            raise UsageError(f'to="{to}" is neither "photos" nor "captions"')
        kind = queries.TEXT if to == "captions" else queries.IMAGE
        index = self.library.index(self.model, kind)
        with self.library.read() as c:  # one state of the catalog for all of it: an ingest may be running
            hidden = queries.hidden_contents(c)
            if kind == queries.TEXT:
                hidden = queries.captions_in(c, hidden)
            D, I = index.search(xq[None], k, hidden)  # noqa: E741
            keep = D[0] >= (-np.inf if min_score is None else min_score)
            return hits(c, D[0][keep], I[0][keep], kind)


def hits(c: Connection, scores: NDArray[np.float32], ids: NDArray[np.int64], kind: str) -> list[Hit]:
    """Scores (n,) and ids (n,) of photos or captions with what the catalog knows of them.

    What was forgotten since the index was read is left out.
    """
    found = queries.caption_rows(c, ids.tolist()) if kind == queries.TEXT else {i: (i, None) for i in ids.tolist()}
    content_ids = [content_id for content_id, _ in found.values()]
    paths = queries.paths_of(c, content_ids, missing=False)
    captions = queries.captions_of(c, content_ids)
    shown = [(score, *found[i]) for score, i in zip(scores, ids.tolist(), strict=True) if i in found]
    shown = [(score, content_id, text) for score, content_id, text in shown if content_id in paths]
    return [
        Hit(rank, float(score), paths[content_id][0], content_id, tuple(captions.get(content_id, ())), text)
        for rank, (score, content_id, text) in enumerate(shown, 1)
    ]
