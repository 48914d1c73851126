"""Filters: each against what it should keep, all of them together against a filter in Python, and what they refuse."""

from __future__ import annotations

import doctest
import math
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.search.catalog_rows import Photo, catalog
from vlsearch.catalog import conditions
from vlsearch.catalog.reader import Reader
from vlsearch.errors import UsageError
from vlsearch.ingest import sources
from vlsearch.search import filters
from vlsearch.search.filters import EARTH, LAST, Filters, Near, circle, distance, format_named, interval

BERLIN = (52.5200, 13.4050)
PHOTOS = [
    Photo(("/p/a/1.jpg", "/q/copy.jpg"), taken_at="2021-06-15T18:00:00", camera="Canon EOS R5", lat=52.52, lon=13.405,
          captions=("a dog",), tags=("dog", "beach")),
    Photo(("/p/a/2.heic",), format="HEIF", taken_at="2021-08-31T23:59:59+02:00", camera="Apple iPhone 14",
          tags=("dog",)),
    Photo(("/p/a b/3.png",), format="PNG", taken_at="2021-09-01T00:00:00", lat=52.39, lon=13.06, keywords="dog, cat"),
    Photo(("/p/a/thumbs/4.jpg",), missing=("/p/a/4.jpg",), captions=("x", "y"), keywords="z"),
    Photo((), missing=("/p/a/5.jpg",), taken_at="2021-06-15T18:00:00", captions=("gone",)),
    Photo(("/data/shard.tar#a/6.jpg",), taken_at="2020-12-31T23:59:59", lat=-17.0, lon=179.9),
    Photo(("/data/shard.tar2/7.jpg",), taken_at="2021-01-01T00:00:00", lat=-17.0, lon=-179.9),
    Photo(("/p/\udcffß/8.jpg",), format="RAW", lat=89.99, lon=170.0, camera="NIKON D850"),
    Photo(("/p/a.jpg", "/p/a0.jpg"), width=0, height=0, format="", lat=89.99, lon=-10.0),
]  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = catalog(tmp_path_factory.mktemp("filters") / "catalog.sqlite", PHOTOS)
    yield reader
    reader.close()


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, [1, 2, 3, 4, 6, 7, 8, 9]),
        ({"under": "/p/a"}, [1, 2, 4]),
        ({"under": "/p/a/"}, [1, 2, 4]),
        ({"under": ["/p/a b", "/q"]}, [1, 3]),
        ({"under": "/p/a.jpg"}, [9]),
        ({"under": "/"}, [1, 2, 3, 4, 6, 7, 8, 9]),
        ({"under": "/p/\udcffß"}, [8]),
        ({"under": "/nowhere"}, []),
        ({"under": "/data/shard.tar"}, [6]),
        ({"under": "/data/shard.tar#a"}, [6]),
        ({"under": "/data"}, [6, 7]),
        ({"not_path": "*/thumbs/*"}, [1, 2, 3, 6, 7, 8, 9]),
        ({"not_path": "*/thumbs"}, [1, 2, 3, 6, 7, 8, 9]),
        ({"not_path": "/p"}, [1, 6, 7]),
        ({"not_path": ["/p/", "/q"]}, [6, 7]),
        ({"not_path": "/p/?ß/*"}, [1, 2, 3, 4, 6, 7, 9]),
        ({"not_path": "/p/*/[12].*"}, [1, 3, 4, 6, 7, 8, 9]),
        ({"not_path": "/p/a/[!1]*"}, [1, 3, 6, 7, 8, 9]),
        ({"not_path": "*.tar"}, [1, 2, 3, 4, 7, 8, 9]),
        ({"not_path": "[", "under": "/p/a"}, [1, 2, 4]),
        ({"under": "/p", "not_path": "/p/a"}, [3, 8, 9]),
        ({"taken": "2021"}, [1, 2, 3, 7]),
        ({"taken": "2021-06..2021-08"}, [1, 2]),
        ({"taken": "2021-06-15T18:00..2021-06-15T18:00"}, [1]),
        ({"taken": "2021-06-15T18:01.."}, [2, 3]),
        ({"taken": "..2020"}, [6]),
        ({"taken": "2021-08-31T23:59:59"}, [2]),
        ({"camera": "EOS"}, [1]),
        ({"camera": ["iphone", "nikon"]}, [2, 8]),
        ({"near": "52.52,13.405,5km"}, [1]),
        ({"near": "52.52,13.405,50km"}, [1, 3]),
        ({"near": "52.52,13.405,10mi"}, [1]),
        ({"near": "52.52,13.405,1m"}, [1]),
        ({"near": "-17,180,15km"}, [6, 7]),
        ({"near": "-17,-180,15km"}, [6, 7]),
        ({"near": "90,0,2km"}, [8, 9]),
        ({"near": "89.99,170,2km"}, [8]),
        ({"near": "89.99,170,3km"}, [8, 9]),
        ({"near": "0,0,30000km"}, [1, 3, 6, 7, 8, 9]),
        ({"near": "-17,180,15km", "not_path": "*.tar"}, [7]),
        ({"tag": "dog"}, [1, 2]),
        ({"tag": ["dog", "beach"]}, [1]),
        ({"tag": "cat"}, []),
        ({"has_caption": True}, [1, 4]),
        ({"has_caption": False}, [2, 3, 6, 7, 8, 9]),
        ({"format": "jpg"}, [1, 4, 6, 7]),
        ({"format": ["HEIC", "raw"]}, [2, 8]),
        ({"where": "lon < 0", "has_caption": False}, [7, 9]),
        ({"where": 'name ~ "copy"', "under": "/p"}, []),
        ({"where": 'name ~ "copy"', "under": "/q"}, [1]),
    ],
    ids=str,
)
def test_what_a_filter_keeps(reader: Reader, asked: dict[str, Any], ids: list[int]) -> None:
    kept = Filters.of(**asked).content_ids(reader)
    assert kept.dtype == np.int64
    assert kept.tolist() == ids


