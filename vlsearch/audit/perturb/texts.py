"""A caption perturbed, and the rules that every perturbation of texts keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from vlsearch.audit.perturb import aro
from vlsearch.audit.perturb.draws import draws
from vlsearch.audit.perturb.registry import Perturbation, lookup
from vlsearch.audit.perturb.tags import tags
from vlsearch.audit.perturb.words import Parsed, edges, join, keys, tokenise
from vlsearch.errors import UsageError

TOKENIZERS = ("own", "aro")

# Two words come out as they were every second time: the chance that 64 draws in a row do is 5e-20.
ATTEMPTS = 64


@dataclass(frozen=True)
class Perturbed:
    text: str
    changed: bool
    """False: the caption is unperturbable, and `text` is the caption tokenised and joined"""


def perturb(text: str, name: str, seed: int, tokenizer: str = "own") -> Perturbed:
    """`text` under the perturbation `name`: a function of these and of nothing else.

    Whether a caption changed is seen in its words, without case and outer punctuation: exchanging the two words of
    "Dog, dog" changes nothing. A draw that changes nothing is drawn again; where none can change anything (one word,
    one word repeated, fewer than two different noun phrases) the caption is unperturbable.
    Raises UsageError for a tokenizer or name that is unknown, a name that is a photo's, and where a package that the
    tokenizer "aro" takes is missing.
    """
    chosen = lookup(name)
    if chosen.apply is None:
        raise UsageError(f"{name} moves parts of photos, not words; give a perturbation of texts")
    caption = _taken_apart(text, chosen, tokenizer)
    plain = prepared(join(caption.tokens), tokenizer)
    before = keys(plain.split())
    for attempt in range(ATTEMPTS if chosen.random else 1):
        tokens = chosen.apply(caption, draws(text, name, seed, attempt))
        if tokens is None:
            break
        moved = prepared(join(tokens), tokenizer)
        # A caption of function words has no content words; nothing is no caption.
        if keys(moved.split()) not in (before, []):
            return Perturbed(moved, True)
    return Perturbed(plain, False)


def prepared(text: str, tokenizer: str = "own") -> str:
    """What a model reads for the caption as written, to compare its perturbed forms with: the text itself, or
    pre_caption's with the tokenizer "aro".

    The paper prepares captions before it perturbs them for retrieval, and afterwards only for the choice of order:
    `perturb(prepared(text, "aro"), …)` is the one, `perturb(text, …)` the other.
    """
    if tokenizer == "own":
        return text
    _check(tokenizer)
    return aro.pre_caption(text)


# Every seed asks for the same caption; the audit goes caption by caption, so a few are enough.
@lru_cache(maxsize=256)
def parsed(text: str, tagged: bool) -> Parsed:
    """`text` taken apart by the tokenizer "own", with parts of speech or without."""
    tokens = tokenise(text)
    found = tags([edges(token)[1] for token in tokens]) if tagged else ()
    return Parsed(tuple(tokens), tuple(keys(tokens)), tuple(found))


def _check(tokenizer: str) -> None:
    if tokenizer not in TOKENIZERS:
        raise UsageError(f"no tokenizer is called {tokenizer!r}; there are {', '.join(TOKENIZERS)}")


def _taken_apart(text: str, chosen: Perturbation, tokenizer: str) -> Parsed:
    if tokenizer == "own":
        return parsed(text, chosen.tagged)
    _check(tokenizer)
    if chosen.tagged:
        return aro.tagged(text)
    return aro.treebank(text) if chosen.name in aro.TREEBANK else aro.split(text)
