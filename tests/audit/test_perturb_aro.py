"""The paper's way of taking captions apart. spaCy is played by a stand-in, as its model cannot be a test dependency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from vlsearch.audit.perturb import aro, perturb, prepared
from vlsearch.errors import UsageError

TAGS = {
    "a": "DT",
    "the": "DT",
    "man": "NN",
    "hat": "NN",
    "bed": "NN",
    "old": "JJ",
    "red": "JJ",
    "on": "IN",
    "'s": "POS",
}


@dataclass
class Token:
    text: str
    tag_: str


def read(text: str) -> list[Token]:
    """Words and marks apart, as spaCy has them."""
    pieces = text.replace("'s", " 's").replace(".", " .").split()
    return [Token(piece, TAGS.get(piece.lower(), ".")) for piece in pieces]


@pytest.fixture
def spacy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(aro, "_spacy", lambda: read)
    aro.tagged.cache_clear()
    yield
    aro.tagged.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('A Man\'s "old" hat (red): on; the *bed* #1 ~ 2.5!', "a man's old hat red on the bed 1 2 5"),
        ("well-known, isn't it?\n", "well-known, isn't it?"),
        ("...", ""),
        ("", ""),
        ("a  dog\t runs", "a dog runs"),
        (" ".join(f"w{i}" for i in range(40)), " ".join(f"w{i}" for i in range(30))),
    ],
)
def test_pre_caption(text: str, expected: str) -> None:
    assert prepared(text, "aro") == expected
    assert prepared(expected, "aro") == expected
    assert prepared(text, "own") == text


def test_trigrams_are_of_nltk_words() -> None:
    assert aro.treebank("A man's hat isn't (red), \"really\".").tokens == (
        "A", "man", "'s", "hat", "is", "n't", "(", "red", ")", ",", "``", "really", "''", "."
    )  # fmt: skip
    results = {perturb("a man's hat on", "shuffle-trigrams", seed, "aro").text for seed in range(20)}
    assert results == {"hat on a man 's"}


def test_words_to_shuffle_are_between_spaces() -> None:
    assert {perturb("Man's hat.", "shuffle", seed, "aro").text for seed in range(20)} == {"hat man's"}
    assert perturb(" Dog's  bed. ", "identity", 0, "aro").text == "dog's bed"


@pytest.mark.usefixtures("spacy")
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("shuffle-nouns-adj", "A man on the bed.", {"a bed on the man"}),
        ("shuffle-nouns-adj", "An old man's red hat.", {
            "an red man 's old hat", "an old hat 's red man", "an red hat 's old man"}),
        ("shuffle-nouns-adj", "A man on a bed of a man.", {
            "a man on a man of a bed", "a bed on a man of a man"}),
        ("shuffle-rest", "man on the bed", {"man the on bed"}),
        # the full stop moves with the rest, as in the paper, and is taken away afterwards
        ("shuffle-rest", "Man on bed.", {"man bed on"}),
        ("shuffle-rest", "man bed.", set()),
        ("swap", "a man on the bed", {"the bed on a man"}),
        ("nouns-only", "A man on the bed.", {"man bed"}),
    ],
)  # fmt: skip
def test_nouns_and_adjectives_are_spacys(name: str, text: str, expected: set[str]) -> None:
    results = [perturb(text, name, seed, "aro") for seed in range(60)]
    assert {result.text for result in results if result.changed} == expected
    assert all(result.changed == bool(expected) for result in results)


@pytest.mark.usefixtures("spacy")
def test_spacy_reads_a_caption_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def reading(text: str) -> list[Token]:
        seen.append(text)
        return read(text)

    monkeypatch.setattr(aro, "_spacy", lambda: reading)
    for name in ("shuffle-nouns-adj", "shuffle-rest", "swap"):
        for seed in range(5):
            perturb("a man on the bed", name, seed, "aro")
    assert seen == ["a man on the bed"]


@pytest.mark.parametrize(
    ("trouble", "answer"),
    [
        (ImportError(), "tokenizer aro takes nouns and adjectives from spaCy; pip install spacy"),
        (
            OSError("[E050] Can't find model"),
            "spaCy lacks the model en_core_web_sm.*; python -m spacy download en_core",
        ),
    ],
)
def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch, trouble: Exception, answer: str) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise trouble

    def imports(name: str) -> Any:
        assert name == "spacy"
        return load() if isinstance(trouble, ImportError) else SimpleNamespace(load=load)

    monkeypatch.setattr(aro, "import_module", imports)
    aro._spacy.cache_clear()
    with pytest.raises(UsageError, match=answer):
        perturb("a dog and a cat", "shuffle-nouns-adj", 0, "aro")


def test_an_unknown_tokenizer_is_refused() -> None:
    for refuse in (lambda: perturb("a dog", "swap", 0, "ARO"), lambda: prepared("a dog", "bert")):
        with pytest.raises(UsageError, match=r"no tokenizer is called '(ARO|bert)'; there are own, aro"):
            refuse()
