"""Records through every format and back: what comes back, and the two things that do not."""

import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from running import run
from synthtools.records import encoders
from synthtools.records.to_arrow import JSON

COLUMNAR = ("parquet", "arrow")
LINES = ("jsonl", "jsonl.gz", "jsonl.zst")

texts = st.text(max_size=12) | st.sampled_from(
    ["\ud800", "a\udfffb", "\x00", "\u2028", "\ufeff", "é", "é"]
)
integers = (
    st.integers()
    | st.integers(-(2**65), 2**65)
    | st.sampled_from(
        [10**29, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64]
    )
)
scalars = st.none() | st.booleans() | integers | st.floats() | texts
anything = st.recursive(
    scalars,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3),
    max_leaves=6,
)
small = st.integers(-9, 9)
# What one column may hold: of one kind mostly, as real data are.
kinds = st.sampled_from(
    [
        small,
        integers,
        small | st.floats(),
        st.floats(width=32),
        texts,
        st.booleans(),
        st.lists(small, max_size=3),
        st.lists(small | st.floats() | st.none(), max_size=3),
        st.lists(st.lists(texts, max_size=2), max_size=2),
        st.fixed_dictionaries({"role": texts, "n": small | st.none()}),
        st.lists(st.fixed_dictionaries({"x": small | st.floats()}), max_size=2),
        st.dictionaries(st.sampled_from(["p", "q"]), small),
        st.just({}),
        st.just([]),
        st.none(),
        small | texts,
        small | st.floats() | texts,
        integers | st.floats(),
        anything,
    ]
)
field_names = st.sampled_from(
    ["text", "id", "a.b", "", 'q"', "ü", "nul\0", "{}", "x y", "list", "item"]
)


@st.composite
def tables(draw):
    """Records whose columns have kinds, each value absent, null, or of its column's kind."""
    columns = draw(st.dictionaries(field_names, kinds, min_size=1, max_size=4))
    rows = draw(st.integers(1, 12))
    records = []
    for _ in range(rows):
        record = {}
        for name, kind in columns.items():
            what = draw(st.integers(0, 5))
            if what:
                record[name] = None if what == 1 else draw(kind)
        records.append(record)
    return records


def written(records, path):
    lines = [json.dumps(r, ensure_ascii=len(r) % 2 == 0 or not valid(r)) + "\n" for r in records]
    path.write_text("".join(lines))
    return path


def valid(record):
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def has_float(value):
    if isinstance(value, dict):
        return any(map(has_float, value.values()))
    if isinstance(value, list):
        return any(map(has_float, value))
    return isinstance(value, float)


