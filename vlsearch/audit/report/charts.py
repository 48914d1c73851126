"""The figures of a report as SVG: text stays text, colours are the page's own, in light and in dark.

matplotlib draws them with its objects only, so no global state is touched, and the same figures give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that nothing else in the drawing has, each of which becomes one of the page's.
INK, QUIET, LINE, ACCENT, OTHER, PAGE = (f"#01020{n}" for n in range(6))
PAGE_COLOURS = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    OTHER: "var(--other)",
    PAGE: "var(--page)",
}
WIDTH = 4.6
"""inches, at 72 points each: close to the width of a phone, so that text keeps its size there"""
ROW = 0.3
SIZE = 11
"""of text, in points"""


@dataclass(frozen=True)
class Mark:
    """One line of a forest plot: a figure in percent or points with its interval."""

    label: str
    value: float
    low: float
    high: float
    sure: bool = False
    """the interval leaves out what it is compared with: drawn full, else hollow"""
    quiet: bool = False
    """a control"""
    ticks: tuple[tuple[str, float], ...] = ()
    """other figures to see it beside: ("|" chance, "x" blind, …), by matplotlib's markers"""


def forest(marks: Sequence[Mark], axis: str, limits: tuple[float, float], *, zero: bool = False) -> str:
    """Figures with their intervals, one below the other, as an SVG element: `axis` says what the figures are, from and
    to where it goes, and with `zero` it has a line to compare with."""
    figure, axes = _figure(WIDTH, 0.55 + ROW * len(marks))
    if zero:
        axes.axvline(0, color=QUIET, linewidth=1)
    for y, mark in enumerate(marks):
        colour = QUIET if mark.quiet else ACCENT
        axes.plot([mark.low, mark.high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        for marker, value in mark.ticks:
            axes.plot(value, y, marker, color=OTHER, markersize=12 if marker == "|" else 7, markeredgewidth=1.5)
        inside = colour if mark.sure else PAGE
        axes.plot(mark.value, y, "o", color=inside, markersize=7, markeredgecolor=colour, markeredgewidth=1.5, zorder=3)
    axes.set_yticks(range(len(marks)), [mark.label for mark in marks])
    for tick, mark in zip(axes.get_yticklabels(), marks, strict=True):
        tick.set_color(QUIET if mark.quiet else INK)
    axes.set_ylim(len(marks) - 0.5, -0.5)
    axes.set_xlim(limits)
    axes.set_xlabel(axis, color=QUIET, size=SIZE)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    return _svg(figure, axis)


def rank_density(clean: NDArray[np.int32], perturbed: NDArray[np.int32], gallery: int) -> str:
    """How many queries went from which rank (across) to which (up), in cells of an octave each (1, 2, 3-4, 5-8, …), as
    an SVG element; however many queries there are, it stays small.

    clean, perturbed: (n,) ranks from 1; gallery: the largest rank there can be.
    """
    from matplotlib.patches import Rectangle

    octaves = int(_octave(np.array([max(gallery, 2)]))[0]) + 1
    counts = np.zeros((octaves, octaves), np.int64)
    np.add.at(counts, (_octave(clean), _octave(perturbed)), 1)
    figure, axes = _figure(2.4, 2.4)
    figure.set_layout_engine("none")  # all alike, however long their numbers are
    axes.set_position((0.19, 0.11, 0.8, 0.88))
    most = np.log1p(counts.max())
    for x, y in np.argwhere(counts):
        strength = 0.08 + 0.92 * float(np.log1p(counts[x, y]) / most)
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=ACCENT, alpha=round(strength, 2), linewidth=0))
    axes.plot([0, octaves], [0, octaves], color=QUIET, linewidth=0.8, dashes=(3, 3))
    named = range(0, octaves, -(-octaves // 4))
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks([octave + 0.5 for octave in named], [f"{2**octave:,}" for octave in named])
    axes.set_xlim(0, octaves)
    axes.set_ylim(0, octaves)
    return _svg(figure, "ranks as written and perturbed")


def _octave(rank: NDArray[np.int32]) -> NDArray[np.int64]:
    """0 for rank 1, 1 for 2, 2 for 3 and 4, 3 for 5 to 8, …"""
    return np.ceil(np.log2(rank)).astype(np.int64)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(length=0, labelsize=SIZE, labelcolor=QUIET)
    return figure, axes


def _svg(figure: Figure, label: str) -> str:
    import matplotlib

    drawn = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vlsearch"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    # Size and font come from the page, a style sheet in the figure would hold for all of it, and names that nothing
    # refers to would stand on it several times.
    svg = re.sub(r' (width|height)="[\d.]+pt"| font-family: [^;]*;| transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", svg)
    for colour, name in PAGE_COLOURS.items():
        svg = svg.replace(colour, name)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
