"""Hard negatives: texts that are nearly right for a photo, and photos that nearly look like another."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb import PERTURBATIONS, english, perturb
from vlsearch.audit.perturb.draws import draws
from vlsearch.audit.perturb.texts import parsed
from vlsearch.audit.perturb.words import Parsed, join, keys, tokenise
from vlsearch.errors import UsageError
from vlsearch.train.exchanges import PARTS_OF_SPEECH, Exchange, exchanged, exchanges
from vlsearch.vectors.build import build_lists
from vlsearch.vectors.faiss_backend import FaissBackend
from vlsearch.vectors.part import Part
from vlsearch.vectors.recipes import recipe_for

if TYPE_CHECKING:
    from vlsearch.vectors.backend import Backend

TRUE = ("content-words", "nouns-only")
"""perturbations that leave what is still true of the photo"""
KINDS = (
    *PARTS_OF_SPEECH,
    *(p.name for p in PERTURBATIONS.values() if p.kind == "text" and not p.control and p.name not in TRUE),
)
"""of hard negative texts"""

WORDS = 77
"""in which words change places, from the beginning: the tokens that CLIP's text tower reads, of which a word has at
least one"""
ATTEMPTS = 8
"""at a perturbation that comes out as another caption of the photo"""

EXACT_UP_TO = 20_000
"""photos that are compared one by one; with more, most of the time would go there"""
RECALL = 0.95
"""recall@10 of an index over more"""
AMONG = 1024
"""nearest photos of which some may be negatives"""
BLOCK = 1 << 21
"""scores held at a time"""
PIECE = 8192
"""photos that are put into the index at a time"""


def folded(text: str) -> str:
    """The same for two captions that differ in case, white space and outer punctuation alone."""
    return join(keys(tokenise(text)))


class HardTexts:
    """For each caption, texts of nearly the same words that are wrong of its photo (Yuksekgonul et al., ICLR 2023,
    section 4: NegCLIP).

    `kinds` are among KINDS: parts of speech of which two words change places (see `exchanges`), or perturbations of the
    audit. The former, and perturbations that need parts of speech, are for captions in English; others have none of
    them. `owner` (M,) says which photo each text describes: what is made of a caption never equals another caption of
    its photo, but for case, spaces and outer punctuation.

    Captions are tagged once, here, about 4,500 a second. UsageError for an unknown kind, and where no caption has a
    negative.
    """

    def __init__(
        self,
        texts: Sequence[str],
        kinds: Sequence[str] = PARTS_OF_SPEECH,
        owner: NDArray[np.int64] | None = None,
    ) -> None:
        for kind in kinds:
            if kind not in KINDS:
                raise UsageError(f"no hard negative is called {kind!r}; there are {', '.join(KINDS)}")
        self._texts, self._kinds = texts, tuple(dict.fromkeys(kinds))
        self._swapped = [kind for kind in self._kinds if kind in PARTS_OF_SPEECH]
        self._others = _others(texts, owner)
        # Captions are built alike, so the same exchanges come again and again: each is held once.
        self._known: dict[Exchange, Exchange] = {}
        self._possible = [self._all(i) for i in range(len(texts))]
        self.counts = Counter(dict.fromkeys(self._kinds, 0))
        """captions that have a negative of each kind"""
        self.counts.update(kind for possible in self._possible for kind in possible)
        self.without = sum(not possible for possible in self._possible)
        """captions that have none of any kind"""
        if texts and self.without == len(texts):
            raise UsageError(
                f"none of {len(texts):,} captions has a hard negative of the kinds {', '.join(self._kinds)}; "
                "parts of speech are told in English only; try shuffle, or train without hard negatives"
            )

    def draw(self, i: int, seed: int) -> str | None:
        """A negative of the kinds that caption i allows, each kind equally likely: a function of texts, kinds, i and
        `seed` alone. None for a caption that has none."""
        possible = self._possible[i]
        if not possible:
            return None
        which, number = draws(self._texts[i], "negative", seed, 0)(2)
        allowed = list(possible)
        start = which % len(allowed)
        for kind in allowed[start:] + allowed[:start]:
            pairs = possible[kind]
            if pairs:
                return join(exchanged(tokenise(self._texts[i]), pairs[number % len(pairs)]))
            text = self._perturbed(i, kind, number)
            if text is not None:
                return text
        return None

    def _all(self, i: int) -> dict[str, tuple[Exchange, ...]]:
        """The exchanges of caption i by kind, none beside the name of a perturbation; only kinds that are possible."""
        text, others = self._texts[i], self._others.get(i, ())
        trusted = english(text)
        found: dict[str, tuple[Exchange, ...]] = {}
        if trusted and self._swapped:
            whole = parsed(text, tagged=True)
            caption = Parsed(whole.tokens[:WORDS], whole.keys[:WORDS], whole.tags[:WORDS])
            for kind, pairs in exchanges(caption, self._swapped).items():
                if others:
                    pairs = [pair for pair in pairs if join(keys(exchanged(whole.tokens, pair))) not in others]
                if pairs:
                    found[kind] = tuple(self._known.setdefault(pair, pair) for pair in pairs)
        for kind in self._kinds:
            if kind in PARTS_OF_SPEECH or (PERTURBATIONS[kind].tagged and not trusted):
                continue
            if self._perturbed(i, kind, 0) is not None:
                found[kind] = ()
        return found

    def _perturbed(self, i: int, kind: str, number: int) -> str | None:
        for seed in range(number, number + ATTEMPTS):
            moved = perturb(self._texts[i], kind, seed)
            if not moved.changed:
                return None
            if folded(moved.text) not in self._others.get(i, ()):
                return moved.text
        return None


def _others(texts: Sequence[str], owner: NDArray[np.int64] | None) -> dict[int, set[str]]:
    """For each caption, the other captions of its photo, folded."""
    if owner is None:
        return {}
    of_photo: defaultdict[int, list[int]] = defaultdict(list)
    for i, photo in enumerate(owner.tolist()):
        of_photo[photo].append(i)
    others: dict[int, set[str]] = {}
    for captions in of_photo.values():
        if len(captions) > 1:
            every = {folded(texts[i]) for i in captions}
            others.update(dict.fromkeys(captions, every))
    return others


def hard_photos(
    vectors: NDArray[np.float32],
    k: int,
    texts: Sequence[str] = (),
    owner: NDArray[np.int64] | None = None,
    *,
    duplicate: float = 0.99,
) -> NDArray[np.int64]:
    """(N, k) the photos whose `vectors` (N, d), unit rows, are nearest to each one's, nearest first, as NegCLIP has
    them (Yuksekgonul et al., ICLR 2023, section 4); -1 where there are fewer.

    Not among them: the photo itself; photos that share one of `texts`, whose photos are `owner` (M,); and those of a
    cosine above `duplicate`, which may show the same. They are found through vlsearch's own index, from 20,000 photos
    on an approximate one, and among the 1,024 nearest.
    """
    count = len(vectors)
    found = np.full((count, k), -1, np.int64)
    if count < 2 or k < 1:
        return found
    captions = _captions(count, texts, owner)
    rows, wanted = np.arange(count), min(2 * k + 8, count)
    with tempfile.TemporaryDirectory() as folder:
        index = _index(np.ascontiguousarray(vectors, np.float32), Path(folder) / "photos.faiss")
        while len(rows):
            lacking = [np.empty(0, np.int64)]
            for block in np.array_split(rows, -(-len(rows) * wanted // BLOCK)):
                D, I = index.search(vectors[block], wanted)  # noqa: E741
                near = np.where(np.equal(I, block[:, None]) | np.greater(D, duplicate), -1, I)
                lacking.append(_fill(found, block, near, captions))
            if wanted >= min(AMONG, count):
                break
            rows, wanted = np.concatenate(lacking), min(2 * wanted, AMONG, count)
    return found


def _fill(
    found: NDArray[np.int64], rows: NDArray[np.int64], near: NDArray[np.int64], captions: Sequence[set[str]]
) -> NDArray[np.int64]:
    """Write into `found` what is allowed among the photos `near` (n, wanted) to those in `rows` (n,); the rows that
    lack some are returned."""
    k = found.shape[1]
    lacking = []
    for row, candidates in zip(rows.tolist(), near.tolist(), strict=True):
        own = captions[row]
        allowed = islice((j for j in candidates if j >= 0 and own.isdisjoint(captions[j])), k)
        chosen = list(allowed)
        found[row, : len(chosen)] = chosen
        if len(chosen) < k:
            lacking.append(row)
    return np.array(lacking, np.int64)


def _captions(count: int, texts: Sequence[str], owner: NDArray[np.int64] | None) -> list[set[str]]:
    """The captions of each photo, folded."""
    captions: list[set[str]] = [set() for _ in range(count)]
    if owner is not None:
        for text, photo in zip(texts, owner.tolist(), strict=True):
            captions[photo].add(folded(text))
    return captions


def _index(vectors: NDArray[np.float32], file: Path) -> Backend:
    count, d = vectors.shape

    def pieces() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        for start in range(0, count, PIECE):
            piece = vectors[start : start + PIECE].astype(np.float16)
            yield np.arange(start, start + len(piece)), piece

    if count <= EXACT_UP_TO:
        return FaissBackend(d, [Part.in_memory(d, pieces())])
    row = build_lists(file, d, pieces, count, recipe_for(sys.maxsize), RECALL)
    probes = {int(k): lists for k, lists in row.probes.items()}
    return FaissBackend(
        d, [Part.open(file, d, token=row.token, size=row.size, count=row.count, lists=row.lists, probes=probes)]
    )
