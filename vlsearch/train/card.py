"""The model card: what a model was made from and how, and what its training did, for people and for model hubs."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from vlsearch.audit.report.markdown import drawn, safe
from vlsearch.audit.report.retrieval import points
from vlsearch.audit.report.tables import Row, Table
from vlsearch.encoders.names import FOLDER
from vlsearch.encoders.registry import HUB
from vlsearch.printable import printable
from vlsearch.train.change import Change, Figure, is_drop, verdict

METHODS = {
    "negclip": (
        "Trained by contrast, with a hard negative beside each caption: the same words in another order. It is the "
        "method of NegCLIP (Yuksekgonul et al., When and Why Vision-Language Models Behave like Bags-of-Words, ICLR "
        "2023)."
    ),
    "contrastive": "Trained by contrast alone (Radford et al. 2021), without hard negatives.",
    "distill": "Trained to give the vectors of a teacher, with a contrastive loss beside.",
}
PACKAGES = ("vlsearch", "torch", "open_clip_torch", "timm")


@dataclass(frozen=True)
class Data:
    """What a model was trained on."""

    name: str
    photos: int
    captions: int
    held_out: int
    """photos that it was not trained on"""
    unreadable: int = 0
    """photos that were left out"""
    without_negatives: int | None = None
    """captions that no hard negative could be made of; None where none were made"""
    licence: str = ""


def card(
    name: str,
    method: str,
    data: Sequence[Data],
    recipe: Mapping[str, Any],
    changes: Sequence[Change],
    *,
    base: str | None = None,
    teacher: str | None = None,
    left_out: Sequence[str] = (),
) -> str:
    """README.md for the folder of a model that `export.save_model` wrote.

    `method`: a key of METHODS. `recipe`: `Settings.to_dict`, and what else a run is repeated by. `base`: the name of
    the model whose weights it began with; None for random ones, and then `changes` are from these. `left_out`: what
    `Measured` could not measure.
    """
    parts = [_head(method, base), f"# {_plain(name)}"]
    if said := verdict(changes):
        parts.append(f"**{safe(said)}**")
    begun = f"It began with the weights of {_plain(base)}." if base else "It began with random weights."
    taught = f" Its teacher was {_plain(teacher)}; none of its weights is in here." if teacher else ""
    parts += [f"{METHODS[method]} {begun}{taught}"]
    if changes:
        parts += ["## Before and after", _figures(changes, left_out)]
    parts += ["## Data", _data(data), "## Recipe", _recipe(recipe), "## Use", _use(), "## Licence", _licence(base)]
    return "\n\n".join(parts) + "\n"


def _head(method: str, base: str | None) -> str:
    """What hubs read. The licence is the user's to say."""
    tags = ["clip", *([method] if method != "contrastive" else []), "vlsearch"]
    lines = [
        "---",
        "library_name: open_clip",
        "pipeline_tag: zero-shot-image-classification",
        "license: unknown",
        *([f"base_model: {json.dumps(base.removeprefix(HUB))}"] if base and base.startswith(HUB) else []),
        "tags:",
        *(f"- {tag}" for tag in tags),
        "---",
    ]
    return "\n".join(lines)


def _figures(changes: Sequence[Change], left_out: Sequence[str]) -> str:
    told = f"In percent, on {counted(changes)} not trained on."
    return "\n\n".join([told, drawn(before_and_after(changes)), *_notes(changes, left_out)])


def before_and_after(changes: Sequence[Change], *, brief: bool = False) -> Table:
    """In percent, with intervals; `brief`, for 80 columns, has only those of the differences."""

    def one(figure: Figure) -> str:
        return points(figure.value) if brief else _figure(figure)

    rows = [
        Row((c.name, one(c.before), one(c.after), _figure(Figure(c.difference, c.low, c.high)), _chance(c)))
        for c in changes
    ]
    return Table("", ("", "before", "after", "after − before", "chance"), tuple(rows))


