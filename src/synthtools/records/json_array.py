"""One JSON array of records, element by element, each as it was written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from synthtools.errors import SynthError, parameter
from synthtools.records.text_lines import LONGEST, JsonLine

_CHUNK = 1 << 18
# A string, what gives an array its shape, or a string whose end has not come yet.
_TOKEN = re.compile(rb'"(?:[^"\\\n]++|\\[^\n])*+"|[\[\]{},]|"', re.DOTALL)
_LINE_END = re.compile(rb"[ \t\r]*\n[ \t\r\n]*")


def elements(read: Callable[[int], bytes], name: str) -> Iterator[JsonLine]:
    """The elements of an array, whatever they are, on a line each.

    Args:
        read: gives so many bytes of the array's text, in UTF-8, fewer at its end.

    Memory: some 256 KB, or twice the longest element.

    Raises:
        SynthError: what is read is not one whole array.
    """
    held, start, at = b"", 0, 0  # bytes; where the element begins; how far they have been looked at
    depth = number = 0
    while data := read(max(_CHUNK, len(held) - start)):
        held, at, start = held[start:] + data, at - start, 0
        if len(held) > LONGEST:
            raise _broken(name, number, f"is longer than {LONGEST >> 20} MiB")
        for token in _TOKEN.finditer(held, at):
            at = token.start()
            mark = held[at : at + 1]
            if mark == b'"' and len(token[0]) == 1:
                if _LINE_END.search(held, at):
                    raise _broken(name, number, "has a string that its line does not close")
                break
            at = token.end()
            if depth == 1 and mark == b"}":
                raise _broken(name, number, "ends with a brace that nothing opens")
            if depth == 1 and mark in (b",", b"]"):
                element = held[start : at - 1].strip()
                if element or mark == b"," or number > 1:
                    if not element:
                        raise _broken(name, number, "is empty (a comma too many)")
                    yield JsonLine(number, _LINE_END.sub(b" ", element))
                start = at
                number += 1
            if mark in (b"[", b"{"):
                depth += 1
                if depth == 1:
                    start, number = at, 1
            elif mark in (b"]", b"}"):
                depth -= 1
            if not depth:
                _refuse_more(held[at:], read, name)
                return
        else:
            at = len(held)
    raise SynthError(f"{name}: truncated: the JSON array has no end; fetch or write the file again")


def _refuse_more(rest: bytes, read: Callable[[int], bytes], name: str) -> None:
    while not rest.strip():
        if not (rest := read(_CHUNK)):
            return
    raise SynthError(
        f"{name}: something stands behind the JSON array; if this is JSONL: "
        f"{parameter('input_format', 'jsonl')}"
    )


def _broken(name: str, number: int, why: str) -> SynthError:
    return SynthError(f"{name}: element {number} of the JSON array {why}")
