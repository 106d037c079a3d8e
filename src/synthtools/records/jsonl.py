"""JSON text: parsing with exact errors, and splicing that keeps the bytes of all other members."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from synthtools.records.field_paths import inner_path, keys_to
from synthtools.records.input_format import ARRAY, WINDOWS

# orjson silently turns integers beyond 64 bits (19 digits and more) into floats. Runs of so many digits are
# found first by a fast search, then by one that excludes fractions.
_DIGITS_AS_ZERO = bytes(48 if chr(byte).isdecimal() else 32 for byte in range(128)) + b" " * 128
_LONG_RUN = b"0" * 19
_LONG_INTEGER = re.compile(rb"(?<![0-9.])[0-9]{19}")

_SPACE = b" \t\r\n"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = re.compile(rb"[ \t\r\n,]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_STRING_OR_BRACKET = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_SCALAR = re.compile(rb"[^,}\] \t\r\n]++")
_BETWEEN = re.compile(rb"[ \t\r\n,]*+")


def parse_object(line: bytes) -> dict[str, Any]:
    """One line of JSONL as a dictionary.

    Integers beyond 64 bits may become floats: use ``parse_exactly`` if values are written again. NaN,
    Infinity and lone surrogates, which orjson rejects, are read by the standard library.

    Raises:
        ValueError: with a reason fit for the user.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _parse_slowly(line)
    if type(value) is not dict:
        hint = f" ({ARRAY})" if isinstance(value, list) else ""
        raise ValueError(f"a record must be a JSON object, not {_kind(value)}{hint}")
    return value


def parse_exactly(line: bytes) -> dict[str, Any]:
    """Like ``parse_object``, with exact integers."""
    if has_long_integer(line):
        value = _parse_slowly(line)
        if type(value) is dict:
            return value
    return parse_object(line)


def has_long_integer(line: bytes) -> bool:
    """Whether a run of digits, possibly in a string, may be an integer beyond 64 bits."""
    return _LONG_RUN in line.translate(_DIGITS_AS_ZERO) and bool(_LONG_INTEGER.search(line))


