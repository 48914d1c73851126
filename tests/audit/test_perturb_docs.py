from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

from vlsearch.audit.perturb import PERTURBATIONS, perturb

PAGE = Path(__file__).parents[2] / "docs" / "perturbations.md"
ROW = re.compile(r"^\| `(?P<name>[a-z0-9-]+)` \| [^|]+ \|(?: (?P<example>[^|]+) \|)?$", re.MULTILINE)


def test_the_tables_name_every_perturbation_with_its_true_outcome() -> None:
    page = PAGE.read_text("utf-8")
    caption = re.search(r"The example is `(.+)` with seed 0", page)
    assert caption
    examples = {row["name"]: row["example"] for row in ROW.finditer(page)}
    assert list(examples) == list(PERTURBATIONS)
    assert examples == {
        name: perturb(caption[1], name, 0).text if known.kind == "text" else None
        for name, known in PERTURBATIONS.items()
    }


def test_the_page_runs(capsys: Any) -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted > 0
    assert done.failed == 0, capsys.readouterr().out
