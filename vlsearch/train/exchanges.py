"""Which two words or phrases of a caption can change places so that it says something else.

Yuksekgonul et al. (ICLR 2023, section 4) exchange any two words of a part of speech, and take what comes out for wrong
of the photo. It often is not: "a cat and a dog" says what "a dog and a cat" says, and "a tree near a bench" what "a
bench near a tree" says. Left out here are exchanges of things that are joined or stand in a relation that holds both
ways, of words that belong to the same thing, and of words that mean the same; and such as break the sentence, where
parts of speech can tell, since a model would learn to look for bad grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from vlsearch.audit.perturb.phrases import noun_phrases
from vlsearch.audit.perturb.swap import exchange
from vlsearch.audit.perturb.tags import ADJECTIVES, NOUNS, lexicon
from vlsearch.audit.perturb.words import Parsed, edges

PARTS_OF_SPEECH = ("nouns", "adjectives", "verbs", "adverbs")

_ADVERBS = frozenset({"RB", "RBR", "RBS", "RP"})
_DETERMINERS = frozenset({"DT", "PRP$", "CD"})
_SENTENCE_ADVERBS = re.compile("also|as|just|n't|not|so|still|then|there|too")
_QUANTIFIERS = re.compile("few|less|many|more|most|much|other|own|same|several|such")
_AUXILIARIES = re.compile("am|are|be|been|being|did|do|does|doing|had|has|have|having|is|was|were|.*['’].*")
_LEADS_TO_VERB = re.compile(f"{_AUXILIARIES.pattern}|that|which|who")
_CONJUNCTION = re.compile("although|as|because|if|that|though|whil(?:e|st)")
_SYNONYMS = {"blonde": "blond", "gray": "grey", "large": "big", "little": "small"}

_AND = "and|or|nor|&|as well as|along with|together with"
_JOINED = re.compile(_AND)
# ARO's list of symmetric relations (audit/datasets/symmetric.py) is not used: most of it, "drinking from", is not so.
_BOTH_WAYS = re.compile(
    r"(?:(?:is|are|was|were) )?"
    r"(?:(?:(?:stand|sitt?|pos|park|play|ly|lay|walk|runn?)(?:s|ed|ing)? )?(?:right |directly )?"
    rf"(?:with|near|beside|by|alongside|next to|close to|adjacent to|opposite|across from|{_AND})"
    r"|facing|touching|hugging|kissing)|is|are|was|were"
)
# "a unicorn", "an unidentified bird", "an hour"
_VOWEL = re.compile(r"(?!uni(?!n|d|m)|us[aeu]|ut[ei]|eu|one\b|once\b)[aeiou]|hono?u?r|honest|hour|heir", re.IGNORECASE)


class Exchange(NamedTuple):
    """Tokens `a` … `b` for tokens `c` … `d`, both without their last, as in ranges."""

    a: int
    b: int
    c: int
    d: int


def exchanges(caption: Parsed, kinds: Iterable[str] = PARTS_OF_SPEECH) -> dict[str, list[Exchange]]:
    """All exchanges in a tagged caption, in order, for each of `kinds` (among PARTS_OF_SPEECH) that has some.

    - nouns: two noun phrases with their articles and adjectives, or their last nouns alone, both singular or both
      plural;
    - adjectives: of two things, beside their nouns or behind "is";
    - verbs: in the same form, with different subjects right before them and the same sort of word behind;
    - adverbs: both with verbs or both with adjectives.
    """
    things = _Things(caption)
    found = {kind: [one for one in _FINDERS[kind](things) if _changes(caption.keys, one)] for kind in kinds}
    return {kind: pairs for kind, pairs in found.items() if pairs}


def exchanged(tokens: Sequence[str], pair: Exchange) -> list[str]:
    """The tokens of a caption after the exchange: punctuation and first capital stay where they were, "a" and "an" go
    with the words behind them."""
    first = edges(tokens[pair.a])[1]
    # A name keeps the capital with which it begins a sentence.
    moved = exchange(tokens, range(pair.a, pair.b), range(pair.c, pair.d), first.lower() in lexicon())
    _give_article(moved, pair.a, tokens[pair.a])
    _give_article(moved, pair.d - (pair.b - pair.a), tokens[pair.c])
    return moved


def _give_article(tokens: list[str], place: int, instead_of: str) -> None:
    if not place:
        return
    before, article, after = edges(tokens[place - 1])
    vowel = _begins_with_vowel(tokens[place])
    if article.lower() in ("a", "an") and vowel != _begins_with_vowel(instead_of):
        tokens[place - 1] = before + article[0] + ("n" if vowel else "") + after


def _begins_with_vowel(token: str) -> bool:
    return bool(_VOWEL.match(edges(token)[1]))


def _changes(keys: Sequence[str], pair: Exchange) -> bool:
    one, between, other = keys[pair.a : pair.b], keys[pair.b : pair.c], keys[pair.c : pair.d]
    return (*one, *between, *other) != (*other, *between, *one)


@lru_cache(maxsize=32768)
def _meaning(word: str) -> str:
    """The same for words of which one may stand for the other: synonyms, singular and plural."""
    from textblob.en.inflect import singularize

    return _SYNONYMS.get(word) or str(singularize(word))


class _Things:
    """A caption with its noun phrases, and which of these can change places without a change of meaning."""

    def __init__(self, caption: Parsed) -> None:
        self.keys, self.tags, self.tokens = caption.keys, caption.tags, caption.tokens
        self.phrases = noun_phrases(caption)
        self.places = {i: n for n, phrase in enumerate(self.phrases) for i in range(phrase.start, phrase.end)}
        self._rest = [self._meanings(n, ()) for n in range(len(self.phrases))]
        self._group = self._groups()

    def alike(self, n: int, m: int, without: Sequence[int] = ()) -> bool:
        """Whether phrases n and m, without the words at these places, say the same in each other's stead: they do where
        they are the same, and where they are joined ("a dog and a cat") if nothing but those words differs."""
        return self._group[n] == self._group[m] and self.rest(n, without) == self.rest(m, without)

    def joined(self, n: int, m: int) -> bool:
        return self._group[n] == self._group[m]

    def rest(self, n: int, without: Sequence[int] = ()) -> list[str]:
        """What the words of a phrase mean, without leading determiners and the words at these places."""
        return self._meanings(n, without) if without else self._rest[n]

    def _meanings(self, n: int, without: Sequence[int]) -> list[str]:
        phrase = self.phrases[n]
        first = phrase.end - len(phrase.head)
        return [_meaning(self.keys[i]) for i in range(first, phrase.end) if i not in without]

    def before(self, i: int) -> int | None:
        """The last phrase that ends before token i."""
        ended = [n for n, phrase in enumerate(self.phrases) if phrase.end <= i]
        return ended[-1] if ended else None

    def _groups(self) -> list[int]:
        """A number for each phrase, the same for those that can change places."""
        groups: list[int] = []
        comma = False
        # From behind, since the comma in "a dog, a cat and a horse" joins only because an "and" follows.
        for n in reversed(range(len(self.phrases))):
            joins, comma = self._joins(n, comma) if groups else (False, False)
            groups.append(groups[-1] if joins else n)
        return groups[::-1]

    def _joins(self, n: int, listed: bool) -> tuple[bool, bool]:
        """Whether phrase n and the next can change places, and whether they are members of a list."""
        this, following = self.phrases[n : n + 2]
        between = " ".join(self.keys[this.end : following.start])
        if not between:
            return listed, listed
        return bool(_BOTH_WAYS.fullmatch(between)), bool(_JOINED.fullmatch(between))


def _nouns(things: _Things) -> Iterator[Exchange]:
    tags = things.tags
    for n, m in combinations(range(len(things.phrases)), 2):
        p, q = things.phrases[n], things.phrases[m]
        if things.rest(n) != things.rest(m) and not things.joined(n, m):
            yield Exchange(p.start, p.end, q.start, q.end)
        i, j = p.end - 1, q.end - 1
        determined = [tags[phrase.start] in _DETERMINERS for phrase in (p, q)]
        same_form = tags[i] == tags[j] and tags[i] in NOUNS and determined[0] == determined[1]
        # Where nothing but determiners is before the nouns, the phrases say it all.
        modified = len(p.head) > 1 or len(q.head) > 1
        if same_form and modified and _differ(things, i, j) and not things.alike(n, m, (i, j)):
            yield Exchange(i, i + 1, j, j + 1)


def _adjectives(things: _Things) -> Iterator[Exchange]:
    tags, keys = things.tags, things.keys
    places = [i for i, tag in enumerate(tags) if tag in ADJECTIVES and not _QUANTIFIERS.fullmatch(keys[i])]
    for i, j in combinations(places, 2):
        n, m = (things.places.get(place, things.before(place)) for place in (i, j))
        if n is None or m is None or tags[i] != tags[j] or not _differ(things, i, j):
            continue
        outside = i not in things.places and j not in things.places
        if not things.alike(n, m, (i, j)) and not (outside and things.rest(n) == things.rest(m)):
            yield Exchange(i, i + 1, j, j + 1)


def _verbs(things: _Things) -> Iterator[Exchange]:
    tags, keys = things.tags, things.keys
    places = [
        i
        for i, tag in enumerate(tags)
        if tag.startswith("VB") and not _AUXILIARIES.fullmatch(keys[i]) and i not in things.places
    ]
    for i, j in combinations(places, 2):
        if tags[i] != tags[j] or not _differ(things, i, j) or _behind(things, i) != _behind(things, j):
            continue
        n, m = _subject(things, i), _subject(things, j)
        if n is not None and m is not None and n != m and things.rest(n) != things.rest(m):
            yield Exchange(i, i + 1, j, j + 1)


def _subject(things: _Things, verb: int) -> int | None:
    """The phrase right before a verb, but for "is", "that is"."""
    i = verb - 1
    while i >= 0 and _LEADS_TO_VERB.fullmatch(things.keys[i]):
        i -= 1
    return things.places.get(i)


def _behind(things: _Things, i: int) -> str:
    """What sort of word follows token i: "object", "relation" or nothing of these."""
    if i + 1 == len(things.tags) or edges(things.tokens[i])[2]:
        return ""
    tag = things.tags[i + 1]
    if tag in _DETERMINERS | NOUNS | ADJECTIVES or tag == "PRP":
        return "object"
    if tag == "IN" and _CONJUNCTION.fullmatch(things.keys[i + 1]):
        return ""
    return "relation" if tag in ("IN", "TO") or tag in _ADVERBS else ""


def _adverbs(things: _Things) -> Iterator[Exchange]:
    tags, keys = things.tags, things.keys
    places = [i for i, tag in enumerate(tags) if tag in _ADVERBS and not _SENTENCE_ADVERBS.fullmatch(keys[i])]
    for i, j in combinations(places, 2):
        if tags[i] == tags[j] and _use(things, i) == _use(things, j) != "" and _differ(things, i, j):
            yield Exchange(i, i + 1, j, j + 1)


def _use(things: _Things, i: int) -> str:
    """What an adverb is used with: the adjective or participle behind it, or the verb before; nothing where neither is
    there, and for the preposition of "walks down the street"."""
    tags = things.tags
    if i + 1 < len(tags) and (tags[i + 1] in ADJECTIVES or tags[i + 1] == "VBN"):
        return "adjective"
    return "verb" if i and tags[i - 1].startswith("VB") and _behind(things, i) != "object" else ""


def _differ(things: _Things, i: int, j: int) -> bool:
    return _meaning(things.keys[i]) != _meaning(things.keys[j])


_FINDERS = dict(zip(PARTS_OF_SPEECH, (_nouns, _adjectives, _verbs, _adverbs), strict=True))
