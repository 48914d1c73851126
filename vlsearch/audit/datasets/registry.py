"""The published datasets by name: what to put where, what they must count, and how any dataset is loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vlsearch.audit.datasets.base import Captioned, Dataset
from vlsearch.audit.datasets.formats import format_of, without_what_does_not_count
from vlsearch.audit.datasets.records import read_records, unreadable
from vlsearch.errors import UsageError


@dataclass(frozen=True)
class Published:
    name: str
    task: Literal["retrieval", "order", "choice"]
    format: str
    """of `formats.FORMATS`"""
    files: tuple[str, ...]
    """any of them, the first that is there"""
    source: str
    images: str
    editions: tuple[Mapping[str, int], ...] = ()
    """what it counts, in each form that it comes in; empty where its authors have changed it since"""
    together: bool = False
    """all of `files`, or one of them alone"""

    @property
    def needs(self) -> str:
        return (", " if self.together else " or ").join(self.files) + f" from {self.source}"


_COCO = (
    ("coco_karpathy_test.json", "dataset_coco.json", "captions_val2017.json"),
    "https://storage.googleapis.com/sfr-vision-language-research/datasets/coco_karpathy_test.json",
    "COCO's val2014 from https://cocodataset.org/#download",
    ({"photos": 5000, "captions": 25010}, {"photos": 5000, "captions": 25014}),
)
_FLICKR = (
    ("flickr30k_test.json", "dataset_flickr30k.json"),
    "https://storage.googleapis.com/sfr-vision-language-research/datasets/flickr30k_test.json",
    "flickr30k-images, asked for at https://forms.illinois.edu/sec/229675",
    ({"photos": 1000, "captions": 5000},),
)
_ARO = "https://github.com/mertyg/vision-language-models-are-bows"
_ARO_IMAGES = "the images of vgr_vga_images.zip from the same place"
_SPLITS = {
    "add_att": 692,
    "add_obj": 2062,
    "replace_att": 788,
    "replace_obj": 1652,
    "replace_rel": 1406,
    "swap_att": 666,
    "swap_obj": 245,
}

PUBLISHED = {
    p.name: p
    for p in (
        Published("coco", "retrieval", "captions", *_COCO),
        Published("flickr30k", "retrieval", "captions", *_FLICKR),
        Published("coco-order", "order", "captions", *_COCO),
        Published("flickr30k-order", "order", "captions", *_FLICKR),
        Published(
            "vg-relation",
            "choice",
            "vg-relation",
            ("visual_genome_relation.json",),
            _ARO,
            _ARO_IMAGES,
            ({"items": 23937},),
        ),
        Published(
            "vg-attribution",
            "choice",
            "vg-attribution",
            ("visual_genome_attribution.json",),
            _ARO,
            _ARO_IMAGES,
            ({"items": 28748},),
        ),
        Published(
            "sugarcrepe",
            "choice",
            "sugarcrepe",
            tuple(f"{split}.json" for split in _SPLITS),
            "https://github.com/RAIVNLab/sugar-crepe (folder data)",
            "COCO's val2017 from https://cocodataset.org/#download",
            (_SPLITS, *({split: n} for split, n in _SPLITS.items())),
            together=True,
        ),
        Published(
            "winoground",
            "choice",
            "winoground",
            ("examples.jsonl",),
            "https://huggingface.co/datasets/facebook/winoground (folder data)",
            "the images of images.zip from the same place",
            ({"items": 400},),
        ),
        Published(
            "vsr",
            "choice",
            "vsr",
            ("test.jsonl",),
            "https://github.com/cambridgeltl/visual-spatial-reasoning (data/splits/zeroshot or random)",
            "COCO's train2017 and val2017 from https://cocodataset.org/#download",
        ),
    )
}


def load(name_or_path: str, data: Path | None = None) -> Dataset:
    """The dataset of that name, its files at `data` (a file, or the folder with them), or else the file of that path.

    What has a name must be whole: its counts are those that were published. A file by its path is taken as it is.
    Raises UsageError for what is not there, and says what to put where; UnreadableFile for a damaged file.
    """
    known = PUBLISHED.get(name_or_path)
    if known is None:
        path = _path(name_or_path, data)
        records = read_records(path)
        found = format_of(records)
        return without_what_does_not_count(found.read(path.name, records), found.name)
    if data is None:
        raise UsageError(
            f"{known.name} needs its files: --data FILE_OR_DIR with {known.needs}, and --images DIR with {known.images}"
        )
    records = [record for file in _files(known, data) for record in read_records(file)]
    found = format_of(records)
    if found.name != known.format:
        raise unreadable(data, f"its records are those of {found.name}, not of {known.name}; give another --data")
    whole = found.read(known.name, records)
    counts = _counts(whole, known)
    _check(known, data, counts)
    dataset = without_what_does_not_count(whole, found.name)
    if isinstance(dataset, Captioned):
        return replace(dataset, task="order") if known.task == "order" else dataset
    if known.together and counts != known.editions[0]:
        part = f"{len(records):,} of {sum(known.editions[0].values()):,} items, the split {', '.join(counts)}"
        return replace(dataset, part=part)
    return dataset


def _path(name: str, data: Path | None) -> Path:
    path = Path(name)
    if not path.exists():
        raise UsageError(_unknown(name))
    if path.is_dir():
        raise UsageError(
            f"{name!r} is a folder: give a file, or a dataset's name and the folder with --data; there are "
            f"{', '.join(PUBLISHED)}"
        )
    if data is not None:
        raise UsageError(f"--data goes with a dataset's name, and {name!r} is a file; leave one of them out")
    return path


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name.casefold(), PUBLISHED, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(PUBLISHED)}, and files by path"
    return f"no dataset and no file is called {name!r}; {hint}"


def _files(known: Published, data: Path) -> list[Path]:
    if data.is_file():
        return [data]
    where = os.fspath(data)
    if not data.is_dir():
        raise UsageError(f"there is no {where!r}; {known.name} needs {known.needs}")
    there = {name: path for name in known.files if (path := _below(data, name))}
    missing = [name for name in known.files if name not in there]
    if known.together and missing:
        raise UsageError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in {where!r}; put there {known.needs}"
        )
    if not there:
        raise UsageError(f"no file of {known.name} is in {where!r}; put there {known.needs}")
    return list(there.values()) if known.together else [next(iter(there.values()))]


def _below(folder: Path, name: str) -> Path | None:
    """In the folder, or in its folder "data", as in the repositories of SugarCrepe and Winoground."""
    return next((path for path in (folder / name, folder / "data" / name) if path.is_file()), None)


def _counts(dataset: Dataset, known: Published) -> dict[str, int]:
    if isinstance(dataset, Captioned):
        return {"photos": len(dataset.photos), "captions": len(dataset.texts)}
    if known.together:
        return dict(Counter(item.split for item in dataset.items))
    return {"items": len(dataset.items)}


def _check(known: Published, data: Path, counts: Mapping[str, int]) -> None:
    if not known.editions or counts in known.editions:
        return
    published = next((e for e in known.editions if e.keys() == counts.keys()), known.editions[0])
    wrong = [what for what in published if counts.get(what) != published[what]]
    if known.together and (len(wrong) > 1 or published.keys() != counts.keys()):
        published, counts, wrong = {"items": sum(published.values())}, {"items": sum(counts.values())}, ["items"]
    differences = ", ".join(f"{counts[what]:,} {what} where {published[what]:,} are published" for what in wrong)
    raise unreadable(
        data,
        f"{differences}; get {known.name} again from {known.source}, or give a part of it by its path alone: "
        "--dataset FILE",
    )
