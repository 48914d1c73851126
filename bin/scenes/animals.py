"""Animals and people, seen from the side and looking right, about one unit high."""

from __future__ import annotations

from .canvas import COLOURS, INK, Colour, Figure, Point, shade

PINK: Colour = (240, 158, 160)
CREAM: Colour = (252, 236, 208)
SKIN: Colour = (240, 190, 152)


def legs(figure: Figure, back: float, front: float, hip: float, width: float, coat: Colour, run: bool) -> None:
    """Two pairs of legs; the far pair is darker. Running legs are stretched apart."""
    far = shade(coat, 0.76)
    for x, way in ((back, -1), (front, 1)):
        if run:
            far_foot, near_foot = (x + way * 0.40, 0.10), (x + way * 0.22, 0.04)
        else:
            far_foot, near_foot = (x + 0.13, 0.06), (x - 0.02, 0.03)
        figure.stroke([(x + 0.10 * (not run), hip), far_foot], width * 0.9, far)
        figure.stroke([(x, hip), near_foot], width, coat)


def dog(coat: Colour = (186, 124, 72), run: bool = False, collar: Colour = COLOURS["red"]) -> Figure:
    f = Figure()
    dark, light = shade(coat, 0.68), shade(coat, 1.55)
    f.stroke([(-0.50, 0.62), (-0.70, 0.72), (-0.78, 0.98)], 0.10, coat)
    legs(f, -0.40, 0.32, 0.45, 0.15, coat, run)
    f.blob(
        [
            (-0.58, 0.55),
            (-0.46, 0.73),
            (0.0, 0.68),
            (0.34, 0.80),
            (0.50, 0.66),
            (0.44, 0.42),
            (0.0, 0.36),
            (-0.46, 0.36),
        ],
        coat,
    )
    f.oval(0.48, 0.98, 0.25, 0.23, coat)
    f.oval(0.70, 0.89, 0.18, 0.125, light, turn=-6)
    f.blob([(0.30, 1.16), (0.44, 1.16), (0.45, 0.92), (0.36, 0.72), (0.22, 0.78), (0.22, 1.0)], dark)
    f.oval(0.85, 0.94, 0.06, 0.05, INK)
    f.eye(0.58, 1.04, 0.04)
    f.stroke([(0.64, 0.81), (0.73, 0.79), (0.82, 0.84)], 0.022, INK, detail=True)
    f.stroke([(0.30, 0.78), (0.44, 0.73), (0.58, 0.77)], 0.075, collar, detail=True)
    return f.oval(0.46, 0.68, 0.045, 0.045, COLOURS["yellow"], detail=True)


def cat(coat: Colour = COLOURS["grey"], run: bool = False) -> Figure:
    f = Figure()
    dark = shade(coat, 0.68)
    f.stroke([(-0.46, 0.52), (-0.70, 0.62), (-0.74, 0.92), (-0.58, 1.04)], 0.10, coat)
    legs(f, -0.34, 0.26, 0.40, 0.13, coat, run)
    f.blob([(-0.50, 0.45), (-0.36, 0.64), (0.0, 0.62), (0.30, 0.66), (0.40, 0.50), (0.30, 0.34), (-0.36, 0.30)], coat)
    for x in (-0.26, -0.08, 0.10):
        f.stroke([(x, 0.61), (x + 0.03, 0.47)], 0.045, dark, detail=True)
    f.polygon([(0.20, 0.92), (0.22, 1.22), (0.42, 1.05)], coat)
    f.polygon([(0.46, 1.05), (0.68, 1.22), (0.70, 0.90)], coat)
    f.oval(0.45, 0.86, 0.28, 0.235, coat)
    f.polygon([(0.25, 0.98), (0.26, 1.14), (0.36, 1.05)], PINK, detail=True)
    f.polygon([(0.54, 1.05), (0.64, 1.14), (0.66, 0.97)], PINK, detail=True)
    f.oval(0.46, 0.78, 0.13, 0.085, shade(coat, 1.6), detail=True)
    for x in (0.34, 0.57):
        f.oval(x, 0.90, 0.052, 0.058, (150, 196, 96), detail=True)
        f.oval(x, 0.90, 0.022, 0.05, INK, detail=True)
    f.polygon([(0.425, 0.835), (0.495, 0.835), (0.46, 0.795)], (214, 106, 110), detail=True)
    f.stroke([(0.40, 0.755), (0.43, 0.74), (0.46, 0.785), (0.49, 0.74), (0.52, 0.755)], 0.016, INK, detail=True)
    for y in (0.79, 0.75):
        f.stroke([(0.56, y), (0.80, y + (y - 0.77) * 2.2)], 0.013, INK, detail=True)
        f.stroke([(0.36, y), (0.12, y + (y - 0.77) * 2.2)], 0.013, INK, detail=True)
    return f


