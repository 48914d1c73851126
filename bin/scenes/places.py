"""Where a scene happens. Each place paints the background and says where the ground is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from .canvas import COLOURS, Colour, Picture, shade
from .things import fir, moon, tree

SKY: tuple[Colour, Colour] = ((126, 190, 232), (222, 240, 246))


class Place(NamedTuple):
    paint: Callable[[Picture, random.Random], None]
    phrase: str
    """how a caption says it"""
    ground: float
    """where things stand, from the top; for places without ground, the middle"""
    floats: bool = False
    """nothing stands here: no shadows"""


def _clouds(p: Picture, rng: random.Random, low: float = 0.26) -> None:
    for _ in range(rng.randint(1, 3)):
        x, y, r = rng.uniform(0.05, 0.95), rng.uniform(0.07, low), rng.uniform(0.03, 0.055)
        for dx, k in ((-1.2, 0.7), (0.0, 1.0), (1.1, 0.75)):
            p.oval(x + dx * r, y, r * k * 1.3, r * k * 0.7, (255, 255, 255), 205)


def _sun(p: Picture, rng: random.Random) -> None:
    x = rng.choice((0.14, 0.86))
    p.oval(x, 0.14, 0.10, 0.10, (255, 240, 180), 110)
    p.oval(x, 0.14, 0.07, 0.07, (255, 222, 110))


def beach(p: Picture, rng: random.Random) -> None:
    p.gradient(*SKY, 0, 0.42)
    _sun(p, rng)
    _clouds(p, rng, 0.2)
    p.gradient((46, 130, 186), (92, 184, 208), 0.40, 0.66)
    for _ in range(9):
        x, y, w = rng.uniform(0, 0.9), rng.uniform(0.43, 0.58), rng.uniform(0.05, 0.13)
        p.line([(x, y), (x + w / 2, y - 0.006), (x + w, y)], 0.006, (236, 248, 250), 190)
    edge = [0.64 + rng.uniform(-0.02, 0.02) for _ in range(6)]
    p.hill([y - 0.022 for y in edge], (244, 250, 250))
    p.hill(edge, (244, 220, 166))
    p.hill([y + 0.18 for y in reversed(edge)], (236, 206, 146))
    for _ in range(70):
        p.oval(rng.uniform(0, 1), rng.uniform(0.70, 1), 0.0025, 0.002, (206, 172, 112))
    for _ in range(3):
        x, y = rng.uniform(0.05, 0.95), rng.uniform(0.92, 0.98)
        p.oval(x, y, 0.016, 0.011, (250, 196, 186))
        p.line([(x, y + 0.008), (x, y - 0.008)], 0.003, (210, 140, 130))


def field(p: Picture, rng: random.Random) -> None:
    p.gradient(*SKY, 0, 0.6)
    _sun(p, rng)
    _clouds(p, rng)
    p.hill([rng.uniform(0.44, 0.54) for _ in range(5)], (150, 196, 130))
    p.hill([rng.uniform(0.53, 0.59) for _ in range(4)], (128, 186, 106))
    p.hill([rng.uniform(0.66, 0.70) for _ in range(4)], (112, 174, 92))
    for _ in range(46):
        x, y = rng.uniform(0, 1), rng.uniform(0.72, 1)
        for dx in (-0.007, 0.0, 0.007):
            p.line([(x, y), (x + dx, y - 0.02)], 0.0035, (78, 142, 70))
    for _ in range(9):
        x, y = rng.uniform(0, 1), rng.uniform(0.74, 0.98)
        p.oval(x, y, 0.008, 0.008, (255, 255, 250))
        p.oval(x, y, 0.0035, 0.0035, COLOURS["yellow"])


def snow(p: Picture, rng: random.Random) -> None:
    p.gradient((164, 190, 214), (226, 234, 242), 0, 0.6)
    p.hill([rng.uniform(0.40, 0.52) for _ in range(5)], (206, 220, 234))
    for x in sorted(rng.sample((0.06, 0.2, 0.36, 0.52, 0.68, 0.82, 0.94), 4)):
        p.put(fir((88, 128, 122)), x, rng.uniform(0.57, 0.61), 0.11, rng.uniform(0.13, 0.19), shadow=False)
    p.hill([rng.uniform(0.55, 0.60) for _ in range(4)], (232, 240, 248))
    p.hill([rng.uniform(0.70, 0.76) for _ in range(4)], (246, 250, 254))
    for _ in range(60):
        r = rng.uniform(0.003, 0.007)
        p.oval(rng.uniform(0, 1), rng.uniform(0, 1), r, r, (255, 255, 255), 235)


def _houses(p: Picture, rng: random.Random, walls: list[Colour], windows: list[Colour], bottom: float) -> None:
    x = -0.02
    while x < 1:
        width, top = rng.uniform(0.15, 0.22), rng.uniform(0.12, 0.32)
        wall = rng.choice(walls)
        p.area([(x, bottom), (x, top), (x + width, top), (x + width, bottom)], wall)
        p.area(
            [(x - 0.006, top + 0.016), (x - 0.006, top), (x + width + 0.006, top), (x + width + 0.006, top + 0.016)],
            shade(wall, 0.72),
        )
        for row in range(int((bottom - top - 0.06) / 0.095)):
            for column in (0.26, 0.68):
                wx, wy = x + width * column - 0.014, top + 0.055 + row * 0.095
                p.area([(wx, wy), (wx + 0.036, wy), (wx + 0.036, wy + 0.05), (wx, wy + 0.05)], rng.choice(windows))
        x += width


def street(p: Picture, rng: random.Random) -> None:
    p.gradient(*SKY, 0, 0.6)
    _clouds(p, rng, 0.12)
    _houses(
        p,
        rng,
        [(226, 178, 140), (212, 150, 128), (236, 210, 160), (186, 200, 196)],
        [(118, 150, 176), (150, 184, 206)],
        0.62,
    )
    _road(p, (196, 192, 188), (112, 114, 122), (236, 232, 214))


def night(p: Picture, rng: random.Random) -> None:
    p.gradient((20, 26, 62), (60, 66, 118), 0, 0.6)
    for _ in range(34):
        p.oval(rng.uniform(0, 1), rng.uniform(0, 0.3), 0.003, 0.003, (250, 244, 210))
    p.put(moon(), rng.choice((0.12, 0.88)), 0.13, 0.07, 0.09, shadow=False)
    _houses(p, rng, [(44, 46, 84), (54, 50, 92), (38, 44, 76)], [(252, 212, 110), (252, 212, 110), (34, 36, 66)], 0.62)
    _road(p, (74, 76, 104), (46, 48, 70), (190, 184, 150))
    for x in (0.04, 0.96):
        p.line([(x, 0.68), (x, 0.30)], 0.012, (26, 28, 46))
        p.oval(x, 0.29, 0.10, 0.10, (255, 224, 140), 45)
        p.oval(x, 0.29, 0.055, 0.055, (255, 224, 140), 70)
        p.oval(x, 0.29, 0.022, 0.022, (255, 240, 190))


def _road(p: Picture, pavement: Colour, asphalt: Colour, mark: Colour) -> None:
    p.gradient(pavement, shade(pavement, 0.92), 0.62, 0.72)
    p.gradient(asphalt, shade(asphalt, 0.88), 0.72, 1)
    p.area([(0, 0.715), (1, 0.715), (1, 0.73), (0, 0.73)], shade(pavement, 0.7))
    for x in (-0.03, 0.25, 0.53, 0.81):
        p.area([(x, 0.93), (x + 0.16, 0.93), (x + 0.16, 0.95), (x, 0.95)], mark)


def room(p: Picture, rng: random.Random) -> None:
    wall = rng.choice(((240, 224, 196), (212, 226, 216), (224, 214, 232), (236, 210, 200)))
    p.gradient(shade(wall, 1.2), wall, 0, 0.7)
    for i in range(12):
        p.area([(i / 12, 0), (i / 12 + 0.03, 0), (i / 12 + 0.03, 0.7), (i / 12, 0.7)], shade(wall, 0.96))
    p.gradient((206, 158, 110), (184, 134, 90), 0.69, 1)
    for y in (0.76, 0.84, 0.93):
        p.line([(0, y), (1, y)], 0.004, (160, 112, 72))
    p.area([(0, 0.67), (1, 0.67), (1, 0.70), (0, 0.70)], (250, 246, 238))
    x = rng.choice((0.16, 0.62))
    p.area([(x, 0.08), (x + 0.24, 0.08), (x + 0.24, 0.36), (x, 0.36)], (250, 248, 242))
    p.area([(x + 0.015, 0.095), (x + 0.225, 0.095), (x + 0.225, 0.345), (x + 0.015, 0.345)], (160, 208, 236))
    p.oval(x + 0.08, 0.33, 0.06, 0.03, (140, 190, 120))
    p.line([(x + 0.12, 0.09), (x + 0.12, 0.35)], 0.012, (250, 248, 242))
    p.line([(x, 0.22), (x + 0.24, 0.22)], 0.012, (250, 248, 242))


def tabletop(p: Picture, rng: random.Random) -> None:
    room(p, rng)
    for x in (0.07, 0.89):
        p.area([(x, 0.9), (x + 0.04, 0.9), (x + 0.04, 1), (x, 1)], (134, 88, 54))
    p.area([(0.13, 0.64), (0.87, 0.64), (0.99, 0.91), (0.01, 0.91)], (208, 152, 102))
    p.area([(0.01, 0.91), (0.99, 0.91), (0.99, 0.955), (0.01, 0.955)], (162, 108, 68))
    for _ in range(8):
        y, x = rng.uniform(0.68, 0.89), rng.uniform(0.12, 0.6)
        p.line([(x, y), (x + 0.12, y + 0.005), (x + 0.26, y)], 0.003, (182, 128, 82))
    p.line([(0.01, 0.911), (0.99, 0.911)], 0.005, (232, 184, 136))


def sky(p: Picture, rng: random.Random) -> None:
    p.gradient((88, 164, 224), (212, 236, 248))
    _clouds(p, rng, 0.9)
    _clouds(p, rng, 0.5)
    p.hill([rng.uniform(0.93, 0.97) for _ in range(4)], (128, 186, 106))


def starry_sky(p: Picture, rng: random.Random) -> None:
    p.gradient((18, 24, 60), (70, 76, 132))
    for _ in range(60):
        r = rng.uniform(0.002, 0.004)
        p.oval(rng.uniform(0, 1), rng.uniform(0, 0.88), r, r, (250, 244, 210))
    p.hill([rng.uniform(0.88, 0.94) for _ in range(4)], (26, 34, 58))


def sea(p: Picture, rng: random.Random) -> None:
    p.gradient(*SKY, 0, 0.5)
    _sun(p, rng)
    _clouds(p, rng)
    p.gradient((38, 112, 172), (30, 92, 150), 0.5, 1)
    for i in range(6):
        y = 0.54 + i * 0.085
        for k in range(6):
            x = k * 0.22 - rng.uniform(0, 0.2)
            p.line([(x, y), (x + 0.04, y - 0.012), (x + 0.08, y), (x + 0.12, y - 0.01)], 0.006, (124, 184, 222))


def under_water(p: Picture, rng: random.Random) -> None:
    p.gradient((92, 192, 214), (24, 88, 140))
    for x in (0.1, 0.42, 0.74):
        p.area([(x, 0), (x + 0.12, 0), (x + 0.02, 1), (x - 0.2, 1)], (255, 255, 255), 22)
    p.hill([rng.uniform(0.86, 0.91) for _ in range(5)], (222, 196, 140))
    for _ in range(7):
        x, h = rng.uniform(0.02, 0.98), rng.uniform(0.12, 0.24)
        points = [(x, 0.96), (x + 0.02, 0.96 - h / 3), (x - 0.02, 0.96 - 2 * h / 3), (x + 0.01, 0.96 - h)]
        p.line(points, 0.014, rng.choice(((46, 132, 92), (70, 152, 104), (198, 92, 100))))
    for _ in range(14):
        r = rng.uniform(0.005, 0.013)
        x, y = rng.uniform(0, 1), rng.uniform(0.05, 0.85)
        p.oval(x, y, r, r, (236, 250, 254), 90)
        p.oval(x - r * 0.3, y - r * 0.3, r * 0.3, r * 0.3, (255, 255, 255), 200)


def desert(p: Picture, rng: random.Random) -> None:
    p.gradient((244, 196, 130), (252, 232, 196), 0, 0.6)
    p.oval(0.5, 0.2, 0.09, 0.09, (255, 236, 170))
    p.hill([rng.uniform(0.48, 0.58) for _ in range(5)], (230, 172, 108))
    p.hill([rng.uniform(0.60, 0.68) for _ in range(4)], (222, 158, 94))
    p.hill([rng.uniform(0.74, 0.78) for _ in range(4)], (210, 144, 82))
    x = rng.choice((0.09, 0.91))
    for width, colour in ((0.052, (52, 92, 62)), (0.042, (92, 144, 92))):
        p.line([(x, 0.72), (x, 0.46)], width, colour)
        p.line([(x, 0.60), (x + 0.05, 0.59), (x + 0.05, 0.51)], width * 0.7, colour)
        p.oval(x, 0.46, width / 2, width / 2, colour)
        p.oval(x + 0.05, 0.51, width * 0.35, width * 0.35, colour)


def park(p: Picture, rng: random.Random) -> None:
    """Autumn."""
    p.gradient((176, 206, 222), (240, 236, 220), 0, 0.6)
    p.hill([rng.uniform(0.50, 0.56) for _ in range(4)], (206, 176, 112))
    for x in (0.06, 0.3, 0.7, 0.94):
        leaf = rng.choice(((226, 140, 62), (206, 96, 62), (232, 182, 78)))
        p.put(tree(leaf), x, rng.uniform(0.60, 0.64), 0.24, rng.uniform(0.32, 0.42), shadow=False)
    p.hill([rng.uniform(0.62, 0.66) for _ in range(4)], (186, 166, 98))
    for _ in range(60):
        leaf = rng.choice(((226, 140, 62), (206, 96, 62), (238, 196, 88)))
        p.oval(rng.uniform(0, 1), rng.uniform(0.66, 1), 0.008, 0.0045, leaf)


PLACES: dict[str, Place] = {
    "beach": Place(beach, "on the beach", 0.87),
    "field": Place(field, "in a green field", 0.87),
    "snow": Place(snow, "in the snow", 0.87),
    "street": Place(street, "in a sunny street", 0.88),
    "night": Place(night, "in a street at night", 0.88),
    "room": Place(room, "in a room", 0.87),
    "table": Place(tabletop, "on a table", 0.84),
    "sky": Place(sky, "in the blue sky", 0.52, True),
    "stars": Place(starry_sky, "in the night sky", 0.52, True),
    "sea": Place(sea, "on the sea", 0.82),
    "water": Place(under_water, "under water", 0.5, True),
    "desert": Place(desert, "in the desert", 0.87),
    "park": Place(park, "in an autumn park", 0.87),
}


def paint_rain(p: Picture, rng: random.Random) -> None:
    """Rain over whatever the picture shows."""
    p.area([(0, 0), (1, 0), (1, 1), (0, 1)], (80, 94, 120), 42)
    for _ in range(110):
        x, y = rng.uniform(0, 1.05), rng.uniform(-0.05, 1)
        p.line([(x, y), (x - 0.012, y + 0.045)], 0.004, (222, 234, 246), 170)


def paint_rainbow(p: Picture) -> None:
    k = p.side
    for i, name in enumerate(("red", "orange", "yellow", "green", "blue", "purple")):
        r = 0.52 - i * 0.022
        box = [(0.5 - r) * k, (0.64 - r) * k, (0.5 + r) * k, (0.64 + r) * k]
        p.draw.arc(box, 180, 360, fill=(*COLOURS[name], 200), width=round(0.023 * k))
