"""The scan of JSON lines against the parser whose ruling counts."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthtools.records import jsonl
from synthtools.records.scan import ASK, BLANK, LOCATED, scan


def check(lines, field="text", fields=("id",)):
    """Whatever the scan decides is what the parser says; the rest it leaves open."""
    found = scan(b"\n".join(lines), field, fields)
    assert len(found.states) == len(lines) - (lines[-1] == b"")
    block = b"\n".join(lines)
    end = 0
    for index, (state, line) in enumerate(zip(found.states, lines)):
        text = found.data[end : found.ends[index]].tobytes()
        end = found.ends[index]
        if state == BLANK:
            assert not line.strip(b" \t\r") and not text
        elif state == LOCATED:
            record = jsonl.parse_object(line)
            assert record[field] == text.decode("utf-8")
            for number, name in enumerate(fields):
                start, stop = found.spans[index, number]
                if start < 0:
                    assert name not in record
                else:
                    assert jsonl.parse_value(block[start:stop]) == record[name]
        else:
            assert state == ASK and not text
    return found.states.tolist()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "id", "a", 'q"', "é"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def objects(draw):
    record = draw(st.dictionaries(st.sampled_from(["id", "a", "meta"]), values, max_size=3))
    record["text"] = draw(st.text(max_size=40))
    space = draw(st.sampled_from(["", " ", "\t"]))
    return json.dumps(
        dict(draw(st.permutations(list(record.items())))),
        ensure_ascii=draw(st.booleans()),
        separators=("," + space, space + ":" + space),
    ).encode("utf-8", "surrogatepass")


@given(st.lists(objects(), min_size=1, max_size=5))
@settings(max_examples=200)
def test_sound_records_are_read_without_asking(lines):
    lone = [
        any(0xD800 <= ord(c) < 0xE000 for c in json.dumps(json.loads(x), ensure_ascii=False))
        for x in map(_text, lines)
    ]
    states = check(lines)
    assert [state for state, odd in zip(states, lone) if not odd] == [LOCATED] * lone.count(False)


def _text(line):
    return line.decode("utf-8", "surrogatepass")


@given(objects(), st.data())
@settings(max_examples=300)
def test_broken_lines_are_never_taken_for_sound(line, data):
    at = data.draw(st.integers(0, len(line) - 1))
    kind = data.draw(st.sampled_from(["cut", "drop", "swap", "insert"]))
    byte = data.draw(st.sampled_from(list(b'"\\{}[],:0-.eEtu \x00\x1f\x80\xc3\xed\xf4\xff')))
    broken = {
        "cut": line[:at],
        "drop": line[:at] + line[at + 1 :],
        "swap": line[:at] + bytes([byte]) + line[at + 1 :],
        "insert": line[:at] + bytes([byte]) + line[at:],
    }[kind]
    check([line, broken.replace(b"\n", b""), line])


@pytest.mark.parametrize(
    "line",
    [
        b'{"text":"a"',
        b'{"text":"a"}x',
        b'{"text":"a",}',
        b'{"text":"a"}{}',
        b'{"text":"a","b":01}',
        b'{"text":"a","b":1.}',
        b'{"text":"a","b":-}',
        b'{"text":"a","b":1e}',
        b'{"text":"a","b":tru}',
        b'{"text":"a","b":[1,]}',
        b'{"text":"a","b":[1}',
        b'{"text":"a","b":{"c"}}',
        b'{"text":"a","b":{"c":1,}}',
        b'{"text":"a","b":NaN}',
        b'{"text":"a\tb"}',
        b'{"text":"\\x"}',
        b'{"text":"\\u12g4"}',
        b'{"text":"\\ud800"}',
        b'{"text":"\\udc00\\ud800"}',
        b'{"text":"a","\\u0074ext":"b"}',
        b'{"text":1}',
        b'{"text":"a","text":null}',
        b'{"body":"a"}',
        b"{}",
        b"[]",
        b'"text"',
        b'{"text":"\xed\xa0\x80"}',
        b'{"text":"\xc0\xaf"}',
        b'{"text":"\xf5\x80\x80\x80"}',
        b'{"text":"\xe2\x82"}',
        b'\xef\xbb\xbf{"text":"a"}',
        b'{"text":"a","b":' + b"[" * 64 + b"]" * 64 + b"}",
    ],
)
def test_what_it_leaves_open(line):
    assert check([line, b'{"text":"next"}']) == [ASK, LOCATED]


@pytest.mark.parametrize(
    "line, text",
    [
        (b'{"text":"a","text":"b"}', "b"),
        (b'{"text":"longer than the next","text":"b"}', "b"),
        (b' \t{ "a" : [ 1 , {"text":"no"} , [] , {} ] , "text" : "yes" } \r', "yes"),
        (b'{"text":"\\ud83d\\ude00\\u00e9\\n\\/\\u0000"}', "😀é\n/\0"),
        ('{"text":"e\u0301𐐀\u2028"}'.encode(), "e\u0301𐐀\u2028"),
        (b'{"b":-0.5e+10,"c":true,"d":null,"e":false,"text":""}', ""),
        (b'{"text":"a","b":' + b"[" * 63 + b"]" * 63 + b"}", "a"),
    ],
)
def test_what_it_reads(line, text):
    assert check([line]) == [LOCATED]
    assert scan(line, "text").data.tobytes() == text.encode()


def test_lines_end_with_or_without_a_newline():
    assert check([b'{"text":"a"}', b""]) == [LOCATED]
    assert check([b"", b"  ", b'{"text":"a"}', b"", b""]) == [BLANK, BLANK, LOCATED, BLANK]
    assert len(scan(b"", "text").states) == 0


@given(st.integers(0, 40), st.integers(0, 40))
@example(7, 8)
def test_every_alignment(before, length):
    """Eight bytes are read at a time: what is odd may stand anywhere among them."""
    for odd in ('"', "\\", "\n", "é", "😀", "\x7f", " "):
        text = "x" * before + odd + "y" * length
        line = b" " * (before % 8) + json.dumps({"text": text}, ensure_ascii=False).encode()
        assert check([line, line]) == [LOCATED, LOCATED]
        assert scan(line, "text").data.tobytes() == text.encode()


def test_names_that_are_beginnings_of_others():
    line = b'{"te":1,"textual":2,"text":"a","ids":3,"i":4,"id":[5]}'
    found = scan(line, "text", ("id", "te"))
    assert [line[a:b] for a, b in found.spans[0]] == [b"[5]", b"1"]
    assert np.array_equal(found.states, [LOCATED])
