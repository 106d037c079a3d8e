"""Comparisons between cells of a table, as text: ``novels[share=0] < mean(novels[share=50], 12.5) < …``.

claim    sum (("<" | ">" | "<=" | ">=") sum)+ | sum "=" sum "±" sum "%"?
sum      product (("+" | "-") product)*
product  factor (("*" | "/") factor)*
factor   "-" factor | number | "(" sum ")" | function "(" sum ("," sum)* ")" | cell
cell     name ("[" field "=" value ("," field "=" value)* "]")?
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from synthtools.errors import UsageError
from synthtools.records.field_paths import conditions, unquoted

FUNCTIONS = ("mean", "min", "max", "log")
COMPARISONS = ("<=", ">=", "<", ">")
# Expressions in parentheses within each other [ours]: more is no claim that anyone reads.
_DEEPEST = 50
_LONGEST = 400  # names, numbers and signs [ours]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?!\w))"
    r'|(?P<name>[^\W\d]\w*)|"(?P<quoted>(?:[^"\\]|\\.)*+)"'
    r'|(?P<where>\[(?:"(?:[^"\\]|\\.)*+"|[^\]"])*+\])'
    r"|(?P<sign><=|>=|[-−<>+*/(),=±%]))"
)


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Cell:
    """A value of one group.

    Attributes:
        name: of the value.
        where: fields and what they are in that group.
        at: character of the expression, from 1.
    """

    name: str
    where: tuple[tuple[str, str], ...]
    at: int = field(compare=False)


@dataclass(frozen=True)
class Operation:
    """``+ - * /`` of two, ``negative`` of one, or a function of any number."""

    name: str
    parts: tuple[Node, ...]


Node = Number | Cell | Operation


@dataclass(frozen=True)
class Comparison:
    """``left sign right``; ``text`` as it was written.

    Attributes:
        tolerance: of ``=``, how far left may lie from right.
    """

    left: Node
    sign: str
    right: Node
    text: str
    tolerance: Node | None = None


class Undefined(Exception):  # noqa: N818 (of one repetition; others may have a value)
    """An expression has no value for these numbers; the message says why."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse(text: str) -> list[Comparison]:
    """The comparisons of a chain, ``a < b < c`` as a < b and b < c.

    Raises:
        UsageError: it is no such chain; the message tells the character.
    """
    return _Parser(text).chain()


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0
        self._depth = 0
        if len(self._tokens) > _LONGEST:
            at = self._tokens[_LONGEST].start
            raise self._error(at, f"its end: at most {_LONGEST} names, numbers and signs")

    def _split(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text.rstrip()):
            found = _TOKEN.match(self._text, at)
            if found is None:
                at += len(self._text[at:]) - len(self._text[at:].lstrip())
                raise self._error(at, "a number, a name or a sign")
            kind = str(found.lastgroup)
            text = found[kind].replace("−", "-") if kind == "sign" else found[kind]
            yield _Token(kind, text, found.start(kind) - (kind == "quoted"), found.end())
            at = found.end()
        yield _Token("end", "", at, at)

    def _error(self, at: int, expected: str) -> UsageError:
        rest = self._text[at : at + 20].rstrip()
        here = f"found {rest!r}" if rest else "it ends"
        return UsageError(
            f"--claim: character {at + 1} of {self._text!r}: expected {expected}, {here}"
        )

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> str | None:
        """The next token if it is one of these signs."""
        token = self._next
        if token.kind != "sign" or token.text not in signs:
            return None
        self._at += 1
        return token.text

    def _need(self, sign: str) -> None:
        if self._take(sign) is None:
            raise self._error(self._next.start, repr(sign))

    def chain(self) -> list[Comparison]:
        starts = [self._next.start]
        nodes = [self._sum()]
        if self._take("="):
            return [self._known(starts[0], nodes[0])]
        signs = []
        ends = [self._tokens[self._at - 1].end]
        while (sign := self._take(*COMPARISONS)) is not None:
            signs.append(sign)
            starts.append(self._next.start)
            nodes.append(self._sum())
            ends.append(self._tokens[self._at - 1].end)
        if self._next.kind != "end" or not signs:
            raise self._error(self._next.start, "a comparison (<, >, <=, >= or =)")
        return [
            Comparison(nodes[i], sign, nodes[i + 1], self._text[starts[i] : ends[i + 1]])
            for i, sign in enumerate(signs)
        ]

    def _known(self, start: int, left: Node) -> Comparison:
        """What stands behind ``left =``: a known value, and how far off left may be."""
        right = self._sum()
        self._need("±")
        tolerance = self._sum()
        if self._take("%"):
            size = Operation("max", (right, Operation("negative", (right,))))
            tolerance = Operation("*", (Operation("/", (tolerance, Number(100))), size))
        if self._next.kind != "end":
            raise self._error(self._next.start, "its end")
        text = self._text[start : self._tokens[self._at - 1].end]
        return Comparison(left, "=", right, text, tolerance)

    def _sum(self) -> Node:
        return self._row(self._product, "+", "-")

    def _product(self) -> Node:
        return self._row(self._factor, "*", "/")

    def _row(self, part: Callable[[], Node], *signs: str) -> Node:
        found = part()
        while (sign := self._take(*signs)) is not None:
            found = Operation(sign, (found, part()))
        return found

    def _factor(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(self._next.start, f"at most {_DEEPEST} levels of parentheses")
        try:
            return self._one()
        finally:
            self._depth -= 1

    def _one(self) -> Node:
        if self._take("-"):
            return Operation("negative", (self._factor(),))
        if self._take("("):
            found = self._sum()
            self._need(")")
            return found
        token = self._next
        if token.kind == "number":
            self._at += 1
            return Number(float(token.text))
        if token.kind not in ("name", "quoted"):
            raise self._error(token.start, "a number, a name or '('")
        self._at += 1
        if token.kind == "name" and self._take("("):
            return self._function(token)
        return self._cell(token)

    def _function(self, name: _Token) -> Node:
        if name.text not in FUNCTIONS:
            raise self._error(name.start, f"a function ({', '.join(FUNCTIONS)})")
        parts = [self._sum()]
        while self._take(","):
            parts.append(self._sum())
        if name.text == "log" and len(parts) > 1:
            raise self._error(name.start, "log of one number")
        self._need(")")
        return Operation(name.text, tuple(parts))

    def _cell(self, token: _Token) -> Node:
        name = unquoted(token.text) if token.kind == "quoted" else token.text
        where = self._next
        if where.kind != "where":
            return Cell(name, (), token.start + 1)
        found = conditions(where.text[1:-1])
        if found is None:
            raise self._error(where.start, "[field=value, …]")
        self._at += 1
        return Cell(name, found, token.start + 1)


def cells(node: Node) -> Iterator[Cell]:
    """The cells of an expression, from left to right."""
    if isinstance(node, Cell):
        yield node
    elif isinstance(node, Operation):
        for part in node.parts:
            yield from cells(part)


def value(node: Node, lookup: Callable[[Cell], float]) -> float:
    """What an expression comes to.

    Raises:
        Undefined: a division by zero, a logarithm of what is not above 0, or no finite number.
    """
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Cell):
        return lookup(node)
    found = _applied(node.name, [value(part, lookup) for part in node.parts])
    if not math.isfinite(found):
        raise Undefined("a number too large")
    return found


def _applied(name: str, parts: list[float]) -> float:
    if name in ("+", "-", "*", "/"):
        left, right = parts
        if name == "/":
            if right == 0:
                raise Undefined("a division by zero")
            return left / right
        return left + right if name == "+" else left - right if name == "-" else left * right
    if name == "negative":
        return -parts[0]
    if name == "log":
        if parts[0] <= 0:
            raise Undefined(f"log of {parts[0]:g}")
        return math.log(parts[0])
    if name == "mean":
        return math.fsum(part / len(parts) for part in parts)
    return min(parts) if name == "min" else max(parts)
