"""Part-of-speech tags (Penn Treebank) from the lexicon and rules inside textblob's wheel: no download, no network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

NOUNS = frozenset({"NN", "NNS", "NNP", "NNPS"})
ADJECTIVES = frozenset({"JJ", "JJR", "JJS"})


@cache
def _parser() -> Any:
    # Silenced because textblob leaves its lexicon files to the garbage collector, which then warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        from textblob.en import parser

        parser.find_tags(["load"])
    return parser


def tags(words: Sequence[str]) -> list[str]:
    """One tag for each of `words`, which come without their punctuation; case makes no difference.

    The tagger is the one behind textblob's PatternTagger, called on words rather than on a string, so that tags and
    words stay aligned whatever characters the words hold.
    """
    # In lower case, because the lexicon is: "DOG" and "Dog" would be names. Only "I" is listed as a capital.
    lowered = ["I" if word in ("i", "I") else word.lower() for word in words]
    return [str(tag) for _, tag in _parser().find_tags(lowered)]


def lexicon() -> Mapping[str, str]:
    """94,118 English words, names among them with their capital, and the commonest tag of each; FW for those that
    English texts quote from other languages."""
    words: Mapping[str, str] = _parser().lexicon
    return words
