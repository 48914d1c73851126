"""Options of commands that are asked with several words and pictures, in the order in which they are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from vlsearch.search.prompts import Prompts
    from vlsearch.search.query import Term

Command = TypeVar("Command", bound=Callable[..., Any])

SIGNS = {"plus": 1.0, "minus": -1.0, "like": 1.0, "unlike": -1.0, "image": 1.0}
PICTURES = ("like", "unlike", "image")
TEXT, WEIGHT = "text", "weight"


class TermsCommand(click.Command):
    """A command with an argument `text` and `terms_options`; its function is given `terms`, all of them together,
    beside the text as it was typed. UsageError for what cannot be asked, before anything is loaded."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        values = {name: iter(ctx.params.pop(name, None) or ()) for name in (*SIGNS, WEIGHT)}
        values[TEXT] = iter(() if ctx.params[TEXT] is None else (ctx.params[TEXT],))
        ctx.params["terms"] = ()
        if not ctx.resilient_parsing:
            steps = [(name, next(values[name], None)) for name in self._names(ctx, given) if name in values]
            ctx.params["terms"] = terms_of(
                [(name, value) for name, value in steps if value is not None], ctx.params["allow_url"]
            )
        return rest

    def _names(self, ctx: click.Context, args: list[str]) -> Iterator[str | None]:
        """The parameters in the order in which they are given. click itself tells the order of options, but not the
        text's place among them: so it reads up to the text, then the rest."""
        while True:
            parser = self.make_parser(ctx)
            parser.allow_interspersed_args = False
            _, args, order = parser.parse_args(list(args))
            yield from (parameter.name for parameter in order)
            if not args:
                return


def terms_options(command: Command) -> Command:
    """The options of a TermsCommand; its function is also given `prompts` and `allow_url`."""
    for option in reversed(
        [
            click.option("--plus", metavar="TEXT", multiple=True, help="And this, as it stands."),
            click.option("--minus", metavar="TEXT", multiple=True, help="Away from this."),
            click.option(
                "--like", metavar="FILE|URL", type=click.Path(), multiple=True, help="And what resembles this photo."
            ),
            click.option(
                "--unlike",
                metavar="FILE|URL",
                type=click.Path(),
                multiple=True,
                help="Away from what resembles this photo.",
            ),
            click.option("--image", metavar="FILE", type=click.Path(), multiple=True, help="The same as --like."),
            click.option(
                "--weight", metavar="W", type=float, multiple=True, help="How much what stands before it counts [1]."
            ),
            click.option("--allow-url", is_flag=True, help="Fetch pictures that are given as http(s) URLs."),
            click.option(
                "--prompts",
                metavar="NAME|FILE",
                help="Ask with templates: plain, photo, clip7, or a file of them; or a .json file of descriptions.",
            ),
        ]
    ):
        command = option(command)
    return command


def terms_of(steps: Sequence[tuple[str, Any]], allow_url: bool = False) -> tuple[Term, ...]:
    """The terms of a command line: ("text", the short form), ("plus", a text), ("like", a picture), ("weight", of the
    step before) … in their order. UsageError."""
    from vlsearch.errors import UsageError
    from vlsearch.search.pictures import check_picture
    from vlsearch.search.query import Term, parse

    terms: list[Term] = []
    fresh = 0
    for name, value in steps:
        if name == WEIGHT:
            if not fresh:
                raise UsageError(
                    f"--weight {value:g} stands behind nothing that it could weigh; put it behind a --plus, --minus, "
                    "--like or --unlike, or behind the words"
                )
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"--weight must be a number above 0, not {value:g}; --minus and --unlike lead away")
            terms[-fresh:] = [replace(term, weight=term.weight * value) for term in terms[-fresh:]]
            fresh = 0
            continue
        if name == TEXT:
            new = parse(value)
        elif name in PICTURES:
            check_picture(value, allow_url)
            new = (Term(image=value, weight=SIGNS[name]),)
        elif not value.strip():
            raise UsageError(f"--{name} is empty; say what to look for")
        else:
            new = (Term(value, weight=SIGNS[name]),)
        terms += new
        fresh = len(new)
    return tuple(terms)


def prompts_for(given: str | None) -> Prompts | None:
    """What --prompts means; None where it is not given."""
    from vlsearch.search.prompts import prompts_from

    return None if given is None else prompts_from(given)
