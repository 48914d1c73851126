"""The report for a pull request."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.audit.report_samples import all_kinds, choice, everything, retrieval
from vlsearch.audit.report import Report
from vlsearch.audit.report.markdown import markdown


@pytest.mark.parametrize("report", [everything(), *(report for report, _ in all_kinds())])
def test_tables_are_tables_and_details_end(report: Report) -> None:
    text = markdown(report)
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
        assert re.fullmatch(r"\|( :--| --:| \|)+", block.splitlines()[1].replace(" |", " |"))
    assert text.count("<details>") == text.count("</details>") >= 1


def test_the_finding_is_first_and_only_one_depth_is_unfolded() -> None:
    text = markdown(retrieval())
    assert text.startswith("**Shuffling the words costs 3.9 points of Recall@10")
    unfolded = text.partition("<details>")[0]
    assert "| shuffle | 10 | 50.0 | 46.1 | 3.9 | 2.1 … 5.6 | 0.0020 | 5.0 |" in unfolded
    assert "| shuffle | 1 |" not in unfolded
    assert "| shuffle | 1 |" in text


def test_notes_are_folded_away() -> None:
    unfolded, _, folded = markdown(retrieval()).partition("<details>")
    assert "Captions that cannot change" in folded
    assert "Captions that cannot change" not in unfolded


def test_a_part_is_told_first() -> None:
    assert markdown(replace(choice(), part="3 of 7")).startswith("> **Only a part of sugarcrepe: 3 of 7.**\n\n")


def test_names_are_no_markup() -> None:
    text = markdown(replace(retrieval(), model="a|b <img> *c*\n# d"))
    assert "model a\\|b &lt;img&gt; \\*c\\*\\\\n\\# d" in text
