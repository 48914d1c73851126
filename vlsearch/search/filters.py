"""Which photos may be answers at all: by place, time, camera, tags and the like, before any vector is compared."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from vlsearch.catalog import conditions
from vlsearch.catalog.conditions import Sql
from vlsearch.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.catalog.conditions import Column
    from vlsearch.catalog.reader import Reader
    from vlsearch.search.expression import Expression

EARTH = 6371.0088
"""mean radius in km (IUGG)"""
KILOMETRES = {"m": 0.001, "km": 1.0, "mi": 1.609344}
CONTAINERS = (".tar", ".parquet", ".pq")
"""files that photos lie in, behind a "#" (ingest.sources)"""
ALIASES = {"JPG": "JPEG", "HEIC": "HEIF", "TIF": "TIFF", "JP2": "JPEG2000"}
FIRST, LAST = "", "~"
"""before and after every time as the catalog has it"""
CHUNK = 500

Several: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

_MOMENT = r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d))?)?)?)?)?"
_NEAR = r"\s*([-+.\d]+)\s*,\s*([-+.\d]+)\s*,\s*([.\d]+)\s*([A-Za-z]+)\s*"


class Near(NamedTuple):
    """A circle on the earth."""

    lat: float
    """degrees north"""
    lon: float
    """degrees east"""
    radius: float
    """km"""


@dataclass(frozen=True)
class Filters:
    """A photo is shown when it meets every condition; one that is empty or None asks for nothing.

    Conditions on the path (`under`, `not_path`, path and size in `where`) are met where one present file of the photo
    meets them all. UsageError for conditions that no photo can meet.
    """

    under: tuple[str, ...] = ()
    """absolute paths of folders and containers, any of them"""
    not_path: tuple[str, ...] = ()
    """globs (fnmatch; `*` also matches slashes) on the whole path or on a folder above it, none of them"""
    taken: tuple[str, str] | None = None
    """local time, ISO 8601: from the first to before the second"""
    camera: tuple[str, ...] = ()
    """parts of its name, any of them; the case of A to Z does not count"""
    near: Near | None = None
    tags: tuple[str, ...] = ()
    """all of them"""
    has_caption: bool | None = None
    """keywords are no caption"""
    formats: tuple[str, ...] = ()
    """Pillow's names (JPEG, HEIF), any of them"""
    where: Expression | None = None

    def __post_init__(self) -> None:
        if self.taken is not None and self.taken[0] >= self.taken[1]:
            raise UsageError(f"--taken ends ({self.taken[1]}) before it begins ({self.taken[0]})")
        for folder in self.under:
            if any(_leaves_out_all(glob, folder) for glob in self.not_path):
                raise UsageError(f"--not-path leaves out all that is --under {folder!r}; drop one of the two")

    @classmethod
    def of(
        cls,
        *,
        under: Several = (),
        not_path: Several = (),
        taken: str | None = None,
        camera: Several = (),
        near: str | None = None,
        tag: Several = (),
        has_caption: bool | None = None,
        format: Several = (),
        where: str | None = None,
    ) -> Filters:
        """Filters from what a user wrote: "2021-06..2021-08", "52.5,13.4,5km", "heic", "width > height", relative
        folders; where several will do, one alone or any number. UsageError for what cannot be read."""
        expression = None
        if where is not None:
            from vlsearch.search.where import parse

            expression = parse(where)
        return cls(
            under=tuple(map(os.path.abspath, _given("--under", under))),
            not_path=_given("--not-path", not_path),
            taken=None if taken is None else interval(taken),
            camera=_given("--camera", camera),
            near=None if near is None else circle(near),
            tags=_given("--tag", tag),
            has_caption=has_caption,
            formats=tuple(map(format_named, _given("--format", format))),
            where=expression,
        )

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != Filters()

    def content_ids(self, reader: Reader) -> NDArray[np.int64]:
        """Ids (n,) of the photos that meet the conditions, ascending, distinct."""
        excluded = _matcher(self.not_path)
        by_path = not (self.under and conditions.is_broad(reader, self._places()))
        columns: list[Column] = ["lat", "lon"] if self.near else []
        if excluded:
            columns.append("path")
        statement = conditions.files(self._conditions(), columns, by_path)
        if not columns:
            return np.unique(reader.numbers(*statement))
        rows: Iterable[tuple[float, ...]] = reader.rows(*statement)
        if excluded:
            rows = (row[:-1] for row in rows if not excluded(os.fsdecode(row[-1])))  # type: ignore[arg-type]
        if self.near is None:
            return np.unique(np.fromiter(chain.from_iterable(rows), np.int64))
        found = np.fromiter(rows, [("id", np.int64), ("lat", np.float64), ("lon", np.float64)])
        return np.unique(
            found["id"][distance(self.near.lat, self.near.lon, found["lat"], found["lon"]) <= self.near.radius]
        )

    def paths(self, reader: Reader, content_ids: Sequence[int]) -> dict[int, str]:
        """content id -> the first of its paths that meet the conditions, for ids that `content_ids` gave."""
        excluded = _matcher(self.not_path) or (lambda _path: False)
        first: dict[int, bytes] = {}
        for start in range(0, len(content_ids), CHUNK):
            asked = conditions.in_contents(content_ids[start : start + CHUNK])
            for content_id, path in reader.rows(*conditions.files([asked, *self._conditions()], ("path",))):
                if (content_id not in first or path < first[content_id]) and not excluded(os.fsdecode(path)):
                    first[content_id] = path
        return {content_id: os.fsdecode(path) for content_id, path in first.items()}

    def _places(self) -> list[Sql]:
        return [
            place for folder in self.under for place in conditions.lies_in(folder, folder.lower().endswith(CONTAINERS))
        ]

    def _conditions(self) -> list[Sql]:
        found = [conditions.either(self._places())] if self.under else []
        if self.taken is not None:
            found.append(conditions.between(conditions.field("taken"), *self.taken))
        if self.camera:
            field = conditions.field("camera")
            found.append(conditions.either([conditions.contains(field, conditions.words(c)) for c in self.camera]))
        if self.near is not None:
            found.append(conditions.box(*box(self.near)))
        found += [conditions.tagged(name) for name in self.tags]
        if self.has_caption is not None:
            found.append(conditions.captioned(self.has_caption))
        if self.formats:
            found.append(conditions.among(conditions.field("format"), [conditions.words(f) for f in self.formats]))
        if self.where is not None:
            from vlsearch.search.expression import compiled

            found.append(compiled(self.where))
        return found


