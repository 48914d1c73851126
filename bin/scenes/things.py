"""Things that people make, things that grow, and things in the sky."""

from __future__ import annotations

import math

from .canvas import COLOURS, INK, Colour, Figure, shade

GLASS: Colour = (204, 230, 242)
WOOD: Colour = (176, 122, 76)
LEAF: Colour = (92, 156, 84)
CREAM: Colour = (250, 224, 180)
STEEL: Colour = (120, 124, 136)


def wheel(f: Figure, x: float, y: float, r: float) -> Figure:
    f.oval(x, y, r, r, INK)
    return f.oval(x, y, r * 0.55, r * 0.55, (214, 216, 222), detail=True).oval(
        x, y, r * 0.2, r * 0.2, STEEL, detail=True
    )


def car(coat: Colour) -> Figure:
    f = Figure()
    f.blob([(-0.62, 0.42), (-0.44, 0.78), (0.0, 0.84), (0.34, 0.76), (0.60, 0.42), (0.0, 0.36)], coat)
    f.polygon([(-0.46, 0.46), (-0.34, 0.70), (-0.06, 0.73), (-0.06, 0.46)], GLASS, detail=True)
    f.polygon([(0.02, 0.46), (0.02, 0.73), (0.26, 0.68), (0.46, 0.46)], GLASS, detail=True)
    f.blob(
        [(-1.0, 0.30), (-0.94, 0.46), (0.0, 0.48), (0.84, 0.44), (1.0, 0.32), (0.98, 0.16), (0.0, 0.13), (-0.98, 0.16)],
        coat,
    )
    f.stroke([(-0.90, 0.20), (0.90, 0.20)], 0.05, shade(coat, 0.72), detail=True)
    f.stroke([(-0.02, 0.44), (-0.02, 0.22)], 0.018, shade(coat, 0.72), detail=True)
    f.stroke([(0.06, 0.38), (0.16, 0.38)], 0.03, shade(coat, 0.6), detail=True)
    f.oval(0.92, 0.34, 0.05, 0.06, (255, 240, 170), detail=True)
    wheel(f, -0.58, 0.16, 0.18)
    return wheel(f, 0.58, 0.16, 0.18)


def bus(coat: Colour) -> Figure:
    f = Figure()
    f.blob(
        [(-1.1, 0.2), (-1.1, 0.92), (-1.0, 1.0), (0.0, 1.01), (1.0, 1.0), (1.1, 0.86), (1.12, 0.2), (0.0, 0.16)], coat
    )
    for x in (-0.94, -0.5, -0.06, 0.38):
        f.box(x, 0.58, x + 0.34, 0.86, GLASS, detail=True)
    f.box(0.84, 0.24, 1.02, 0.86, GLASS, detail=True)
    f.stroke([(-1.04, 0.44), (0.76, 0.44)], 0.06, shade(coat, 1.6), detail=True)
    wheel(f, -0.66, 0.18, 0.2)
    return wheel(f, 0.58, 0.18, 0.2)


def bicycle(coat: Colour) -> Figure:
    f = Figure()
    for x in (-0.55, 0.55):
        rim = [(x + 0.36 * math.cos(i * math.pi / 18), 0.36 + 0.36 * math.sin(i * math.pi / 18)) for i in range(37)]
        for i in range(0, 36, 6):
            f.stroke([rim[i], (x, 0.36)], 0.012, STEEL, detail=True)
        f.stroke(rim, 0.06, INK)
    for line in (
        [(-0.55, 0.36), (-0.20, 0.84)],
        [(-0.55, 0.36), (-0.02, 0.34)],
        [(-0.02, 0.34), (-0.22, 0.92)],
        [(-0.20, 0.84), (0.36, 0.84)],
        [(-0.02, 0.34), (0.36, 0.84)],
        [(0.55, 0.36), (0.32, 1.04)],
    ):
        f.stroke(line, 0.07, coat)
    f.stroke([(-0.36, 0.96), (-0.08, 0.95)], 0.10, INK)
    f.stroke([(0.32, 1.04), (0.46, 1.08), (0.52, 1.0)], 0.06, INK)
    return f.oval(-0.02, 0.34, 0.09, 0.09, STEEL)


