"""Which models there are to choose from: built in, in this machine's caches, recommended. Imports no torch."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from vlsearch.encoders.hub import CONFIG, WEIGHTS
from vlsearch.encoders.names import BUILT_IN as FOLDERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIBRARY, BUILT_IN, CACHE, RECOMMENDED = "library", "built in", "cache", "recommended"
NOTES = {
    "builtin": "everyday subjects and scenes, where no model hub can be reached; for everything else the default",
    "builtin-neg": "as builtin, trained to hear the order of words",
}
PAGES = "https://huggingface.co/"
CLIP_CACHE = Path("~/.cache/clip")
"""where older versions of open_clip, and OpenAI's clip, keep what they download"""


@cache
def recommended() -> tuple[dict[str, Any], ...]:
    """The rows of recommended.toml; the first is the default."""
    text = resources.files("vlsearch.encoders").joinpath("recommended.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["model"])


def recommended_row(name: str) -> dict[str, Any]:
    """The row of recommended.toml for `name`; empty if there is none."""
    return next((row for row in recommended() if row["name"] == name), {})


def repo_of(row: dict[str, Any]) -> str:
    """The hub's repository of a recommended model, which is where its page is."""
    return str(row["page"]).removeprefix(PAGES)


def built_in() -> list[dict[str, Any]]:
    rows = []
    for name, folder in FOLDERS.items():
        with resources.as_file(resources.files("vlsearch.encoders") / folder / WEIGHTS[0]) as file:
            size = file.stat().st_size
        licence = "research, non-commercial"
        rows.append({"name": name, "where": [BUILT_IN], "bytes": size, "licence": licence, "note": NOTES[name]})
    return rows


def in_hub_cache() -> list[dict[str, Any]]:
    """Models of open_clip in Hugging Face's cache: `ARCH/tag` for the recommended ones, else `hf-hub:ORG/REPO`."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    names = {repo_of(row): row["name"] for row in recommended()}
    rows = []
    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        main = repo.refs.get("main")
        files = {file.file_name: file for file in main.files} if main is not None else {}
        weights = next((files[name] for name in WEIGHTS if name in files), None)
        if weights is None or repo.repo_type != "model":
            continue
        row = {"where": [CACHE], "bytes": weights.size_on_disk, "path": str(weights.file_path)}
        if repo.repo_id in names:
            rows.append({"name": names[repo.repo_id], **row})
        elif CONFIG in files:
            rows.append({"name": f"hf-hub:{repo.repo_id}", **row})
        else:
            rows.append({"name": repo.repo_id, **row, "note": "ask for it by the ARCH/tag that it was downloaded as"})
    return rows


def in_clip_cache() -> list[dict[str, Any]]:
    """Weights in CLIP_CACHE that `--weights` reads; TorchScript archives, which are programs, are left out."""
    files = [file for file in sorted(CLIP_CACHE.expanduser().glob("*.pt")) if file.is_file() and not is_program(file)]
    note = "give --weights its path, and --model the ARCH/tag in its name"
    return [
        {"name": file.name, "where": [CACHE], "bytes": file.stat().st_size, "path": str(file), "note": note}
        for file in files
    ]


def is_program(file: Path) -> bool:
    """Whether a .pt file is a TorchScript archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def catalogue(in_library: Iterable[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """One row per model: `name`, `where` (a list of the four places), `default`, and what is known of it.

    Rows of one name are made one. First what can be used at once, in the library before built in before the cache;
    then the recommended.
    """
    default = recommended()[0]["name"]
    merged: dict[str, dict[str, Any]] = {}
    listed = [{**row, "where": [RECOMMENDED]} for row in recommended()]
    for row in [*in_library, *built_in(), *in_hub_cache(), *in_clip_cache(), *listed]:
        known = merged.setdefault(row["name"], {"name": row["name"], "where": [], "default": row["name"] == default})
        where = [*known["where"], *(place for place in row["where"] if place not in known["where"])]
        known.update({**row, "where": where})
    return list(merged.values())
