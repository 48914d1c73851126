"""Part-of-speech tags (Penn Treebank): the lexicon inside textblob's wheel, and rules on the words around.

No download, no network. What still goes wrong, measured on captions tagged by hand, is in docs/perturbations.md.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

NOUNS = frozenset({"NN", "NNS", "NNP", "NNPS"})
ADJECTIVES = frozenset({"JJ", "JJR", "JJS"})

_EDGE = ["^"] * 3
"""tags in front of the first word and behind the last, so that rules need not ask whether there is another word"""

_ONE = re.compile("an?|another|each|every|one")
_MEASURE = re.compile("couple|dozen|few|lot|pair")
_MANY = re.compile("few|many|much|other|several")
_CONJUNCTION = re.compile("as|if|that|while")
_AUXILIARY = re.compile("does|has|is|was|.*['’].*")
# What something is for is a noun, what it does a participle: "a living room", "a smiling man".
_PURPOSE = re.compile("area|bag|board|cage|hole|lot|machine|pan|place|pool|room|space|station|table|tray")


@cache
def _parser() -> Any:
    # Silenced because textblob leaves its lexicon files to the garbage collector, which then warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        from textblob.en import parser

        parser.find_tags(["load"])
    return parser


def lexicon() -> Mapping[str, str]:
    """94,118 English words, names among them with their capital, and the commonest tag of each; FW for those that
    English texts quote from other languages."""
    words: Mapping[str, str] = _parser().lexicon
    return words


def tags(words: Sequence[str]) -> list[str]:
    """One tag for each of `words`, which come without their punctuation; case makes no difference.

    The lexicon, the one behind textblob's PatternTagger, knows one tag for a word: "sink" is always a verb. So each tag
    is looked at again, from the first word to the last, beside the words around it, as in Brill, "A simple rule-based
    part of speech tagger", ANLP 1992. The rules are few and made for captions: Brill's own, which textblob holds but
    does not apply, were learned from newspapers, and with them nouns and adjectives come out worse.
    """
    # In lower case, because the lexicon is: "DOG" and "Dog" would be names. Only "I" is listed as a capital.
    lowered = ["I" if word in ("i", "I") else word.lower() for word in words]
    found = [*_EDGE, *(str(tag) for _, tag in _parser().find_tags(lowered)), *_EDGE]
    padded = [*_EDGE, *lowered, *_EDGE]
    for i in range(3, len(found) - 3):
        found[i] = _in_context(padded, found, i)
    return found[3:-3]


def _in_context(words: list[str], found: list[str], i: int) -> str:
    previous, word, following = words[i - 1 : i + 2]
    before, tag, after, beyond = found[i - 1 : i + 3]
    noun_before, noun_after, object_after = before in NOUNS, after in NOUNS, after in ("DT", "PRP$")
    determined = before in ("DT", "PRP$") and previous != "each"
    modified = determined or before in ("CD", "JJ", "VBN")
    match tag:
        case "JJ" if (word == "next" and after == "TO") or (word == "past" and object_after):
            return "IN"
        # "on top of", "the female is", "an orange sitting"; but "a large hanging lamp"
        case "JJ" if (determined or previous in ("in", "on", "with") or word == "top") and not _MANY.fullmatch(word):
            last = after == "VBG" and beyond not in NOUNS | ADJECTIVES
            return "NN" if last or after in ("^", "IN", "MD", "TO", "VBD", "VBP", "VBZ") else tag
        # "a sink", "stop sign", "on display"; but "Sit", all alone
        case "VB" if modified or before == "^" != after or (before == "IN" and not _CONJUNCTION.fullmatch(previous)):
            return "NN"
        # "a bathroom sink"; but "a man and a woman sit", "zebra eat some grass"
        case "VB" if before == "NN" and not (object_after or after in ("RB", "TO") or "CC" in found[i - 3 : i]):
            return "NN"
        # "a toilet and sink"; but "people sit and relax"
        case "VB" if before == "CC" and found[i - 2] in NOUNS and not (object_after or after == "TO"):
            return "NN"
        # "about to kick the ball"
        case "NN" if before == "TO" and object_after:
            return "VB"
        # "people skiing down", "a man cooking in"; but what has a plural is a thing: "a brick building in"
        case "NN" if word.endswith("ing") and f"{word}s" not in lexicon():
            return "VBG" if before == "NNS" or (before == "NN" and not noun_after and after != "CC") else tag
        case "VBG" if (modified or before == "IN") and _PURPOSE.fullmatch(following):
            return "NN"
        # "two bears", "a bunch of leaves"; but "this shows"
        case "VBZ" if (modified and previous != "this") or previous in ("of", "with"):
            return tag if _AUXILIARY.fullmatch(word) else "NNS"
        # "a tennis player hits a ball"
        case "NNS" if before == "NN" and word.endswith("s") and not noun_after and after != "CC":
            opening = _opening(words, found, i)
            return "VBZ" if _ONE.fullmatch(opening) or (opening == "the" and object_after) else tag
        # "the back of", "the back yard"
        case "RB" if determined and after in ("^", "IN"):
            return "NN"
        case "RB" if determined and noun_after:
            return "JJ"
        # "a trash can in"
        case "MD" if word == "can" and (noun_before or modified) and after in ("^", "CC", "IN", "VBG", "VBZ"):
            return "NN"
    return tag


def _opening(words: list[str], found: list[str], i: int) -> str:
    """The word in front of the adjectives and nouns that end before `i`; none where they count something."""
    start = i - 1
    while found[start] in ("JJ", "NN", "VBN"):
        start -= 1
    return "" if _MEASURE.fullmatch(words[i - 1]) else words[start]