def parse_value(text: bytes) -> Any:
    """Any JSON value, with exact integers.

    Raises:
        ValueError: with a reason fit for the user.
    """
    if not has_long_integer(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # NaN, lone surrogates, or not JSON: parsed again below for the exact error
    return _parse_slowly(text)


def number_in(text: str) -> int | float | None:
    """The number of a text in JSON's syntax, as in values of CSV; None for other texts."""
    try:
        value = parse_value(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return value if type(value) in (int, float) and value == value else None


def parse_values(texts: Sequence[bytes]) -> list[Any]:
    """Like ``parse_value`` for each text, which must be a complete JSON value; all at once if possible."""
    joined = b",".join(texts)
    if not has_long_integer(joined):
        try:
            values: list[Any] = orjson.loads(b"[" + joined + b"]")
            return values
        except orjson.JSONDecodeError:
            pass  # one of them perhaps
    return [parse_value(text) for text in texts]


def _parse_slowly(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} of the line"
        raise ValueError(f"not valid UTF-8 at {place} ({WINDOWS})") from error
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # some of these end so
        raise ValueError(f"not JSON: {what} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply to be read") from error
    except ValueError as error:  # integers with more digits than Python allows
        raise ValueError(f"not readable: {str(error).split(';')[0]}") from error


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def json_bytes(value: Any) -> bytes:
    """A value as compact JSON in UTF-8; also numpy arrays and scalars, float32 in its shortest form."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # integers beyond 64 bits, lone surrogates
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":")).encode("ascii")


def is_unicode(text: str) -> bool:
    """False if a text has a lone surrogate: legal in a JSON escape, but not in UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def members(body: bytes, start: int = 0) -> list[tuple[str, int, int, int]]:
    """The members of a valid object whose opening brace is at ``start``.

    Returns:
        (key, start of the key, start and end of the value) of each.
    """
    members = []
    position = start + 1
    while match := _KEY.match(body, position):
        position = _value_end(body, match.end())
        key = match[1]
        name = parse_value(key) if b"\\" in key else key[1:-1].decode("utf-8")
        members.append((name, match.start(1), match.end(), position))
    return members


def _elements(body: bytes, start: int) -> list[tuple[int, int]]:
    """Starts and ends of the elements of a valid array whose opening bracket is at ``start``."""
    elements = []
    position = _after_commas(body, start + 1)
    while body[position] not in b"]":
        elements.append((position, _value_end(body, position)))
        position = _after_commas(body, elements[-1][1])
    return elements


def _after_commas(body: bytes, position: int) -> int:
    between = _BETWEEN.match(body, position)
    assert between is not None
    return between.end()


def _span(body: bytes, keys: Sequence[str | int]) -> tuple[int, int]:
    """Start and end of the value at ``keys`` in an object, which may be surrounded by space."""
    start = body.index(b"{")
    end = len(body)
    for key in keys:
        if isinstance(key, int):
            start, end = _elements(body, start)[key]
        else:
            # The last of equal keys is the one that readers see.
            start, end = {name: (a, b) for name, _, a, b in members(body, start)}[key]
    return start, end


def _value_end(body: bytes, start: int) -> int:
    if body[start] in b'"':
        return _string_end(body, start)
    if body[start] not in b"[{":
        value = _SCALAR.match(body, start)
        assert value is not None
        return value.end()
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(body, start):
        first = body[token.start()]
        depth += (first in b"[{") - (first in b"]}")
        if not depth:
            return token.end()
    raise AssertionError("the object is valid JSON")


def _string_end(body: bytes, start: int) -> int:
    # For long texts ten times as fast as the regular expression.
    end = start
    while True:
        end = body.index(b'"', end + 1)
        before = end
        while body[before - 1] in b"\\":
            before -= 1
        if (end - before) % 2 == 0:  # otherwise the quote is escaped
            return end + 1


def _without_space(line: bytes) -> tuple[bytes, bytes, bytes]:
    """The line as (leading space, object, trailing space)."""
    body = line.strip(_SPACE)
    start = line.index(b"{")
    return line[:start], body, line[start + len(body) :]


def with_members(line: bytes, present: Collection[str], new: Mapping[str, bytes]) -> bytes:
    """The line with members set: replaced in place or appended; the rest byte for byte.

    Args:
        line: one JSON object, valid.
        present: the names of its members.
        new: name → JSON text of the value.
    """
    before, body, after = _without_space(line)
    replaced = [name for name in new if name in present]
    if replaced:
        # The last of equal keys is the one that readers see.
        spans = {key: (start, end) for key, _, start, end in members(body)}
        for start, end, name in sorted(((*spans[n], n) for n in replaced), reverse=True):
            body = body[:start] + new[name] + body[end:]
    added = [json_bytes(name) + b":" + value for name, value in new.items() if name not in present]
    if added:
        head = body[:-1].rstrip(_SPACE)
        comma = b"," if present else b""
        body = head + comma + b",".join(added) + body[len(head) :]
    return before + body + after


def with_fields(line: bytes, record: dict[str, Any], new: Mapping[str, bytes]) -> bytes:
    """The line with fields set: fields of these names, otherwise the values at these paths (or new members
    of an existing object), otherwise appended; the rest byte for byte.

    Raises:
        ValueError: a path starts at an existing field but leads nowhere.
    """
    members: dict[str, bytes] = {}
    seen = record
    for name, value in new.items():
        steps = inner_path(name)
        if name in record or not steps or steps[0] not in record:
            members[name] = value
            continue
        keys = keys_to(seen, steps)
        if keys is None:
            raise ValueError(f'nothing that "{name}" could be set in (field "{steps[0]}" lacks it)')
        line = with_value(line, keys, value)
        if len(new) > 1:
            seen = parse_object(line)
    return with_members(line, record, members) if members else line


def with_value(line: bytes, keys: Sequence[str | int], value: bytes) -> bytes:
    """An object with the value at ``keys`` replaced (or added, if the last key is new)."""
    *way, last = keys
    if isinstance(last, int):
        start, end = _span(line, keys)
    else:
        start, end = _span(line, way)
        body = line[start:end]
        value = with_members(body, {key for key, *_ in members(body)}, {last: value})
    return line[:start] + value + line[end:]


def only_fields(line: bytes, record: dict[str, Any], names: list[str]) -> bytes:
    """An object with the named fields, in that order, each as it was written; a value found by its path
    becomes a member with the path as its name.

    Raises:
        KeyError: a field is missing.
    """
    before, body, after = _without_space(line)
    spans = {key: body[start:end] for key, start, _, end in members(body)}
    for name in names:
        if name not in spans and (keys := keys_to(record, inner_path(name))):
            start, end = _span(body, keys)
            spans[name] = json_bytes(name) + b":" + body[start:end]
    return before + b"{" + b",".join(spans[name] for name in names) + b"}" + after
