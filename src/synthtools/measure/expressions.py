"""Comparisons between cells of a table, as text: ``novels[share=0] < mean(novels[share=50], 12.5) < …``.

claim    sum (("<" | ">" | "<=" | ">=") sum)+ | sum "=" sum "±" sum "%"?
sum      product (("+" | "-") product)*
product  factor (("*" | "/") factor)*
factor   "-" factor | number | "(" sum ")" | function "(" sum ("," sum)* ")" | cell
cell     name ("[" field "=" value ("," field "=" value)* "]")?

It does not use Python's parser: cells are not Python, and errors name the character.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from synthtools.records.field_paths import conditions, unquoted

_LEVELS = (("+", "-"), ("*", "/"))
_OPERATIONS: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "negative": operator.neg,
    "mean": lambda *parts: math.fsum(part / len(parts) for part in parts),
    "min": lambda *parts: min(parts),
    "max": lambda *parts: max(parts),
    "log": math.log,
}
FUNCTIONS = ("mean", "min", "max", "log")
COMPARISONS = ("<=", ">=", "<", ">")
# Nested parentheses at most [ours].
_DEEPEST = 50
_LONGEST = 400  # names, numbers and signs [ours]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?!\w))"
    r'|(?P<name>[^\W\d]\w*)|"(?P<quoted>(?:[^"\\]|\\.)*+)"'
    r'|(?P<where>\[(?:"(?:[^"\\]|\\.)*+"|[^\]"])*+\])'
    r"|(?P<sign><=|>=|[-−<>+*/(),=±%])|(?P<end>\Z))"
)


@dataclass(frozen=True)
class Cell:
    """A value of one group.

    Attributes:
        name: of the value.
        where: (field, value) pairs that identify the group.
        at: its character in the expression, from 1.
    """

    name: str
    where: tuple[tuple[str, str], ...]
    at: int = field(compare=False)


@dataclass(frozen=True)
class Operation:
    """One of ``_OPERATIONS`` and its operands."""

    name: str
    parts: tuple[Node, ...]


Node = float | Cell | Operation


@dataclass(frozen=True)
class Comparison:
    """``left sign right``; ``text`` as it was written.

    Attributes:
        tolerance: for ``=``, the allowed difference.
    """

    left: Node
    sign: str
    right: Node
    text: str
    tolerance: Node | None = None


class Undefined(Exception):  # noqa: N818 (of one repetition; others may have a value)
    """An expression has no value for these numbers; the message says why."""


def parse(text: str) -> list[Comparison]:
    """The comparisons of a chain; ``a < b < c`` is a < b and b < c.

    Raises:
        ValueError: the message names the character, what was expected there, and what was read.
    """
    return _Parser(text).chain()


class _Parser:
    """Recursive descent over the tokens: (kind, text, start, end)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int, int]] = []
        self._at = self._depth = 0
        end = 0
        while not self._tokens or self._tokens[-1][0] != "end":
            match = _TOKEN.match(text, end)
            if match is None:
                start = end + len(text[end:]) - len(text[end:].lstrip())
                raise self._error("a number, a name or a sign", start)
            kind = str(match.lastgroup)
            token = match[kind].replace("−", "-") if kind == "sign" else match[kind]
            start = end if kind == "end" else match.start(kind) - (kind == "quoted")
            self._tokens.append((kind, token, start, end := match.end()))
        if len(self._tokens) > _LONGEST:
            most = f"its end: at most {_LONGEST} names, numbers and signs"
            raise self._error(most, self._tokens[_LONGEST][2])

    def _error(self, expected: str, at: int | None = None) -> ValueError:
        at = self._start if at is None else at
        rest = self._text[at : at + 20].rstrip()
        here = f"found {rest!r}" if rest else "it ends"
        return ValueError(f"character {at + 1}: expected {expected}, {here}")

    @property
    def _start(self) -> int:
        return self._tokens[self._at][2]

    def _since(self, start: int) -> str:
        return self._text[start : self._tokens[self._at - 1][3]]

    def _take(self, *signs: str) -> str | None:
        """The next token if it is one of these signs."""
        kind, text, _, _ = self._tokens[self._at]
        if kind != "sign" or text not in signs:
            return None
        self._at += 1
        return text

    def _need(self, sign: str) -> None:
        if self._take(sign) is None:
            raise self._error(repr(sign))

    def _end(self, expected: str) -> None:
        if self._tokens[self._at][0] != "end":
            raise self._error(expected)

    def chain(self) -> list[Comparison]:
        start, left = self._start, self._sum()
        if self._take("="):
            return [self._known(start, left)]
        chain = []
        while sign := self._take(*COMPARISONS):
            middle, right = self._start, self._sum()
            chain.append(Comparison(left, sign, right, self._since(start)))
            start, left = middle, right
        expected = "a comparison (<, >, <=, >= or =)"
        self._end(expected)
        if not chain:
            raise self._error(expected)
        return chain

    def _known(self, start: int, left: Node) -> Comparison:
        """The rest after ``left =``: a known value and a tolerance."""
        right = self._sum()
        self._need("±")
        tolerance = self._sum()
        if self._take("%"):
            size = Operation("max", (right, Operation("negative", (right,))))
            tolerance = Operation("*", (Operation("/", (tolerance, 100.0)), size))
        self._end("its end")
        return Comparison(left, "=", right, self._since(start), tolerance)

    def _sum(self, level: int = 0) -> Node:
        if level == len(_LEVELS):
            return self._factor()
        node = self._sum(level + 1)
        while sign := self._take(*_LEVELS[level]):
            node = Operation(sign, (node, self._sum(level + 1)))
        return node

    def _factor(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"at most {_DEEPEST} levels of parentheses")
        if self._take("-"):
            node: Node = Operation("negative", (self._factor(),))
        elif self._take("("):
            node = self._sum()
            self._need(")")
        else:
            node = self._named()
        self._depth -= 1
        return node

    def _named(self) -> Node:
        kind, text, start, _ = self._tokens[self._at]
        if kind not in ("number", "name", "quoted"):
            raise self._error("a number, a name or '('")
        self._at += 1
        if kind == "number":
            return float(text)
        if kind == "name" and self._take("("):
            return self._function(text, start)
        name = unquoted(text) if kind == "quoted" else text
        where: tuple[tuple[str, str], ...] = ()
        kind, text, _, _ = self._tokens[self._at]
        if kind == "where":
            read = conditions(text[1:-1])
            if read is None:
                raise self._error("[field=value, …]")
            where = read
            self._at += 1
        return Cell(name, where, start + 1)

    def _function(self, name: str, start: int) -> Node:
        if name not in FUNCTIONS:
            raise self._error(f"a function ({', '.join(FUNCTIONS)})", start)
        parts = [self._sum()]
        while self._take(","):
            parts.append(self._sum())
        if name == "log" and len(parts) > 1:
            raise self._error("log of one number", start)
        self._need(")")
        return Operation(name, tuple(parts))


def cells(node: Node) -> Iterator[Cell]:
    if isinstance(node, Cell):
        yield node
    elif isinstance(node, Operation):
        for part in node.parts:
            yield from cells(part)


def value(node: Node, lookup: Callable[[Cell], float]) -> float:
    """The value of an expression. Raises Undefined: division by zero, logarithm of a number that is not positive,
    or the result is not finite."""
    if isinstance(node, Cell):
        return lookup(node)
    if not isinstance(node, Operation):
        return node
    parts = [value(part, lookup) for part in node.parts]
    try:
        result = _OPERATIONS[node.name](*parts)
    except ZeroDivisionError:
        raise Undefined("a division by zero") from None
    except ValueError:
        log = node.name == "log"
        raise Undefined(f"log of {parts[0]:g}" if log else "a number too large") from None
    if not math.isfinite(result):
        raise Undefined("a number too large")
    return result