def horse(coat: Colour = (140, 88, 56), run: bool = False) -> Figure:
    f = Figure()
    mane = shade(coat, 0.5)
    f.blob([(-0.50, 0.80), (-0.64, 0.74), (-0.72, 0.46), (-0.60, 0.34), (-0.56, 0.60)], mane)
    legs(f, -0.42, 0.26, 0.58, 0.11, coat, run)
    f.blob(
        [
            (-0.54, 0.68),
            (-0.42, 0.85),
            (0.0, 0.80),
            (0.26, 0.86),
            (0.42, 0.72),
            (0.32, 0.54),
            (0.0, 0.50),
            (-0.46, 0.52),
        ],
        coat,
    )
    f.blob([(0.10, 0.80), (0.30, 1.16), (0.46, 1.28), (0.60, 1.16), (0.50, 0.94), (0.42, 0.70), (0.20, 0.66)], coat)
    f.blob([(0.38, 1.26), (0.52, 1.30), (0.82, 1.06), (0.86, 0.95), (0.74, 0.90), (0.48, 1.04)], coat)
    f.polygon([(0.40, 1.24), (0.42, 1.44), (0.52, 1.27)], coat)
    f.blob([(0.40, 1.34), (0.28, 1.22), (0.12, 0.96), (0.06, 0.80), (0.16, 0.84), (0.30, 1.06), (0.44, 1.22)], mane)
    f.oval(0.79, 0.965, 0.085, 0.07, shade(coat, 1.35), turn=-40, detail=True)
    f.oval(0.82, 0.99, 0.018, 0.022, INK, detail=True)
    f.eye(0.58, 1.16, 0.034)
    for x in (-0.44, 0.24):
        if not run:
            f.stroke([(x - 0.02, 0.035), (x + 0.02, 0.035)], 0.10, INK, detail=True)
    return f


def cow(coat: Colour = COLOURS["white"], run: bool = False) -> Figure:
    f = Figure()
    f.stroke([(-0.58, 0.74), (-0.70, 0.60), (-0.68, 0.36)], 0.05, coat)
    f.oval(-0.68, 0.33, 0.06, 0.09, INK)
    legs(f, -0.46, 0.30, 0.45, 0.14, coat, run)
    f.blob([(-0.62, 0.58), (-0.54, 0.80), (0.0, 0.80), (0.42, 0.80), (0.50, 0.56), (0.38, 0.36), (-0.52, 0.36)], coat)
    f.oval(-0.12, 0.34, 0.12, 0.09, PINK)
    f.blob([(-0.40, 0.79), (-0.14, 0.78), (-0.16, 0.58), (-0.36, 0.52), (-0.48, 0.64)], INK, detail=True)
    f.blob([(0.06, 0.56), (0.24, 0.62), (0.30, 0.48), (0.16, 0.40), (0.04, 0.44)], INK, detail=True)
    f.stroke([(0.48, 1.06), (0.44, 1.20)], 0.06, CREAM)
    f.stroke([(0.68, 1.06), (0.74, 1.20)], 0.06, CREAM)
    f.oval(0.36, 0.98, 0.13, 0.06, INK, turn=-16)
    f.oval(0.80, 0.99, 0.12, 0.06, coat, turn=16)
    f.blob([(0.40, 0.98), (0.58, 1.10), (0.76, 1.0), (0.74, 0.78), (0.60, 0.68), (0.46, 0.78)], coat)
    f.oval(0.61, 0.76, 0.16, 0.11, PINK)
    for x in (0.55, 0.67):
        f.oval(x, 0.77, 0.022, 0.03, INK, detail=True)
    f.eye(0.51, 0.95, 0.034)
    return f.eye(0.67, 0.95, 0.034)


