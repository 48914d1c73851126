from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from vlsearch.cli.terms import TermsCommand, prompts_for, terms_options
from vlsearch.errors import UsageError
from vlsearch.search.prompts import Prompts
from vlsearch.search.query import Term


@click.command(cls=TermsCommand)
@click.argument("text", required=False)
@click.option("-k", type=int, default=10)
@terms_options
def command(**given: Any) -> dict[str, Any]:
    return given


def run(*args: str) -> dict[str, Any]:
    given: dict[str, Any] = command.main(list(args), standalone_mode=False)
    return given


def terms(*args: str) -> list[tuple[str | None, float]]:
    return [(term.text, term.weight) for term in run(*args)["terms"]]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["horse"], [("horse", 1)]),
        (["horse + stripes - 2:fruit"], [("horse", 1), ("stripes", 1), ("fruit", -2)]),
        (["horse", "--plus", "stripes", "--minus", "fruit"], [("horse", 1), ("stripes", 1), ("fruit", -1)]),
        (["--minus", "fruit", "--plus", "stripes", "horse"], [("fruit", -1), ("stripes", 1), ("horse", 1)]),
        (["--minus", "a", "--plus=b", "--minus", "c", "--plus", "d"], [("a", -1), ("b", 1), ("c", -1), ("d", 1)]),
        (["horse", "--plus", "a + b"], [("horse", 1), ("a + b", 1)]),
        (["horse", "--plus", "2:a"], [("horse", 1), ("2:a", 1)]),
        (["horse", "--plus", '"a"'], [("horse", 1), ('"a"', 1)]),
        (["horse", "--weight", "0.5"], [("horse", 0.5)]),
        (["horse", "--plus", "a", "--weight", "0.5"], [("horse", 1), ("a", 0.5)]),
        (["horse", "--weight", "3", "--minus", "a", "--weight", "2"], [("horse", 3), ("a", -2)]),
        (["--plus", "a", "--weight", "2", "horse"], [("a", 2), ("horse", 1)]),
        (["--plus", "a", "horse", "--weight", "2"], [("a", 1), ("horse", 2)]),
        (["--plus", "a", "horse", "-k", "3", "--weight", "2"], [("a", 1), ("horse", 2)]),
        (["horse - 2:fruit", "--weight", "2"], [("horse", 2), ("fruit", -4)]),
        (["--plus", "a", "--", "- fruit"], [("a", 1), ("fruit", -1)]),
        (["--", "--plus"], [("--plus", 1)]),
        (["--plus", "a", "--plus", "a"], [("a", 1), ("a", 1)]),
        (["--plus", "--minus"], [("--minus", 1)]),
        ([], []),
        (["-k", "3"], []),
    ],
)
def test_terms_come_in_their_order(args: list[str], expected: list[tuple[str, float]]) -> None:
    assert terms(*args) == expected


def test_pictures(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")
    for file in (a, b):
        Path(file).touch()
    given = run("horse", "--unlike", a, "--weight", "0.5", "--like", b, "--image", a, "--weight", "2")
    assert given["terms"] == (
        Term("horse"),
        Term(image=a, weight=-0.5),
        Term(image=b),
        Term(image=a, weight=2),
    )
    assert run("--image", a)["terms"] == (Term(image=a),)


def test_what_the_function_is_given() -> None:
    assert run("horse", "-k", "3", "--plus", "a", "--prompts", "photo", "--allow-url") == {
        "text": "horse",
        "k": 3,
        "prompts": "photo",
        "allow_url": True,
        "terms": (Term("horse"), Term("a")),
    }
    given = run()
    assert (given["text"], given["prompts"], given["allow_url"]) == (None, None, False)


@pytest.mark.parametrize("option", ["--like", "--unlike", "--image"])
def test_urls_only_where_they_are_wanted(option: str) -> None:
    with pytest.raises(UsageError, match="only fetched with --allow-url"):
        run(option, "https://example.org/a.jpg")
    (term,) = run("--allow-url", option, "https://example.org/a.jpg")["terms"]
    assert term.image == "https://example.org/a.jpg"
    with pytest.raises(UsageError, match="only http and https"):
        run("--allow-url", option, "ftp://example.org/a.jpg")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--weight", "2"], "--weight 2 stands behind nothing"),
        (["--weight", "2", "horse"], "--weight 2 stands behind nothing"),
        (["--weight", "2", "--plus", "a"], "--weight 2 stands behind nothing"),
        (["horse", "--weight", "2", "--weight", "3"], "--weight 3 stands behind nothing"),
        (["horse", "--weight", "0"], "--weight must be a number above 0, not 0"),
        (["horse", "--weight", "-1"], "--weight must be a number above 0, not -1"),
        (["horse", "--weight", "nan"], "--weight must be a number above 0, not nan"),
        (["horse", "--weight", "inf"], "--weight must be a number above 0, not inf"),
        (["horse", "--plus", " "], "--plus is empty"),
        (["--minus", ""], "--minus is empty"),
        ([""], "the query is empty"),
        (["horse +"], '"+" needs something'),
        (["--like", "none.jpg"], "no such file: 'none.jpg'"),
        (["--like", ""], "no such file: ''"),
    ],
)
def test_wrong_usage(args: list[str], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        run(*args)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "args", [["a", "b"], ["--plus"], ["horse", "--weight", "x"], ["--nonsense"], ["a", "--", "-k"]]
)
def test_what_click_refuses(args: list[str]) -> None:
    with pytest.raises(click.UsageError):
        run(*args)


def test_help_asks_nothing() -> None:
    shown = CliRunner().invoke(command, ["--weight", "2", "--help"])
    assert shown.exit_code == 0
    for option in ("--plus", "--minus", "--like", "--unlike", "--weight", "--allow-url", "--prompts"):
        assert option in shown.output


def test_completion_asks_nothing() -> None:
    context = command.make_context("query", ["horse +", "--weight", "2", "--like"], resilient_parsing=True)
    assert context.params["terms"] == ()


def test_prompts_are_loaded_when_they_are_asked_for() -> None:
    assert prompts_for(None) is None
    assert prompts_for("photo") == Prompts(("a photo of {}",))
    with pytest.raises(UsageError, match="--prompts takes a file or one of"):
        prompts_for("none")
