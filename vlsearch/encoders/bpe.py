"""CLIP's tokenizer without torch: byte pair encoding (Sennrich et al. 2016, over bytes as in GPT-2), loaded in a
millisecond."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

WORDS = "'s|'t|'re|'ve|'m|'ll|'d"
END_OF_WORD = "</w>"
NEVER = 1 << 62
PLAIN = re.compile(r"[\t\n !-%'-~]*")
"""Printable ASCII without "&": what ftfy and html.unescape leave as it is."""


class Vocabulary(NamedTuple):
    """What tells one tokenizer from another; plain values, to be stored as JSON."""

    inner: list[int]
    """256 ids: of a byte within a word"""
    final: list[int]
    """256 ids: of a byte at the end of a word"""
    special: dict[str, int]
    """ids of texts that stand for themselves"""
    start: int
    end: int
    context_length: int


class Bpe:
    """Tokenizes as `open_clip.tokenizer.SimpleTokenizer` with its default cleaning ("lower")."""

    def __init__(self, vocabulary: Vocabulary, merges: bytes) -> None:
        """`merges`: what `merges_of` made. ValueError when it is not of that form."""
        self.vocabulary = vocabulary
        self._pairs, self._ids = array("Q"), array("I")
        count, rest = divmod(len(merges), self._pairs.itemsize + self._ids.itemsize)
        if rest:
            raise ValueError("not a list of merges")
        split = count * self._pairs.itemsize
        self._pairs.frombytes(merges[:split])
        self._ids.frombytes(merges[split:])
        special = "".join(f"{text}|" for text in vocabulary.special)
        self._ascii = re.compile(rf"{special}{WORDS}|[a-z]+|[0-9]|[^\sa-z0-9]+")
        self._any = rf"{special}{WORDS}|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"
        self.word = lru_cache(1 << 15)(self._word)

    def __call__(self, text: str) -> list[int]:
        """Ids of a text: start, words, end; at most `context_length`, the last of which is the end."""
        ids = [self.vocabulary.start]
        for word in self.words(text):
            ids += self.word(word)
        return [*ids[: self.vocabulary.context_length - 1], self.vocabulary.end]

    def words(self, text: str) -> Iterable[str]:
        """A text cleaned, in lower case, and cut into words. Only what needs them pays for ftfy and regex."""
        if PLAIN.fullmatch(text):
            return self._ascii.findall(text.lower())
        import html

        import ftfy
        import regex

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
        words: list[str] = regex.findall(self._any, " ".join(text.split()).lower(), regex.IGNORECASE)
        return words

    def _word(self, word: str) -> tuple[int, ...]:
        if word in self.vocabulary.special:
            return (self.vocabulary.special[word],)
        *inner, final = word.encode()
        ids = [*(self.vocabulary.inner[byte] for byte in inner), self.vocabulary.final[final]]
        merged = [self._merged(*pair) for pair in pairwise(ids)]
        while merged:
            best = min(merged)  # ids are in the order of the merges, so this is the one to be made first
            if best == NEVER:
                break
            at = merged.index(best)
            ids[at : at + 2] = [best]
            del merged[at]
            if at > 0:
                merged[at - 1] = self._merged(ids[at - 1], best)
            if at < len(merged):
                merged[at] = self._merged(best, ids[at + 1])
        return tuple(ids)

    def _merged(self, left: int, right: int) -> int:
        """The id that a pair becomes; NEVER where it stays a pair."""
        pair = left << 32 | right
        at = bisect_left(self._pairs, pair)
        return self._ids[at] if at < len(self._pairs) and self._pairs[at] == pair else NEVER


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """The vocabulary of open_clip's SimpleTokenizer; AttributeError, KeyError for a tokenizer of another kind."""
    ids, letters = tokenizer.encoder, [tokenizer.byte_encoder[byte] for byte in range(256)]
    return Vocabulary(
        inner=[ids[letter] for letter in letters],
        final=[ids[letter + END_OF_WORD] for letter in letters],
        special={tokenizer.decoder[number]: number for number in tokenizer.all_special_ids},
        start=tokenizer.sot_token_id,
        end=tokenizer.eot_token_id,
        context_length=tokenizer.context_length,
    )


def merges_of(tokenizer: Any) -> bytes:
    """Its merges in this machine's byte order: the sorted pairs (left id << 32 | right id, 8 bytes each), then the ids
    that they become (4 bytes each)."""
    ids = tokenizer.encoder
    merges = sorted((ids[left] << 32 | ids[right], ids[left + right]) for left, right in tokenizer.bpe_ranks)
    return array("Q", [pair for pair, _ in merges]).tobytes() + array("I", [merged for _, merged in merges]).tobytes()
