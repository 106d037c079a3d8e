"""Sound files with some damage, drawn by Hypothesis."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import hypothesis.strategies as st

_PIECES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\n", b'"', b"\\u", b"{"]
    ),
    st.sampled_from(
        [b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"1e999", b"[" * 2000, b"-1", b"NaN"]
    ),
)
_EDITS = st.lists(
    st.tuples(
        st.sampled_from(["write", "insert", "cut", "repeat", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        _PIECES,
    ),
    min_size=1,
    max_size=4,
)


def _edited(data: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    for kind, where, length, piece in edits:
        at = int(where * len(data))
        if kind == "write":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + length :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + length] * 3 + data[at + length :]
        else:
            data = data[:at]
    return data


# What stands in the place of a value.
_DEEP: Any = functools.reduce(lambda inner, _: [inner], range(300), 0)
_VALUES = st.one_of(
    st.sampled_from([None, True, -1, 0, 2**31, 2**63, 10**40, 1e308, -1e-308, 0.5, _DEEP]),
    st.sampled_from(
        [float("nan"), float("inf"), "", "\ud800", "\x1b[31m", "../../etc/passwd", "𝔘"]
    ),
    st.sampled_from([[], {}, [[]], [None], {"": {}}, {"__class__": "x"}, ["a", 1, None], [1e999]]),
    st.text(max_size=4),
    st.integers(),
    st.floats(),
)
_CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["set", "drop", "add"]), _VALUES),
    min_size=1,
    max_size=3,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(list or object, index or key) of every value inside."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left:
        held = left.pop()
        keys = list(held) if isinstance(held, dict) else range(len(held))
        for key in keys:
            found.append((held, key))
            if isinstance(held[key], (dict, list)):
                left.append(held[key])
    return found


def _changed(data: bytes, changes: list[tuple[float, str, Any]]) -> bytes:
    """JSON or JSON lines with values changed."""
    try:
        lines = [json.loads(data)]
    except ValueError:
        lines = [json.loads(line) for line in data.splitlines()]
    for where, kind, value in changes:
        places = _places(lines)
        held, key = places[int(where * len(places))]
        value = copy.deepcopy(value)
        if kind == "set":
            held[key] = value
        elif kind == "drop":
            del held[key]
        elif isinstance(held, dict):
            held[str(value)[:20]] = value
        else:
            held.insert(key, value)
        if not lines:
            break
    return "\n".join(map(json.dumps, lines)).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes], is_json: bool) -> bytes:
    """A sound file with some damage."""
    data = draw(st.sampled_from(seeds))
    if is_json and draw(st.booleans()):
        return _changed(data, draw(_CHANGES))
    return _edited(data, draw(_EDITS))