def interval(text: str) -> tuple[str, str]:
    """A year, month, day, hour, minute or second, or two of them with ".." between, both included, one of them left
    out or not: local times from the first to before the second, as ISO 8601. UsageError where there is no such date."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    if not first and not last:
        raise UsageError(f"--taken {text!r} names no date; write 2021, 2021-06, 2021-06-15 or 2021-06..2021-08")
    start = _moment(first)[0] if first else FIRST
    end = (_moment(last)[1] if last else LAST) if dots else _moment(first)[1]
    if start >= end:
        raise UsageError(f"--taken {text!r} ends before it begins; the earlier date comes first")
    return start, end


def _moment(text: str) -> tuple[str, str]:
    """When it begins and when it is over."""
    match = re.fullmatch(_MOMENT, text, re.ASCII)
    if match is None:
        raise UsageError(f"{text!r} is no date; write 2021, 2021-06, 2021-06-15, 2021-06-15T18:00 or 2021-06..2021-08")
    year, month, day, hour, minute, second = (None if part is None else int(part) for part in match.groups())
    try:
        start = datetime(
            year or 0, 1 if month is None else month, 1 if day is None else day, hour or 0, minute or 0, second or 0
        )
    except ValueError as error:
        raise UsageError(f"there is no date {text!r}: {error}") from None
    try:
        return start.isoformat(), _after(start, sum(part is not None for part in match.groups())).isoformat()
    except (OverflowError, ValueError):
        return start.isoformat(), LAST


def _after(start: datetime, parts: int) -> datetime:
    """The next year (1 part is known), month, day, hour, minute or second."""
    if parts == 1:
        return start.replace(year=start.year + 1)
    if parts == 2:
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(**{("days", "hours", "minutes", "seconds")[parts - 3]: 1})


def circle(text: str) -> Near:
    """LAT,LON,RADIUS in degrees and km, m or mi, as in "52.5,13.4,5km". UsageError for what is none."""
    match = re.fullmatch(_NEAR, text, re.ASCII)
    try:
        if match is None:
            raise ValueError
        lat, lon, radius = float(match[1]), float(match[2]), float(match[3]) * KILOMETRES[match[4].lower()]
    except (ValueError, KeyError):
        raise UsageError(f"--near {text!r}: write LAT,LON,RADIUS with km, m or mi, as in 52.5,13.4,5km") from None
    if abs(lat) > 90 or abs(lon) > 180:
        raise UsageError(f"--near {text!r}: a latitude is -90 to 90 and a longitude -180 to 180; latitude comes first")
    if radius <= 0:
        raise UsageError(f"--near {text!r}: the radius must be above 0")
    return Near(lat, lon, radius)


def distance(lat: float, lon: float, lats: NDArray[np.float64], lons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Great-circle distances (n,) in km from one place to n others, in degrees (haversine formula)."""
    y, ys = math.radians(lat), np.radians(lats)
    a = np.sin((ys - y) / 2) ** 2 + math.cos(y) * np.cos(ys) * np.sin(np.radians(lons - lon) / 2) ** 2
    return np.asarray(2 * EARTH * np.arcsin(np.sqrt(np.minimum(a, 1))))


