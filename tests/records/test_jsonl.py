"""JSON text: what is parsed, and members set or chosen without touching the others."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthtools.records import jsonl

spaces = st.sampled_from(["", "", " ", "\t\r "])
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


values = strings() | st.recursive(numbers | words | strings(), containers, max_leaves=8)


@st.composite
def objects(draw):
    """An object in pieces: the space around it, and (space, key, colon, value, space) of members."""
    member = st.tuples(
        spaces, spelled_names(), st.builds("{}:{}".format, spaces, spaces), values, spaces
    )
    return draw(spaces), draw(st.lists(member, min_size=1, max_size=6)), draw(spaces)


def line_of(before, members, after):
    return (before + "{" + ",".join(map("".join, members)) + "}" + after).encode()


def last_of(members):
    """Where each key stands for the last time, which is the one that readers see."""
    return {json.loads(name): index for index, (_, name, *_) in enumerate(members)}


@given(objects(), st.data())
@settings(max_examples=100)
def test_only_fields_keeps_each_as_written(made, data):
    before, members, after = made
    last = last_of(members)
    wanted = data.draw(st.permutations(list(last)))
    wanted = wanted[: data.draw(st.integers(0, len(wanted)))]
    expected = [("", *members[last[name]][1:4], "") for name in wanted]
    assert jsonl.only_fields(line_of(*made), {}, wanted) == line_of(before, expected, after)


def test_only_fields_needs_them():
    with pytest.raises(KeyError):
        jsonl.only_fields(b'{"a":{"b":1}}', {"a": {"b": 1}}, ["b"])


@given(objects(), st.data())
@settings(max_examples=100)
def test_with_members_changes_nothing_else(made, data):
    before, members, after = made
    last = last_of(members)
    names_set = st.lists(st.sampled_from(list(last)), max_size=3) | st.lists(names)
    new = {
        name: data.draw(st.sampled_from(["7", '"n"', "[1, 2]"])) for name in data.draw(names_set)
    }
    line = line_of(*made)
    found = jsonl.with_members(
        line, jsonl.parse_object(line), {name: value.encode() for name, value in new.items()}
    )
    expected = list(members)
    for name, value in new.items():
        if name in last:
            space, key, colon, _, more = expected[last[name]]
            expected[last[name]] = (space, key, colon, value, more)
    added = [
        ("", jsonl.json_bytes(name).decode(), ":", value, "")
        for name, value in new.items()
        if name not in last
    ]
    if added:  # they stand before the space that stood before the brace
        *left, space = expected.pop()
        expected.append((*left, ""))
        added.append(("", *added.pop()[1:4], space))
    assert found == line_of(before, expected + added, after)


@pytest.mark.parametrize(
    "value",
    [r'"\\"', r'"\""', r'"\\\""', r'"}\"]"', r'["\\", {"x": "}\""}]', r'""', r"[[], {}]"],
)
def test_values_end_where_they_end(value):
    line = f'{{"a":{value},"b":1}}'.encode()
    assert jsonl.only_fields(line, {}, ["b"]) == b'{"b":1}'
    assert jsonl.only_fields(line, {}, ["a"]) == f'{{"a":{value}}}'.encode()


def test_fractions_are_no_long_integers():
    """Else nearly every score would take the slow way."""
    assert not jsonl.has_long_integer(b'{"p":0.00012345678901234567,"q":-1.25}')
    assert jsonl.has_long_integer(b'{"p":1234567890123456789}')


def test_an_object_without_members_takes_some():
    assert jsonl.only_fields(b" { } \r", {}, []) == b" {} \r"
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
            "a record must be a JSON object, not an array (--input-format json reads one array",
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
    assert jsonl.only_fields(line, {}, ["b"]) == b'{"b":1}'
    assert jsonl.with_members(line, record, {"b": b"2"}) == line.replace(b":1}", b":2}")
