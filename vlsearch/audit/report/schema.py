"""The JSON Schema of what reports are as JSON."""

from __future__ import annotations

import json
from typing import Any, cast


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `to_dict()` of any report, with what each field means; it comes with the package
    as `schema.json`."""
    from importlib.resources import files

    text = files(__package__).joinpath("schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))
