"""What a model is called: as it is asked for, as a library keeps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FOLDER = "local-dir:"
BUILT_IN = {"builtin": "builtin", "builtin-neg": "builtin_neg"}
"""models that come with vlsearch -> their folders beside this file"""
DEFAULT = "ViT-B-32-256/datacomp_s34b_b86k"


def source_of(name: str, weights: Path | None = None) -> dict[str, Any]:
    """What a library keeps of how its model was loaded."""
    if name.startswith(FOLDER):
        name = FOLDER + os.path.abspath(Path(name.removeprefix(FOLDER)).expanduser())
    if weights is None:
        return {"name": name}
    return {"name": name, "weights": os.path.abspath(weights)}


def shown_name(source: dict[str, Any]) -> str:
    """The name under which a library keeps the model's vectors."""
    return f"{source['name']}@{Path(source['weights']).name}" if "weights" in source else str(source["name"])
