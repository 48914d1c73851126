"""A caption taken apart as in the ARO paper (Yuksekgonul et al., ICLR 2023), for figures to compare with its own.

Tokens and their parts of speech are spaCy's (en_core_web_sm) where nouns and adjectives are told from the rest, NLTK's
(word_tokenize) where words are taken three at a time, and what lies between spaces for all else. A caption, perturbed
or not, is read by a model after `pre_caption`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Protocol

from vlsearch.audit.perturb.words import Parsed, keys
from vlsearch.errors import UsageError

_MARKS = str.maketrans(dict.fromkeys('.!"()*#:;~', " "))
_WORDS = 30

TREEBANK = frozenset({"shuffle-within-trigrams", "shuffle-trigrams"})
"""perturbations that take NLTK's tokens"""


class Token(Protocol):
    """The part of spacy.tokens.Token that is used."""

    text: str
    tag_: str


def pre_caption(text: str) -> str:
    """`text` as the paper's models read it: in lower case, the marks . ! " ( ) * # : ; ~ made spaces, single spaces
    between words, and no more than the first 30 of these (the paper's code allows 50 and asks for 30)."""
    return " ".join(text.lower().translate(_MARKS).split()[:_WORDS])


def split(text: str) -> Parsed:
    return _parsed(text.split())


def treebank(text: str) -> Parsed:
    """The tokens of NLTK's word_tokenize for a text of one sentence: finding the ends of sentences needs data that NLTK
    does not come with. A full stop within stays on its word, from where `pre_caption` takes it."""
    # Through import_module here and below, as neither package says its types.
    tokenizer = import_module("nltk.tokenize.destructive").NLTKWordTokenizer()
    return _parsed(tokenizer.tokenize(text))


@lru_cache(maxsize=32768)  # a caption costs milliseconds, and every perturbation and seed asks for it
def tagged(text: str) -> Parsed:
    """The tokens and fine-grained tags of spaCy. UsageError where spaCy or its model is not installed."""
    return of_spacy(_spacy()(text))


def of_spacy(doc: Iterable[Token]) -> Parsed:
    tokens = list(doc)
    return _parsed([token.text for token in tokens], [token.tag_ for token in tokens])


@cache
def _spacy() -> Callable[[str], Iterable[Token]]:
    try:
        # The parts that tags do not depend on take most of the time.
        load: Any = import_module("spacy").load
        pipeline: Callable[[str], Iterable[Token]] = load("en_core_web_sm", exclude=["parser", "ner", "lemmatizer"])
    except ImportError:
        raise UsageError("tokenizer aro takes nouns and adjectives from spaCy; pip install spacy") from None
    except OSError:
        raise UsageError(
            "spaCy lacks the model en_core_web_sm, which tokenizer aro uses; python -m spacy download en_core_web_sm"
        ) from None
    return pipeline


def _parsed(tokens: list[str], tags: Iterable[str] = ()) -> Parsed:
    return Parsed(tuple(tokens), tuple(keys(tokens)), tuple(tags))
