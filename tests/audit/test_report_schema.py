"""The published schema describes what reports are, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jsonschema
import pytest

from tests.audit.report_samples import all_kinds, everything
from vlsearch.audit.report import choice, comparison, lists, retrieval
from vlsearch.audit.report.comparison import Comparison, Difference, DropDifference, ValueDifference
from vlsearch.audit.report.schema import schema

DIFFERENCE = Difference(0.5, 0.4, 0.1, 0.05, 0.15, 0.01, 0.02)
COMPARISONS = [
    Comparison("a", "b", "retrieval", 9, 0, 1, 0, 2000, results)
    for results in (
        (DropDifference("text_to_image", "shuffle", False, 10, 9, DIFFERENCE, DIFFERENCE),),
        (
            ValueDifference(
                part="all", control=False, metric="auc", k=None, n=9, value=dataclasses.replace(DIFFERENCE, p=None)
            ),
        ),
    )
]


KINDS = [
    value
    for module in (retrieval, choice, lists, comparison)
    for value in vars(module).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
]


def plain(report: Any) -> Any:
    return json.loads(json.dumps(report.to_dict(), allow_nan=False))


def optional_left_out(value: Any) -> Any:
    """`value` with None in each optional field of it and of the dataclasses in it."""
    if isinstance(value, tuple):
        return tuple(map(optional_left_out, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changes = {
        field.name: None if str(field.type).endswith("| None") else optional_left_out(getattr(value, field.name))
        for field in dataclasses.fields(value)
    }
    return dataclasses.replace(value, **changes)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("report", [everything(), *(report for report, _ in all_kinds()), *COMPARISONS])
def test_reports_are_as_described(report: Any) -> None:
    jsonschema.validate(plain(report), schema())
    jsonschema.validate(plain(optional_left_out(report)), schema())


def test_what_is_not_described_is_refused() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    report = plain(everything())
    for spoilt in (report | {"more": 1}, report | {"photos": "200"}, report | {"task": "lists"}):
        assert not validator.is_valid(spoilt)
    del report["results"][0]["low"]
    assert not validator.is_valid(report)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_is_described(kind: type[Any]) -> None:
    described = schema()["$defs"][kind.__name__]
    names = [field.name for field in dataclasses.fields(kind)]
    assert list(described["properties"]) == described["required"] == names
    assert all(described["properties"][name]["description"] for name in names)


def test_nothing_else_is_described() -> None:
    assert set(schema()["$defs"]) == {kind.__name__ for kind in KINDS}
