"""The options of filters, from words on the command line to Filters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from vlsearch.cli.filter_options import filter_options, filters_from
from vlsearch.cli.printing import warn
from vlsearch.errors import UsageError
from vlsearch.search.filters import Filters
from vlsearch.search.mistake import Mistake


def asked(*args: str) -> Filters:
    made: list[Filters] = []

    @click.command()
    @click.option("--other", default=1)
    @filter_options
    def command(**params: Any) -> None:
        made.append(filters_from(params))
        assert params == {"other": 1}

    done = CliRunner().invoke(command, args, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return made[0]


def test_without_options_nothing_is_filtered() -> None:
    assert not asked()


def test_every_option_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert asked(
        *("--under", "a", "--under", "/b", "--not-path", "*/x/*", "--taken", "2021", "--camera", "canon", "--camera"),
        *("nikon", "--near", "1,2,3km", "--tag", "t", "--tag", "u", "--has-caption", "--format", "jpg"),
        *("--where", "width > 3"),
    ) == Filters.of(
        under=[os.path.join(os.getcwd(), "a"), "/b"],  # noqa: PTH109, PTH118
        not_path="*/x/*",
        taken="2021",
        camera=["canon", "nikon"],
        near="1,2,3km",
        tag=["t", "u"],
        has_caption=True,
        format="jpeg",
        where="width > 3",
    )
    assert asked("--no-caption") == Filters(has_caption=False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--has-caption", "--no-caption"), "drop one of the two"),
        (("--taken", "2021-02-30"), "there is no date"),
        (("--under", "/a", "--not-path", "/a"), "drop one of the two"),
        (("--where", ""), "empty"),
        (("--near", ""), "write LAT,LON,RADIUS"),
    ],
)
def test_what_cannot_be_met_is_refused(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        asked(*args)


def test_a_caret_stands_under_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Mistake) as raised:
        asked("--where", "width > heigth")
    warn(str(raised.value), *raised.value.details)
    assert capsys.readouterr().err.splitlines() == [
        "vlsearch: --where: there is no field 'heigth'; did you mean height?",
        "  width > heigth",
        "          ^",
    ]


def test_no_line_can_be_slipped_in(capsys: pytest.CaptureFixture[str]) -> None:
    warn("a\nb", "c\nd\x1b[2J")
    assert capsys.readouterr().err == "vlsearch: a\\nb\n  c\\nd\\x1b[2J\n"