def sheep(coat: Colour = COLOURS["white"], run: bool = False) -> Figure:
    f = Figure()
    legs(f, -0.26, 0.20, 0.36, 0.10, INK, run)
    for x, y, r in ((-0.36, 0.52, 0.2), (-0.18, 0.68, 0.2), (0.06, 0.70, 0.2), (0.26, 0.58, 0.2), (-0.2, 0.42, 0.2)):
        f.oval(x, y, r, r, coat)
    f.oval(0.10, 0.44, 0.22, 0.2, coat)
    f.oval(-0.02, 0.54, 0.34, 0.22, coat)
    for x, y in ((-0.28, 0.56), (-0.06, 0.62), (0.10, 0.50), (-0.14, 0.44)):
        f.stroke([(x - 0.05, y), (x, y - 0.04), (x + 0.05, y)], 0.02, shade(coat, 0.8), detail=True)
    f.oval(0.28, 0.82, 0.11, 0.05, (96, 84, 88), turn=-24)
    f.oval(0.45, 0.72, 0.14, 0.185, (96, 84, 88), turn=16)
    f.oval(0.40, 0.90, 0.14, 0.09, coat)
    f.eye(0.49, 0.77, 0.034)
    return f


def elephant(coat: Colour = (150, 156, 172), run: bool = False) -> Figure:
    f = Figure()
    f.stroke([(-0.60, 0.72), (-0.70, 0.56), (-0.68, 0.40)], 0.04, coat)
    legs(f, -0.42, 0.26, 0.5, 0.24, coat, run)
    f.blob([(-0.62, 0.56), (-0.50, 0.90), (0.0, 1.0), (0.36, 0.90), (0.46, 0.60), (0.30, 0.38), (-0.46, 0.36)], coat)
    f.stroke([(0.74, 0.78), (0.84, 0.50), (0.82, 0.24), (0.92, 0.14), (1.02, 0.20)], 0.13, coat)
    f.oval(0.56, 0.86, 0.29, 0.28, coat)
    f.stroke([(0.66, 0.62), (0.76, 0.54), (0.86, 0.58)], 0.05, CREAM)
    f.blob([(0.22, 1.08), (0.42, 1.14), (0.50, 0.90), (0.38, 0.62), (0.18, 0.66), (0.10, 0.90)], shade(coat, 0.86))
    f.blob([(0.24, 1.0), (0.38, 1.04), (0.42, 0.88), (0.34, 0.70), (0.22, 0.74), (0.18, 0.88)], PINK, detail=True)
    return f.eye(0.66, 0.94, 0.036)


def rabbit(coat: Colour = (196, 168, 140), run: bool = False) -> Figure:
    f = Figure()
    f.oval(-0.42, 0.26, 0.12, 0.12, COLOURS["white"])
    f.oval(0.26, 1.06, 0.08, 0.28, coat, turn=12)
    f.oval(0.42, 1.06, 0.08, 0.28, coat, turn=-10)
    f.oval(0.26, 1.06, 0.04, 0.2, PINK, turn=12, detail=True)
    f.oval(0.42, 1.06, 0.04, 0.2, PINK, turn=-10, detail=True)
    if run:
        f.stroke([(-0.26, 0.2), (-0.58, 0.05)], 0.13, coat).stroke([(0.2, 0.22), (0.50, 0.06)], 0.11, coat)
    f.blob([(-0.44, 0.22), (-0.34, 0.50), (-0.04, 0.56), (0.26, 0.46), (0.32, 0.20), (0.10, 0.06), (-0.32, 0.05)], coat)
    if not run:
        f.oval(-0.18, 0.08, 0.24, 0.08, coat).stroke([(0.22, 0.3), (0.26, 0.06)], 0.11, coat)
    f.oval(0.36, 0.66, 0.23, 0.21, coat)
    f.oval(0.46, 0.56, 0.12, 0.09, shade(coat, 1.6), detail=True)
    f.oval(0.54, 0.62, 0.03, 0.024, (214, 106, 110), detail=True)
    return f.eye(0.43, 0.72, 0.036)


