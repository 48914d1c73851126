"""Answer queries: words and pictures in, photos or captions out, best first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vlsearch.catalog.rows import IMAGE, TEXT
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.search.filters import Filters
from vlsearch.search.prompts import Prompts, embed_prompts
from vlsearch.search.query import EMPTY, Term, combine, parse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.catalog.rows import ModelRow
    from vlsearch.encoders.base import Encoder, TextEncoder
    from vlsearch.library import Library

SORTS = ("score", "taken", "path")
KINDS = {"photos": IMAGE, "captions": TEXT}
POOL = 1000
"""the nearest among which a diverse answer is chosen"""
HIDDEN = 4096
"""so many answers are looked through for ones to show before what is shown is asked of the catalog first"""


@dataclass(frozen=True)
class Hit:
    """One answer."""

    rank: int
    """1 is best"""
    score: float | None
    """the cosine between query and photo (or caption), -1 to 1; None where nothing was asked but a filter"""
    path: str
    """where the photo lies; undecodable bytes of its name as surrogates"""
    id: int
    """the photo's id in the library"""
    captions: tuple[str, ...] = ()
    caption: str | None = None
    """the caption that was found, where captions were asked for"""
    taken: str | None = None
    """when the photo was taken, local time, as EXIF has it"""
    copies: int = 1
    """photos that it stands for, itself included, where near duplicates were grouped"""

    def to_dict(self) -> dict[str, Any]:
        row = asdict(self) | {"captions": list(self.captions)}
        if self.caption is None:
            del row["caption"]
        if self.copies == 1:
            del row["copies"]
        return row


