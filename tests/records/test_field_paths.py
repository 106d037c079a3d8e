"""Fields by path: the same in lines and in tables, read and written back beside all that stays."""

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import running
from synthtools.errors import RecordError, SynthError
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, ArrowBatch, JsonBatch
from synthtools.records.field_paths import (
    inner_path,
    keys_to,
    split_names,
    value_of,
    with_root_fields,
)

RECORD = {
    "id": 1,
    "meta": {"source": "web", "tags": ["a", "b"], "a.b": "dotted"},
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
    "x.y": "literal",
    "x": {"y": "nested"},
}
PATHS = {
    "id": 1,
    "meta.source": "web",
    "meta.tags[0]": "a",
    "meta.tags[-1]": "b",
    'meta."a.b"': "dotted",
    "messages[-1].content": "ho",
    "messages[role=user].content": "hi",
    "x.y": "literal",
    '"x".y': "nested",
    "meta.none": MISSING,
    "messages[2].content": MISSING,
    "messages[role=system].content": MISSING,
    "messages.content": MISSING,
    "none.source": MISSING,
    "a[": MISSING,
}


def json_batch(*records, dump=json.dumps):
    lines = [dump(record).encode() for record in records]
    return JsonBatch("f", list(range(1, len(lines) + 1)), lines=lines)


def arrow_batch(*records, table=None):
    rows = pa.Table.from_pylist(list(records)) if table is None else table
    return ArrowBatch("f", list(range(1, rows.num_rows + 1)), rows=rows)


@pytest.mark.parametrize("name", PATHS)
def test_values_by_name_or_path(name):
    assert value_of(RECORD, name, MISSING) == PATHS[name]
    assert json_batch(RECORD).column(name) == [PATHS[name]]
    (found,) = arrow_batch(RECORD).column(name)
    assert found == PATHS[name] or (found is None and PATHS[name] is MISSING)


def test_a_condition_that_several_fulfil_leads_nowhere():
    record = {"m": [{"r": "u", "c": 1}, {"r": "u", "c": 2}]}
    assert json_batch(record).column("m[r=u].c") == [MISSING]
    assert arrow_batch(record).column("m[r=u].c") == [None]


def test_integers_beyond_64_bits_stay_exact():
    assert json_batch({"a": {"n": 10**30}}).column("a.n") == [10**30]


def test_a_scanned_field_is_read_out_of_the_one_that_holds_it():
    lines = [b'{"a": {"b": 5}}', b'{"a.b": 6, "a": {"b": 7}}', b"{}"]
    scanned = {"a.b": [None, b"6", None], "a": [b'{"b": 5}', b'{"b": 7}', None]}
    batch = JsonBatch("f", [1, 2, 3], lines=lines, scanned=scanned)
    assert batch.column("a.b") == [5, 6, MISSING] and batch.parsed is None
    assert with_root_fields(["a.b", "c"]) == ("a.b", "c", "a")


def test_names_are_parted_outside_of_quotes_and_brackets():
    text = 'id, m[a=1,b="],"].c ,"x,y"'
    assert split_names(text) == ["id", 'm[a=1,b="],"].c', "x,y"]
    assert split_names("") == [""] and split_names("a,") == ["a", ""]


LINE = b' { "id" : 1e2,"meta":{ "source" : "w\\u0065b" , "n":[1 ,"]", {"a":"}"} ] } ,"t":"x"}\r'


@pytest.mark.parametrize(
    "name, old",
    [
        ("meta.source", b'"w\\u0065b"'),
        ("meta.n[1]", b'"]"'),
        ("meta.n[-1].a", b'"}"'),
        ("t", b'"x"'),
    ],
)
def test_what_is_set_by_path_leaves_every_other_byte(name, old):
    batch = JsonBatch("f", [1], lines=[LINE]).adding({name: Column("string", ['né"'])})
    assert batch.json_lines() == [LINE.replace(old, '"né\\""'.encode())]


def test_a_new_field_is_set_in_an_object_that_is_there():
    found = json_batch({"meta": {}}, {"meta": {"a": 1}}).adding({"meta.b": Column("int", [1, 2])})
    assert found.json_lines() == [b'{"meta": {"b":1}}', b'{"meta": {"a": 1,"b":2}}']
    found = arrow_batch({"meta": {"a": 1}}).adding({"meta.b": Column("int", [2])})
    assert found.piece().table.to_pylist() == [{"meta": {"a": 1, "b": 2}}]
    # Where no field begins like it, it is a plain name.
    found = json_batch({"t": 1}).adding({"meta.b": Column("int", [1])})
    assert found.json_lines() == [b'{"t": 1,"meta.b":1}']


def test_a_place_that_is_not_there_is_an_error():
    both = [{"m": [{"c": "x"}]}, {"m": []}]
    column = {"m[0].c": Column("string", ["y", "z"])}
    with pytest.raises(RecordError, match='f:2: nothing that "m.0..c" could be set in'):
        json_batch(*both).adding(column).json_lines()
    with pytest.raises(SynthError, match='nothing that "m.0..c" could be set in'):
        arrow_batch(*both).adding(column).piece()


