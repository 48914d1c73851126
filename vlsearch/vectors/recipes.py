"""Which index a collection of a given size gets; the choices are data, in index/recipes.toml."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Recipe:
    name: str
    factory: str
    """FAISS index_factory string"""
    up_to: int | None = None
    """for collections of at most so many vectors; None: any size"""


@cache
def recipes() -> tuple[Recipe, ...]:
    text = resources.files("vlsearch.index").joinpath("recipes.toml").read_text(encoding="utf-8")
    return tuple(Recipe(**row) for row in tomllib.loads(text)["recipe"])


def recipe_for(count: int) -> Recipe:
    return next(r for r in recipes() if r.up_to is None or count <= r.up_to)
