"""The public API is what vlsearch.__all__ says, no more and no less."""

from __future__ import annotations

import inspect

import pytest

import vlsearch
from vlsearch import errors


@pytest.mark.parametrize("name", vlsearch.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(vlsearch, name) is not None


def test_they_come_from_where_they_live() -> None:
    from vlsearch.api import Library, open_library
    from vlsearch.audit.report import AuditReport
    from vlsearch.encoders.registry import load
    from vlsearch.search.engine import Hit
    from vlsearch.search.hits import Hits
    from vlsearch.search.query import Term

    assert (vlsearch.AuditReport, vlsearch.Hit, vlsearch.Hits, vlsearch.Term) == (AuditReport, Hit, Hits, Term)
    assert (vlsearch.Library, vlsearch.open_library, vlsearch.load_model) == (Library, open_library, load)


def test_all_errors_are_public_and_have_one_root() -> None:
    raised = {name for name, cls in vars(errors).items() if inspect.isclass(cls) and cls.__module__ == errors.__name__}
    assert raised <= set(vlsearch.__all__)
    assert all(issubclass(getattr(vlsearch, name), vlsearch.VlsearchError) for name in raised)
    assert {getattr(vlsearch, name).exit_code for name in raised} == {1, 2}


def test_the_tree_drawn_in_errors_is_the_tree() -> None:
    """Depth and order of the drawing against the classes' own bases."""
    assert errors.__doc__ is not None
    drawn: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        bare = line.lstrip(" │├└─")
        if bare[:1].isupper() and line.startswith("    "):
            drawn.append((len(line) - len(bare), bare.split()[0]))
    parents: list[tuple[int, str]] = []
    for depth, name in drawn:
        while parents and parents[-1][0] >= depth:
            parents.pop()
        base = getattr(errors, name).__base__
        assert base.__name__ == (parents[-1][1] if parents else "Exception")
        parents.append((depth, name))
    assert len(drawn) == sum(inspect.isclass(value) for value in vars(errors).values())


def test_nothing_else_is_promised() -> None:
    starred: dict[str, object] = {}
    exec("from vlsearch import *", starred)
    assert set(starred) - {"__builtins__"} == set(vlsearch.__all__)
    assert len(set(vlsearch.__all__)) == len(vlsearch.__all__)
    with pytest.raises(AttributeError, match="no attribute 'utils'"):
        vlsearch.utils  # noqa: B018
