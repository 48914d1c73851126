"""Several texts for one: templates, and descriptions of classes. Their vectors are averaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMED = {
    "plain": ("{}",),
    "photo": ("a photo of {}",),
    "clip7": (
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    ),
}
"""clip7: the seven of CLIP's eighty that its authors chose on ImageNet by forward selection (notebook
Prompt_Engineering_for_ImageNet of openai/CLIP)"""

CANCELLED = 1e-6


@dataclass(frozen=True)
class Prompts:
    """How a text is asked. A text that `descriptions` names is asked by its sentences, any other by `templates`."""

    templates: tuple[str, ...] = NAMED["plain"]
    """each holds {} once, for the text"""
    descriptions: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.templates:
            raise UsageError("there is no template to ask with; give one that holds {} for the text")
        for template in self.templates:
            if template.count("{}") != 1:
                raise UsageError(f"the template {template!r} must hold {{}} once, for the text")
        for name, sentences in self.descriptions.items():
            if isinstance(sentences, str) or not sentences:
                raise UsageError(f"the class {name!r} needs a list of sentences that describe it")

    def expand(self, text: str) -> list[str]:
        """The texts that stand for `text`, at least one."""
        if text in self.descriptions:
            return list(self.descriptions[text])
        return [template.replace("{}", text) for template in self.templates]


def prompts_from(given: str) -> Prompts:
    """What --prompts means: the name of a set in NAMED, a file of templates, or a .json file of descriptions.

    Raises UsageError.
    """
    if given in NAMED:
        return Prompts(NAMED[given])
    path = Path(given)
    if path.suffix.lower() == ".json":
        return Prompts(descriptions=load_descriptions(path))
    return Prompts(load_templates(path))


def load_templates(path: Path) -> tuple[str, ...]:
    """The templates of a file, one a line; empty lines are passed over. UsageError names file and line."""
    lines = _read(path, f"; --prompts takes a file or one of {', '.join(NAMED)}").splitlines()
    templates = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, template in templates:
        if template.count("{}") != 1:
            raise UsageError(f"{str(path)!r}, line {number}: the template {template!r} must hold {{}} once")
    if not templates:
        raise UsageError(f"{str(path)!r} holds no template; write one a line, with {{}} for the text")
    return tuple(template for _, template in templates)


def load_descriptions(path: Path) -> dict[str, list[str]]:
    """Sentences by the name of the class that they describe: {"name": ["sentence", ...]}, the files of CuPL
    (Pratt et al. 2023, "What does a platypus look like?"). UsageError names file and class."""
    what = f'{str(path)!r} holds no descriptions, {{"name": ["sentence", ...], ...}}'
    try:
        given = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what}: {error or 'it is nested too deep'}") from None
    if not isinstance(given, dict) or not given:
        raise UsageError(what)
    found = {}
    for name, sentences in given.items():
        if not isinstance(sentences, list) or not all(isinstance(one, str) for one in sentences):
            raise UsageError(f"{str(path)!r}: the descriptions of {name!r} are no list of sentences")
        found[name] = [one.strip() for one in sentences if one.strip()]
        if not found[name]:
            raise UsageError(f"{str(path)!r}: {name!r} has no description; give it a sentence or leave it out")
    return found


def embed_prompts(
    embed_texts: Callable[[Sequence[str]], NDArray[np.float32]], texts: Sequence[Sequence[str]]
) -> NDArray[np.float32]:
    """One unit vector for each of n > 0 lists of texts, none of them empty: (n, d), the average of the list's unit
    vectors, normalised again (CLIP's prompt ensembles, and CuPL's). `embed_texts` is called once, with each distinct
    text once.

    Raises UsageError where the vectors of a list cancel out or hold values that are no numbers.
    """
    place = {text: n for n, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
    rows = embed_texts(list(place))
    which = np.fromiter((place[text] for some in texts for text in some), np.int64)
    if len(which) == len(texts):
        return rows[which]
    counts = np.array([len(some) for some in texts])
    totals = np.add.reduceat(rows[which], np.cumsum(counts) - counts, dtype=np.float64)
    means = totals / counts[:, None]
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    bad = ~(lengths >= CANCELLED)
    if bad.any():
        first = texts[int(np.argmax(bad))][0]
        raise UsageError(f"the vectors of the prompts that begin with {first!r} cancel out or are no numbers")
    unit: NDArray[np.float32] = (means / lengths).astype(np.float32)
    return unit


def _read(path: Path, hint: str = "") -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {str(path)!r}: it is no UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"cannot read {str(path)!r}: {reason}{hint}") from None
