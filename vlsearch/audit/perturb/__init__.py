"""Perturbations of a caption by name: `perturb("a dog chasing a cat", "swap", seed=0)`."""

from __future__ import annotations

from vlsearch.audit.perturb.registry import PERTURBATIONS, Perturbation, Perturbed, lookup, perturb

__all__ = ["PERTURBATIONS", "Perturbation", "Perturbed", "lookup", "perturb"]