class Engine:
    """Answers queries over one model's vectors of a library. `texts` must be the model that made them; `images` gives
    its other half, for queries with a picture, when `texts` has none."""

    def __init__(
        self,
        library: Library,
        texts: TextEncoder,
        images: Callable[[], Encoder] | None = None,
        *,
        allow_url: bool = False,
    ) -> None:
        self.library, self.texts, self.allow_url = library, texts, allow_url
        self.model: ModelRow = library.model_of(texts)
        self._images = images

    def search(
        self,
        query: str | Sequence[Term] = (),
        k: int = 10,
        *,
        to: str = "photos",
        filters: Filters | None = None,
        prompts: Prompts | None = None,
        min_score: float | None = None,
        page: int = 1,
        sort: str = "score",
        diverse: float | None = None,
        group_duplicates: bool = False,
    ) -> list[Hit]:
        """The k photos (or captions, to="captions") nearest to a query: always k of them where there are k.

        `query` is the short form ("horse + stripes - 2:fruit") or its terms; without one, what the filters keep is
        listed. `page` 2 has the next k; `sort` ("score", "taken", "path") orders the hits of a page. `diverse`, 0 to
        1, trades score for variety (maximal marginal relevance; 1: score alone); `group_duplicates` shows the best of
        photos that hardly differ. UsageError for what cannot be asked; UnreadableFile for a picture that is none.
        """
        _check(k, to, page, sort, min_score, diverse)
        if group_duplicates and to == "captions":
            raise UsageError("--group-duplicates is about photos; leave it out with --to captions")
        kind, filters = KINDS[to], filters or Filters()
        terms = query if not isinstance(query, str) else parse(query) if query.strip() else ()
        if not terms and not filters:
            raise UsageError(EMPTY)
        if not terms:
            return self._listed(filters, k, kind, page, sort)
        allowed = self.allowed(filters, kind)
        xq = self.embed(terms, prompts)
        D, I, copies = self._best(xq, page * k, kind, allowed, min_score, diverse, group_duplicates)  # noqa: E741
        part = slice((page - 1) * k, page * k)
        found = self.hits(D[None, part], I[None, part], kind, first=(page - 1) * k + 1, filters=filters)[0]
        if group_duplicates:
            count = dict(zip(I.tolist(), copies.tolist(), strict=True))
            found = [replace(hit, copies=count[hit.id]) for hit in found]
        return _sorted(found, sort)

    def embed(self, terms: Sequence[Term], prompts: Prompts | None = None) -> NDArray[np.float32]:
        """The unit vector (d,) of a query."""
        xq: NDArray[np.float32] = self.embed_many([terms], prompts)[0]
        return xq

    def embed_many(self, queries: Sequence[Sequence[Term]], prompts: Prompts | None = None) -> NDArray[np.float32]:
        """Unit vectors (nq, d) of queries. Each distinct text, with its prompts, and each picture is embedded once."""
        prompts = prompts or Prompts()
        texts = list(dict.fromkeys(term.text for terms in queries for term in terms if term.text is not None))
        pictures = list(dict.fromkeys(term.image for terms in queries for term in terms if term.image is not None))
        known: dict[tuple[str, str], NDArray[np.float32]] = {("image", one): self._picture(one) for one in pictures}
        if texts:
            vectors = embed_prompts(self.texts.embed_texts, [prompts.expand(text) for text in texts])
            known.update({("text", text): vector for text, vector in zip(texts, vectors, strict=True)})
        rows = [
            combine(
                np.stack(
                    [known["text", t.text] if t.text is not None else known["image", t.image or ""] for t in terms]
                ),
                np.array([term.weight for term in terms]),
            )
            for terms in queries
        ]
        return np.stack(rows) if rows else np.empty((0, self.model.dim), np.float32)

    def allowed(self, filters: Filters, kind: str = IMAGE) -> NDArray[np.int64] | None:
        """Ids (n,) of the photos (or of their captions) that the filters keep, ascending; None: all."""
        if not filters:
            return None
        with self.library.snapshot() as reader:
            photos = filters.content_ids(reader)
            return reader.captions_of(photos) if kind == TEXT else photos

    def vectors(self, ids: Sequence[int] | NDArray[np.int64], kind: str = IMAGE) -> NDArray[np.float32]:
        """The stored vectors (n, d) of photos or captions."""
        return self.library.index(self.model, kind).vectors(np.asarray(ids, np.int64))

    def nearest(
        self, xq: NDArray[np.float32], k: int, kind: str = IMAGE, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """D (nq, k') and I (nq, k') for unit vectors xq (nq, d), best first, equal scores by id: only what is present,
        and among `allowed` (ids, ascending) where given; k' is k or, with fewer, all there are."""
        if not np.isfinite(xq).all():
            raise UsageError("the query's vector holds values that are no numbers")
        index = self.library.index(self.model, kind)
        if allowed is not None:
            return index.search(xq, k, allowed)
        wanted = k
        with self.library.snapshot() as reader:
            while True:
                D, I = index.search(xq, wanted)  # noqa: E741
                shown = _among(I, reader.shown(kind, _distinct(I)))
                if I.shape[1] < wanted or (shown.sum(axis=1) >= k).all():
                    break
                if wanted > HIDDEN:
                    return index.search(xq, k, reader.all_shown(kind))
                wanted = 2 * wanted + 1
        if shown[:, :k].all():
            return D[:, :k], I[:, :k]
        first = np.argsort(~shown, axis=1, kind="stable")[:, : min(k, int(shown.sum(axis=1).min(initial=k)))]
        return np.take_along_axis(D, first, axis=1), np.take_along_axis(I, first, axis=1)

    def hits(
        self,
        D: NDArray[np.float32],
        I: NDArray[np.int64],  # noqa: E741
        kind: str = IMAGE,
        first: int = 1,
        filters: Filters | None = None,
    ) -> list[list[Hit]]:
        """Scores (nq, k) and ids (nq, k) of photos or captions with what the catalog knows of them.

        A photo that lies in several places is shown at the first that meets the filters. What was forgotten since they
        were found is left out.
        """
        ids = _distinct(I)
        with self.library.snapshot() as reader:
            found = reader.caption_rows(ids) if kind == TEXT else {i: (i, None) for i in ids}
            photos = sorted({content_id for content_id, _ in found.values()})
            about, captions = reader.photos(photos), reader.captions(photos)
            if filters:
                paths = filters.paths(reader, photos)
                about = {photo: (paths[photo], taken) for photo, (_, taken) in about.items() if photo in paths}
        known = {i: (photo, text) for i, (photo, text) in found.items() if photo in about}

        def answer(scores: list[float], row: list[int]) -> list[Hit]:
            shown = [(score, *known[i]) for score, i in zip(scores, row, strict=True) if i in known]
            return [
                Hit(rank, score, about[photo][0], photo, tuple(captions.get(photo, ())), text, about[photo][1])
                for rank, (score, photo, text) in enumerate(shown, first)
            ]

        return [answer(scores, row) for scores, row in zip(D.tolist(), I.tolist(), strict=True)]

    def encoder(self) -> Encoder:
        """The whole model, loaded when it is first needed. UsageError where only its texts can be had."""
        if hasattr(self.texts, "embed_images"):
            return cast("Encoder", self.texts)
        if self._images is None:
            raise UsageError("this engine has no model for pictures; ask with words")
        self.texts, self._images = self._images(), None
        return self.encoder()

    def _picture(self, address: str) -> NDArray[np.float32]:
        from vlsearch.ingest.decode import decode
        from vlsearch.search.pictures import read_picture

        data, encoder = read_picture(address, self.allow_url), self.encoder()
        try:
            photo = decode(data, encoder.preprocess)
        except UnreadableFile as error:
            raise UnreadableFile(f"cannot read {address}: {error}; ask with another photo") from error
        vector: NDArray[np.float32] = encoder.embed_images(photo.pixels[None])[0]
        return vector

    def _best(
        self,
        xq: NDArray[np.float32],
        n: int,
        kind: str,
        allowed: NDArray[np.int64] | None,
        min_score: float | None,
        diverse: float | None,
        group_duplicates: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Scores, ids, and how many photos each stands for: the first n in the order of the answer."""
        needed = n if diverse is None else max(n, POOL)
        wanted = needed
        while True:
            D, I = (part[0] for part in self.nearest(xq[None], wanted, kind, allowed))  # noqa: E741
            all_there_are = len(I) < wanted
            if min_score is not None:
                all_there_are |= bool((min_score > D).any())
                D, I = D[min_score <= D], I[min_score <= D]  # noqa: E741
            copies = np.ones(len(I), np.int64)
            if group_duplicates and len(I):
                from vlsearch.search.duplicates import THRESHOLD
                from vlsearch.search.grouping import groups

                best = groups(self.vectors(I, kind), THRESHOLD)
                heads, copies = np.unique(best, return_counts=True)
                D, I = D[heads], I[heads]  # noqa: E741
            if len(I) >= needed or all_there_are:
                break
            wanted *= 2
        if diverse is not None:
            from vlsearch.search.diversity import mmr

            pool = slice(0, POOL)
            order = mmr(D[pool], self.vectors(I[pool], kind), min(n, POOL, len(I)), diverse)
            order = np.concatenate([order, np.arange(POOL, len(I))])
            D, I, copies = D[order], I[order], copies[order]  # noqa: E741
        return D[:n], I[:n], copies[:n]

    def _listed(self, filters: Filters, k: int, kind: str, page: int, sort: str) -> list[Hit]:
        """A page of what the filters keep, by time (oldest first, unknown times last; then by id) or by path."""
        if kind == TEXT:
            raise UsageError('to="captions" needs a query: words or a picture')
        part = slice((page - 1) * k, page * k)
        with self.library.snapshot() as reader:
            ids = filters.content_ids(reader).tolist()
            if sort == "path":
                paths = filters.paths(reader, ids)
                ids = sorted(paths, key=paths.__getitem__)[part]
                taken = reader.taken(ids)
            else:
                taken = reader.taken(ids)
                ids = sorted(ids, key=lambda i: (taken[i] is None, taken[i] or "", i))[part]
                paths = filters.paths(reader, ids)
            captions = reader.captions(ids)
        first = (page - 1) * k + 1
        return [
            Hit(rank, None, paths[i], i, tuple(captions.get(i, ())), None, taken[i])
            for rank, i in enumerate(ids, first)
        ]


def _check(k: int, to: str, page: int, sort: str, min_score: float | None, diverse: float | None) -> None:
    if k < 1:
        raise UsageError(f"-k must be at least 1, not {k}")
    if page < 1:
        raise UsageError(f"--page must be at least 1, not {page}")
    if to not in KINDS:
        raise UsageError(f'to="{to}" is neither "photos" nor "captions"')
    if sort not in SORTS:
        raise UsageError(f'sort="{sort}" is none of {", ".join(SORTS)}')
    if min_score is not None and np.isnan(min_score):
        raise UsageError("--min-score must be a number, such as 0.2")
    if diverse is not None and not 0 <= diverse <= 1:
        raise UsageError(f"--diverse must be between 0 (variety) and 1 (score), not {diverse:g}")


def _distinct(I: NDArray[np.int64]) -> list[int]:  # noqa: E741
    """Ascending. Without np.unique, which imports numpy.ma: that takes as long as a search."""
    return sorted(set(I.ravel().tolist()))


def _among(I: NDArray[np.int64], known: set[int]) -> NDArray[np.bool_]:  # noqa: E741
    return np.fromiter((i in known for i in I.ravel().tolist()), np.bool_, I.size).reshape(I.shape)


def _sorted(hits: Sequence[Hit], sort: str) -> list[Hit]:
    if sort == "taken":
        return sorted(hits, key=lambda hit: (hit.taken is None, hit.taken or "", hit.id))
    return sorted(hits, key=lambda hit: hit.path) if sort == "path" else list(hits)
