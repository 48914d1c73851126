from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.manifest import Manifest, PartRow

PART = PartRow("ivf", 1_000, 30, "ab" * 16, 12_345, "cd" * 32, 900, {"10": 3}, 0.991, 1.5)
MANIFEST = Manifest({"main": PART, "tail": replace(PART, lists=1)}, {"a": "1", "b": "2"}, 0.98)


@pytest.mark.parametrize("manifest", [MANIFEST, replace(MANIFEST, next={"c": "3"})])
def test_what_is_written_is_read(manifest: Manifest) -> None:
    assert Manifest.decode(manifest.encode()) == manifest
    assert manifest.count == 2_000


def test_any_one_changed_byte_is_found() -> None:
    draw, data = random.Random(1), MANIFEST.encode()
    for position in range(len(data)):
        changed = bytes([data[position] ^ draw.randrange(1, 256)])
        with pytest.raises(LibraryDamaged) as error:
            Manifest.decode(data[:position] + changed + data[position + 1 :])
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b"null", b'{"parts": {}, "checksum": ""}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(LibraryDamaged):
        Manifest.decode(data)


def test_an_older_one_is_told_apart() -> None:
    older = {"recipe": "exact-fp16", "count": 2, "shards": {}, "sha256": "00"}
    with pytest.raises(LibraryDamaged, match="older vlsearch"):
        Manifest.decode(json.dumps(older).encode())


def test_shards_before_and_after_a_merge() -> None:
    merging = replace(MANIFEST, next={"c": "3"})
    assert merging.held({"a": "1", "b": "2", "z": "9"}) == {"a": "1", "b": "2"}
    assert merging.held({"c": "3"}) == {"c": "3"}
    assert merging.settled({"c": "3"}) == replace(MANIFEST, shards={"c": "3"})
    assert MANIFEST.settled({}) is MANIFEST
    for ours in ({}, {"a": "1"}, {"a": "1", "b": "other"}):
        with pytest.raises(LibraryDamaged, match="no longer there"):
            merging.held(ours)