def boat(coat: Colour) -> Figure:
    f = Figure()
    f.stroke([(0, 0.3), (0, 1.5)], 0.05, WOOD)
    f.blob([(0.05, 1.42), (0.30, 0.96), (0.62, 0.52), (0.05, 0.48)], COLOURS["white"])
    f.blob([(-0.05, 1.30), (-0.24, 0.90), (-0.46, 0.52), (-0.05, 0.48)], (232, 224, 206))
    f.polygon([(0, 1.5), (-0.26, 1.44), (0, 1.37)], coat)
    return f.blob([(-0.74, 0.40), (0.0, 0.33), (0.78, 0.42), (0.56, 0.08), (0.0, 0.02), (-0.52, 0.08)], coat).stroke(
        [(-0.64, 0.30), (0.0, 0.24), (0.66, 0.30)], 0.05, shade(coat, 1.6), detail=True
    )


def plane(coat: Colour) -> Figure:
    f = Figure()
    f.polygon([(-0.72, 0.34), (-0.96, 0.72), (-0.76, 0.72), (-0.44, 0.40)], coat)
    f.blob(
        [(-0.90, 0.36), (-0.40, 0.46), (0.40, 0.46), (0.84, 0.34), (0.90, 0.24), (0.50, 0.14), (-0.40, 0.16)],
        COLOURS["white"],
    )
    f.polygon([(0.18, 0.26), (-0.30, -0.10), (-0.50, -0.10), (-0.20, 0.26)], coat)
    f.blob([(0.60, 0.40), (0.76, 0.36), (0.82, 0.30), (0.62, 0.30)], GLASS, detail=True)
    for x in (-0.3, -0.12, 0.06, 0.24, 0.42):
        f.oval(x, 0.36, 0.04, 0.045, (90, 130, 170), detail=True)
    return f


def hot_air_balloon(coat: Colour) -> Figure:
    f = Figure()
    f.stroke([(-0.12, 0.2), (-0.26, 0.50)], 0.02, INK).stroke([(0.12, 0.2), (0.26, 0.50)], 0.02, INK)
    f.box(-0.14, 0, 0.14, 0.22, WOOD)
    f.blob([(-0.18, 0.44), (-0.50, 0.90), (-0.36, 1.34), (0, 1.46), (0.36, 1.34), (0.50, 0.90), (0.18, 0.44)], coat)
    f.blob(
        [(-0.06, 0.42), (-0.17, 0.90), (-0.10, 1.36), (0, 1.44), (0.10, 1.36), (0.17, 0.90), (0.06, 0.42)],
        shade(coat, 1.6),
        detail=True,
    )
    return f


def house(coat: Colour) -> Figure:
    f = Figure()
    f.box(0.28, 0.9, 0.44, 1.36, shade(coat, 0.7))
    f.box(-0.6, 0, 0.6, 0.82, coat)
    f.polygon([(-0.74, 0.78), (0, 1.38), (0.74, 0.78)], (128, 70, 64))
    f.box(-0.13, 0, 0.13, 0.46, WOOD, detail=True).oval(0.08, 0.22, 0.025, 0.025, COLOURS["yellow"], detail=True)
    for x in (-0.48, 0.24):
        f.box(x - 0.02, 0.34, x + 0.26, 0.66, (255, 255, 255), detail=True).box(
            x, 0.36, x + 0.24, 0.64, GLASS, detail=True
        )
        f.stroke([(x + 0.12, 0.36), (x + 0.12, 0.64)], 0.02, (255, 255, 255), detail=True)
        f.stroke([(x, 0.5), (x + 0.24, 0.5)], 0.02, (255, 255, 255), detail=True)
    return f