def box(near: Near) -> tuple[float, float, float, float]:
    """South, north, west, east of all within the circle, in degrees; west lies east of east over the date line.

    A circle's easternmost point: sin(longitude) = sin(radius / EARTH) / cos(latitude).
    """
    angle = near.radius / EARTH * (1 + 1e-9) + 1e-9
    south, north = near.lat - math.degrees(angle), near.lat + math.degrees(angle)
    if south <= -90 or north >= 90:
        return max(south, -90.0), min(north, 90.0), -180.0, 180.0
    half = math.degrees(math.asin(min(math.sin(angle) / math.cos(math.radians(near.lat)), 1.0))) + 1e-9
    west, east = near.lon - half, near.lon + half
    return south, north, west + 360 if west < -180 else west, east - 360 if east > 180 else east


def format_named(text: str) -> str:
    """Pillow's name, as the catalog has it, of a format: "heic" -> "HEIF". UsageError for one that is not read."""
    from vlsearch.ingest.formats import FORMATS

    name = ALIASES.get(text.strip().upper(), text.strip().upper())
    known = (*FORMATS, "RAW")
    if name in known:
        return name
    from difflib import get_close_matches

    close = get_close_matches(name, [*known, *ALIASES], n=1)
    hint = (
        f"did you mean {close[0].lower()}?" if close else f"there are {', '.join(known[:10]).lower()}, raw and others"
    )
    raise UsageError(f"there is no format {text!r}; {hint}")


def _given(option: str, values: Several) -> tuple[str, ...]:
    several = (values,) if isinstance(values, (str, os.PathLike)) else values
    texts = tuple(os.fspath(value) for value in several)
    if not all(text.strip() for text in texts):
        raise UsageError(f"{option} is empty; leave it out or say what")
    return texts


def _matcher(globs: Sequence[str]) -> Callable[[str], object] | None:
    """Whether a path, or a folder or container that it lies in, matches one of the globs; None without globs."""
    if not globs:
        return None
    import fnmatch

    inside = "".join(f"(?<={re.escape(suffix)})|" for suffix in CONTAINERS).rstrip("|")
    below = rf"(?:/.*|(?:{inside})#.*)?\Z"
    wholes = (fnmatch.translate(glob.rstrip("/") or glob) for glob in globs)
    return re.compile("|".join(f"(?s:{whole[:-2]}{below})" for whole in wholes)).match


def _leaves_out_all(glob: str, folder: str) -> bool:
    """Whether the glob matches every path in the folder, not only some."""
    matches = _matcher([glob])
    assert matches is not None
    return bool(matches(folder) or (glob.endswith("*") and matches(folder.rstrip("/") + "/")))