def test_the_path_shown_is_one_that_was_asked_for(reader: Reader) -> None:
    assert Filters().paths(reader, [1, 5, 8]) == {1: "/p/a/1.jpg", 8: "/p/\udcffß/8.jpg"}
    assert Filters.of(under="/q").paths(reader, [1, 2]) == {1: "/q/copy.jpg"}
    assert Filters.of(not_path="/p").paths(reader, [1, 2]) == {1: "/q/copy.jpg"}
    assert Filters().paths(reader, []) == {}
    assert len(Filters().paths(reader, [1] * 1200)) == 1


def test_empty_filters_are_false_and_all_can_be_pickled() -> None:
    assert not Filters()
    assert not Filters.of()
    for asked in ({"has_caption": False}, {"taken": "2021"}, {"where": "width > 3"}, {"under": "x"}):
        filters_ = Filters.of(**asked)
        assert filters_
        assert pickle.loads(pickle.dumps(filters_)) == filters_
        assert hash(filters_) is not None


def test_relative_folders_are_taken_from_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Filters.of(under=["a/../b", Path("c"), "\udcff"]).under == tuple(
        os.path.join(os.getcwd(), name)  # noqa: PTH109, PTH118 - bytes that are not UTF-8
        for name in ("b", "c", "\udcff")
    )


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2021", "2021-01-01T00:00:00", "2022-01-01T00:00:00"),
        ("2021-12", "2021-12-01T00:00:00", "2022-01-01T00:00:00"),
        ("2024-02", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("2021-06-30", "2021-06-30T00:00:00", "2021-07-01T00:00:00"),
        ("2021-06-30 23", "2021-06-30T23:00:00", "2021-07-01T00:00:00"),
        ("2021-06-30T23:59", "2021-06-30T23:59:00", "2021-07-01T00:00:00"),
        ("2021-06-30T23:59:58", "2021-06-30T23:59:58", "2021-06-30T23:59:59"),
        ("2021 .. 2021-03", "2021-01-01T00:00:00", "2021-04-01T00:00:00"),
        ("..2020", "", "2021-01-01T00:00:00"),
        ("2020..", "2020-01-01T00:00:00", LAST),
        ("9999", "9999-01-01T00:00:00", LAST),
        ("9999-12-31", "9999-12-31T00:00:00", LAST),
        ("0001", "0001-01-01T00:00:00", "0002-01-01T00:00:00"),
    ],
)
def test_stretches_of_time(text: str, low: str, high: str) -> None:
    assert interval(text) == (low, high)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"taken": "2021-13"}, "there is no date '2021-13': month must be in 1..12"),
        ({"taken": "2021-02-30"}, "there is no date '2021-02-30'"),
        ({"taken": "0000"}, "there is no date"),
        ({"taken": "2021-06-15T24"}, "there is no date"),
        ({"taken": "2021-6"}, "write 2021, 2021-06"),
        ({"taken": "yesterday"}, "'yesterday' is no date"),
        ({"taken": "２０２１"}, "is no date"),
        ({"taken": "2021x"}, "is no date"),
        ({"taken": ""}, "names no date"),
        ({"taken": ".."}, "names no date"),
        ({"taken": "2021-06...2021-08"}, "is no date"),
        ({"taken": "2021..2020"}, "ends before it begins"),
        ({"near": "52.5,13.4"}, "write LAT,LON,RADIUS"),
        ({"near": "52.5,13.4,5"}, "write LAT,LON,RADIUS"),
        ({"near": "52.5,13.4,5miles"}, "write LAT,LON,RADIUS"),
        ({"near": "5.2.5,13.4,5km"}, "write LAT,LON,RADIUS"),
        ({"near": "91,13.4,5km"}, "latitude comes first"),
        ({"near": "52,-181,5km"}, "latitude comes first"),
        ({"near": "52,13,0km"}, "radius must be above 0"),
        ({"near": "nan,13,5km"}, "write LAT,LON,RADIUS"),
        ({"format": "jepg"}, "did you mean jp"),
        ({"format": "zzz"}, "there are jpeg, png, heif"),
        ({"format": ""}, "--format is empty"),
        ({"under": " "}, "--under is empty"),
        ({"not_path": ""}, "--not-path is empty"),
        ({"camera": ""}, "--camera is empty"),
        ({"tag": ["a", ""]}, "--tag is empty"),
        ({"where": "width >"}, "--where: expected"),
        ({"under": "/p/a", "not_path": "/p/a"}, "drop one of the two"),
        ({"under": "/p/a", "not_path": "/p/a/*"}, "drop one of the two"),
        ({"under": "/p/a", "not_path": "/p"}, "drop one of the two"),
        ({"under": "/p/a", "not_path": "*"}, "drop one of the two"),
        ({"under": ["/q", "/p/a"], "not_path": ["x", "*/a/"]}, "drop one of the two"),
    ],
    ids=str,
)
def test_what_cannot_be_read_or_met(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        Filters.of(**asked)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("glob", ["/p/a/x*", "/p/a?", "/p/a/?*.jpg", "*.jpg", "/p/a/[!x]*", "/p/ab", "/p/a*/b/*"])
def test_a_glob_that_leaves_out_some_of_a_folder_may_be_given(glob: str) -> None:
    assert Filters.of(under="/p/a", not_path=glob)


def test_a_stretch_that_is_empty_is_refused() -> None:
    with pytest.raises(UsageError, match="before it begins"):
        Filters(taken=("2021", "2021"))


def test_formats_are_the_catalogs() -> None:
    assert [format_named(name) for name in ("jpg", "Heic", "TIF", "jpeg2000", "raw", " png ")] == [
        *("JPEG", "HEIF", "TIFF", "JPEG2000", "RAW", "PNG")
    ]


def test_containers_are_those_that_are_ingested() -> None:
    assert filters.CONTAINERS == sources.TAR + sources.PARQUET


def test_a_broad_folder_is_read_without_its_index(tmp_path: Path) -> None:
    photos = [Photo((f"/{'many' if i < 60 else 'few'}/{i}.jpg",)) for i in range(64)]
    reader = catalog(tmp_path / "c.sqlite", photos)
    try:
        for folder, broad, count in (
            ("/many", True, 60),
            ("/few", False, 4),
            ("/none", False, 0),
            ("/many/3.jpg", False, 1),
        ):
            places = conditions.lies_in(folder, container=False)
            assert conditions.is_broad(reader, places) == broad
            assert len(Filters.of(under=folder).content_ids(reader)) == count
        plan = [
            " ".join(row[3] for row in reader.rows("EXPLAIN QUERY PLAN " + statement.text, statement.parameters))
            for statement in (conditions.files(places, by_path=by_path) for by_path in (True, False))
        ]
        assert "SEARCH file USING INDEX" in plan[0]
        assert plan[1] == "SCAN file"
        many = Filters.of(under=[f"/few/{i}.jpg" for i in range(500)])
        assert len(many.content_ids(reader)) == 4
    finally:
        reader.close()


angles = st.floats(-90, 90), st.floats(-180, 180)


@settings(max_examples=300)
@given(*angles, *angles, st.floats(0.001, 21_000))
@example(90.0, 0.0, 89.0, 77.0, 112.0)
@example(0.0, 180.0, 0.0, -180.0, 0.001)
@example(60.0, 179.0, 60.0, -179.0, 112.0)
@example(-89.5, 0.0, -89.5, 180.0, 120.0)
def test_the_box_holds_all_of_the_circle(lat: float, lon: float, other: float, far: float, radius: float) -> None:
    apart = distance(lat, lon, np.array([other]), np.array([far]))[0]
    # the chord between two points on the unit sphere
    xyz = [
        np.array([math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)])
        for a, b in ((math.radians(lat), math.radians(lon)), (math.radians(other), math.radians(far)))
    ]
    chord = float(np.linalg.norm(xyz[0] - xyz[1]))
    assert 2 * math.sin(apart / EARTH / 2) == pytest.approx(chord, abs=1e-7)
    if apart <= radius:
        south, north, west, east = filters.box(Near(lat, lon, radius))
        assert south <= other <= north
        assert west <= far <= east if west <= east else (far >= west or far <= east)