def lighthouse(coat: Colour = COLOURS["red"]) -> Figure:
    f = Figure()
    f.blob([(-0.5, 0.12), (-0.2, 0.2), (0.3, 0.18), (0.52, 0.06), (0.3, 0.0), (-0.4, 0.0)], (128, 122, 120))
    f.polygon([(-0.22, 0.16), (0.22, 0.16), (0.13, 1.2), (-0.13, 1.2)], COLOURS["white"])
    for low in (0.34, 0.76):
        w0, w1 = (0.22 - (y - 0.16) * 0.0865 for y in (low, low + 0.22))
        f.polygon([(-w0, low), (w0, low), (w1, low + 0.22), (-w1, low + 0.22)], coat, detail=True)
    f.box(-0.18, 1.18, 0.18, 1.24, INK).box(-0.1, 1.24, 0.1, 1.42, (255, 238, 150))
    return f.polygon([(-0.16, 1.42), (0.16, 1.42), (0, 1.58)], coat)


def tent(coat: Colour) -> Figure:
    f = Figure().polygon([(-0.8, 0), (-0.02, 0.92), (0.8, 0)], coat)
    f.polygon([(-0.02, 0.92), (-0.28, 0), (0.24, 0)], shade(coat, 0.55), detail=True)
    return f.polygon([(-0.02, 0.92), (0.10, 0.4), (0.36, 0), (0.18, 0)], shade(coat, 1.4), detail=True)


def table(coat: Colour = WOOD) -> Figure:
    f = Figure()
    for x in (-0.8, 0.8):
        f.box(x - 0.06, 0, x + 0.06, 0.7, shade(coat, 0.8))
    return f.box(-1, 0.66, 1, 0.8, coat).stroke([(-0.94, 0.69), (0.94, 0.69)], 0.03, shade(coat, 0.8), detail=True)


def chair(coat: Colour) -> Figure:
    f = Figure()
    for x in (-0.3, 0.3):
        f.box(x - 0.05, 0, x + 0.05, 0.5, shade(coat, 0.76))
    f.box(-0.35, 0.4, -0.25, 1.2, coat)
    f.box(-0.35, 0.44, 0.38, 0.56, coat)
    f.blob([(-0.42, 1.24), (-0.2, 1.22), (-0.2, 0.76), (-0.42, 0.76)], coat)
    return f


def sofa(coat: Colour) -> Figure:
    f = Figure()
    for x in (-0.8, 0.8):
        f.box(x - 0.05, 0, x + 0.05, 0.14, WOOD)
    f.blob([(-0.86, 0.2), (-0.86, 0.86), (-0.6, 0.94), (0.6, 0.94), (0.86, 0.86), (0.86, 0.2)], shade(coat, 0.86))
    f.blob([(-0.76, 0.16), (-0.76, 0.46), (0, 0.50), (0.76, 0.46), (0.76, 0.16)], coat)
    for x in (-0.92, 0.92):
        f.blob([(x - 0.16, 0.14), (x - 0.16, 0.6), (x, 0.68), (x + 0.16, 0.6), (x + 0.16, 0.14)], coat)
    return f.stroke([(0, 0.2), (0, 0.46)], 0.02, shade(coat, 0.7), detail=True)


def lamp(coat: Colour) -> Figure:
    f = Figure().stroke([(0, 0.1), (0, 0.8)], 0.07, STEEL).oval(0, 0.06, 0.26, 0.07, STEEL)
    return f.polygon([(-0.4, 0.66), (0.4, 0.66), (0.22, 1.16), (-0.22, 1.16)], coat).stroke(
        [(-0.36, 0.70), (0.36, 0.70)], 0.04, shade(coat, 1.6), detail=True
    )


def ball(coat: Colour) -> Figure:
    f = Figure().oval(0, 0.5, 0.5, 0.5, coat)
    left = [(0.5 * math.cos(a), 0.5 + 0.5 * math.sin(a)) for a in (2.85, 3.0, 3.15, 3.3, 3.45)]
    right = [(-x, y) for x, y in reversed(left)]
    f.polygon([*left, (0, 0.24), *right, (0, 0.54)], COLOURS["white"], detail=True)
    return f.oval(-0.18, 0.80, 0.10, 0.06, shade(coat, 1.6), turn=30, detail=True)