def same(left, right, floats):
    """Equality of JSON values; 1 is 1.0 only where ``floats``."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[k], right[k], floats) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b, floats) for a, b in zip(left, right))
    numbers = (int, float)
    if floats and type(left) in numbers and type(right) in numbers:
        return left == right or (left != left and right != right)
    return type(left) is type(right) and repr(left) == repr(right)


def check_round_trip(records, lines):
    found = [json.loads(line) for line in lines]
    assert len(found) == len(records)
    names = list(dict.fromkeys(name for record in records for name in record))
    for name in names:
        values = [record.get(name) for record in records]  # missing comes back as null
        floats = has_float(values)
        for before, after in zip(values, found):
            assert same(before, after[name], floats), (name, before, after[name])
    assert all(list(record) == names for record in found)


@pytest.mark.parametrize("form", COLUMNAR)
@pytest.mark.parametrize("group", [1, 100, 1 << 26])
def test_columnar_round_trip(form, group, convert, lines_of, folder, monkeypatch):
    monkeypatch.setattr(encoders, "_GROUP_BYTES", group)

    @given(tables())
    @settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
    def check(records):
        if not any(records) and form == "parquet":
            return
        with folder() as here:
            source = written(records, here / "in.jsonl")
            target = convert(source, here / f"out.{form}")
            check_round_trip(records, lines_of(target))
            # From rows to rows nothing changes at all.
            again = convert(target, here / f"again.{form}")
            assert lines_of(again) == lines_of(target)

    check()


@pytest.mark.parametrize("form", [*COLUMNAR, "jsonl.gz", "jsonl.zst"])
def test_bytes_depend_on_the_records_alone(form, convert, folder, monkeypatch):
    monkeypatch.setattr(encoders, "_GROUP_BYTES", 150)

    # Under the nulls of a struct Arrow leaves what it likes.
    @example([{"text": {"n": 0, "r": ""}}, *[{}] * 4, {"text": {"n": None, "r": ""}}], 39, 0)
    @given(tables(), st.integers(1, 200), st.integers(0, 12))
    @settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
    def check(records, batch_bytes, cut):
        if not any(records) and form == "parquet":
            return
        with folder() as here:
            source = written(records, here / "in.jsonl")
            whole = convert(source, here / f"whole.{form}").read_bytes()
            assert (
                convert(source, here / f"b.{form}", batch_bytes=batch_bytes).read_bytes() == whole
            )
            parts = [
                written(records[:cut], here / "1.jsonl"),
                written(records[cut:], here / "2.jsonl"),
            ]
            assert convert(parts, here / f"parts.{form}").read_bytes() == whole

    check()


@pytest.mark.parametrize("form", LINES)
def test_jsonl_stays_the_very_bytes(form, convert, lines_of, tmp_path):
    lines = [
        b'{"a":1.10,"b":1E5,"c":-0.0}',
        b' { "a" : 1 , "a" : 2 } ',
        b'{"windows":1}\r',
        b'{"\\u0061":"\\ud83d\\ude00 \\ud800 \\/"}',
        b'{"n":123456789012345678901234567890,"x":NaN,"y":1e400}',
        '{"ü":"\u2028\x7f"}'.encode(),
        b"{}",
        b'{"last":"without newline"}',
    ]
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + b"\n\r\n  \n".join(lines))
    assert lines_of(convert(source, tmp_path / f"out.{form}"), batch_bytes=7) == lines
    plain = convert(tmp_path / f"out.{form}", tmp_path / "back.jsonl")
    assert plain.read_bytes() == b"".join(line + b"\n" for line in lines)


def converted(records, form, tmp_path, convert, lines_of):
    source = written(records, tmp_path / "in.jsonl")
    target = convert(source, tmp_path / f"out.{form}")
    return [line.decode() for line in lines_of(target)]


@pytest.mark.parametrize("form", COLUMNAR)
def test_what_arrow_cannot_tell_apart(form, tmp_path, convert, lines_of):
    """The two exceptions that to_arrow.py names, exactly these."""
    records = [{"a": 1, "b": 1}, {"a": 2.5, "b": None}, {"b": 3}]
    found = converted(records, form, tmp_path, convert, lines_of)
    assert found == ['{"a":1.0,"b":1}', '{"a":2.5,"b":null}', '{"a":null,"b":3}']


@pytest.mark.parametrize("form", COLUMNAR)
def test_mixed_columns_keep_one_and_one_point_nought(form, tmp_path, convert, lines_of):
    records = [{"a": v} for v in (1, 1.0, "x", True, [1, 1.0, {}], None)]
    found = converted(records, form, tmp_path, convert, lines_of)
    assert found == [json.dumps(r, separators=(",", ":")) for r in records]


@pytest.mark.parametrize("form", COLUMNAR)
@pytest.mark.parametrize(
    "values",
    [
        [None, None, 5],
        [None, "late", None],
        [1, 2, 2.5],
        [1, 2, "three"],
        [1, 10**29, 3],
        [2**60 + 1, 0.5, 1],
        [[], [1], [1.5]],
        [[None], [{"x": 1}], [{"x": 2}]],
        [{"x": 1}, {"x": None}, {"x": "s"}],
        [{"x": 1}, {"y": 1}, {}],
        ["text", "\ud800", "more"],
        [True, 1, 0],
        [{"x": {"y": []}}, {"x": {"y": [1]}}, {"x": None}],
    ],
)
def test_schema_widens_after_the_first_rows(form, values, tmp_path, convert, lines_of, monkeypatch):
    monkeypatch.setattr(encoders, "_GROUP_BYTES", 1)
    records = [{"id": i, "v": v} for i, v in enumerate(values)] + [{"id": 9, "new": "column"}]
    found = converted(records, form, tmp_path, convert, lines_of)
    check_round_trip(records, found)
    assert [path.name for path in tmp_path.glob(".*")] == []  # the narrower files are gone


def test_types_of_the_columns(tmp_path, convert):
    records = [
        {
            "i": 1,
            "f": 1.5,
            "s": "x",
            "b": True,
            "l": [1],
            "d": {"x": [0.5]},
            "m": 1,
            "e": {},
            "big": 2**64,
        },
        {
            "i": 2,
            "f": 2,
            "s": "y",
            "b": False,
            "l": [],
            "d": {"x": []},
            "m": "x",
            "e": {},
            "big": 1,
        },
    ]
    table = pq.read_table(convert(written(records, tmp_path / "i.jsonl"), tmp_path / "o.parquet"))
    assert dict(zip(table.column_names, table.schema.types)) == {
        "i": pa.int64(),
        "f": pa.float64(),
        "s": pa.string(),
        "b": pa.bool_(),
        "l": pa.list_(pa.field("element", pa.int64())),
        "d": pa.struct([("x", pa.list_(pa.field("element", pa.float64())))]),
        "m": JSON,
        "e": JSON,
        "big": JSON,
    }


@pytest.mark.parametrize("form", COLUMNAR)
@pytest.mark.parametrize("depth", [10, 17, 60, 200])
def test_deep_values(form, depth, tmp_path, convert, lines_of):
    value = "leaf"
    for _ in range(depth):
        value = [value]
    records = [{"v": value}]
    check_round_trip(records, converted(records, form, tmp_path, convert, lines_of))


def test_no_parquet_of_what_no_column_can_hold(tmp_path, refused):
    (tmp_path / "in.jsonl").write_text('{"a":1}\n{"\\ud800":1}\n')
    result = run("cat", tmp_path / "in.jsonl", "-o", tmp_path / "out.parquet")
    refused(result, "in.jsonl:2: a field's name holds half of a surrogate pair")
    (tmp_path / "in.jsonl").write_text("{}\n")
    result = run("cat", tmp_path / "in.jsonl", "-o", tmp_path / "out.parquet")
    refused(result, "without any field")
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_records_without_fields_as_arrow(tmp_path, convert, lines_of):
    assert converted([{}, {}], "arrow", tmp_path, convert, lines_of) == ["{}", "{}"]


def test_duckdb_reads_our_parquet(tmp_path, convert, monkeypatch):
    monkeypatch.setattr(encoders, "_GROUP_BYTES", 40)
    records = [
        {
            "id": i,
            "text": f"naïve {i} 😀",
            "meta": {"s": [i / 2, None]},
            "mixed": i if i % 2 else "odd",
            "late": None if i < 5 else "here",
            'odd "name"': [{"k": 10**30 + i}],
        }
        for i in range(10)
    ]
    target = convert(written(records, tmp_path / "in.jsonl"), tmp_path / "out.parquet")
    rows = duckdb.sql(f"select * from '{target}'").fetchall()
    assert [row[:3] for row in rows] == [(r["id"], r["text"], r["meta"]) for r in records]
    assert [json.loads(row[3]) for row in rows] == [r["mixed"] for r in records]
    assert [row[4] for row in rows] == [r["late"] for r in records]
    assert [json.loads(row[5]) for row in rows] == [r['odd "name"'] for r in records]
    odd = f"select sum(cast(mixed as int)) from '{target}' where json_type(mixed) <> 'VARCHAR'"
    assert duckdb.sql(odd).fetchall() == [(1 + 3 + 5 + 7 + 9,)]


def test_too_deep_for_columns_only(tmp_path, refused):
    source = tmp_path / "in.jsonl"
    source.write_text('{"a":1}\n{"a":' + "[" * 1000 + "]" * 1000 + "}\n")
    assert run("cat", source).stdout == source.read_bytes()
    result = run("cat", source, "-o", tmp_path / "out.parquet")
    refused(result, "in.jsonl:2: a value is nested too deeply, which Parquet and Arrow cannot hold")


def test_we_read_the_parquet_of_duckdb(tmp_path, lines_of, convert):
    path = tmp_path / "duck.parquet"
    duckdb.sql(
        f"""copy (select 7 as i, '{{"a": [1,
2.50]}}'::json as j, {{'x': 0.1::float, 'y': ['z']}} as s, 1.10::decimal(9, 2) as d, 'é' as t)
        to '{path}' (format parquet)"""
    )
    expected = b'{"i":7,"j":{"a": [1, 2.50]},"s":{"x":0.1,"y":["z"]},"d":1.10,"t":"\xc3\xa9"}'
    assert lines_of(path) == lines_of(convert(path, tmp_path / "out.arrow")) == [expected]


def test_json_of_large_strings(tmp_path, lines_of, convert):
    """Another storage of the same type, as some writers make it."""
    kind = pa.json_(pa.large_string())
    array = pa.ExtensionArray.from_storage(kind, pa.array(['{"a":1.0}'], pa.large_string()))
    path = tmp_path / "in.arrow"
    with pa.ipc.new_file(str(path), pa.schema([("j", kind)])) as writer:
        writer.write_table(pa.table({"j": array}))
    more = written([{"j": "text"}], tmp_path / "more.jsonl")
    assert lines_of(path) == [b'{"j":{"a":1.0}}']
    found = lines_of(convert([path, more], tmp_path / "out.parquet"))
    assert found == [b'{"j":{"a":1.0}}', b'{"j":"text"}']