def test_the_box_is_no_larger_than_it_must_be() -> None:
    south, north, west, east = filters.box(circle("60,10,111.195km"))
    assert (south, north) == pytest.approx((59, 61), abs=1e-3)
    assert (west, east) == pytest.approx((8.0, 12.0), abs=2e-3)


def kept(asked: Filters) -> list[int]:
    """What the filters mean, photo by photo."""
    ids = []
    for i, photo in enumerate(PHOTOS, 1):
        paths = [
            path
            for path in photo.paths
            if (not asked.under or any(path == f or path.startswith((f + "/", f + "#")) for f in asked.under))
            and not any(part in path for part in ("/thumbs/", "/a/")[: len(asked.not_path)])
        ]
        if (
            paths
            and (asked.taken is None or (photo.taken_at and asked.taken[0] <= photo.taken_at < asked.taken[1]))
            and (not asked.camera or any(c.lower() in (photo.camera or "").lower() for c in asked.camera))
            and (
                asked.near is None
                or (
                    photo.lat is not None
                    and distance(asked.near.lat, asked.near.lon, np.array([photo.lat]), np.array([photo.lon]))[0]
                    <= asked.near.radius
                )
            )
            and set(asked.tags) <= set(photo.tags)
            and (asked.has_caption is None or asked.has_caption == bool(photo.captions))
            and (not asked.formats or photo.format in asked.formats)
            and (asked.where is None or photo.width > 0)
        ):
            ids.append(i)
    return ids


