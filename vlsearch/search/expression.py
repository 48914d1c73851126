"""The tree of a `--where` expression, which `where` makes of text, and its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from vlsearch.catalog import conditions
from vlsearch.catalog.conditions import FIELDS, Sql

Sign = Literal["=", "!=", "<", "<=", ">", ">=", "~"]
Step = Literal["+", "-", "*", "/"]


@dataclass(frozen=True)
class Field:
    name: str


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Date:
    """A day, minute or second: from `start` to before `end`."""

    start: str
    end: str


@dataclass(frozen=True)
class Minus:
    operand: Operand


@dataclass(frozen=True)
class Chain:
    """`first` and what is done to it, from the left."""

    first: Operand
    rest: tuple[tuple[Step, Operand], ...]


@dataclass(frozen=True)
class Compare:
    """With a Date only a date field on the left."""

    sign: Sign
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Among:
    operand: Operand
    values: tuple[Operand, ...]
    negated: bool = False


@dataclass(frozen=True)
class Missing:
    operand: Operand


@dataclass(frozen=True)
class Not:
    operand: Expression


@dataclass(frozen=True)
class And:
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Expression, ...]


Operand = Field | Number | Text | Date | Minus | Chain
Expression = Compare | Among | Missing | Not | And | Or


def compiled(node: Expression | Operand) -> Sql:
    """Parameters for every number, text and date; nothing else of what the user wrote is in the SQL."""
    match node:
        case Field(name):
            return conditions.field(name)
        case Number(value):
            return conditions.number(value)
        case Text(value):
            return conditions.words(value)
        case Minus(operand):
            return conditions.minus(compiled(operand))
        case Chain(first, rest):
            return conditions.chain(compiled(first), [(step, compiled(operand)) for step, operand in rest])
        case Compare(sign, left, Date() as date):
            return _compared_with_date(sign, compiled(left), date)
        case Compare("~", left, right):
            return conditions.contains(compiled(left), compiled(right))
        case Compare(sign, left, right):
            return conditions.compare(cast("Any", sign), _comparable(left), _comparable(right))
        case Among(operand, values, negated) if isinstance(values[0], Date):
            each: list[Expression] = [Compare("!=" if negated else "=", operand, value) for value in values]
            return (conditions.both if negated else conditions.either)([compiled(part) for part in each])
        case Among(operand, values, negated):
            return conditions.among(_comparable(operand), [_comparable(value) for value in values], negated)
        case Missing(operand):
            return conditions.missing(compiled(operand))
        case Not(operand):
            return conditions.no(compiled(operand))
        case And(parts):
            return conditions.both([compiled(part) for part in parts])
        case Or(parts):
            return conditions.either([compiled(part) for part in parts])
    raise TypeError(node)


def _comparable(node: Operand) -> Sql:
    """Text without the case of A to Z."""
    if isinstance(node, Text) or (isinstance(node, Field) and FIELDS[node.name].kind == "text"):
        return conditions.folded(compiled(node))
    return compiled(node)


def _compared_with_date(sign: Sign, taken: Sql, date: Date) -> Sql:
    """A date is a stretch of time: before it, in it, after it."""
    match sign:
        case "=":
            return conditions.between(taken, date.start, date.end)
        case "!=":
            before, after = _compared_with_date("<", taken, date), _compared_with_date(">", taken, date)
            return conditions.either([before, after])
        case "<" | ">=":
            return conditions.compare(sign, taken, conditions.words(date.start))
        case "<=":
            return conditions.compare("<", taken, conditions.words(date.end))
        case ">":
            return conditions.compare(">=", taken, conditions.words(date.end))
        case _:
            raise TypeError(sign)
