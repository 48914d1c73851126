"""Perturbations without chance, the same for every seed: they are handed random numbers like the others and ask for
none."""

from __future__ import annotations

from vlsearch.audit.perturb.draws import Draw
from vlsearch.audit.perturb.tags import ADJECTIVES, NOUNS
from vlsearch.audit.perturb.words import Parsed

_CONTENT = NOUNS | ADJECTIVES | {"VB", "VBD", "VBG", "VBN", "VBP", "VBZ", "RB", "RBR", "RBS", "CD", "FW"}
_BE = frozenset({"be", "am", "is", "are", "was", "were", "been", "being"})


def identity(caption: Parsed, _draw: Draw) -> list[str]:
    """The tokens as they are: the control for what taking a caption apart does by itself."""
    return list(caption.tokens)


def reverse(caption: Parsed, _draw: Draw) -> list[str]:
    """Last token first."""
    return list(caption.tokens[::-1])


def sort(caption: Parsed, _draw: Draw) -> list[str]:
    """The tokens in alphabetical order, case and punctuation aside: the canonical bag of words."""
    return [token for _, token in sorted(zip(caption.keys, caption.tokens, strict=True))]


def content_words(caption: Parsed, _draw: Draw) -> list[str]:
    """Nouns, adjectives, verbs but "to be", adverbs and numbers, in order."""
    tagged = zip(caption.tokens, caption.keys, caption.tags, strict=True)
    return [token for token, key, tag in tagged if tag in _CONTENT and key not in _BE]


def nouns_only(caption: Parsed, _draw: Draw) -> list[str]:
    """The nouns, in order."""
    return [token for token, tag in zip(caption.tokens, caption.tags, strict=True) if tag in NOUNS]
