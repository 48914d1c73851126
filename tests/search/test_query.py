from __future__ import annotations

import doctest
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlsearch.errors import UsageError
from vlsearch.search.mistake import Mistake
from vlsearch.search.query import EMPTY, Term, combine, describe, parse


def short(text: str) -> list[tuple[str | None, float]]:
    return [(term.text, term.weight) for term in parse(text)]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("dog on the beach", [("dog on the beach", 1)]),
        ("  dog on\tthe beach\n", [("dog on\tthe beach", 1)]),
        ("horse + stripes - 2:fruit", [("horse", 1), ("stripes", 1), ("fruit", -2)]),
        ("0.5:horse + .25:stripes + 3.:grass", [("horse", 0.5), ("stripes", 0.25), ("grass", 3)]),
        ("2: horse\n-\n0.5: fruit", [("horse", 2), ("fruit", -0.5)]),
        ("- fruit", [("fruit", -1)]),
        ("+ fruit", [("fruit", 1)]),
        ("horse − fruit", [("horse", 1), ("fruit", -1)]),
        ("mother – daughter — son", [("mother – daughter — son", 1)]),
        ("red t-shirt", [("red t-shirt", 1)]),
        ("C++ book", [("C++ book", 1)]),
        ("-x", [("-x", 1)]),
        ("horse -fruit", [("horse -fruit", 1)]),
        ("horse+ stripes", [("horse+ stripes", 1)]),
        ("a -- b", [("a -- b", 1)]),
        ("16:9 photo", [("16:9 photo", 1)]),
        ("10:30 at night", [("10:30 at night", 1)]),
        ("2:10:30 at night", [("2:10:30 at night", 1)]),
        ('2:"10:30" ', [("10:30", 2)]),
        ("2:\\10:30 at night", [("10:30 at night", 2)]),
        ("-2:fruit", [("-2:fruit", 1)]),
        ("1e3:fruit", [("1e3:fruit", 1)]),
        ("nan:fruit", [("nan:fruit", 1)]),
        ("٢:fruit", [("٢:fruit", 1)]),
        ("horse 2:fruit", [("horse 2:fruit", 1)]),
        ('"mother - daughter" - 2:"a + b"', [("mother - daughter", 1), ("a + b", -2)]),
        ('"2:fruit" + " two spaces  "', [("2:fruit", 1), (" two spaces  ", 1)]),
        (r'"a \"quoted\" word \\"', [('a "quoted" word \\', 1)]),
        ('a sign that says "stop"', [('a sign that says "stop"', 1)]),
        ('5" nails', [('5" nails', 1)]),
        (r"\"stop\" sign", [('"stop" sign', 1)]),
        (r"a \- b + \+ + \2:x", [("a - b", 1), ("+", 1), ("2:x", 1)]),
        (r"end with space\ ", [("end with space ", 1)]),
        ("＋ plus", [("＋ plus", 1)]),
        ("馬 + 縞 - 果物", [("馬", 1), ("縞", 1), ("果物", -1)]),
    ],
)
def test_the_short_form(text: str, terms: list[tuple[str, float]]) -> None:
    assert short(text) == terms


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("horse +", 7, '"+" needs something to look for'),
        ("horse - ", 7, '"-" needs something to keep away from'),
        ("-", 1, '"-" needs'),
        ("horse + - fruit", 7, '"+" needs'),
        ("− ", 1, '"−" needs'),
        ('horse + "stripes', 9, "a quote is not closed"),
        ('""', 1, "a term is empty"),
        ('horse + 2:" "', 11, "a term is empty"),
        ("horse + 2:", 9, "a weight needs a term"),
        ("horse + 2: - fruit", 9, "a weight needs a term"),
        ("0:horse", 1, "a weight must be above 0"),
        ("horse - 0.0:fruit", 9, "a weight must be above 0"),
        ("9" * 400 + ":horse", 1, "a weight must be above 0 and finite"),
        ('"stop" sign', 8, "may follow a quoted term"),
        ('"stop"sign', 7, "may follow a quoted term"),
        ("horse \\", 7, "a backslash needs"),
        ('"horse \\', 8, "a backslash needs"),
    ],
)
def test_a_mistake_says_where(text: str, column: int, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    message = str(raised.value)
    assert isinstance(raised.value, Mistake)
    assert says in message
    assert message.endswith(f", at column {column} of the query")
    assert "\n" not in message


def drawing(text: str) -> list[str]:
    with pytest.raises(Mistake) as raised:
        parse(text)
    return list(raised.value.details)


def test_a_mistake_is_drawn() -> None:
    assert drawing("horse + - fruit") == ["horse + - fruit", "      ^"]
    assert drawing("馬 + ") == ["馬 + ", "   ^"], "wide letters take two columns"
    assert drawing("a\x1bb +") == ["a\\x1bb +", "       ^"], "what cannot be seen is written out"
    text, caret = drawing("x" * 500 + " + + " + "y" * 500)
    assert len(text) < 140
    assert text[caret.index("^")] == "+"


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_nothing_is_no_query(text: str) -> None:
    with pytest.raises(UsageError, match="the query is empty"):
        parse(text)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ([Term("horse"), Term("stripes"), Term("fruit", weight=-2)], "horse + stripes - 2:fruit"),
        ([Term("fruit", weight=-0.5)], "- 0.5:fruit"),
        ([Term("mother - daughter")], '"mother - daughter"'),
        ([Term('"')], r'"\""'),
        ([Term("2:x", weight=2)], '2:"2:x"'),
        ([Term("x", weight=1e-7), Term("y", weight=1e22)], "0.0000001:x + 10000000000000000000000:y"),
        ([Term("red"), Term(image="a b.jpg", weight=-2)], "red - 2:<a b.jpg>"),
    ],
)
def test_terms_are_described_in_the_short_form(terms: list[Term], text: str) -> None:
    assert describe(terms) == text


