"""Our tokenizer gives the ids of open_clip's."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.encoders.conftest import tokenizer_of
from vlsearch.encoders.bpe import Bpe, merges_of, vocabulary_of

PIECES = (
    *("a dog", " ", "  ", "\t", "\n", "\r\n", "ing", "the", "n't", "'s", "'LL", "'", "''", "&amp;", "&", "&lt;", "42"),
    *("é", "ü", "ß", "İ", "ſ", "ﬁ", "½", "٣", "東京", "собака", "🐕‍🦺", "\u00a0", "\u200b", "\x00", "\x1b[31m", "Ã¶"),
    *("<start_of_text>", "<END_OF_TEXT>", "</w>", "_", "!", "…", "“", "”", "\ufffd", "e\u0301"),
)
WORDS = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=30).map("".join)
PRINTABLE = st.text(st.characters(min_codepoint=9, max_codepoint=126), max_size=120)


@cache
def ours() -> Bpe:
    theirs = tokenizer_of("tiny")
    return Bpe(vocabulary_of(theirs), merges_of(theirs))


def padded(text: str) -> list[int]:
    ids = ours()(text)
    return ids + [0] * (77 - len(ids))


@pytest.mark.parametrize(
    "text", [*PIECES, "", "a photo of a dog", "Isn't THIS   odd?", "word " * 200, "x" * 90, "!" * 99]
)
def test_ids_are_those_of_open_clip(text: str) -> None:
    assert padded(text) == tokenizer_of("tiny")([text])[0].tolist()


@settings(max_examples=300, deadline=None)
@given(WORDS)
def test_ids_of_any_text(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert padded(text) == tokenizer_of("tiny")([text])[0].tolist()


@settings(max_examples=300, deadline=None)
@given(PRINTABLE)
def test_ids_of_plain_text_which_takes_a_short_cut(text: str) -> None:
    assert padded(text) == tokenizer_of("tiny")([text])[0].tolist()


def test_a_text_of_words_never_seen_is_merged_like_any() -> None:
    texts = ["pneumonoultramicroscopicsilicovolcanoconiosis", "aaaaaaaaaaaaab", "ababababa", "qzxqzxqz"]
    assert [padded(text) for text in texts] == tokenizer_of("tiny")(texts).tolist()


def test_a_long_word_takes_no_time() -> None:
    began = time.perf_counter()
    assert len(ours()("xyzzy" * 770)) == 77
    assert time.perf_counter() - began < 1.5


def test_the_end_stands_at_the_end_of_a_text_that_is_cut() -> None:
    ids = ours()("dog " * 200)
    assert (len(ids), ids[0], ids[-1]) == (77, 49406, 49407)
    assert ids[-2] != 49407


def test_merges_that_are_cut_off_are_refused() -> None:
    theirs = tokenizer_of("tiny")
    with pytest.raises(ValueError, match="merges"):
        Bpe(vocabulary_of(theirs), merges_of(theirs)[:-5])


@pytest.mark.parametrize(("text", "needed"), [("it's a dog", "[]"), ("fish &amp; chips", "['ftfy', 'regex']")])
def test_only_what_needs_it_pays_for_cleaning(text: str, needed: str) -> None:
    program = (
        "import sys\nfrom vlsearch.encoders.bpe import Bpe, Vocabulary\n"
        "bpe = Bpe(Vocabulary(list(range(256)), list(range(256, 512)), {}, 512, 513, 77), b'')\n"
        f"assert len(bpe({text!r})) > 4\n"
        "print([m for m in ('ftfy', 'regex', 'torch', 'numpy', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == needed
