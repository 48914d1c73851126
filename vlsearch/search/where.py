"""The language of `--where`, as in `width > height and not (camera ~ "phone")`: from text to a tree, its types checked.
The grammar is in docs/filters.md."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, NoReturn, cast

from vlsearch.catalog.conditions import FIELDS
from vlsearch.errors import UsageError
from vlsearch.search import expression as tree
from vlsearch.search.expression import Expression, Sign, Step
from vlsearch.search.filters import format_named, interval
from vlsearch.search.mistake import Mistake

LONGEST = 500
"""words and signs of an expression"""
DEEPEST = 8
"""brackets, nots and minus signs within each other: SQLite's parser holds a hundred things at a time"""
UNITS = {"": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
WORDS = ("and", "or", "not", "in", "is", "null", "missing")

_TOKEN = re.compile(
    r"""(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]+)?)
    | (?P<number>([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[A-Za-z]*)
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<word>[A-Za-z_]+)
    | (?P<sign><=|>=|==|!=|[=<>~()+*/,-])
    | (?P<rest>\S)""",
    re.VERBOSE,
)


def parse(text: str) -> Expression:
    """The tree of an expression. Raises Mistake."""
    return _Parser(text).expression()


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


class _Part(NamedTuple):
    """A piece of the tree, of what kind it is and where it begins."""

    node: Any
    kind: Literal["number", "text", "date", "condition"]
    place: int


class _Parser:
    """Recursive descent: a method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        found = _TOKEN.finditer(text)
        self.tokens = [_Token(match.lastgroup or "", match[0], match.start()) for match in found]
        self.next, self.depth = 0, 0

    def fail(self, message: str, place: int) -> NoReturn:
        raise Mistake(f"--where: {message}", self.text, place)

    def expression(self) -> Expression:
        if not self.tokens:
            self.fail('the expression is empty; write one such as "width > height"', 0)
        if len(self.tokens) > LONGEST:
            self.fail(f"the expression has more than {LONGEST} words and signs", self.tokens[LONGEST].place)
        part = self.condition()
        if self.next < len(self.tokens):
            self.unexpected("an and, an or or the end")
        return cast("Expression", self.of_kind(part, "condition").node)

    def condition(self) -> _Part:
        return self.listed("or", tree.Or, lambda: self.listed("and", tree.And, self.negation))

    def listed(self, word: str, node: type[tree.And] | type[tree.Or], rule: Callable[[], _Part]) -> _Part:
        parts = [rule()]
        while self.accept(word):
            parts.append(rule())
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            self.of_kind(part, "condition")
        return _Part(node(tuple(part.node for part in parts)), "condition", parts[0].place)

    def negation(self) -> _Part:
        token = self.peek()
        if not self.accept("not"):
            return self.comparison()
        with self.deeper(token.place):
            return _Part(tree.Not(self.of_kind(self.negation(), "condition").node), "condition", token.place)

    def comparison(self) -> _Part:
        left = self.sum()
        token = self.peek()
        node: Expression
        if sign := self.accept("=", "==", "!=", "<>", "<", "<=", ">", ">=", "~"):
            node = self.compared(cast("Sign", {"==": "=", "<>": "!="}.get(sign, sign)), left, self.sum(), token.place)
        elif self.accept("is"):
            negated = self.accept("not")
            if not self.accept("null", "missing"):
                self.unexpected("null or missing")
            missing = tree.Missing(self.value(left).node)
            node = tree.Not(missing) if negated else missing
        elif token.text.lower() in ("not", "in"):
            negated = self.accept("not")
            self.expect("in")
            node = self.among(left, bool(negated))
        else:
            return left
        return _Part(node, "condition", left.place)

    def among(self, operand: _Part, negated: bool) -> tree.Among:
        self.expect("(")
        values = [self.matched(operand, self.sum())]
        while self.accept(","):
            values.append(self.matched(operand, self.sum()))
        self.expect(")")
        if any(self.flipped(operand, value) for value in values):
            self.fail("in looks for one field among dates, as in taken in (2021-06-15)", operand.place)
        return tree.Among(operand.node, tuple(self.named(operand, value) for value in values), negated)

    def compared(self, sign: Sign, left: _Part, right: _Part, place: int) -> tree.Compare:
        self.matched(left, right)
        if left.kind == "text" and sign not in ("=", "!=", "~"):
            self.fail("text is compared by =, != and ~ (contains)", place)
        if left.kind != "text" and sign == "~":
            self.fail(f"~ looks for text in text, not in a {left.kind}", place)
        if self.flipped(left, right):
            back: dict[Sign, Sign] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
            return tree.Compare(back.get(sign, sign), right.node, left.node)
        if sign == "~":
            return tree.Compare(sign, left.node, right.node)
        return tree.Compare(sign, self.named(right, left), self.named(left, right))

    def sum(self) -> _Part:
        return self.chain(("+", "-"), self.product)

    def product(self) -> _Part:
        return self.chain(("*", "/"), self.factor)

    def chain(self, signs: tuple[Step, Step], rule: Callable[[], _Part]) -> _Part:
        first = rule()
        rest = []
        while sign := self.accept(*signs):
            rest.append((cast("Step", sign), self.of_kind(rule(), "number").node))
        if not rest:
            return first
        return _Part(tree.Chain(self.of_kind(first, "number").node, tuple(rest)), "number", first.place)

    def factor(self) -> _Part:
        token = self.peek()
        if not self.accept("-"):
            return self.primary()
        with self.deeper(token.place):
            return _Part(tree.Minus(self.of_kind(self.factor(), "number").node), "number", token.place)

    def primary(self) -> _Part:
        token = self.peek()
        if self.accept("("):
            with self.deeper(token.place):
                inner = self.condition()
            self.expect(")")
            return inner._replace(place=token.place)
        if token.kind not in ("number", "text", "date", "word") or token.text.lower() in WORDS:
            self.unexpected("a field, a number, a date or text in quotes")
        self.next += 1
        if token.kind == "number":
            return _Part(tree.Number(self.number(token)), "number", token.place)
        if token.kind == "text":
            return _Part(tree.Text(token.text[1:-1]), "text", token.place)
        if token.kind == "date":
            return _Part(self.date(token), "date", token.place)
        name = token.text.lower()
        if name not in FIELDS:
            close = get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(FIELDS)}; text stands in quotes"
            self.fail(f"there is no field {token.text!r}; {hint}", token.place)
        return _Part(tree.Field(name), FIELDS[name].kind, token.place)

    def peek(self) -> _Token:
        return self.tokens[self.next] if self.next < len(self.tokens) else _Token("end", "", len(self.text))

    def accept(self, *texts: str) -> str:
        """The next word or sign, if it is one of these."""
        token = self.peek()
        if token.kind not in ("word", "sign") or token.text.lower() not in texts:
            return ""
        self.next += 1
        return token.text.lower()

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.unexpected(f"{text!r}")

    def unexpected(self, wanted: str) -> NoReturn:
        token = self.peek()
        if token.text in ("'", '"'):
            self.fail("this quote is not closed", token.place)
        found = repr(token.text) if token.text else "the end"
        self.fail(f"expected {wanted}, not {found}", token.place)

    @contextmanager
    def deeper(self, place: int) -> Iterator[None]:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} brackets, nots or minus signs within each other", place)
        yield
        self.depth -= 1

    def number(self, token: _Token) -> float:
        digits = token.text.rstrip(string.ascii_letters)
        unit = token.text[len(digits) :]
        if unit.lower() not in UNITS:
            self.fail(f"{token.text!r} is no number; units are kB, MB, GB and TB", token.place)
        value = float(digits) * UNITS[unit.lower()]
        if value == float("inf"):
            self.fail(f"{token.text!r} is too large", token.place)
        return value

    def date(self, token: _Token) -> tree.Date:
        try:
            return tree.Date(*interval(token.text))
        except UsageError:
            self.fail(f"there is no date {token.text!r}", token.place)

    def of_kind(self, part: _Part, kind: str) -> _Part:
        if part.kind != kind:
            wanted = "a comparison, such as width > 1000" if kind == "condition" else f"a {kind}"
            found = "a comparison" if part.kind == "condition" else _a(part.kind)
            self.fail(f"expected {wanted}, but this is {found}", part.place)
        return part

    def value(self, part: _Part) -> _Part:
        if part.kind == "condition":
            self.fail("a comparison cannot be compared; join comparisons with and, or", part.place)
        return part

    def matched(self, other: _Part, part: _Part) -> _Part:
        """`part`, once it is clear that it may be compared with `other`."""
        kind = self.value(other).kind
        if self.value(part).kind != kind:
            hint = "; a date is written 2021-06-15" if "date" in (kind, part.kind) else ""
            self.fail(f"cannot compare {_a(kind)} with {_a(part.kind)}{hint}", part.place)
        return part

    def named(self, other: _Part, part: _Part) -> Any:
        """The node of `part`; what `format` is compared with by the catalog's name of it."""
        if not (
            isinstance(part.node, tree.Text) and isinstance(other.node, tree.Field) and other.node.name == "format"
        ):
            return part.node
        try:
            return tree.Text(format_named(part.node.value))
        except UsageError as error:
            self.fail(str(error), part.place)

    def flipped(self, left: _Part, right: _Part) -> bool:
        """Whether a date stands before its field. Two dates, or two fields, are not compared."""
        if left.kind == "date" and isinstance(left.node, tree.Date) == isinstance(right.node, tree.Date):
            self.fail("a date is compared with a field, as in taken >= 2021-06-15", right.place)
        return isinstance(left.node, tree.Date)


def _a(kind: str) -> str:
    return "text" if kind == "text" else f"a {kind}"