def duck(coat: Colour = COLOURS["yellow"], run: bool = False) -> Figure:
    f = Figure()
    orange = COLOURS["orange"]
    for x, toe in ((-0.08, 0.16 if run else 0.0), (0.10, 0.0)):
        f.stroke([(x, 0.2), (x - toe, 0.04), (x + 0.12 - toe, 0.03)], 0.055, orange)
    f.blob([(-0.62, 0.56), (-0.40, 0.50), (0.0, 0.52), (0.34, 0.50), (0.36, 0.26), (0.10, 0.14), (-0.30, 0.16)], coat)
    f.stroke([(0.22, 0.46), (0.26, 0.70)], 0.2, coat)
    f.oval(0.28, 0.80, 0.2, 0.19, coat)
    f.blob([(0.42, 0.84), (0.56, 0.80), (0.68, 0.74), (0.56, 0.70), (0.42, 0.72)], orange)
    f.blob([(-0.40, 0.42), (-0.10, 0.44), (0.12, 0.36), (-0.02, 0.24), (-0.26, 0.24)], shade(coat, 0.84), detail=True)
    return f.eye(0.34, 0.86, 0.036)


def bird(coat: Colour = COLOURS["blue"]) -> Figure:
    """Flying, wings up."""
    f = Figure()
    f.polygon([(-0.36, 0.34), (-0.80, 0.46), (-0.72, 0.28), (-0.82, 0.14), (-0.34, 0.22)], shade(coat, 0.8))
    f.blob([(0.08, 0.36), (-0.06, 0.62), (-0.22, 0.92), (0.06, 0.86), (0.26, 0.62), (0.30, 0.38)], shade(coat, 0.74))
    f.blob([(-0.44, 0.28), (-0.10, 0.44), (0.26, 0.42), (0.36, 0.28), (0.16, 0.10), (-0.16, 0.10)], coat)
    f.oval(0.36, 0.42, 0.18, 0.17, coat)
    f.polygon([(0.50, 0.48), (0.74, 0.40), (0.50, 0.34)], COLOURS["orange"])
    f.blob([(-0.16, 0.18), (0.06, 0.12), (0.24, 0.20), (0.30, 0.28), (0.08, 0.24)], shade(coat, 1.6), detail=True)
    f.blob([(-0.14, 0.32), (-0.34, 0.60), (-0.62, 0.82), (-0.26, 0.84), (0.02, 0.62), (0.16, 0.34)], shade(coat, 0.88))
    return f.eye(0.41, 0.46, 0.035)


def fish(coat: Colour = COLOURS["orange"]) -> Figure:
    f = Figure()
    dark = shade(coat, 0.8)
    f.blob([(-0.34, 0.34), (-0.72, 0.60), (-0.64, 0.34), (-0.72, 0.08)], dark)
    f.blob([(-0.14, 0.54), (-0.02, 0.76), (0.22, 0.72), (0.26, 0.54)], dark)
    f.blob([(-0.08, 0.16), (-0.10, -0.02), (0.12, 0.04), (0.14, 0.16)], dark)
    f.blob([(-0.46, 0.34), (-0.12, 0.58), (0.28, 0.58), (0.56, 0.38), (0.54, 0.28), (0.24, 0.10), (-0.12, 0.10)], coat)
    for x in (-0.16, 0.04):
        f.stroke([(x, 0.54), (x + 0.07, 0.34), (x, 0.14)], 0.06, shade(coat, 1.6), detail=True)
    f.stroke([(0.20, 0.42), (0.13, 0.34), (0.20, 0.26)], 0.03, dark, detail=True)
    f.oval(0.36, 0.42, 0.065, 0.07, (255, 255, 255), detail=True)
    f.oval(0.375, 0.42, 0.034, 0.04, INK, detail=True)
    return f.stroke([(0.44, 0.26), (0.50, 0.28), (0.55, 0.32)], 0.02, INK, detail=True)


