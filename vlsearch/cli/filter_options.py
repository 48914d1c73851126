"""The options that say which photos may be answers, for every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from vlsearch.search.filters import Filters

Command = TypeVar("Command", bound=Callable[..., Any])

NAMES = ("under", "not_path", "taken", "camera", "near", "tag", "format", "where")

OPTIONS = (
    click.option("--under", multiple=True, metavar="DIR", help="Only what lies in this folder or archive; repeatable."),
    click.option("--not-path", multiple=True, metavar="GLOB", help="Leave out paths such as '*/thumbs/*'; repeatable."),
    click.option("--taken", metavar="WHEN", help="Taken in 2021, 2021-06, 2021-06-15, or 2021-06..2021-08."),
    click.option("--camera", multiple=True, metavar="NAME", help="Part of the camera's name; repeatable."),
    click.option("--near", metavar="LAT,LON,DISTANCE", help="Taken within, as in 52.5,13.4,5km (or m, mi)."),
    click.option("--tag", multiple=True, metavar="NAME", help="With this tag; with all of them where repeated."),
    click.option("--has-caption", is_flag=True, help="With a caption (keywords are none)."),
    click.option("--no-caption", is_flag=True, help="Without a caption."),
    click.option("--format", multiple=True, metavar="NAME", help="jpeg, heic, png, raw …; repeatable."),
    click.option("--where", metavar="EXPR", help="""As in "width > height and not (camera ~ 'phone')"."""),
)


def filter_options(command: Command) -> Command:
    """--under to --where; `filters_from` makes Filters of what the command is called with."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def filters_from(params: dict[str, Any]) -> Filters:
    """Takes its parameters out of `params`. UsageError for what cannot be read or cannot be met."""
    from vlsearch.errors import UsageError
    from vlsearch.search.filters import Filters

    given = {name: params.pop(name) for name in NAMES}
    with_caption, without = params.pop("has_caption"), params.pop("no_caption")
    if with_caption and without:
        raise UsageError("--has-caption and --no-caption leave nothing; drop one of the two")
    return Filters.of(**given, has_caption=True if with_caption else False if without else None)