def some(*values: str) -> st.SearchStrategy[list[str]]:
    return st.just([]) | st.lists(st.sampled_from(values), max_size=2, unique=True)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {
            "under": some("/p", "/q", "/data", "/data/shard.tar", "/p/a b"),
            "not_path": st.sampled_from([[], [], ["*/thumbs/*"], ["*/thumbs/*", "*/a/*"]]),
            "taken": st.none() | st.sampled_from(["2021", "2020-12..2021-06", "..2020", "2021-09.."]),
            "camera": some("canon", "e", "zzz"),
            "near": st.none() | st.sampled_from(["52.5,13.4,5km", "52.5,13.4,50km", "-17,180,15km", "90,0,3000km"]),
            "tag": some("dog", "beach"),
            "has_caption": st.none() | st.booleans(),
            "format": some("jpeg", "heic", "png"),
            "where": st.none() | st.just("width > 0"),
        }
    )
)
def test_filters_together_agree_with_python(reader: Reader, asked: dict[str, Any]) -> None:
    filters_ = Filters.of(**asked)
    ids = filters_.content_ids(reader).tolist()
    assert ids == kept(filters_)
    for i, path in filters_.paths(reader, ids).items():
        ids.remove(i)
        assert path in PHOTOS[i - 1].paths
        assert not filters_.under or path.startswith(filters_.under)
    assert ids == []


def test_the_page_says_what_is_so() -> None:
    page = Path(__file__).parents[2] / "docs" / "filters.md"
    results = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert results.attempted > 5
    assert results.failed == 0