def test_selected_fields_are_named_by_their_path():
    names = ["meta.source", "id", "messages[-1]"]
    found = json_batch(RECORD).select(names)
    expected = (
        b'{"meta.source":"web","id": 1,"messages[-1]":{"role": "assistant", "content": "ho"}}'
    )
    assert found.json_lines() == [expected]
    (row,) = arrow_batch(RECORD).select(names).piece().table.to_pylist()
    assert row == json.loads(expected)


leaves = st.text(max_size=3) | st.integers(-5, 5) | st.none()
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


def paths_in(value, before=""):
    """Every path into a value, and what is there."""
    if isinstance(value, dict):
        for name, one in value.items():
            path = f"{before}.{name}" if before else name
            yield path, one
            yield from paths_in(one, path)
    elif isinstance(value, list) and before:
        for place, one in enumerate(value):
            for written in (place, place - len(value)):
                yield f"{before}[{written}]", one
                yield from paths_in(one, f"{before}[{written}]")


@given(st.dictionaries(st.sampled_from("abc"), trees), st.sampled_from([None, 1]))
@settings(max_examples=100)
def test_every_path_is_read_and_replaced(record, indent):
    line = json.dumps(record, indent=indent).replace("\n", " ").encode()
    for path, value in paths_in(record):
        assert value_of(record, path, MISSING) == value
        changed = JsonBatch("f", [1], lines=[line]).adding({path: Column("string", ["NEW"])})
        (found,) = changed.json_lines()
        before, after = found.split(b'"NEW"')
        assert line.startswith(before) and line.endswith(after)
        assert json.loads(line[len(before) : len(line) - len(after)]) == value
        assert keys_to(json.loads(found), inner_path(path) or (path,)) is not None


NESTED = pa.schema(
    [
        ("m", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("big", pa.large_list(pa.large_string())),
        ("fixed", pa.list_(pa.string(), 2)),
        ("map", pa.map_(pa.string(), pa.string())),
        ("json", pa.json_()),
    ]
)
ROWS = [
    {
        "m": [{"role": "u", "content": f"c{i}"}] * (1 + i % 3),
        "big": ["x", f"y{i}"],
        "fixed": ["p", f"q{i}"],
        "map": [("k", f"v{i}"), ("l", "w")],
        "json": f'{{"a":[1.50,"t{i}"]}}',
    }
    for i in range(5)
]


@pytest.mark.parametrize(
    "path, prefix", [("m[-1].content", "c"), ("big[1]", "y"), ("fixed[-1]", "q"), ("map.k", "v")]
)
@pytest.mark.parametrize("start", [0, 2])
def test_columns_keep_their_types_and_all_else(path, prefix, start):
    table = pa.Table.from_pylist(ROWS, NESTED).slice(start)
    batch = arrow_batch(table=table)
    assert batch.column(path) == [f"{prefix}{i}" for i in range(start, 5)]
    new = [f"new{i}" for i in range(start, 5)]
    changed = batch.adding({path: Column("string", new)}).woven()
    assert changed.column(path) == new
    assert changed.rows.schema.remove(2).equals(table.schema.remove(2))  # fixed sizes are given up
    whole = json.dumps(changed.rows.drop_columns(["json"]).to_pylist())
    for i in range(start, 5):
        whole = whole.replace(f"new{i}", f"{prefix}{i}")
    if path != "m[-1].content":
        assert whole == json.dumps(table.drop_columns(["json"]).to_pylist())


def test_json_columns_keep_what_stands_beside():
    batch = arrow_batch(table=pa.Table.from_pylist(ROWS, NESTED))
    assert batch.column("json.a[1]") == [f"t{i}" for i in range(5)]
    changed = batch.adding({"json.a[1]": Column("string", ["n"] * 5)}).woven()
    texts = changed.rows.column("json").combine_chunks().storage.to_pylist()
    assert texts == ['{"a":[1.50,"n"]}'] * 5


def test_nulls_on_the_way_are_nulls():
    rows = [{"m": None}, {"m": []}, {"m": [None]}, {"m": [{"c": None}]}, {"m": [{"c": "x"}]}]
    assert arrow_batch(*rows).column("m[0].c") == [None, None, None, None, "x"]


def test_parquet_of_chats_is_edited_in_place(tmp_path):
    """As a Hub data set has them: messages are lists of structs."""
    chats = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]] * 3
    pq.write_table(pa.table({"messages": chats, "n": [1, 2, 3]}), tmp_path / "chats.parquet")
    out = tmp_path / "out.parquet"
    field = "messages[role=assistant].content"
    words = [
        "cat",
        "chats.parquet",
        "--where",
        "messages[-1].role=assistant",
        "--text-field",
        field,
    ]
    running.synth(*words, "--text", "<{" + field + "}>", "-o", out, cwd=tmp_path)
    table = pq.read_table(out)
    assert table.schema.equals(pq.read_schema(tmp_path / "chats.parquet"))
    assert [row[1]["content"] for row in table["messages"].to_pylist()] == ["<b>"] * 3
    assert [row[0]["content"] for row in table["messages"].to_pylist()] == ["a"] * 3


def test_what_is_missing_is_the_same_in_another_process():
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
