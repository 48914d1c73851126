"""Figures made of smooth shapes, and the picture that they are put into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

INK: Colour = (58, 46, 56)
COLOURS: dict[str, Colour] = {
    "red": (213, 66, 62),
    "blue": (62, 112, 184),
    "yellow": (245, 200, 72),
    "green": (84, 152, 88),
    "orange": (236, 138, 58),
    "purple": (140, 96, 168),
    "pink": (240, 146, 168),
    "white": (248, 246, 240),
    "black": (62, 58, 66),
    "brown": (150, 100, 62),
    "grey": (150, 152, 160),
}
OUTLINE = 0.0058  # half the width of a contour, in parts of the picture
SUPERSAMPLING = 3


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, mixed with white above 1."""
    if factor <= 1:
        return tuple(round(c * factor) for c in colour)  # type: ignore[return-value]
    return tuple(round(c + (255 - c) * (factor - 1)) for c in colour)  # type: ignore[return-value]


def smooth(points: Sequence[Point], closed: bool, steps: int = 8) -> list[Point]:
    """A Catmull-Rom curve through `points`."""
    n = len(points)
    if n < 3:
        return list(points)
    curve: list[Point] = []
    for i in range(n if closed else n - 1):
        p0, p1, p2, p3 = (points[(i + j) % n] if closed else points[min(max(i + j, 0), n - 1)] for j in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            x, y = (
                0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t * t * t)
                for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
            )
            curve.append((x, y))
    return curve if closed else [*curve, points[-1]]


@dataclass(frozen=True)
class Shape:
    points: list[Point]
    colour: Colour
    width: float
    """0: filled"""
    detail: bool
    """drawn inside the figure, without a contour"""


class Figure:
    """Shapes in a frame of their own: the origin is on the ground, x goes right, y goes up.

    Shapes without `detail` make the silhouette, which gets one contour around all of them.
    """

    def __init__(self) -> None:
        self.shapes: list[Shape] = []

    def polygon(self, points: Sequence[Point], colour: Colour, detail: bool = False) -> Figure:
        self.shapes.append(Shape(list(points), colour, 0, detail))
        return self

    def blob(self, points: Sequence[Point], colour: Colour, detail: bool = False) -> Figure:
        return self.polygon(smooth(points, closed=True), colour, detail)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, turn: float = 0, detail: bool = False
    ) -> Figure:
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        points = []
        for i in range(40):
            u, v = rx * math.cos(i * math.pi / 20), ry * math.sin(i * math.pi / 20)
            points.append((x + u * c - v * s, y + u * s + v * c))
        return self.polygon(points, colour, detail)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour, detail: bool = False) -> Figure:
        self.shapes.append(Shape(smooth(points, closed=False), colour, width, detail))
        return self

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour, detail: bool = False) -> Figure:
        return self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour, detail)

    def eye(self, x: float, y: float, r: float = 0.035) -> Figure:
        self.oval(x, y, r, r * 1.15, INK, detail=True)
        return self.oval(x + r * 0.3, y + r * 0.4, r * 0.35, r * 0.35, (255, 255, 255), detail=True)

    def add(self, other: Figure, x: float = 0, y: float = 0, size: float = 1) -> Figure:
        for shape in other.shapes:
            moved = [(x + px * size, y + py * size) for px, py in shape.points]
            self.shapes.append(Shape(moved, shape.colour, shape.width * size, shape.detail))
        return self

    def bounds(self) -> tuple[float, float, float, float]:
        """left, bottom, right, top"""
        xs = [x + e for s in self.shapes for x, _ in s.points for e in (-s.width / 2, s.width / 2)]
        ys = [y + e for s in self.shapes for _, y in s.points for e in (-s.width / 2, s.width / 2)]
        return min(xs), min(ys), max(xs), max(ys)


class Picture:
    """A square picture; coordinates are parts of its side, y goes down."""

    def __init__(self, size: int) -> None:
        self.side = size * SUPERSAMPLING
        self.image = Image.new("RGB", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def gradient(self, top: Colour, bottom: Colour, y0: float = 0, y1: float = 1) -> None:
        first, last = round(y0 * self.side), round(y1 * self.side)
        column = Image.new("RGB", (1, max(last - first, 1)))
        for row in range(column.height):
            t = row / column.height
            column.putpixel((0, row), tuple(round(a + (b - a) * t) for a, b in zip(top, bottom, strict=True)))
        self.image.paste(column.resize((self.side, column.height)), (0, first))

    def area(self, points: Sequence[Point], colour: Colour, alpha: int = 255) -> None:
        self.draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=(*colour, alpha))

    def hill(self, heights: Sequence[float], colour: Colour, bottom: float = 1.0) -> None:
        """Land below a smooth line through `heights`, spread evenly from left to right."""
        line = smooth([(i / (len(heights) - 1), y) for i, y in enumerate(heights)], closed=False)
        self.area([*line, (1, bottom), (0, bottom)], colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: int = 255) -> None:
        k = self.side
        self.draw.ellipse([(x - rx) * k, (y - ry) * k, (x + rx) * k, (y + ry) * k], fill=(*colour, alpha))

    def line(self, points: Sequence[Point], width: float, colour: Colour, alpha: int = 255) -> None:
        scaled = [(x * self.side, y * self.side) for x, y in smooth(points, closed=False)]
        self.draw.line(scaled, fill=(*colour, alpha), width=max(1, round(width * self.side)), joint="curve")

    def put(
        self, figure: Figure, x: float, y: float, width: float, height: float, flip: bool = False, shadow: bool = True
    ) -> float:
        """Stand `figure` on the point x, y, as large as width and height allow; returns how tall it became."""
        left, bottom, right, top = figure.bounds()
        scale = min(width / (right - left), height / (top - bottom))
        if shadow:
            self.oval(x, y - 0.004, (right - left) * scale * 0.47, 0.016, (30, 30, 50), 60)
        middle, direction = (left + right) / 2, -1 if flip else 1

        def at(points: list[Point]) -> list[Point]:
            return [
                ((x + direction * (px - middle) * scale) * self.side, (y - (py - bottom) * scale) * self.side)
                for px, py in points
            ]

        rim = OUTLINE * self.side
        for shape in figure.shapes:
            if not shape.detail:
                self._ink(at(shape.points), shape.width * scale * self.side, rim)
        for shape in figure.shapes:
            points = at(shape.points)
            if shape.width:
                self._stroke(points, shape.width * scale * self.side, shape.colour)
            else:
                self.draw.polygon(points, fill=shape.colour)
        return (top - bottom) * scale

    def _ink(self, points: list[Point], width: float, rim: float) -> None:
        if width:
            self._stroke(points, width + 2 * rim, INK)
        else:
            self._stroke([*points, points[0]], 2 * rim, INK)
            self.draw.polygon(points, fill=INK)

    def _stroke(self, points: list[Point], width: float, colour: Colour) -> None:
        self.draw.line(points, fill=colour, width=max(1, round(width)), joint="curve")
        r = max(width, 1) / 2
        for x, y in (points[0], points[-1]):
            self.draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)

    def finish(self) -> Image.Image:
        return self.image.reduce(SUPERSAMPLING)
