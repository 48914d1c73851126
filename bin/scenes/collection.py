"""The collection that bin/make-scenes draws: pairs whose captions differ in order only, and scenes alone."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from . import rows
from .canvas import Picture
from .nouns import an, plural
from .paint import (
    paint_above,
    paint_alone,
    paint_behind,
    paint_beside,
    paint_coloured,
    paint_counts,
    paint_dressed,
    paint_group,
    paint_nothing,
    paint_sizes,
    paint_stacked,
    paint_under_table,
    paint_weather,
)
from .places import PLACES, Place

Paint = Callable[[Picture, Place], None]


class Scene(NamedTuple):
    caption: str
    place: str
    paint: Paint
    """puts the figures before the painted place"""
    background: str
    """seeds the background; the two pictures of a pair have the same"""


Pair = tuple[Scene, Scene]


def cells(table: str) -> Iterator[list[str]]:
    for row in table.strip().splitlines():
        yield [cell.strip() for cell in row.split("/")]


def swapped(
    place: str, template: str, a: str, b: str, paint: Callable[..., None], word: Callable[[str], str] = an
) -> Pair:
    """The scene of a and b, and the one where the two have changed places in picture and caption."""
    background = f"{template} {a} {b} {place}"
    return (
        Scene(template.format(word(a), word(b)), place, partial(paint, a, b), background),
        Scene(template.format(word(b), word(a)), place, partial(paint, b, a), background),
    )


def pairs() -> Iterator[Pair]:
    for i, (a, b, place) in enumerate(cells(rows.BESIDE)):
        side = ("left", "right")[i % 2]
        yield swapped(place, f"{{}} {side} of {{}}", a, b, partial(paint_beside, mirror=side == "right"))
    for a, b, c1, c2, place in cells(rows.COLOURED):
        yield swapped(place, f"{{}} {a} and {{}} {b}", c1, c2, partial(paint_coloured, a, b))
    for a, b, place in cells(rows.ABOVE):
        yield swapped(place, "{} above {}", a, b, paint_above)
    for a, b, place in cells(rows.STACKED):
        yield swapped(place, "{} on {}", a, b, paint_stacked)
    for a, b, place in cells(rows.UNDER_TABLE):
        yield swapped(place, "{} on the table and {} under the table", a, b, paint_under_table)
    for i, (a, verb, b, place) in enumerate(cells(rows.CHASING)):
        paint = partial(paint_beside, mirror=i % 2 == 1, look_left=i % 2 == 1, run=verb == "chasing")
        yield swapped(place, f"{{}} {verb} {{}}", a, b, paint)
    for a, b, place in cells(rows.SIZES):
        yield swapped(place, f"a {{}} {a} and a {{}} {b}", "big", "small", partial(paint_sizes, a, b), word=str)
    for a, b, place in cells(rows.BEHIND):
        yield swapped(place, "{} behind {}", a, b, paint_behind)
    for a, b, n1, n2, place in cells(rows.COUNTS):
        template = f"{{}} {plural(a)} and {{}} {plural(b)}"
        yield swapped(place, template, n1, n2, partial(paint_counts, a, b), word=str)
    for who, upper, lower, c1, c2, place in cells(rows.WEARING):
        yield swapped(place, f"a {who} with {{}} {upper} and {{}} {lower}", c1, c2, partial(paint_dressed, who, upper))


def singles() -> Iterator[Scene]:
    for place, subjects in rows.ALONE.items():
        for words in subjects.split(", "):
            caption = f"{an(words)} {PLACES[place].phrase}"
            yield Scene(caption, place, partial(paint_alone, words), caption)
    for place, caption in rows.EMPTY.items():
        yield Scene(caption, place, paint_nothing, caption)
    for words, weather, place in cells(rows.WEATHER):
        caption = f"{an(words)} in the rain" if weather == "rain" else f"a rainbow over {an(words)}"
        yield Scene(caption, place, partial(paint_weather, words, weather), caption)
    for words, caption, place in cells(rows.MANY):
        yield Scene(caption, place, partial(paint_group, words, 5, 0.5), caption)


def bag(caption: str) -> tuple[str, ...]:
    return tuple(sorted(caption.split()))


def collection() -> tuple[list[Pair], list[Scene]]:
    """All pairs and all single scenes; refuses rows that break what the collection promises."""
    together, alone = list(pairs()), list(singles())
    bags = Counter(bag(scene.caption) for scene in [scene for pair in together for scene in pair] + alone)
    for one, other in together:
        if one.caption == other.caption or bag(one.caption) != bag(other.caption) or bags[bag(one.caption)] != 2:
            raise ValueError(f"not a pair of its own: {one.caption!r}, {other.caption!r}")
    for scene in alone:
        if bags[bag(scene.caption)] != 1:
            raise ValueError(f"another caption has the words of {scene.caption!r}")
    return together, alone


def draw(scene: Scene, size: int, path: Path) -> None:
    picture, place = Picture(size), PLACES[scene.place]
    place.paint(picture, random.Random(scene.background))
    scene.paint(picture, place)
    picture.finish().save(path, format="PNG")


def describe(scenes: Sequence[Scene], names: Sequence[str], pairs: int, size: int, directory: Path) -> None:
    """Write captions.json, COCO's format: the first scenes are pairs, one after the other."""
    images, annotations = [], []
    for i, (scene, name) in enumerate(zip(scenes, names, strict=True), start=1):
        images.append({"id": i, "file_name": name, "width": size, "height": size})
        annotations.append({"id": i, "image_id": i, "caption": scene.caption})
    pair_ids = [[2 * i + 1, 2 * i + 2] for i in range(pairs)]
    known = {"images": images, "annotations": annotations, "pairs": pair_ids}
    (directory / "captions.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