def box(coat: Colour) -> Figure:
    f = Figure().polygon([(-0.5, 0), (0.42, 0), (0.42, 0.72), (-0.5, 0.72)], coat)
    f.polygon([(0.42, 0), (0.64, 0.14), (0.64, 0.86), (0.42, 0.72)], shade(coat, 0.7))
    f.polygon([(-0.5, 0.72), (0.42, 0.72), (0.64, 0.86), (-0.28, 0.86)], shade(coat, 1.3))
    f.box(-0.12, 0, 0.04, 0.72, shade(coat, 1.5), detail=True)
    return f.polygon([(-0.12, 0.72), (0.04, 0.72), (0.26, 0.86), (0.10, 0.86)], shade(coat, 1.6), detail=True)


def apple(coat: Colour) -> Figure:
    f = Figure().stroke([(0, 0.74), (0.06, 1.0)], 0.07, WOOD).oval(0.22, 0.94, 0.18, 0.08, LEAF, turn=20)
    f.blob(
        [(0, 0.76), (-0.28, 0.84), (-0.48, 0.56), (-0.30, 0.08), (0, 0.06), (0.30, 0.08), (0.48, 0.56), (0.28, 0.84)],
        coat,
    )
    return f.oval(-0.24, 0.58, 0.07, 0.14, shade(coat, 1.6), turn=-20, detail=True)


def cup(coat: Colour) -> Figure:
    f = Figure()
    ring = [
        (0.42 + 0.2 * math.cos(a * math.pi / 12), 0.44 + 0.2 * math.sin(a * math.pi / 12)) for a in range(-9, 10, 3)
    ]
    f.stroke(ring, 0.09, shade(coat, 0.85))
    f.blob([(-0.46, 0.76), (-0.40, 0.12), (-0.24, 0), (0.24, 0), (0.40, 0.12), (0.46, 0.76)], coat)
    f.oval(0, 0.76, 0.46, 0.10, shade(coat, 1.5))
    return f.oval(0, 0.75, 0.38, 0.07, (122, 78, 52), detail=True)


def book(coat: Colour) -> Figure:
    f = Figure().polygon([(-0.7, 0), (0.5, 0), (0.8, 0.2), (0.8, 0.48), (-0.4, 0.48), (-0.7, 0.28)], shade(coat, 0.7))
    f.polygon(
        [(-0.66, 0.06), (0.48, 0.06), (0.78, 0.26), (0.78, 0.44), (0.48, 0.24), (-0.66, 0.24)],
        COLOURS["white"],
        detail=True,
    )
    for y in (0.12, 0.18):
        f.stroke([(-0.64, y), (0.47, y), (0.77, y + 0.2)], 0.012, (200, 194, 180), detail=True)
    f.polygon([(-0.7, 0.28), (0.5, 0.28), (0.8, 0.48), (-0.4, 0.48)], coat, detail=True)
    f.polygon([(-0.16, 0.34), (0.26, 0.34), (0.42, 0.43), (0.0, 0.43)], shade(coat, 1.65), detail=True)
    return f.stroke([(-0.68, 0.02), (-0.68, 0.27)], 0.06, coat, detail=True)


def cake(coat: Colour = COLOURS["pink"]) -> Figure:
    f = Figure()
    for x in (-0.3, 0.0, 0.3):
        f.box(x - 0.035, 0.6, x + 0.035, 0.92, COLOURS["blue"]).oval(x, 1.0, 0.05, 0.09, COLOURS["yellow"])
    f.box(-0.6, 0.04, 0.6, 0.62, CREAM).box(-0.6, 0.28, 0.6, 0.36, shade(CREAM, 0.8), detail=True)
    f.blob(
        [
            (-0.62, 0.66),
            (0.62, 0.66),
            (0.62, 0.48),
            (0.42, 0.40),
            (0.2, 0.50),
            (0, 0.40),
            (-0.22, 0.50),
            (-0.42, 0.40),
            (-0.62, 0.50),
        ],
        coat,
    )
    return f.stroke([(-0.78, 0.03), (0.78, 0.03)], 0.07, COLOURS["white"])


