"""A caption to tokens and back: a token is a word with its punctuation, joined by single spaces.

White space separates tokens. "dog.", "man's" and "tri-colored" are one token each, so whatever moves takes its
punctuation with it, and the bag of tokens of a caption never changes when its order does. Marks that stand alone, as in
Flickr8k's "in an entry way ." and "a man 's hat", are first put back where normal spacing has them: closing marks and
contractions on the word before, opening brackets on the word after. A dash, an ampersand or an emoji is a token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_CLOSING = re.compile(r"[.,;:!?…)\]}%]+|''|n['’]t|['’](?:s|re|ve|d|ll|m)?", re.IGNORECASE)
_OPENING = re.compile(r"[(\[{]+|``")
_EDGES = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True)
class Parsed:
    """A caption taken apart: what a perturbation works on."""

    tokens: tuple[str, ...]
    keys: tuple[str, ...]
    """what makes two tokens the same word, one a token"""
    tags: tuple[str, ...] = ()
    """part of speech (Penn Treebank), one a token; empty where the perturbation does not ask for it"""


def tokenise(text: str) -> list[str]:
    """Tokens of `text` in order; empty for a text of nothing but white space."""
    tokens: list[str] = []
    quote = False
    """inside a pair of free-standing double quotes"""
    glue = False
    """the token before ends in an opening mark: the next one belongs to it"""
    for piece in text.split():
        closes = bool(_CLOSING.fullmatch(piece)) or (piece == '"' and quote)
        if tokens and (glue or closes):
            tokens[-1] += piece
        else:
            tokens.append(piece)
        glue = bool(_OPENING.fullmatch(piece)) or (piece == '"' and not quote)
        quote ^= piece == '"'
    return tokens


def join(tokens: Sequence[str]) -> str:
    return " ".join(tokens)


@lru_cache(maxsize=32768)
def key(token: str) -> str:
    """What makes two tokens the same word: case and outer punctuation do not ("Dog," is "dog")."""
    return _EDGES.sub("", token).casefold() or token.casefold()


def keys(tokens: Sequence[str]) -> list[str]:
    return [key(token) for token in tokens]


def edges(token: str) -> tuple[str, str, str]:
    """`token` as (marks before, word, marks after); a token of nothing but marks is all word."""
    word = _EDGES.sub("", token)
    if not word:
        return "", token, ""
    start = token.index(word)
    return token[:start], word, token[start + len(word) :]
