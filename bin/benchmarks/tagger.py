"""Precision, recall and F1 of the part-of-speech tagger's nouns, adjectives and verbs on COCO captions tagged by hand.

Percent. Every tag NN… is a noun, JJ… an adjective, VB… a verb. Of tagged_captions.json, by
order, the captions at even places (0, 2, …) were looked at when the tagger's rules were made; those at odd places, held
out, were not. Captions right: the share with every noun and adjective where they are and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TAGGED = Path(__file__).parent / "tagged_captions.json"
CLASSES = {"NN": "nouns", "JJ": "adjectives", "VB": "verbs"}


class Tagged(NamedTuple):
    words: list[str]
    """one a token, without outer marks"""
    tags: list[str]
    """Penn Treebank, by hand"""


def run() -> dict[str, float]:
    shared = Path(os.environ.get("VLSEARCH_SHARED", "../shared"))
    file = shared / "data" / "captions" / "coco_captions_val2017.json"
    if not file.is_file():
        raise SystemExit(f"no captions at {file}: set VLSEARCH_SHARED to the folder that holds data/captions")
    captions = read(file)
    return {"captions": len(captions)} | measured(captions, "") | measured(captions[1::2], "held out, ")


def read(file: Path) -> list[Tagged]:
    """The tagged captions with their words, by COCO's annotations in `file`; ValueError where a caption is another."""
    from vlsearch.audit.perturb.words import edges, tokenise

    texts = {row["id"]: row["caption"] for row in json.loads(file.read_text())["annotations"]}
    captions = []
    for number, told in json.loads(TAGGED.read_text())["captions"].items():
        text = texts.get(int(number), "")
        if hashlib.sha256(text.encode()).hexdigest()[:16] != told["sha256"]:
            raise ValueError(f"caption {number} is another one in {file}")
        words = [edges(token)[1] for token in tokenise(text)]
        captions.append(Tagged(words, told["tags"].split()))
    return captions


def measured(captions: Sequence[Tagged], of: str) -> dict[str, float]:
    from vlsearch.audit.perturb.tags import tags

    pairs = [
        [(hand[:2], machine[:2]) for hand, machine in zip(caption.tags, tags(caption.words), strict=True)]
        for caption in captions
    ]
    figures = {}
    for start, name in CLASSES.items():
        told = sum(hand == start for caption in pairs for hand, _ in caption)
        found = sum(machine == start for caption in pairs for _, machine in caption)
        both = sum(hand == machine == start for caption in pairs for hand, machine in caption)
        figures[f"{of}{name}, precision"] = round(100 * both / found, 1)
        figures[f"{of}{name}, recall"] = round(100 * both / told, 1)
        figures[f"{of}{name}, F1"] = round(200 * both / (told + found), 1)
    right = sum(
        all(hand == machine for hand, machine in caption if {hand, machine} & {"NN", "JJ"}) for caption in pairs
    )
    return figures | {f"{of}captions right": round(100 * right / len(pairs), 1)}
