"""Find a model's files on this machine, or fetch them, saying within seconds when neither can be done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from vlsearch.errors import ModelUnavailable, UsageError

PATIENCE = 3.5
"""seconds that a hub has for saying whether it holds a file"""
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

T = TypeVar("T")


def cached(repo: str, filename: str) -> Path | None:
    """The file in the local cache, if it is there. UsageError for what cannot be a repository's name."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo, filename)
    except HFValidationError:
        raise UsageError(f"{repo!r} cannot be a repository of a hub; write hf-hub:ORG/REPO") from None
    return Path(found) if isinstance(found, str) else None


def fetch(name: str, repo: str, filenames: tuple[str, ...], patience: float = PATIENCE) -> Path:
    """The first of `filenames` that the cache, then the hub has; `name` is the model that they are for.

    Raises ModelUnavailable after at most `patience` seconds if the hub does not answer.
    """
    for filename in filenames:
        path = cached(repo, filename)
        if path is not None:
            return path
    from huggingface_hub import constants, hf_hub_download

    if constants.HF_HUB_OFFLINE:
        raise unavailable(name, f"no hub was asked for {repo}, because HF_HUB_OFFLINE is set")
    try:
        filename = within(patience, lambda: on_hub(repo, filenames))
        return Path(hf_hub_download(repo, filename))
    except Exception as error:
        raise unavailable(name, f"{constants.ENDPOINT}/{repo}: {reason(error)}") from error


def on_hub(repo: str, filenames: tuple[str, ...]) -> str:
    """The first of `filenames` that the repository holds."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    for filename in filenames:
        try:
            get_hf_file_metadata(hf_hub_url(repo, filename))
            return filename
        except EntryNotFoundError:
            continue
    raise FileNotFoundError(f"it holds no {' and no '.join(filenames)}, so it is no model of open_clip")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises; TimeoutError if that takes longer.

    A thread, because the timeouts of sockets bound neither a name's resolution nor the number of addresses tried.
    """
    done: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if done:
        return done[0]
    raise failed[0] if failed else TimeoutError(f"no answer within {seconds:g} s")


def reason(error: Exception) -> str:
    """Why the hub did not give a file, in a few words."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "its owner grants access on that page; then HF_TOKEN=… shows who you are"
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository, or a private one that wants HF_TOKEN=…"
    return first_line(error)


def unavailable(name: str, tried: str) -> ModelUnavailable:
    from huggingface_hub import constants

    return ModelUnavailable(
        f"cannot get the files of {name}: not in the cache {constants.HF_HUB_CACHE}; {tried}. Ways out: "
        "`--model builtin` (comes with vlsearch), `--weights FILE` (weights that you have), or HF_HOME=FOLDER (a cache "
        "filled elsewhere)"
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
