"""What there is to choose from, found without torch and without a network."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vlsearch.encoders import catalogue, registry

Put = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("hub_cache")


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CLIP_CACHE", tmp_path / "clip")


def test_the_default_is_the_first_that_is_recommended() -> None:
    assert catalogue.recommended()[0]["name"] == registry.DEFAULT
    assert [row["name"] for row in catalogue.catalogue() if row["default"]] == [registry.DEFAULT]


def test_every_row_has_a_name_and_places() -> None:
    rows = catalogue.catalogue()
    assert len({row["name"] for row in rows}) == len(rows) == 2 + len(catalogue.recommended())
    places = {catalogue.LIBRARY, catalogue.BUILT_IN, catalogue.CACHE, catalogue.RECOMMENDED}
    assert all(row["where"] and set(row["where"]) <= places for row in rows)


def test_the_built_in_models_and_their_sizes() -> None:
    plain, neg = catalogue.catalogue()[:2]
    assert [plain["name"], neg["name"]] == [registry.BUILTIN, "builtin-neg"]
    assert plain["where"] == neg["where"] == ["built in"]
    assert min(plain["bytes"], neg["bytes"]) > 1e6
    assert plain["bytes"] + neg["bytes"] <= 60e6
    assert "hub" in plain["note"]
    assert "order" in neg["note"]


def test_a_library_that_is_not_there_and_a_cache_that_is_not_there() -> None:
    assert catalogue.in_hub_cache() == []
    assert catalogue.in_clip_cache() == []


def test_the_cache_is_listed_under_the_names_that_load(hub_cache: Put) -> None:
    repo = catalogue.repo_of(catalogue.recommended()[0])
    weights = hub_cache(repo, "open_clip_model.safetensors", "x" * 1000)
    hub_cache("org/own", "open_clip_config.json", "{}")
    hub_cache("org/own", "open_clip_pytorch_model.bin", "x" * 10)
    hub_cache("timm/other_tag", "open_clip_model.safetensors", "x" * 7)
    hub_cache("org/language-model", "model.safetensors", "x")
    hub_cache("org/only-a-config", "open_clip_config.json", "{}")
    rows = {row["name"]: row for row in catalogue.in_hub_cache()}
    assert rows.keys() == {registry.DEFAULT, "hf-hub:org/own", "timm/other_tag"}
    assert [row["bytes"] for row in rows.values()] == [1000, 10, 7]
    assert Path(rows[registry.DEFAULT]["path"]) == weights
    assert "ARCH/tag" in rows["timm/other_tag"]["note"]


def test_a_model_at_several_places_is_one_row(hub_cache: Put) -> None:
    repo = catalogue.repo_of(catalogue.recommended()[0])
    hub_cache(repo, "open_clip_model.safetensors", "x" * 1000)
    mine = [
        {"name": registry.DEFAULT, "where": ["library"], "photos": 7},
        {"name": "a@b.pt", "where": ["library"]},
        {"name": "a@b.pt", "where": ["library"]},
    ]
    rows = {row["name"]: row for row in catalogue.catalogue(mine)}
    default = rows[registry.DEFAULT]
    assert default["where"] == ["library", "cache", "recommended"]
    assert (default["photos"], default["bytes"], default["licence"]) == (7, 1000, "MIT")
    assert list(rows)[:3] == [registry.DEFAULT, "a@b.pt", "builtin"]
    assert rows["a@b.pt"] == {"name": "a@b.pt", "where": ["library"], "default": False}


def test_a_revision_that_main_does_not_name_is_not_at_hand(hub_cache: Put) -> None:
    hub_cache("org/own", "open_clip_model.safetensors", "x", "b" * 40)
    hub_cache("org/own", "open_clip_config.json", "{}", "c" * 40)
    assert catalogue.in_hub_cache() == []


def test_a_cache_with_rubbish_in_it(hub_cache: Put) -> None:
    hub_cache("org/own", "open_clip_config.json", "{}")
    place = hub_cache("org/own", "open_clip_model.safetensors", "x")
    root = place.parents[3]
    (root / "models--broken").mkdir()
    (root / "models--half--done" / "snapshots").mkdir(parents=True)
    (root / "what-is-this").write_text("?")
    assert [row["name"] for row in catalogue.in_hub_cache()] == ["hf-hub:org/own"]
    (place.resolve()).unlink()
    assert catalogue.in_hub_cache() == []


def test_the_cache_of_older_versions_lists_what_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "vit_b_32-laion2b_e16.pt").write_bytes(b"x" * 5)
    (folder / "notes.txt").write_text("?")
    for name, member in (("ViT-B-32.pt", "ViT-B-32/code/__torch__.py"), ("epoch.pt", "epoch/data.pkl")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(member, "x")
    rows = catalogue.in_clip_cache()
    assert [row["name"] for row in rows] == ["epoch.pt", "vit_b_32-laion2b_e16.pt"]
    assert rows[1]["bytes"] == 5
    assert all("--weights" in row["note"] for row in rows)