def umbrella(coat: Colour) -> Figure:
    f = Figure().stroke([(0, 1.0), (0, 0.12), (0.08, 0.03), (0.18, 0.12)], 0.06, WOOD)
    top = [(0.75 * math.cos(a * math.pi / 16), 0.72 + 0.52 * math.sin(a * math.pi / 16)) for a in range(17)]
    f.polygon([*top, (-0.5, 0.78), (-0.25, 0.72), (0, 0.78), (0.25, 0.72), (0.5, 0.78)], coat)
    f.polygon(
        [(-0.25, 0.73), (-0.18, 1.0), (0, 1.24), (0.18, 1.0), (0.25, 0.73), (0, 0.78)], shade(coat, 1.45), detail=True
    )
    return f.stroke([(0, 1.22), (0, 1.32)], 0.05, WOOD)


def hat(coat: Colour) -> Figure:
    f = Figure().blob([(-0.36, 0.12), (-0.32, 0.56), (0, 0.66), (0.32, 0.56), (0.36, 0.12)], coat)
    return f.stroke([(-0.62, 0.08), (0, 0.05), (0.62, 0.08)], 0.13, coat).stroke(
        [(-0.34, 0.2), (0, 0.18), (0.34, 0.2)], 0.1, shade(coat, 0.6), detail=True
    )


def balloon(coat: Colour) -> Figure:
    f = Figure().stroke([(0, 0.5), (0.06, 0.3), (-0.05, 0.14), (0, 0)], 0.02, INK)
    f.polygon([(0, 0.52), (-0.07, 0.44), (0.07, 0.44)], coat)
    f.blob([(0, 0.5), (-0.28, 0.72), (-0.34, 1.02), (0, 1.30), (0.34, 1.02), (0.28, 0.72)], coat)
    return f.oval(-0.14, 1.08, 0.06, 0.12, shade(coat, 1.7), turn=-24, detail=True)


def kite(coat: Colour) -> Figure:
    f = Figure().stroke([(0, 0.5), (0.16, 0.34), (-0.06, 0.18), (0.10, 0)], 0.025, INK)
    for x, y in ((0.13, 0.36), (-0.03, 0.2)):
        f.polygon(
            [(x - 0.1, y + 0.06), (x - 0.1, y - 0.06), (x + 0.1, y + 0.06), (x + 0.1, y - 0.06)], shade(coat, 0.7)
        )
    f.polygon([(0, 0.46), (-0.42, 1.0), (0, 1.36), (0.42, 1.0)], coat)
    f.polygon([(0, 0.46), (0.42, 1.0), (0, 1.0)], shade(coat, 0.78), detail=True)
    return f.polygon([(0, 1.36), (-0.42, 1.0), (0, 1.0)], shade(coat, 1.4), detail=True)


def flower(coat: Colour) -> Figure:
    f = Figure().stroke([(0, 0.8), (0.02, 0)], 0.07, LEAF)
    f.oval(0.2, 0.3, 0.2, 0.07, LEAF, turn=30).oval(-0.2, 0.22, 0.2, 0.07, LEAF, turn=-30)
    for i in range(7):
        a = i * 2 * math.pi / 7 + 0.2
        f.oval(0.26 * math.cos(a), 0.95 + 0.26 * math.sin(a), 0.17, 0.12, coat, turn=math.degrees(a))
    return f.oval(0, 0.95, 0.15, 0.15, (250, 214, 96) if coat != COLOURS["yellow"] else WOOD, detail=True)


def tree(coat: Colour = LEAF) -> Figure:
    f = Figure().polygon([(-0.12, 0), (0.12, 0), (0.07, 0.7), (-0.07, 0.7)], WOOD)
    for x, y, r in (
        (-0.3, 0.72, 0.26),
        (0.3, 0.72, 0.26),
        (-0.2, 1.0, 0.28),
        (0.22, 1.0, 0.28),
        (0, 1.2, 0.26),
        (0, 0.86, 0.34),
    ):
        f.oval(x, y, r, r, coat)
    for x, y in ((-0.2, 0.98), (0.12, 1.16), (0.2, 0.78), (-0.28, 0.7)):
        f.stroke([(x - 0.08, y), (x, y + 0.05), (x + 0.08, y)], 0.03, shade(coat, 0.78), detail=True)
    return f