def person(
    kind: str, coat: Colour = COLOURS["blue"], hat: Colour | None = None, hair: Colour = (96, 62, 44), run: bool = False
) -> Figure:
    """`kind`: man, woman, boy or girl; women and girls wear dresses; seen from the front."""
    f = Figure()
    dress, child = kind in ("woman", "girl"), kind in ("boy", "girl")
    trousers = SKIN if dress else (74, 82, 110)
    step = 0.1 if run else 0.0
    for side in (-1, 1):
        foot = (side * (0.09 + step), 0.05)
        f.stroke([(side * 0.08, 0.5), foot], 0.11, trousers)
        f.stroke([(foot[0] - 0.01, 0.035), (foot[0] + 0.06, 0.035)], 0.07, INK)
    for side in (-1, 1):
        hand: Point = (side * 0.33, 0.64)
        f.stroke([(side * 0.14, 0.92), (side * 0.25, 0.80), hand], 0.09, shade(coat, 0.86))
        f.oval(*hand, 0.055, 0.055, SKIN)
    if dress:
        if kind == "woman":
            f.blob([(-0.22, 1.24), (0.0, 1.42), (0.22, 1.24), (0.24, 0.96), (0.0, 0.90), (-0.24, 0.96)], hair)
        else:
            f.oval(-0.25, 1.14, 0.08, 0.13, hair, turn=-20).oval(0.25, 1.14, 0.08, 0.13, hair, turn=20)
        f.blob(
            [
                (-0.16, 0.96),
                (0.0, 1.0),
                (0.16, 0.96),
                (0.18, 0.76),
                (0.31, 0.38),
                (0.0, 0.33),
                (-0.31, 0.38),
                (-0.18, 0.76),
            ],
            coat,
        )
    else:
        f.blob(
            [
                (-0.17, 0.95),
                (0.0, 1.0),
                (0.17, 0.95),
                (0.2, 0.7),
                (0.19, 0.44),
                (0.0, 0.42),
                (-0.19, 0.44),
                (-0.2, 0.7),
            ],
            coat,
        )
        f.stroke([(0.0, 0.94), (0.0, 0.47)], 0.018, shade(coat, 0.7), detail=True)
    f.oval(0, 1.18, 0.19 + 0.02 * child, 0.2, SKIN)
    f.blob([(-0.21, 1.18), (-0.19, 1.36), (0.0, 1.43), (0.19, 1.36), (0.21, 1.18), (0.12, 1.28), (-0.10, 1.29)], hair)
    if hat:
        f.blob([(-0.20, 1.34), (-0.17, 1.52), (0.0, 1.58), (0.17, 1.52), (0.20, 1.34)], hat)
        f.stroke([(-0.28, 1.34), (0.0, 1.31), (0.28, 1.34)], 0.07, shade(hat, 0.84))
    for side in (-1, 1):
        f.oval(side * 0.075, 1.18, 0.022, 0.03, INK, detail=True)
        f.oval(side * 0.125, 1.11, 0.035, 0.025, (238, 150, 130), detail=True)
    if kind == "man":
        f.stroke([(-0.08, 1.10), (0.0, 1.125), (0.08, 1.10)], 0.035, hair, detail=True)
    return f.stroke([(-0.06, 1.075), (0.0, 1.05), (0.06, 1.075)], 0.018, (170, 70, 66), detail=True)
