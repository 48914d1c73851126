"""Top-1 of zero-shot classes with the built-in model: bare names, templates, described classes (five sentences each).

Percent, with 95 % intervals, on the drawn scenes that show one thing (44 kinds) and on 2,000 photographs of 21 kinds.
The built-in model was trained on these photographs, with their class names in phrases; the scenes it never saw. The
descriptions, in described_classes.json, were written for this, without a look at either.
"""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

from benchmarks._material import QUICK, temporary

COUNT = 200 if QUICK else 2_000
SOURCES = ("imagenette", "intel", "flower")
IMAGENET = {
    **{0: "tench", 217: "english springer", 482: "cassette player", 491: "chain saw", 497: "church"},
    **{566: "french horn", 569: "garbage truck", 571: "gas pump", 574: "golf ball", 701: "parachute"},
}
"""the names of labels that labels.json has by ImageNet's numbers"""


def run() -> dict[str, float]:
    descriptions = json.loads((Path(__file__).parent / "described_classes.json").read_text())
    figures = {}
    with temporary() as folder:
        scenes(folder / "scenes")
        photographs(folder / "photographs")
        for task, note in (("scenes", "never seen"), ("photographs", "trained on")):
            figures |= compared(folder / task, f"{task} ({note})", descriptions)
    return figures


def scenes(folder: Path) -> None:
    """The scenes with one thing in a place, a folder for each kind of thing."""
    from scenes import rows
    from scenes.nouns import an, split_colour
    from scenes.places import PLACES

    kind = {
        f"{an(words)} {PLACES[place].phrase}": split_colour(words)[1]
        for place, subjects in rows.ALONE.items()
        for words in subjects.split(", ")
    }
    drawn = folder.with_name("drawn")
    runpy.run_path(str(Path(__file__).parents[1] / "make-scenes"))["make_scenes"](drawn, 256)
    told = json.loads((drawn / "captions.json").read_text())
    caption = {note["image_id"]: note["caption"] for note in told["annotations"]}
    for image in told["images"]:
        if caption[image["id"]] in kind:
            file = folder / kind[caption[image["id"]]] / image["file_name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            (drawn / image["file_name"]).rename(file)


def photographs(folder: Path) -> None:
    """A random sample (seed 0) of the labelled photographs, a folder for each class."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = Path(os.environ.get("VLSEARCH_SHARED", "../shared")) / "data" / "train"
    if not data.is_dir():
        raise SystemExit(f"no photographs at {data}: set VLSEARCH_SHARED to the folder that holds data/train")
    names = [row["label"].split(":") for row in json.loads((data / "labels.json").read_text())]
    table = pa.concat_tables(
        [pq.read_table(data / f"{source}.parquet", columns=["image", "label"]) for source in SOURCES]
    )
    for row in np.random.default_rng(0).choice(len(table), COUNT, replace=False).tolist():
        source, name = names[table["label"][row].as_py()]
        file = folder / (IMAGENET[int(name)] if source == "in" else name) / f"{row:05d}.webp"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(table["image"][row].as_py())


def compared(folder: Path, task: str, descriptions: dict[str, list[str]]) -> dict[str, float]:
    from vlsearch.encoders import registry
    from vlsearch.ingest.pipeline import ingest
    from vlsearch.library import open_library
    from vlsearch.search.evaluate import PromptSet, evaluate_library, prompt_sets
    from vlsearch.search.labels import truth_from_folders
    from vlsearch.search.prompts import embed_prompts
    from vlsearch.search.tagging import places

    encoder = registry.load("builtin")
    labels = sorted(path.name for path in folder.iterdir())
    described = {label: descriptions[label] for label in labels}
    sets = prompt_sets(labels, None, described)
    named = [[f"{label}: {sentence}" for sentence in described[label]] for label in labels]
    sets.append(PromptSet("name: description", named))
    with open_library(folder.with_name(f"{folder.name}-library"), write=True, create=True) as library:
        ingest(library, [folder], encoder.name, lambda: encoder)
        with library.snapshot() as reader:
            truth = truth_from_folders(places(reader, reader.all_shown("image")), labels)
        classes = [embed_prompts(encoder.embed_texts, one.texts) for one in sets]
        found = evaluate_library(library, library.model(), truth, labels, sets, classes)
    figures = {f"{task}, number": float(found.photos), f"{task}, chance": 100 / len(labels)}
    for one in found.figures:
        name = f"{task}, {one.prompts}"
        figures[f"{name}, top-1"] = round(100 * one.top1, 1)
        figures |= dict(zip((f"{name}, low", f"{name}, high"), rounded(one.top1_interval), strict=True))
        if one.gain is not None and one.gain_interval is not None:
            figures[f"{name}, gain"] = round(100 * one.gain, 1)
            figures |= dict(zip((f"{name}, gain low", f"{name}, gain high"), rounded(one.gain_interval), strict=True))
    return figures


def rounded(interval: tuple[float, float]) -> tuple[float, float]:
    return round(100 * interval[0], 1), round(100 * interval[1], 1)
