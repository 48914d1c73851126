"""Whether a caption looks English: the parts of speech of other languages are not to be trusted."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from vlsearch.audit.perturb.tags import lexicon

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_UNKNOWN = 0.4


def english(text: str) -> bool:
    """False for a caption whose letters are not Latin for the most part, or of whose words more than 40 %, and more
    than one, are not in textblob's English lexicon.

    One unknown word shows nothing ("a dachshund in Berlin", "IMG"), and neither does a caption without letters: such
    are taken for English. So one word of another language, "Hund", is too, unless it is in another script. Foreign
    words that English texts quote ("un", "la", "chien") count as unknown.
    """
    text = unicodedata.normalize("NFKC", text)
    letters = [letter for letter in text if letter.isalpha()]
    if 2 * sum(_latin(letter) for letter in letters) < len(letters):
        return False
    words = _WORD.findall(text)
    unknown = sum(not _known(word) for word in words)
    return unknown <= max(1, _UNKNOWN * len(words))


@lru_cache(maxsize=4096)
def _latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN")


@lru_cache(maxsize=32768)
def _known(word: str) -> bool:
    words = lexicon()
    # Names are listed with their capital: "Berlin" is known, "sand" is no name.
    return words.get(word.lower(), words.get(word, "FW")) != "FW"
