"""Scenes to learn from: composed at random of what the collection is made of, without what it asks about.

Half of them are of the kinds that the collection has in pairs, whose captions say other things in another order of
their words; for the other half the words alone decide. Two things that a pair of the collection shows together are
together in no scene here, in whatever order, colours or relation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

from . import rows
from .canvas import COLOURS
from .collection import Scene, cells
from .nouns import NOUNS, an, plural, split_colour
from .paint import (
    NUMBERS,
    paint_above,
    paint_alone,
    paint_behind,
    paint_beside,
    paint_coloured,
    paint_counts,
    paint_dressed,
    paint_group,
    paint_sizes,
    paint_stacked,
    paint_under_table,
    paint_weather,
)
from .places import PLACES

Compose = Callable[[random.Random], tuple[str, str, partial[None]]]
"""draws a caption, a place, and what paints it"""

ON_GROUND = tuple(name for name, place in PLACES.items() if not place.floats)
IN_AIR = tuple(name for name, place in PLACES.items() if place.floats)
RUNNING = ("dog", "cat", "horse", "cow", "sheep", "elephant", "rabbit", "duck")
DRIVING = ("car", "bus", "bicycle")
FLYING = ("bird", "kite", "balloon", "hot-air balloon", "plane", "star", "moon", "fish", "ball", "cloud")
SMALL = ("dog", "cat", "rabbit", "duck", "ball", "box", "apple", "cup", "book", "hat", "cake", "flower", "lamp")
FLAT = ("box", "book", "sofa", "chair", "car", "bus", "cake", "apple", "house", "elephant", "cow", "horse")
PLAIN = ("lighthouse", "cake", "tree", "fir tree", "palm tree", "snowman", "moon", "cloud", "man", "elephant")
"""things that are not asked for in a colour of choice"""


def _nouns_asked_for() -> set[frozenset[str]]:
    """Two things that a pair of the collection has together."""
    together = [
        *rows_of(rows.BESIDE, 0, 1),
        *rows_of(rows.COLOURED, 0, 1),
        *rows_of(rows.ABOVE, 0, 1),
        *rows_of(rows.STACKED, 0, 1),
        *rows_of(rows.UNDER_TABLE, 0, 1),
        *rows_of(rows.CHASING, 0, 2),
        *rows_of(rows.SIZES, 0, 1),
        *rows_of(rows.BEHIND, 0, 1),
        *rows_of(rows.COUNTS, 0, 1),
    ]
    return {frozenset(split_colour(words)[1] for words in two) for two in together}


def rows_of(table: str, *columns: int) -> Iterator[list[str]]:
    for row in cells(table):
        yield [row[column] for column in columns]


ASKED_FOR = _nouns_asked_for()
DRESSED = {(who, upper, frozenset((c1, c2))) for who, upper, _, c1, c2, _ in cells(rows.WEARING)}
ALONE = {(words, place) for place, subjects in rows.ALONE.items() for words in subjects.split(", ")}
WEATHER = {(words, weather) for words, weather, _ in cells(rows.WEATHER)}


def more_scenes(n: int, seed: int) -> Iterator[Scene]:
    """n scenes, the same for the same seed."""
    rng = random.Random(seed)
    for i in range(n):
        compose = rng.choices(*zip(*KINDS, strict=True))[0] if i % 2 else rng.choices(*zip(*SINGLE, strict=True))[0]
        caption, place, paint = compose(rng)
        yield Scene(caption, place, paint, f"{seed} {i}")


def two_things(rng: random.Random, first: tuple[str, ...], second: tuple[str, ...] = ()) -> tuple[str, str]:
    """One of each, not together in a pair of the collection."""
    while True:
        a, b = rng.choice(first), rng.choice(second or first)
        if a != b and frozenset((a, b)) not in ASKED_FOR:
            return (a, b) if rng.random() < 0.5 or second else (b, a)


def perhaps_coloured(rng: random.Random, noun: str) -> str:
    return noun if noun in PLAIN or rng.random() < 0.6 else coloured(rng, noun)


def coloured(rng: random.Random, noun: str) -> str:
    return f"{rng.choice(tuple(COLOURS))} {noun}"


def somewhere(rng: random.Random, caption: str, place: str) -> str:
    """Three captions of ten say where."""
    return f"{caption} {PLACES[place].phrase}" if rng.random() < 0.3 else caption


def beside(rng: random.Random) -> tuple[str, str, partial[None]]:
    a, b = (perhaps_coloured(rng, noun) for noun in two_things(rng, tuple(NOUNS)))
    place, side = rng.choice(tuple(PLACES)), rng.choice(("left", "right"))
    template = rng.choice((f"{{}} {side} of {{}}", f"{{}} to the {side} of {{}}"))
    paint = partial(paint_beside, a, b, mirror=side == "right")
    return somewhere(rng, template.format(an(a), an(b)), place), place, paint


def two_colours(rng: random.Random) -> tuple[str, str, partial[None]]:
    a, b = two_things(rng, tuple(noun for noun in NOUNS if noun not in PLAIN))
    c1, c2 = rng.sample(tuple(COLOURS), 2)
    place = rng.choice(tuple(PLACES))
    caption = rng.choice(("{} and {}", "{} next to {}")).format(an(f"{c1} {a}"), an(f"{c2} {b}"))
    return somewhere(rng, caption, place), place, partial(paint_coloured, a, b, c1, c2)


def above(rng: random.Random) -> tuple[str, str, partial[None]]:
    upper, lower = (perhaps_coloured(rng, noun) for noun in two_things(rng, FLYING))
    place = rng.choice(IN_AIR)
    caption = f"{an(upper)} above {an(lower)}" if rng.random() < 0.7 else f"{an(lower)} below {an(upper)}"
    return somewhere(rng, caption, place), place, partial(paint_above, upper, lower)


def stacked(rng: random.Random) -> tuple[str, str, partial[None]]:
    upper, lower = (perhaps_coloured(rng, noun) for noun in two_things(rng, SMALL, FLAT))
    place = rng.choice(ON_GROUND)
    caption = rng.choice(("{} on {}", "{} on top of {}")).format(an(upper), an(lower))
    return somewhere(rng, caption, place), place, partial(paint_stacked, upper, lower)


def at_a_table(rng: random.Random) -> tuple[str, str, partial[None]]:
    upper, lower = (perhaps_coloured(rng, noun) for noun in two_things(rng, SMALL))
    caption = f"{an(upper)} on the table and {an(lower)} under the table"
    return caption, "room", partial(paint_under_table, upper, lower)


def chase(rng: random.Random) -> tuple[str, str, partial[None]]:
    who, verb = (RUNNING, "chasing") if rng.random() < 0.75 else (DRIVING, "following")
    a, b = (perhaps_coloured(rng, noun) for noun in two_things(rng, who))
    place, left = rng.choice(ON_GROUND), rng.random() < 0.5
    paint = partial(paint_beside, a, b, mirror=left, look_left=left, run=verb == "chasing")
    return somewhere(rng, f"{an(a)} {verb} {an(b)}", place), place, paint


def sizes(rng: random.Random) -> tuple[str, str, partial[None]]:
    a, b = two_things(rng, tuple(NOUNS))
    first, second = rng.sample(("big", "small"), 2)
    place = rng.choice(tuple(PLACES))
    return somewhere(rng, f"a {first} {a} and a {second} {b}", place), place, partial(paint_sizes, a, b, first, second)


def behind(rng: random.Random) -> tuple[str, str, partial[None]]:
    back, front = (perhaps_coloured(rng, noun) for noun in two_things(rng, tuple(NOUNS)))
    place = rng.choice(ON_GROUND)
    caption = f"{an(back)} behind {an(front)}" if rng.random() < 0.7 else f"{an(front)} in front of {an(back)}"
    return somewhere(rng, caption, place), place, partial(paint_behind, back, front)


def counts(rng: random.Random) -> tuple[str, str, partial[None]]:
    a, b = two_things(rng, tuple(noun for noun in NOUNS if noun not in ("man", "woman")))
    n1, n2 = rng.sample(("two", "three", "four"), 2)
    place = rng.choice(tuple(PLACES))
    caption = f"{n1} {plural(a)} and {n2} {plural(b)}"
    return somewhere(rng, caption, place), place, partial(paint_counts, a, b, n1, n2)


def dressed(rng: random.Random) -> tuple[str, str, partial[None]]:
    while True:
        who = rng.choice(("man", "woman", "boy", "girl", "snowman"))
        dress = who in ("woman", "girl")
        upper = "hat" if who == "snowman" else rng.choice(("hat", "umbrella"))
        lower = "scarf" if who == "snowman" else "dress" if dress else "coat"
        c1, c2 = rng.sample(tuple(COLOURS), 2)
        if (who, upper, frozenset((c1, c2))) not in DRESSED:
            break
    place = rng.choice(ON_GROUND)
    caption = f"a {who} with {an(f'{c1} {upper}')} and {an(f'{c2} {lower}')}"
    return somewhere(rng, caption, place), place, partial(paint_dressed, who, upper, c1, c2)


def alone(rng: random.Random) -> tuple[str, str, partial[None]]:
    while True:
        words, place = perhaps_coloured(rng, rng.choice(tuple(NOUNS))), rng.choice(tuple(PLACES))
        if (words, place) not in ALONE:
            return f"{an(words)} {PLACES[place].phrase}", place, partial(paint_alone, words)


def in_weather(rng: random.Random) -> tuple[str, str, partial[None]]:
    while True:
        words, weather = perhaps_coloured(rng, rng.choice(tuple(NOUNS))), rng.choice(("rain", "rainbow"))
        if (words, weather) not in WEATHER:
            break
    caption = f"{an(words)} in the rain" if weather == "rain" else f"a rainbow over {an(words)}"
    return caption, rng.choice(ON_GROUND), partial(paint_weather, words, weather)


def group(rng: random.Random) -> tuple[str, str, partial[None]]:
    words, number = perhaps_coloured(rng, rng.choice(tuple(NOUNS))), rng.choice(tuple(NUMBERS))
    if words in ("man", "woman"):
        words = "girl"
    place = rng.choice(tuple(PLACES))
    caption = somewhere(rng, f"{number} {plural(words)}", place)
    return caption, place, partial(paint_group, words, NUMBERS[number], 0.5)


KINDS: tuple[tuple[Compose, int], ...] = (
    (beside, 26),
    (two_colours, 20),
    (above, 7),
    (stacked, 7),
    (at_a_table, 5),
    (chase, 8),
    (sizes, 7),
    (behind, 7),
    (counts, 7),
    (dressed, 6),
)
"""with as many pairs as the collection has of each"""
SINGLE: tuple[tuple[Compose, int], ...] = ((alone, 8), (in_weather, 1), (group, 1))