def _notes(changes: Sequence[Change], left_out: Sequence[str]) -> Iterator[str]:
    notes = [
        "In brackets: 95 % intervals, bootstrap over photos; of the difference paired, both models on the same photos. "
        "A difference whose interval holds 0 is no more than chance would make."
    ]
    names = [c.name for c in changes]
    if "order choice" in names:
        notes.append("Order choice: how often the caption scores above four forms of it with words out of order.")
    if any(name.startswith("order sensitivity") for name in names):
        notes.append(
            "Order sensitivity: how much of what is found beyond chance is lost when the words move; 0 for a bag of "
            "words."
        )
    if any(map(is_drop, names)):
        notes.append("Drop of Recall: points that are lost when the words move.")
    if any(c.kind == "composition" for c in changes):
        notes.append("SugarCrepe (Hsieh et al. 2023): how often the true caption scores above a false one like it.")
    yield "\n".join(f"- {note}" for note in notes)
    if left_out:
        yield "Not measured:\n\n" + "\n".join(f"- {safe(printable(line))}" for line in left_out)


def counted(changes: Sequence[Change]) -> str:
    """What the figures are of."""
    searched = [c.n for c in changes if c.kind == "retrieval"]
    others = {"composition": "of SugarCrepe", "classes": "with labels"}
    parts = [f"{searched[0]:,} held-out photos"] if searched else []
    for kind, what in others.items():
        if n := max((c.n for c in changes if c.kind == kind), default=0):
            parts.append(f"{n:,} photos {what}")
    return " and ".join(parts) or "photos"


def _figure(figure: Figure) -> str:
    return f"{points(figure.value)} ({points(figure.low)} to {points(figure.high)})"


def _chance(c: Change) -> str:
    return "" if c.chance is None else points(c.chance)


def _data(data: Sequence[Data]) -> str:
    rows = [
        Row((printable(d.name), f"{d.photos:,}", f"{d.captions:,}", f"{d.held_out:,}", printable(d.licence)))
        for d in data
    ]
    columns: tuple[str, ...] = ("source", "photos trained on", "captions", "photos held out", "licence")
    if not any(d.licence for d in data):
        columns, rows = columns[:-1], [Row(row.cells[:-1]) for row in rows]
    notes = []
    if unreadable := sum(d.unreadable for d in data):
        notes.append(f"{unreadable:,} photos could not be read and were left out.")
    if lacking := sum(d.without_negatives or 0 for d in data):
        captions = sum(d.captions for d in data)
        notes.append(f"No hard negative could be made of {lacking:,} of {captions:,} captions.")
    return "\n\n".join([drawn(Table("", columns, tuple(rows))), *([" ".join(notes)] if notes else [])])


def _recipe(recipe: Mapping[str, Any]) -> str:
    """Without what is switched off: 0, False, or empty. A seed of 0 is one."""
    told = {key: value for key, value in recipe.items() if value or key == "seed"}
    rows = [Row((key.replace("_", " "), printable(_value(value)))) for key, value in told.items()]
    made = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        drawn(Table("", ("setting", "value"), tuple(rows), names=2))
        + f"\n\nMade with Python {platform.python_version()}, {made}."
    )


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return "yes" if value is True else f"{value:,}" if isinstance(value, int) else str(value)


def _use() -> str:
    return f"""\
With [open_clip](https://github.com/mlfoundations/open_clip) alone, FOLDER being where these files are:

```python
import open_clip

model, preprocess = open_clip.create_model_from_pretrained("local-dir:FOLDER")
tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")
```

With vlsearch:

```sh
vlsearch ingest PHOTOS --model {FOLDER}FOLDER
vlsearch audit --model {FOLDER}FOLDER
```"""


def _licence(base: str | None) -> str:
    owed = f"the licence of {_plain(base)}, and " if base else ""
    return (
        f"Not stated yet. Before you pass the weights on, look at {owed}what the sources of the photos and captions "
        "ask for; then write it here, and in the head of this file."
    )


def _plain(text: str | None) -> str:
    return safe(printable(text or ""))
