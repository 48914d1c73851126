from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlsearch.audit.perturb.words import edges, join, key, tokenise


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("A dog  runs\ton a beach.\n", "A dog runs on a beach."),
        ("stairs in an entry way .", "stairs in an entry way."),
        ("a man 's hat , a cat 's tail", "a man's hat, a cat's tail"),
        ("he does n't look", "he doesn't look"),
        ('a " ADHD " t-shirt', 'a "ADHD" t-shirt'),
        ('a sign that says " active . "', 'a sign that says "active."'),
        ("two dogs ( brown ) run !", "two dogs (brown) run!"),
        ("black & white - 🐶 dog", "black & white - 🐶 dog"),
        (". a dog", ". a dog"),
        ("", ""),
        (" \u00a0\u3000\x1c", ""),
    ],
)
def test_joining_gives_normal_spacing(text: str, joined: str) -> None:
    assert join(tokenise(text)) == joined


@pytest.mark.parametrize(
    "text", ["man's", "dog,", "tri-colored", "naïve", "犬", "e\u0301t\u00e9", "\x1b[31mred", "\ud800"]
)
def test_a_token_stays_whole(text: str) -> None:
    assert tokenise(f"the {text} sat") == ["the", text, "sat"]


@given(st.text())
def test_nothing_is_lost_and_tokenising_again_changes_nothing(text: str) -> None:
    tokens = tokenise(text)
    assert "".join(tokens) == "".join(text.split())
    assert tokenise(join(tokens)) == tokens


@pytest.mark.parametrize(
    ("token", "word"),
    [("Dog,", "dog"), ('"CAT".', "cat"), ("man's", "man's"), ("🐶", "🐶"), ("...", "..."), ("É", "é")],
)
def test_key_is_the_word_without_case_and_marks(token: str, word: str) -> None:
    assert key(token) == word


@pytest.mark.parametrize(
    ("token", "parts"), [('("Dog"),', ('("', "Dog", '"),')), ("dog", ("", "dog", "")), ("--", ("", "--", ""))]
)
def test_edges(token: str, parts: tuple[str, str, str]) -> None:
    assert edges(token) == parts
