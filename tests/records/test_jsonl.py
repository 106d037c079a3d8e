"""JSON text: what is parsed, and members set or chosen without touching the others."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthtools.records import jsonl

spaces = st.text(" \t\r", max_size=3)
names = st.sampled_from(
    ["a", "b", "text", "", 'q"uote', "back\\slash", "ü", "a.b", "é\u2028", "x y"]
)
numbers = st.sampled_from(
    [
        "0",
        "-0",
        "-0.0",
        "1.10",
        "1E5",
        "1e+05",
        "2.50e-3",
        "123456789012345678901234567890",
        "1e400",
    ]
)
words = st.sampled_from(["true", "false", "null", "NaN", "Infinity", "-Infinity"])


@st.composite
def strings(draw):
    """A string as someone may spell it: escapes of any kind, brackets and quotes inside."""
    piece = st.one_of(
        st.sampled_from(
            ['\\"', "\\\\", "\\n", "\\/", "\\u00e4", "\\ud83d\\ude00", "\\ud800", "\\u0000"]
        ),
        st.sampled_from(["{", "}", "[", "]", ",", ":", "ä", "😀", "\x7f", " "]),
        st.characters(min_codepoint=32, exclude_characters='"\\', exclude_categories=["Cs"]),
    )
    return '"' + "".join(draw(st.lists(piece, max_size=6))) + '"'


def spelled_names():
    return st.builds(
        lambda name, plain: json.dumps(name, ensure_ascii=not plain), names, st.booleans()
    )


def containers(values):
    def joined(opening, closing, items, space):
        return opening + space + ("," + space).join(items) + space + closing

    lists = st.builds(
        lambda items, s: joined("[", "]", items, s), st.lists(values, max_size=3), spaces
    )
    members = st.builds(lambda n, s, v: f"{n}{s}:{s}{v}", spelled_names(), spaces, values)
    objects = st.builds(lambda m, s: joined("{", "}", m, s), st.lists(members, max_size=3), spaces)
    return lists | objects


values = st.recursive(numbers | words | strings(), containers, max_leaves=8)


@st.composite
def objects(draw):
    """An object as text, and its members as (key as written, value as written)."""
    members = draw(st.lists(st.tuples(spelled_names(), values), max_size=6))
    space = lambda: draw(spaces)  # noqa: E731
    inner = ",".join(f"{space()}{n}{space()}:{space()}{v}{space()}" for n, v in members)
    return f"{space()}{{{inner or space()}}}{space()}", members


def key(written):
    return json.loads(written)


@given(objects(), st.lists(names, max_size=4, unique=True))
@settings(max_examples=100)
def test_only_members_keeps_each_as_written(made, wanted):
    text, members = made
    last = {key(name): f"{name}|{value}" for name, value in members}
    line = text.encode()
    if not set(wanted) <= set(last):
        with pytest.raises(KeyError):
            jsonl.only_members(line, wanted)
        return
    found = jsonl.only_members(line, wanted).decode()
    body = found.strip()
    assert found.replace(body, "", 1) == text.replace(text.strip(), "", 1)
    # The slow way: the members of the result are those of the object, byte for byte.
    spans = jsonl._members(body.encode())
    assert [k for k, *_ in spans] == wanted
    for name, start, value_start, end in spans:
        written, value = last[name].split("|", 1)
        whole = body.encode()[start:end].decode()
        assert whole.startswith(written) and whole.endswith(value)
        assert body.encode()[value_start:end].decode() == value


@given(objects(), st.dictionaries(names, st.sampled_from(["7", '"new"', "[1, 2]"]), max_size=4))
@settings(max_examples=100)
def test_with_members_changes_nothing_else(made, new):
    text, members = made
    line = text.encode()
    present = jsonl.parse_object(line)
    found = jsonl.with_members(line, present, {k: v.encode() for k, v in new.items()})
    # The slow way: an object of known layout, with the last of equal keys replaced.
    last = {key(name): index for index, (name, _) in enumerate(members)}
    expected = [
        (key(name), new[key(name)] if key(name) in new and last[key(name)] == index else value)
        for index, (name, value) in enumerate(members)
    ] + [(name, value) for name, value in new.items() if name not in last]
    body = found.strip(b" \t\r\n")
    spans = jsonl._members(body)
    assert [(k, body[start:end].decode()) for k, _, start, end in spans] == expected
    # All bytes that are not new are the old ones, in order.
    for name in set(last) & set(new):
        line = jsonl.with_members(line, present, {name: b"0"})
        found = jsonl.with_members(found, present, {name: b"0"})
    added = b"".join(
        b"," * bool(present or number) + jsonl.json_bytes(name) + b":" + new[name].encode()
        for number, name in enumerate(n for n in new if n not in last)
    )
    assert found.replace(added, b"", 1) == line


def test_an_object_without_members_takes_some():
    assert jsonl.with_members(b" { } \r", {}, {"a": b"1", "b": b"2"}) == b' {"a":1,"b":2 } \r'


@given(values)
@settings(max_examples=100)
def test_values_are_parsed_as_the_standard_library_does(text):
    try:
        expected = json.loads(text)
    except ValueError:  # never: all our values are JSON for it
        raise
    assert repr(jsonl.parse_value(text.encode())) == repr(expected)
    line = f'{{"v":{text}}}'.encode()
    assert repr(jsonl.parse_exactly(line)) == repr({"v": expected})


def test_integers_beyond_64_bits_stay_exact():
    for number in (2**63 - 1, 2**64 - 1, 2**64, -(2**63) - 1, 10**29 + 1):
        assert jsonl.parse_exactly(b'{"n":[%d]}' % number) == {"n": [number]}


@pytest.mark.parametrize(
    "line, reason",
    [
        (b'{"a":1', "not JSON: Expecting ',' delimiter at column 7"),
        (b"nonsense", "not JSON: Expecting value at column 1"),
        (b'{"a": "\xff"}', "not valid UTF-8 at byte 8 of the line"),
        (
            b"[1, 2]",
            "a record must be a JSON object, not an array (one array of records: jq -c '.[]'",
        ),
        (b"3", "not a number"),
        (b'"x"', "not a string"),
        (b"null", "not null"),
        (b"true", "not a boolean"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply to be read"),
        (b'{"a":' + b"9" * 5000 + b"}", "not readable: Exceeds the limit (4300"),
    ],
)
def test_reasons(line, reason):
    with pytest.raises(ValueError) as caught:
        jsonl.parse_object(line)
    assert reason in str(caught.value)


@pytest.mark.parametrize("depth", [250, 600, 1000, 1020])
def test_deep_nesting_is_spliced_without_recursion(depth):
    line = b'{"a":' + b"[" * depth + b"]" * depth + b',"b":1}'
    record = jsonl.parse_object(line)
    assert jsonl.only_members(line, ["b"]) == b'{"b":1}'
    assert jsonl.with_members(line, record, {"b": b"2"}) == line.replace(b":1}", b":2}")
