"""The perturbations by name, of texts and of photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from vlsearch.audit.perturb import fixed
from vlsearch.audit.perturb.draws import Draw
from vlsearch.audit.perturb.shuffle import (
    shuffle,
    shuffle_nouns_adjectives,
    shuffle_rest,
    shuffle_trigrams,
    shuffle_within_trigrams,
)
from vlsearch.audit.perturb.swap import swap, swap_adjacent, swap_adjectives
from vlsearch.audit.perturb.words import Parsed
from vlsearch.errors import UsageError

ALL = "all"


@dataclass(frozen=True)
class Perturbation:
    """One of texts, which has `apply`, or one of photos, which has `grid`."""

    name: str
    deed: str
    """what it does, as the subject of a sentence: "shuffling the words" """
    apply: Callable[[Parsed, Draw], list[str] | None] | None = None
    """a caption to what becomes of its tokens; None where no draw can change how it reads"""
    grid: tuple[int, int] | None = None
    """rows and columns of the cells of a photo that change places"""
    tagged: bool = False
    """needs parts of speech, which are to be trusted in English only"""
    random: bool = True
    """False: the same for every seed"""
    control: bool = False
    """moves nothing, whatever the seed: shows what everything but the order does"""

    @property
    def kind(self) -> Literal["text", "photo"]:
        return "text" if self.grid is None else "photo"


PERTURBATIONS = {
    p.name: p
    for p in (
        Perturbation("shuffle", "shuffling the words", shuffle),
        Perturbation(
            "shuffle-nouns-adj",
            "shuffling nouns among nouns and adjectives among adjectives",
            shuffle_nouns_adjectives,
            tagged=True,
        ),
        Perturbation("shuffle-rest", "shuffling all words but nouns and adjectives", shuffle_rest, tagged=True),
        Perturbation("shuffle-within-trigrams", "shuffling the words within groups of three", shuffle_within_trigrams),
        Perturbation("shuffle-trigrams", "shuffling groups of three words", shuffle_trigrams),
        Perturbation("swap", "swapping two noun phrases", swap, tagged=True),
        Perturbation("swap-adjectives", "swapping two adjectives", swap_adjectives, tagged=True),
        Perturbation("swap-adjacent", "swapping two neighbouring words", swap_adjacent),
        Perturbation("reverse", "reversing the words", fixed.reverse, random=False),
        Perturbation("sort", "sorting the words by the alphabet", fixed.sort, random=False),
        Perturbation("content-words", "dropping all but content words", fixed.content_words, tagged=True, random=False),
        Perturbation("nouns-only", "dropping all but nouns", fixed.nouns_only, tagged=True, random=False),
        Perturbation(
            "identity", "taking the words apart and joining them again", fixed.identity, random=False, control=True
        ),
        Perturbation("shuffle-rows-4", "shuffling four rows of each photo", grid=(4, 1)),
        Perturbation("shuffle-columns-4", "shuffling four columns of each photo", grid=(1, 4)),
        Perturbation("shuffle-patches-9", "shuffling nine patches of each photo", grid=(3, 3)),
        Perturbation("identity-photos", "encoding the photos again", grid=(1, 1), random=False, control=True),
    )
}


def lookup(name: str) -> Perturbation:
    """The perturbation called `name`; UsageError, with the nearest names or else all, when there is none."""
    try:
        return PERTURBATIONS[name]
    except KeyError:
        close = get_close_matches(name, PERTURBATIONS, n=2)
        known = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(PERTURBATIONS)}"
        raise UsageError(f"no perturbation is called {name!r}; {known}") from None


def expand(names: Sequence[str]) -> list[str]:
    """`names` without repetitions, "all" standing for every perturbation of texts and photos that is no control.

    Raises UsageError for an unknown name.
    """
    every = [p.name for p in PERTURBATIONS.values() if not p.control]
    spelt = [known for name in names for known in (every if name == ALL else [lookup(name).name])]
    return list(dict.fromkeys(spelt))
