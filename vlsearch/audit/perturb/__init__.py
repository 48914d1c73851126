"""Perturbations by name: `perturb("a dog chasing a cat", "swap", seed=0)`, and `perturb_photo` for pixels."""

from __future__ import annotations

from vlsearch.audit.perturb.english import english
from vlsearch.audit.perturb.photos import perturb_photo
from vlsearch.audit.perturb.registry import ALL, PERTURBATIONS, Perturbation, expand, lookup
from vlsearch.audit.perturb.texts import TOKENIZERS, Perturbed, perturb, prepared

__all__ = [
    "ALL",
    "PERTURBATIONS",
    "TOKENIZERS",
    "Perturbation",
    "Perturbed",
    "english",
    "expand",
    "lookup",
    "perturb",
    "perturb_photo",
    "prepared",
]
