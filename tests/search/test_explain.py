"""What each word and each term of a query adds to a hit's score."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import unit
from vlsearch.search.explain import Explanation, Part, explain, signed, term_shares, word_weights
from vlsearch.search.query import combine

WORDS = {"dog": 0, "beach": 1, "not": 2}


def bag(texts: Sequence[str]) -> NDArray[np.float32]:
    """Counts of the known words, and one axis for everything else."""
    rows = np.full((len(texts), 4), 0.01, np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.split():
            row[WORDS.get(word, 3)] += word in WORDS
    return unit(rows)


HITS = unit(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [1, 1, -1, 0]], np.float32))


def test_a_word_counts_by_what_the_score_loses_without_it() -> None:
    words, found = word_weights("dog on the beach", bag, HITS)
    assert words == ["dog", "on", "the", "beach"]
    assert found.shape == (4, 4)
    whole = HITS @ bag(["dog on the beach"])[0]
    np.testing.assert_allclose(found[:, 0], whole - HITS @ bag(["on the beach"])[0], atol=1e-6)
    np.testing.assert_allclose(found[:, 3], whole - HITS @ bag(["dog on the"])[0], atol=1e-6)
    np.testing.assert_allclose(found[:, 1:3], 0, atol=1e-6)
    assert found[0, 0] > 0.5 > 0 > found[0, 3]
    assert found[1, 3] > 0.5 > 0 > found[1, 0]


def test_a_word_may_take_away() -> None:
    _, found = word_weights("dog not", bag, HITS)
    assert found[3, 1] < 0 < found[3, 0]


def test_a_single_word_carries_the_whole_score() -> None:
    words, found = word_weights("dog.", bag, HITS)
    assert words == ["dog."]
    np.testing.assert_allclose(found, HITS @ bag(["dog."]).T)


def test_shares_of_terms_add_up_to_the_score() -> None:
    rng = np.random.default_rng(0)
    vectors, hits = (unit(rng.normal(size=(n, 16)).astype(np.float32)) for n in (3, 5))
    weights = [1.0, 2.0, -0.5]
    shares = term_shares(weights, vectors, hits)
    assert shares.shape == (5, 3)
    np.testing.assert_allclose(shares.sum(1), hits @ combine(vectors, np.array(weights)), atol=1e-6)
    alone = term_shares([3.0], vectors[:1], hits)
    np.testing.assert_allclose(alone[:, 0], hits @ vectors[0], atol=1e-6)


def test_one_explanation_for_each_hit() -> None:
    vectors = bag(["dog beach", "not"])
    found = explain("dog beach", bag, HITS, ["dog beach", "not"], [1, -1], vectors)
    assert len(found) == len(HITS)
    assert [part.text for part in found[0].words] == ["dog", "beach"]
    assert [part.text for part in found[0].terms] == ["dog beach", "not"]
    _, contributions = word_weights("dog beach", bag, HITS)
    assert found[2].words[1].weight == pytest.approx(contributions[2, 1])
    shares = term_shares([1, -1], vectors, HITS)
    assert found[3].terms[1].weight == pytest.approx(shares[3, 1])
    assert found[3].terms[1].weight > 0.2  # away from what it points away from


def test_what_would_be_said_twice_is_left_out() -> None:
    alone = explain("dog beach", bag, HITS, ["dog beach"], [1], bag(["dog beach"]))
    assert (len(alone[0].words), alone[0].terms) == (2, ())
    (one, *_) = explain("dog", bag, HITS, ["dog", "beach"], [1, 1], bag(["dog", "beach"]))
    assert (one.words, len(one.terms)) == ((), 2)


def test_a_query_without_words() -> None:
    found = explain(None, bag, HITS)
    assert found == [Explanation()] * 4
    assert found[0].line() == ""
    assert explain("dog beach", bag, HITS[:0]) == []


def test_a_line_for_people_has_the_strongest_first() -> None:
    words = (Part("on", -0.001), Part("dog", 0.08), Part("not\x1b", -0.1), Part("beach", 0.05))
    assert Explanation(words).line() == "not\\x1b -0.10, dog +0.08, beach +0.05, on 0.00"
    terms = (Part("dog", 0.1), Part("pool.jpg", 0.2))
    assert Explanation(words[1:2], terms).line() == "pool.jpg +0.20, dog +0.10; dog +0.08"
    assert [signed(x) for x in (0.004, -0.004, 0.006, -1.0)] == ["0.00", "0.00", "+0.01", "-1.00"]


def test_as_json() -> None:
    told = Explanation((Part("dog", 0.123456),), ()).to_dict()
    assert json.loads(json.dumps(told)) == told == {"words": [{"text": "dog", "weight": 0.1235}], "terms": []}
