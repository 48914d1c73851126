"""How figures stand in a place: side by side, one on the other, in groups, alone."""

from __future__ import annotations

import random

from .animals import person
from .canvas import COLOURS, Figure, Picture
from .nouns import figure, height
from .places import Place, paint_rain, paint_rainbow
from .things import snowman, table, umbrella

NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}


def paint_nothing(p: Picture, place: Place) -> None:
    """The place as it is."""


def stand(
    p: Picture,
    place: Place,
    words: str,
    x: float,
    width: float = 0.46,
    scale: float = 1,
    run: bool = False,
    look_left: bool = False,
) -> None:
    """Put what `words` name at x, on the ground of the place or, where there is none, around its middle."""
    tall = height(words) * scale
    y = place.ground + (tall / 2 if place.floats else 0)
    p.put(figure(words, run), x, y, width, tall, look_left, shadow=not place.floats)


def paint_alone(words: str, p: Picture, place: Place) -> None:
    rng = random.Random(words + place.phrase)
    stand(p, place, words, rng.uniform(0.40, 0.60), width=0.66, scale=1.3, look_left=rng.random() < 0.4)


def paint_beside(
    first: str,
    second: str,
    p: Picture,
    place: Place,
    mirror: bool = False,
    look_left: bool = False,
    run: bool = False,
) -> None:
    """The first one on the left; on the right where `mirror` says so."""
    left, right = (second, first) if mirror else (first, second)
    stand(p, place, left, 0.27, run=run, look_left=look_left)
    stand(p, place, right, 0.73, run=run, look_left=look_left)


def paint_coloured(a: str, b: str, c1: str, c2: str, p: Picture, place: Place) -> None:
    paint_beside(f"{c1} {a}", f"{c2} {b}", p, place)


def paint_above(upper: str, lower: str, p: Picture, place: Place) -> None:
    for words, middle, x in ((upper, 0.25, 0.44), (lower, 0.70, 0.56)):
        tall = min(height(words), 0.40)
        p.put(figure(words), x, middle + tall / 2, 0.5, tall, shadow=not place.floats)


def paint_stacked(upper: str, lower: str, p: Picture, place: Place) -> None:
    ground = place.ground + 0.02
    tall = p.put(figure(lower), 0.5, ground, 0.6, height(lower) * 1.2)
    p.put(figure(upper), 0.5, ground - tall + 0.02, 0.5, height(upper) * 1.1, shadow=False)


def paint_under_table(upper: str, lower: str, p: Picture, place: Place) -> None:
    tall = p.put(table(), 0.5, place.ground, 0.86, 0.36)
    p.put(figure(lower), 0.5, place.ground + 0.02, 0.42, min(height(lower), 0.25))
    p.put(figure(upper), 0.5, place.ground - tall + 0.01, 0.42, min(height(upper), 0.30), shadow=False)


def paint_sizes(a: str, b: str, first: str, second: str, p: Picture, place: Place) -> None:
    for words, size, x in ((a, first, (0.33, 0.20)), (b, second, (0.67, 0.80))):
        tall = 0.58 if size == "big" else 0.17
        y = place.ground + (tall / 2 if place.floats else 0)
        p.put(figure(words), x[size == "small"], y, 0.56, tall, shadow=not place.floats)


def paint_behind(back: str, front: str, p: Picture, place: Place) -> None:
    p.put(figure(back), 0.40, place.ground - 0.08, 0.56, max(height(back), 0.42))
    p.put(figure(front), 0.64, place.ground + 0.04, 0.50, max(height(front) * 0.9, 0.34))


def paint_counts(a: str, b: str, n1: str, n2: str, p: Picture, place: Place) -> None:
    paint_group(a, NUMBERS[n1], 0.26, p, place)
    paint_group(b, NUMBERS[n2], 0.74, p, place)


def paint_group(words: str, n: int, x: float, p: Picture, place: Place) -> None:
    """Two to five of a kind around x, the farther ones higher and drawn first."""
    spots = {
        2: [(-0.11, 0.0), (0.11, 0.02)],
        3: [(0.0, -0.17), (-0.11, 0.02), (0.11, 0.03)],
        4: [(-0.10, -0.17), (0.12, -0.16), (-0.11, 0.03), (0.11, 0.04)],
        5: [(-0.17, -0.15), (0.17, -0.16), (-0.31, 0.0), (0.0, 0.02), (0.31, 0.01)],
    }[n]
    side = 0.26 if n == 5 else 0.19
    for dx, dy in spots:
        y = place.ground + (dy * 1.7 + side / 2 if place.floats else dy)
        p.put(figure(words), x + dx, y, side, side, shadow=not place.floats)


def paint_dressed(who: str, upper: str, first: str, second: str, p: Picture, place: Place) -> None:
    if who == "snowman":
        body = snowman(COLOURS[first], COLOURS[second])
    elif upper == "umbrella":
        body = Figure().add(umbrella(COLOURS[first]), 0.35, 0.58, 1.1).add(person(who, COLOURS[second]))
    else:
        body = person(who, COLOURS[second], hat=COLOURS[first])
    p.put(body, 0.5, place.ground + 0.05, 0.8, 0.78)


def paint_weather(words: str, weather: str, p: Picture, place: Place) -> None:
    if weather == "rainbow":
        paint_rainbow(p)
    stand(p, place, words, 0.5, width=0.62, scale=1.1)
    if weather == "rain":
        paint_rain(p, random.Random(words))
