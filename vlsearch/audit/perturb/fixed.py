"""Perturbations without chance, the same for every seed: they are handed random numbers like the others and ask for
none."""

from __future__ import annotations

from vlsearch.audit.perturb.draws import Draw
from vlsearch.audit.perturb.tags import ADJECTIVES, NOUNS
from vlsearch.audit.perturb.words import Parsed

_CONTENT = NOUNS | ADJECTIVES | {"VB", "VBD", "VBG", "VBN", "VBP", "VBZ", "RB", "RBR", "RBS", "CD", "FW"}
_BE = frozenset({"be", "am", "is", "are", "was", "were", "been", "being"})


def identity(_caption: Parsed, _draw: Draw) -> list[str] | None:
    """The tokens as they are: the control for what taking a caption apart does by itself."""
    return None


def reverse(caption: Parsed, _draw: Draw) -> list[str] | None:
    """Last token first; None for a caption that reads the same from behind."""
    return list(caption.tokens[::-1]) if caption.keys != caption.keys[::-1] else None


def sort(caption: Parsed, _draw: Draw) -> list[str] | None:
    """The tokens in alphabetical order, case and punctuation aside: the canonical bag of words. None when they are."""
    order = sorted(zip(caption.keys, caption.tokens, strict=True))
    return [token for _, token in order] if [key for key, _ in order] != list(caption.keys) else None


def content_words(caption: Parsed, _draw: Draw) -> list[str] | None:
    """Nouns, adjectives, verbs but "to be", adverbs and numbers, in order; None when nothing else is there, or nothing
    of these."""
    kept = [
        token
        for token, key, tag in zip(caption.tokens, caption.keys, caption.tags, strict=True)
        if tag in _CONTENT and key not in _BE
    ]
    return _fewer(caption, kept)


def nouns_only(caption: Parsed, _draw: Draw) -> list[str] | None:
    """The nouns, in order; None when nothing else is there, or no noun."""
    return _fewer(caption, [token for token, tag in zip(caption.tokens, caption.tags, strict=True) if tag in NOUNS])


def _fewer(caption: Parsed, kept: list[str]) -> list[str] | None:
    return kept if 0 < len(kept) < len(caption.tokens) else None
