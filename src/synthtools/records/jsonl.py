"""JSON text: parsed with exact reasons, and spliced so that untouched members keep their bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from json.decoder import WHITESPACE, scanstring
from json.scanner import make_scanner
from typing import Any

import orjson

_scan_value = make_scanner(json.JSONDecoder())

# An integer of more than 15 digits may exceed what a double holds; orjson turns those beyond 64
# bits into floats without a word.
_LONG_NUMBER = re.compile(rb"[0-9]{16}")


def parse_object(line: bytes) -> dict[str, Any]:
    """One line of JSONL as a dictionary.

    Integers beyond 64 bits may come back as floats: use ``parse_exactly`` where values are written
    out again. NaN, Infinity and lone surrogates, which orjson refuses, are read by the standard
    library.

    Raises:
        ValueError: with a reason fit for the user.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _parse_slowly(line)
    if type(value) is not dict:
        raise ValueError(f"a record must be a JSON object, not {_kind(value)}{_array_hint(value)}")
    return value


def parse_exactly(line: bytes) -> dict[str, Any]:
    """Like ``parse_object``, with every integer exact."""
    if _LONG_NUMBER.search(line):
        value = _parse_slowly(line)
        if type(value) is dict:
            return value
    return parse_object(line)


def _parse_slowly(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not valid UTF-8 at byte {error.start + 1} of the line") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply to be read") from error
    except ValueError as error:  # integers of more digits than Python converts
        raise ValueError(f"not readable: {str(error).split(';')[0]}") from error


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _array_hint(value: Any) -> str:
    return " (one array of records: jq -c '.[]' makes JSONL)" if isinstance(value, list) else ""


def json_bytes(value: Any) -> bytes:
    """A value as compact JSON in UTF-8; numpy arrays and scalars included, float32 at its shortest."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # integers beyond 64 bits, lone surrogates
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":")).encode("ascii")


def _members(text: str) -> list[tuple[str, int, int, int]]:
    """The top-level members of an object: (key, start of the key, start and end of the value)."""

    def past_space(position: int) -> int:
        return WHITESPACE.match(text, position).end()  # type: ignore[union-attr]

    members = []
    position = past_space(past_space(0) + 1)
    while text[position] != "}":
        start = position
        key, position = scanstring(text, position + 1, True)
        value_start = past_space(past_space(position) + 1)
        _, end = _scan_value(text, value_start)
        members.append((key, start, value_start, end))
        position = past_space(end)
        if text[position] == ",":
            position = past_space(position + 1)
    return members


def with_members(line: bytes, present: Mapping[str, Any], new: Mapping[str, bytes]) -> bytes:
    """The line with members set: replaced where they stand, else appended; the rest byte for byte.

    Args:
        line: one JSON object, valid.
        present: the parsed object, to know which members it has.
        new: name → JSON text of the value.
    """
    body = line.strip(b" \t\r\n")
    replaced = [name for name in new if name in present]
    if replaced:
        text = body.decode("utf-8")
        # The last of equal keys is the one that readers see.
        spans = {key: (start, end) for key, _, start, end in _members(text)}
        for start, end, name in sorted(((*spans[n], n) for n in replaced), reverse=True):
            text = text[:start] + new[name].decode("utf-8") + text[end:]
        body = text.encode("utf-8")
    added = [json_bytes(name) + b":" + value for name, value in new.items() if name not in present]
    if not added:
        return body
    head = body[:-1].rstrip(b" \t\r\n")
    return head + (b"," if present else b"") + b",".join(added) + b"}"


def only_members(line: bytes, names: list[str]) -> bytes:
    """An object of the named members, in that order, each as it was written.

    Raises:
        KeyError: a member is missing.
    """
    text = line.strip(b" \t\r\n").decode("utf-8")
    spans = {key: text[start:end] for key, start, _, end in _members(text)}
    return ("{" + ",".join(spans[name] for name in names) + "}").encode("utf-8")
