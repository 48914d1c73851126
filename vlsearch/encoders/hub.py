"""Find a model's files on this machine, or fetch them, saying within seconds when neither can be done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vlsearch.errors import ModelUnavailable

PROBE_SECONDS = 3
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def cached(repo: str, filename: str) -> Path | None:
    """The file in the local cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, filename)
    return Path(found) if isinstance(found, str) else None


def fetch(name: str, repo: str, filenames: tuple[str, ...]) -> Path:
    """The first of `filenames` that the cache or the hub has. ModelUnavailable otherwise."""
    for filename in filenames:
        path = cached(repo, filename)
        if path is not None:
            return path
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    reason = ""
    for filename in filenames:
        try:
            get_hf_file_metadata(hf_hub_url(repo, filename), timeout=PROBE_SECONDS)
            return Path(hf_hub_download(repo, filename))
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            if not is_absent(error):
                break
    raise unavailable(name, f"the hub's {repo} ({reason})")


def is_absent(error: Exception) -> bool:
    """The hub answered, and it has no such file; another name may be there."""
    from huggingface_hub.errors import EntryNotFoundError

    return isinstance(error, EntryNotFoundError)


def fetch_url(name: str, url: str) -> None:
    """Check that open_clip's cache has the file at `url`, or that its server answers."""
    if (Path("~/.cache/clip").expanduser() / url.rsplit("/", 1)[-1]).is_file():
        return
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise unavailable(name, "the local cache only, as HF_HUB_OFFLINE asks")
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PROBE_SECONDS):
            return
    except OSError as error:
        raise unavailable(name, f"{url} ({first_line(error)})") from error


def unavailable(name: str, tried: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"cannot get the weights of {name}: tried the local cache and {tried}. Ways out: `--model builtin` (comes with "
        "vlsearch), `--weights FILE` (weights that you have), or HF_HOME=FOLDER (a cache that was filled elsewhere)"
    )


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def offline() -> Iterator[None]:
    """Keep huggingface_hub from asking the network about files that lie in the cache."""
    from huggingface_hub import constants

    before: Any = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
