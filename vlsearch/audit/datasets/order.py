"""Task B: captions against their own perturbed forms, as in COCO-Order and Flickr30k-Order."""

from __future__ import annotations

from vlsearch.audit.datasets.base import Captioned, Choice, Choices, Photo
from vlsearch.audit.perturb import perturb
from vlsearch.errors import UsageError

FORMS = ("shuffle-nouns-adj", "shuffle-rest", "shuffle-within-trigrams", "shuffle-trigrams")
"""Yuksekgonul et al., ICLR 2023, section 2"""


def order(captioned: Captioned, seeds: int = 1, tokenizer: str = "own") -> Choices:
    """An item for each caption and seed: the caption, then its four perturbed forms.

    The caption is tokenised and joined as the forms are, so that they differ in nothing but order. A caption that one
    of the perturbations cannot change is unperturbable: counted, and left out with all its seeds, so that chance is
    exactly 1/5. Two of the forms of a short caption may be equal; they stay, as in ARO, since both are false.
    Raises UsageError without captions or seeds.
    """
    if seeds < 1:
        raise UsageError("an audit needs at least one seed")
    if not captioned.texts:
        raise UsageError(f"{captioned.name} has no captions to put out of order")
    items: list[Choice] = []
    unperturbable = 0
    for text, owner in zip(captioned.texts, captioned.owner.tolist(), strict=True):
        forms = [[perturb(text, name, seed, tokenizer) for name in FORMS] for seed in range(seeds)]
        if not all(form.changed for row in forms for form in row):
            unperturbable += 1
            continue
        true = perturb(text, "identity", 0, tokenizer).text
        photo = Photo(captioned.photos[owner])
        items += [Choice(photo, (true, *(form.text for form in row)), seed=seed) for seed, row in enumerate(forms)]
    return Choices(
        name=captioned.name,
        items=tuple(items),
        part=captioned.part,
        task=captioned.name if captioned.task == "order" else "order",
        seeds=seeds,
        unperturbable=unperturbable,
    )
