"""The perturbations by name, and the rules that all of them keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlsearch.audit.perturb.draws import Draw, draws
from vlsearch.audit.perturb.shuffle import shuffle
from vlsearch.audit.perturb.swap import swap
from vlsearch.audit.perturb.words import join, keys, tokenise
from vlsearch.errors import UsageError

# Two words come out as they were every second time: the chance that 64 draws in a row do is 5e-20.
ATTEMPTS = 64


@dataclass(frozen=True)
class Perturbation:
    name: str
    deed: str
    """what it does, as the subject of a sentence: "shuffling the words" """
    apply: Callable[[Sequence[str], Draw], list[str] | None]
    """tokens to tokens; None when no draw can change them"""
    control: bool = False
    """moves nothing, whatever the seed: shows what everything but the order does"""


@dataclass(frozen=True)
class Perturbed:
    text: str
    changed: bool
    """False: the caption is unperturbable, and `text` is the caption tokenised and joined"""


def _identity(tokens: Sequence[str], _draw: Draw) -> list[str]:
    return list(tokens)


PERTURBATIONS = {
    p.name: p
    for p in (
        Perturbation("shuffle", "shuffling the words", shuffle),
        Perturbation("swap", "swapping two noun phrases", swap),
        Perturbation("identity", "taking the words apart and joining them again", _identity, control=True),
    )
}


def lookup(name: str) -> Perturbation:
    """The perturbation called `name`; UsageError, naming those there are, when there is none."""
    try:
        return PERTURBATIONS[name]
    except KeyError:
        raise UsageError(f"no perturbation is called {name!r}; there are {', '.join(PERTURBATIONS)}") from None


def perturb(text: str, name: str, seed: int) -> Perturbed:
    """`text` under the perturbation `name`: a function of these three and of nothing else.

    Whether a caption changed is seen in its words, without case and outer punctuation: exchanging the two words of
    "Dog, dog" changes nothing. A draw that changes nothing is drawn again; where none can change anything (one word,
    one word repeated, fewer than two different noun phrases) the caption is unperturbable.
    Raises UsageError for an unknown name.
    """
    chosen = lookup(name)
    tokens = tokenise(text)
    before = keys(tokens)
    for attempt in range(1 if chosen.control else ATTEMPTS):
        after = chosen.apply(tokens, draws(text, name, seed, attempt))
        if after is None:
            break
        if keys(after) != before:
            return Perturbed(join(after), True)
    return Perturbed(join(tokens), False)
