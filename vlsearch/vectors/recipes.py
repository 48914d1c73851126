"""Which index a collection of a given size gets; the choices are data, in index/recipes.toml."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECALL = 0.99
"""recall@10 that an index is built for, where nothing else is asked"""


@dataclass(frozen=True)
class Recipe:
    """An inverted file over half-precision codes; with one list, exact search."""

    name: str
    lists_per_root: float
    """lists, as a multiple of the square root of the number of vectors; 0 for one list"""
    up_to: int | None = None
    """for collections of at most so many vectors; None: any size"""
    sample_per_list: int = 32
    """vectors that k-means is given for each list"""
    iterations: int = 6
    """of k-means"""
    least_share: float = 0.0
    """the part of the lists that any query looks at"""

    def lists(self, count: int) -> int:
        return max(1, round(self.lists_per_root * math.sqrt(count)))


@cache
def recipes() -> tuple[Recipe, ...]:
    text = resources.files("vlsearch.index").joinpath("recipes.toml").read_text(encoding="utf-8")
    return tuple(Recipe(**row) for row in tomllib.loads(text)["recipe"])


def recipe_for(count: int) -> Recipe:
    return next(r for r in recipes() if r.up_to is None or count <= r.up_to)


def exact_up_to() -> int:
    """So many vectors are searched one by one."""
    return recipes()[0].up_to or sys.maxsize
