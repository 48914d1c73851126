"""Words for what can be drawn: a colour, a noun, and the figure that they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import animals, things
from .canvas import COLOURS, Figure


class Noun(NamedTuple):
    draw: Callable[..., Figure]
    height: float
    """usual height, in parts of the picture"""
    colour: str | None = None
    """where the words name none; None: the figure's own"""


NOUNS: dict[str, Noun] = {
    "dog": Noun(animals.dog, 0.36),
    "cat": Noun(animals.cat, 0.34),
    "horse": Noun(animals.horse, 0.46),
    "cow": Noun(animals.cow, 0.38),
    "sheep": Noun(animals.sheep, 0.32),
    "elephant": Noun(animals.elephant, 0.46),
    "rabbit": Noun(animals.rabbit, 0.30),
    "duck": Noun(animals.duck, 0.26, "yellow"),
    "bird": Noun(animals.bird, 0.26, "blue"),
    "fish": Noun(animals.fish, 0.28, "orange"),
    "man": Noun(lambda *coat: animals.person("man", *coat), 0.60),
    "woman": Noun(lambda *coat: animals.person("woman", *coat), 0.58, "purple"),
    "boy": Noun(lambda *coat: animals.person("boy", *coat), 0.46, "green"),
    "girl": Noun(lambda *coat: animals.person("girl", *coat), 0.46, "yellow"),
    "car": Noun(things.car, 0.30, "red"),
    "bus": Noun(things.bus, 0.36, "yellow"),
    "bicycle": Noun(things.bicycle, 0.34, "blue"),
    "boat": Noun(things.boat, 0.50, "red"),
    "plane": Noun(things.plane, 0.26, "blue"),
    "hot-air balloon": Noun(things.hot_air_balloon, 0.44, "purple"),
    "house": Noun(things.house, 0.52, "orange"),
    "lighthouse": Noun(things.lighthouse, 0.66),
    "tent": Noun(things.tent, 0.34, "orange"),
    "chair": Noun(things.chair, 0.38, "green"),
    "sofa": Noun(things.sofa, 0.34, "blue"),
    "lamp": Noun(things.lamp, 0.38, "yellow"),
    "ball": Noun(things.ball, 0.24, "red"),
    "box": Noun(things.box, 0.26, "blue"),
    "apple": Noun(things.apple, 0.26, "red"),
    "cup": Noun(things.cup, 0.26, "blue"),
    "book": Noun(things.book, 0.20, "green"),
    "cake": Noun(things.cake, 0.36),
    "umbrella": Noun(things.umbrella, 0.44, "red"),
    "hat": Noun(things.hat, 0.20, "purple"),
    "balloon": Noun(things.balloon, 0.40, "red"),
    "kite": Noun(things.kite, 0.40, "orange"),
    "flower": Noun(things.flower, 0.38, "pink"),
    "tree": Noun(things.tree, 0.58),
    "fir tree": Noun(things.fir, 0.56),
    "palm tree": Noun(things.palm, 0.60),
    "snowman": Noun(things.snowman, 0.54),
    "star": Noun(things.star, 0.28, "yellow"),
    "moon": Noun(things.moon, 0.32),
    "cloud": Noun(things.cloud, 0.22),
}
PLURALS = {"sheep": "sheep", "fish": "fish", "box": "boxes", "bus": "buses"}


def an(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(noun: str) -> str:
    return PLURALS.get(noun, noun + "s")


def split_colour(words: str) -> tuple[str | None, str]:
    """ "red car" to ("red", "car"); "dog" to (None, "dog")."""
    first, _, rest = words.partition(" ")
    return (first, rest) if first in COLOURS else (None, words)


def figure(words: str, run: bool = False) -> Figure:
    colour, name = split_colour(words)
    noun = NOUNS[name]
    colour = colour or noun.colour
    arguments = (COLOURS[colour],) if colour else ()
    return noun.draw(*arguments, run=True) if run else noun.draw(*arguments)


def height(words: str) -> float:
    return NOUNS[split_colour(words)[1]].height