TRICKY = st.text(st.sampled_from([*'+-−–": \\0123456789.abc\n\t', "\u3000", "\x1c", "é", "馬"]), min_size=1)
WEIGHTS = st.floats(allow_nan=False, allow_infinity=False).filter(bool)
TERMS = st.builds(Term, (TRICKY | st.text(min_size=1)).filter(str.strip), weight=WEIGHTS | st.sampled_from([1.0, -1.0]))


@given(st.lists(TERMS, min_size=1, max_size=5))
def test_what_is_described_is_read_back(terms: list[Term]) -> None:
    assert parse(describe(terms)) == tuple(terms)


@given(TRICKY)
def test_every_text_is_a_query_or_a_mistake_with_its_place(text: str) -> None:
    error = None
    try:
        terms = parse(text)
    except UsageError as raised:
        error = raised
    if error is None:
        assert parse(describe(terms)) == terms
    else:
        assert str(error) == EMPTY or (isinstance(error, Mistake) and error.details[1].strip() == "^")


@pytest.mark.parametrize("weight", [0.0, -0.0, math.nan, math.inf, -math.inf])
def test_a_weight_must_count(weight: float) -> None:
    with pytest.raises(UsageError, match="a number other than 0"):
        Term("x", weight=weight)


@pytest.mark.parametrize("wrong", [{}, {"text": "a", "image": "b"}, {"text": " "}, {"image": ""}])
def test_a_term_is_a_text_or_a_picture(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Term(**wrong)  # type: ignore[arg-type]


def rows(m: int, d: int = 8, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(m, d))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(1, 6), st.integers(0, 99))
def test_terms_are_summed_by_weight(m: int, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=m)
    vectors = rows(m, 4, seed)
    exact = [
        sum(Fraction(w) * Fraction(float(x)) for w, x in zip(weights, column, strict=True)) for column in vectors.T
    ]
    length = math.sqrt(sum(x * x for x in exact))
    made = combine(vectors, weights)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, [float(x) / length for x in exact], atol=1e-6)
    assert np.linalg.norm(made) == pytest.approx(1, abs=1e-6)


def test_only_the_proportion_of_weights_counts() -> None:
    vectors = rows(2)
    for scale in (1e-300, 1e300):
        np.testing.assert_array_equal(
            combine(vectors, np.array([1.0, -2.0])), combine(vectors, np.array([1.0, -2.0]) * scale)
        )


def test_one_term_is_its_own_vector() -> None:
    np.testing.assert_allclose(combine(rows(1), np.array([0.3])), rows(1)[0], atol=1e-7)
    np.testing.assert_allclose(combine(rows(1), np.array([-5.0])), -rows(1)[0], atol=1e-7)


def test_terms_that_cancel_out() -> None:
    with pytest.raises(UsageError, match="cancel each other out"):
        combine(np.repeat(rows(1), 2, axis=0), np.array([2.0, -2.0]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_of_no_numbers(value: float) -> None:
    vectors = rows(2)
    vectors[1, 3] = value
    with pytest.raises(UsageError, match="no numbers"):
        combine(vectors, np.ones(2))


def test_the_examples_of_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "queries.md"
    done = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert done.attempted > 5
    assert done.failed == 0