def fir(coat: Colour = (58, 112, 84)) -> Figure:
    f = Figure().box(-0.08, 0, 0.08, 0.3, WOOD)
    for y, w in ((0.2, 0.52), (0.54, 0.42), (0.88, 0.30)):
        f.polygon([(-w, y), (w, y), (0, y + 0.62)], coat)
        f.polygon([(-w, y), (-w * 0.2, y), (0, y + 0.62)], shade(coat, 1.15), detail=True)
    return f


def palm() -> Figure:
    f = Figure().stroke([(0, 0.03), (0.06, 0.5), (0.22, 1.06)], 0.11, WOOD)
    for dx, dy in ((0.55, 0.0), (-0.55, 0.0), (0.42, 0.28), (-0.42, 0.28), (0.34, -0.22), (-0.34, -0.22)):
        f.blob(
            [(0.22, 1.08), (0.22 + dx * 0.6, 1.20 + dy), (0.22 + dx, 1.02 + dy), (0.22 + dx * 0.55, 1.08 + dy * 0.8)],
            LEAF,
        )
    return f.oval(0.18, 1.02, 0.06, 0.06, (110, 70, 46)).oval(0.28, 1.02, 0.06, 0.06, (110, 70, 46))


def snowman(hat_colour: Colour = INK, scarf: Colour = COLOURS["red"]) -> Figure:
    f = Figure()
    for side in (-1, 1):
        f.stroke([(side * 0.2, 0.78), (side * 0.5, 0.96)], 0.045, WOOD)
    f.oval(0, 0.32, 0.38, 0.34, COLOURS["white"]).oval(0, 0.78, 0.28, 0.26, COLOURS["white"])
    f.oval(0, 1.18, 0.21, 0.2, COLOURS["white"])
    f.stroke([(-0.2, 1.0), (0, 0.96), (0.2, 1.0)], 0.11, scarf).stroke([(0.12, 0.96), (0.16, 0.74)], 0.1, scarf)
    f.box(-0.16, 1.34, 0.16, 1.62, hat_colour).stroke([(-0.26, 1.35), (0.26, 1.35)], 0.06, hat_colour)
    for y in (0.82, 0.68):
        f.oval(0, y, 0.03, 0.03, INK, detail=True)
    f.oval(-0.07, 1.23, 0.026, 0.03, INK, detail=True).oval(0.08, 1.23, 0.026, 0.03, INK, detail=True)
    return f.polygon([(0, 1.19), (0.3, 1.14), (0, 1.13)], COLOURS["orange"])


def star(coat: Colour = COLOURS["yellow"]) -> Figure:
    corners = [(0.5 if i % 2 == 0 else 0.21, math.pi / 2 + i * math.pi / 5) for i in range(10)]
    return Figure().polygon([(r * math.cos(a), 0.5 + r * math.sin(a)) for r, a in corners], coat)


def moon() -> Figure:
    outer = [(0.5 * math.cos(a * math.pi / 20), 0.5 + 0.5 * math.sin(a * math.pi / 20)) for a in range(8, 33)]
    inner = [
        (0.24 + 0.42 * math.cos(a * math.pi / 20), 0.5 + 0.43 * math.sin(a * math.pi / 20)) for a in range(30, 9, -1)
    ]
    return Figure().polygon([*outer, *inner], (250, 232, 160))


def cloud() -> Figure:
    f = Figure()
    for x, y, r in ((-0.42, 0.24, 0.22), (-0.12, 0.38, 0.32), (0.24, 0.34, 0.26), (0.48, 0.22, 0.2)):
        f.oval(x, y, r, r, (255, 255, 255))
    return f.box(-0.42, 0.03, 0.48, 0.3, (255, 255, 255))
