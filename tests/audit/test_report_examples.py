"""Which queries a report shows, and how their words are marked."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.audit.report_samples import CAPTIONS, choice, choice_rows, lists, lists_rows, retrieval, retrieval_rows
from vlsearch.audit.report.examples import LONGEST, SHOWN, Word, compared, examples


def marked(words: tuple[Word, ...]) -> str:
    """Words that moved in [], words that are gone in (), new ones in <>."""
    shown = {"": "{}", "moved": "[{}]", "gone": "({})", "new": "<{}>"}
    return " ".join(shown[word.change].format(word.text) for word in words)


@pytest.mark.parametrize(
    ("first", "second", "marks"),
    [
        ("a dog chasing a cat", "a cat chasing a dog", ("a [dog] chasing a [cat]", "a [cat] chasing a [dog]")),
        ("A red door.", "a door. red", ("A [red] door.", "a door. [red]")),
        ("a dog on the grass", "dog grass", ("(a) dog (on) (the) grass", "dog grass")),
        ("same words", "Same words!", ("same words", "Same words!")),
        ("", "", ("", "")),
    ],
)
def test_words_that_moved_or_went_are_marked(first: str, second: str, marks: tuple[str, str]) -> None:
    a, b = compared(first, second)
    assert (marked(a), marked(b)) == marks


def test_a_long_text_is_cut() -> None:
    words, _ = compared("word " * 1000, "word")
    assert len(words) == LONGEST + 1
    assert words[-1].text == "…"


def test_the_queries_that_lost_most_come_first() -> None:
    most, least = examples(retrieval(), retrieval_rows())
    assert [shown.figure for shown in most.shown] == ["rank 1 → 5", "rank 1 → 4", "rank 1 → 3", "rank 1 → 2"]
    assert [shown.photo for shown in least.shown] == [f"/photos/{n}.jpg" for n in range(4)]
    assert least.shown[0].figure == "rank 1 → 1"


def test_a_query_is_shown_once_and_twenty_at_most() -> None:
    captions = [f"{caption} {n}" for n in range(10) for caption in CAPTIONS]
    for group in examples(retrieval(), retrieval_rows(captions=captions)):
        texts = [tuple(word.text for word in shown.first) for shown in group.shown]
        assert len(set(texts)) == len(texts) == SHOWN


def test_what_did_not_lose_is_not_among_what_lost_most() -> None:
    rows = retrieval_rows()
    still = rows.set_column(rows.column_names.index("rank"), "rank", rows["rank_clean"])
    most, least = examples(retrieval(), still)
    assert (len(most.shown), len(least.shown)) == (0, 4)


def test_controls_and_captions_that_did_not_change_are_no_examples() -> None:
    report, rows = retrieval(("identity",)), retrieval_rows(("identity",))
    assert all(group.shown == () for group in examples(report, rows))
    assert all(group.shown == () for group in examples(retrieval(), retrieval_rows(captions=["x"])))


def test_a_perturbed_photo_has_one_text() -> None:
    names = ("shuffle-rows-4",)
    _, least = examples(retrieval(names), retrieval_rows(names))
    assert {shown.second for shown in least.shown} == {()}


def test_words_that_moved_are_shown_before_parts_of_photos() -> None:
    names = ("shuffle-patches-9", "shuffle", "identity")
    for group in examples(retrieval(names), retrieval_rows(names)):
        assert {shown.label.partition(",")[0] for shown in group.shown} == {"shuffle"}


def test_choices_wrong_and_right() -> None:
    wrong, right = examples(choice(), choice_rows())
    (shown,) = wrong.shown
    assert (shown.label, shown.figure) == ("swap_att", "score 0.100 to 0.300")
    assert (marked(shown.first), marked(shown.second)) == ("a (red) door", "a <white> door")
    (shown,) = right.shown
    assert marked(shown.second) == "a <dog>", "the false text that came closest"


def scored(texts: list[str], scores: list[float]) -> pa.Table:
    row = choice_rows().slice(0, 1)
    row = row.set_column(row.column_names.index("texts"), "texts", pa.array([texts]))
    return row.set_column(row.column_names.index("scores"), "scores", pa.array([scores]))


def test_a_pair_is_as_good_as_its_worse_photo() -> None:
    rows = scored(["a dog by a cat", "a cat by a dog"], [0.4, 0.3, 0.1, 0.2])
    (shown,) = examples(choice(), rows)[0].shown
    assert shown.figure == "score 0.200 to 0.300"
    assert marked(shown.second) == "a [cat] by a [dog]"


def test_a_statement_stands_alone() -> None:
    (shown,) = examples(choice(), scored(["a cat on a sofa"], [-0.1]))[0].shown
    assert (shown.figure, shown.second) == ("score −0.100", ())


def test_lists_that_changed_most() -> None:
    most, least = examples(lists(), lists_rows())
    assert [shown.figure for shown in most.shown] == ["2 of 10 stay", "9 of 10 stay", "10 of 10 stay"]
    assert [shown.figure for shown in least.shown] == ["10 of 10 stay", "9 of 10 stay", "2 of 10 stay"]
    assert most.shown[0].photo is None
