"""Records to datasets: each of the formats that benchmarks come in, known by the fields of its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlsearch.audit.datasets.base import Captioned, Choice, Choices, Dataset, Pair, Photo, Statement
from vlsearch.audit.datasets.records import Record, unreadable
from vlsearch.audit.datasets.symmetric import SYMMETRIC

FEWEST_OF_A_PAIR = 25
"""cases that a pair of attributes of VG-Attribution needs, as in the evaluation of Yuksekgonul et al., ICLR 2023"""


@dataclass(frozen=True)
class Format:
    name: str
    fields: frozenset[str]
    """that its records have; a record belongs to the first format all of whose fields it has"""
    read: Callable[[str, Sequence[Record]], Dataset]
    """name of the dataset and records to a dataset, nothing left out"""


def format_of(records: Sequence[Record]) -> Format:
    """The format of a file's records, told from the first; UnreadableFile when there is none."""
    first = records[0]
    for known in FORMATS:
        if known.fields <= first.fields.keys():
            return known
    raise unreadable(
        first.path,
        f"{first.where} has {', '.join(map(repr, first.fields)) or 'nothing'}; expected 'image' and 'captions', "
        "'image', 'true' and 'false', or the fields of a published dataset",
    )


def _captions(name: str, records: Sequence[Record], photo: str = "image", captions: str = "captions") -> Captioned:
    """Records of the same photo come together, so a file may have a line for each caption."""
    rows: dict[str, int] = {}
    texts: list[str] = []
    owner: list[int] = []
    for record in records:
        row = rows.setdefault(record.name(photo), len(rows))
        own = record.texts(captions)
        texts += own
        owner += [row] * len(own)
    return Captioned(name, tuple(rows), tuple(texts), np.array(owner, np.int64))


def _caption_lists(name: str, records: Sequence[Record]) -> Captioned:
    return _captions(name, records, captions="caption")


def _choices(name: str, records: Sequence[Record]) -> Choices:
    return Choices(name, tuple(_choice(record) for record in records))


def _choice(record: Record) -> Choice:
    false = record.texts("false")
    if not false:
        raise record.wrong("'false' is an empty list; each item needs a false text to choose against")
    texts = (record.text("true"), *false)
    return Choice(Photo(record.name("image")), texts, record.optional("split"), record.optional("group"))


def _sugarcrepe(name: str, records: Sequence[Record]) -> Choices:
    """The split is in the record's "type" where all are in one file, else it is the name of the file."""
    return Choices(
        name,
        tuple(
            Choice(
                Photo(record.name("filename")),
                (record.text("caption"), record.text("negative_caption")),
                split=record.optional("type") or record.path.stem,
            )
            for record in records
        ),
    )


def _relation(name: str, records: Sequence[Record]) -> Choices:
    return Choices(name, tuple(_visual_genome(record, record.name("relation_name")) for record in records))


def _attribution(name: str, records: Sequence[Record]) -> Choices:
    return Choices(name, tuple(_visual_genome(record, ", ".join(record.texts("attributes"))) for record in records))


def _visual_genome(record: Record, group: str) -> Choice:
    left, upper, width, height = (record.whole(f"bbox_{side}") for side in "xywh")
    if width < 1 or height < 1:
        raise record.wrong(f"the box is {width} × {height} pixels")
    return Choice(
        Photo(record.name("image_path"), (left, upper, left + width, upper + height)),
        (record.text("true_caption"), record.text("false_caption")),
        split=group,
        group=group,
    )


def _winoground(name: str, records: Sequence[Record]) -> Choices:
    """Pictures are named without ".png" in the file."""

    def photo(record: Record, key: str) -> Photo:
        stem = record.name(key)
        return Photo(stem if stem.endswith(".png") else f"{stem}.png")

    return Choices(
        name,
        tuple(
            Pair(
                (photo(record, "image_0"), photo(record, "image_1")),
                (record.text("caption_0"), record.text("caption_1")),
                split=record.optional("collapsed_tag"),
                group=record.optional("tag"),
            )
            for record in records
        ),
    )


def _statements(name: str, records: Sequence[Record]) -> Choices:
    def statement(record: Record) -> Statement:
        label = record.fields.get("label")
        if label not in (0, 1):
            raise record.wrong("'label' is neither 0 nor 1")
        return Statement(
            Photo(record.name("image")), record.text("caption"), bool(label), group=record.optional("relation")
        )

    return Choices(name, tuple(statement(record) for record in records))


FORMATS = (
    Format("vg-relation", frozenset({"image_path", "true_caption", "false_caption", "relation_name"}), _relation),
    Format("vg-attribution", frozenset({"image_path", "true_caption", "false_caption", "attributes"}), _attribution),
    Format("sugarcrepe", frozenset({"filename", "caption", "negative_caption"}), _sugarcrepe),
    Format("winoground", frozenset({"image_0", "image_1", "caption_0", "caption_1"}), _winoground),
    Format("vsr", frozenset({"image", "caption", "label"}), _statements),
    Format("choices", frozenset({"image", "true", "false"}), _choices),
    Format("captions", frozenset({"image", "captions"}), _captions),
    Format("captions", frozenset({"image", "caption"}), _caption_lists),
)


def without_what_does_not_count(dataset: Dataset, format_name: str) -> Dataset:
    """`dataset` without the items that its paper's evaluation leaves out, which `left_out` then tells."""
    if isinstance(dataset, Captioned):
        return dataset
    cases = Counter(item.group for item in dataset.items)
    if format_name == "vg-relation":
        groups = SYMMETRIC & cases.keys()
        what = f"symmetric relations ({', '.join(sorted(groups))})"
    elif format_name == "vg-attribution":
        groups = frozenset(group for group, n in cases.items() if n < FEWEST_OF_A_PAIR)
        what = f"pairs of attributes with fewer than {FEWEST_OF_A_PAIR} cases (pairs: {len(groups):,})"
    else:
        return dataset
    if not groups:
        return dataset
    kept = tuple(item for item in dataset.items if item.group not in groups)
    return replace(dataset, items=kept, left_out=(f"{what}, items: {len(dataset.items) - len(kept):,}",))
