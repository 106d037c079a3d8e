"""CSV, arrays, plain text and other encodings, as files that other programs write them."""

import csv
import gzip
import io
import json
import random
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from running import run
from synthtools.errors import SynthError, UsageError
from synthtools.records.conversion import array_elements, csv_rows
from synthtools.records.first_records import check_first_records
from synthtools.records.input_format import INPUT_FORMAT, InputFormat, stem
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects

QUIRKS = [
    {"id": "1", "text": 'She said "no",\nthen\r\nleft.', "label": ""},
    {"id": "2", "text": "", "label": "a;b\tc"},
    {"id": "3", "text": " spaces  ", "label": "naïve 😀"},
    {"id": "4", "text": "=1+1", "label": "007"},
]


@pytest.fixture
def formats():
    """Sets what inputs are read as, until the test ends."""
    before = INPUT_FORMAT.get()
    yield lambda *parts: INPUT_FORMAT.set(InputFormat(*parts))
    INPUT_FORMAT.set(before)


class Noted(Rejects):
    def __init__(self):
        super().__init__(skip=True)
        self.errors = []

    def add(self, error):
        self.errors.append(str(error))

    def add_broken_shard(self, source, number, error, raw):
        self.errors.append(str(error))


def both(path, **options):
    """(records with their line numbers, reasons of bad ones) of a file."""
    noted = Noted()
    found = [
        (int(number), json.loads(line))
        for batch in read(find_shards([str(path)]), noted, **options)
        for number, line in zip(batch.numbers, batch.json_lines(), strict=True)
    ]
    return found, noted.errors


def by_duckdb(apart):
    """The quirks as another program writes them."""
    table = pa.Table.from_pylist(QUIRKS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        duckdb.from_arrow(table).write_csv(str(path), sep=apart)
        return path.read_bytes()


def as_excel(rows):
    """What a spreadsheet writes where the comma is a decimal mark."""
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], delimiter=";", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return ("\ufeff" + out.getvalue()).encode()


@pytest.mark.parametrize("size", [1, 50, 1 << 20])
@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", by_duckdb(",")),
        ("a.CSV", as_excel(QUIRKS)),
        ("a.tsv", by_duckdb("\t")),
        ("a.csv.gz", gzip.compress(by_duckdb(","), mtime=0)),
        ("a.csv.zst", zstandard.compress(as_excel(QUIRKS))),
    ],
)
def test_tables_of_other_programs(name, content, size, tmp_path):
    (tmp_path / name).write_bytes(content)
    found, bad = both(tmp_path / name, batch_bytes=size)
    assert [record for _, record in found] == QUIRKS and not bad
    assert [number for number, _ in found] == [2, 5, 6, 7]  # the first goes over three lines


def test_bad_rows_are_told_by_line_and_the_rest_goes_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'text,n\r\none,1\r\n"x\ny",2,3\r\n\r\n"a"b,4\r\ncaf\xe9,5\r\nlast,6\r\n')
    found, bad = both(path)
    assert found == [(2, {"text": "one", "n": "1"}), (8, {"text": "last", "n": "6"})]
    assert [reason.removeprefix(f"{path}:").split(" (")[0] for reason in bad] == [
        "3: 3 values where the header names 2",
        "6: not CSV: text behind a closing double quote",
        "7: bytes that are not UTF-8; --encoding cp1252 reads Windows-1252",
    ]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"a,b,a\n1,2,3\n", ':1: two columns have the name "a"'),
        (b'a,b\n1,"2\n3,4\n', ":2: not CSV: a double quote that opens a value is not closed"),
        (b"text,and,more,columns\n1,2,3,x\0y\n1,2,3,\xff\xfe", ":3: bytes that are not UTF-8"),
        (b"\xff\xfea\0", "UTF-16 text, not UTF-8: --encoding utf-16 reads it"),
        (b"PK\x03\x04....", "a zip archive or a spreadsheet: unzip it, or export it as CSV"),
        (gzip.compress(b"a,b\n1,2\n" * 999, mtime=0)[:-20], "truncated gzip data"),
    ],
)
def test_broken_tables(content, words, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SynthError) as caught:
        list(read(find_shards([str(tmp_path / "a.csv")]), Rejects()))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"text,label\n", b"\xef\xbb\xbf"])
def test_tables_without_rows(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    assert both(tmp_path / "a.csv") == ([], [])


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(cells, cells), max_size=8))
def test_rows_are_those_of_pythons_writer(rows):
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["a", "b"])
    writer.writerows(rows)
    out.seek(0)
    found = [json.loads(line.json) for line in csv_rows(out, "a", "csv", None)]
    assert found == [{"a": a, "b": b} for a, b in rows]


# ---------------------------------------------------------------- arrays

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


@given(st.lists(values, max_size=6), st.sampled_from([None, 0, 2]), st.integers(1, 20))
def test_elements_wherever_reads_end(array, indent, size):
    rest = io.BytesIO(
        b" \n" + json.dumps(array, indent=indent, ensure_ascii=False).encode() + b"\n"
    )
    found = list(array_elements(lambda _: rest.read(size), "a"))
    assert [json.loads(line.json) for line in found] == array
    assert [line.number for line in found] == list(range(1, len(array) + 1))
    assert not any(b"\n" in line.json for line in found)


def test_an_array_keeps_the_spelling_of_its_records(tmp_path, lines_of):
    text = '[\n  {"n": 1.50, "big": 123456789012345678901234567890,\n   "t": "\\u00e9"}\n,{}]'
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    expected = [b'{"n": 1.50, "big": 123456789012345678901234567890, "t": "\\u00e9"}', b"{}"]
    assert lines_of(tmp_path / "a.json") == lines_of(tmp_path / "a.json.gz") == expected
    (tmp_path / "b.json").write_text('{"a": 1}\n{"a": 2}\n')  # lines are what they were
    assert lines_of(tmp_path / "b.json") == [b'{"a": 1}', b'{"a": 2}']


@pytest.mark.parametrize(
    "text, words",
    [
        ('[{"a": 1},', "truncated: the JSON array has no end"),
        ('[{"a": 1', "truncated: the JSON array has no end"),
        (
            '[{"a": "x\ny"}]',
            "element 1 of the JSON array has a string that its line does not close",
        ),
        ('[{"a": 1},,{"a": 2}]', "element 2 of the JSON array is empty (a comma too many)"),
        ('[{"a": 1},]', "element 2 of the JSON array is empty"),
        ('[{"a": 1}}', "element 1 of the JSON array ends with a brace that nothing opens"),
        ('[1]\n{"a": 1}', ":1: a record must be a JSON object, not a number"),
        ('[{"a": 1}]\n{"a": 1}', "something stands behind the JSON array; if this is JSONL"),
        ('[{"a": 1},\n{"a" 2}]', ":2: not JSON: Expecting ':' delimiter at column 6"),
        ('[{"a": 1\n2}]', ":1: not JSON"),
    ],
)
def test_broken_arrays(text, words, tmp_path, lines_of):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SynthError) as caught:
        lines_of(tmp_path / "a.json")
    assert words in str(caught.value) and str(caught.value).startswith(str(tmp_path / "a.json:"))


# ---------------------------------------------------------------- plain text

PROSE = "# Title\r\n\r\nOne para,\r\ntwo lines.\r\n \r\nLast"


@pytest.mark.parametrize(
    "split, expected",
    [
        (None, [(1, None, PROSE)]),
        ("lines", [(n, n, PROSE.split("\r\n")[n - 1]) for n in (1, 3, 4, 6)]),
        ("paragraphs", [(1, 1, "# Title"), (3, 3, "One para,\r\ntwo lines."), (6, 6, "Last")]),
    ],
)
def test_plain_text(split, expected, tmp_path, formats):
    path = tmp_path / "a.md"
    path.write_bytes(PROSE.encode())
    formats("", None, split)
    found, bad = both(path)
    where = {"path": str(path)}
    assert found == [
        (n, {**where, **({} if line is None else {"line": line}), "text": text})
        for n, line, text in expected
    ]
    assert not bad


def test_a_directory_has_the_first_kind_of_its_files(tmp_path, formats):
    def named(*parts):
        formats(*parts)
        return [shard.name.removeprefix(f"{tmp_path}/") for shard in find_shards([str(tmp_path)])]

    for name in ("README.md", "b/c.txt", "_x.txt", ".git/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text\n")
    assert named() == ["README.md", "b/c.txt"]
    (tmp_path / "a.csv").write_text("text\nx\n")
    assert named() == ["a.csv"]
    (tmp_path / "b/e.jsonl").write_text('{"text": "x"}\n')
    assert named() == ["b/e.jsonl"]
    assert named("text") == ["README.md", "b/c.txt"]
    with pytest.raises(SynthError, match="no shards in this directory"):
        named("tsv")
    with pytest.raises(UsageError, match="--split lines: for plain text"):
        named("", None, "lines")


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize(
    "name, text",
    [
        ("a.jsonl", '{"text": "café – naïve"}\n{"text": "ÿ"}\n'),
        ("a.json", '[{"text": "café – naïve"}, {"text": "ÿ"}]'),
        ("a.csv", "text\ncafé – naïve\nÿ\n"),
        ("a.txt", "café – naïve\nÿ\n"),
    ],
)
def test_other_encodings_are_named(name, text, encoding, tmp_path, formats):
    path = tmp_path / name
    if encoding == "latin-1":
        text = text.replace("–", "-")
    path.write_bytes(text.encode(encoding))
    kind = find_shards([str(path)])[0].format
    with pytest.raises(SynthError, match=r"--encoding (cp1252|utf-16)|neither text|not JSON"):
        list(read(find_shards([str(path)]), Rejects()))
    formats("", encoding, "lines" if kind.kind == "text" else None)
    found, bad = both(path)
    dash = "-" if encoding == "latin-1" else "–"
    assert [record["text"] for _, record in found] == [f"café {dash} naïve", "ÿ"] and not bad


def test_bytes_that_an_encoding_lacks(tmp_path, formats):
    (tmp_path / "a.csv").write_bytes(b"text\nx\x81y\nz\n")
    formats("", "cp1252")
    found, bad = both(tmp_path / "a.csv")
    assert found == [(3, {"text": "z"})] and "a.csv:2: bytes that are not cp1252" in bad[0]
    (tmp_path / "b.csv").write_bytes("text\nxy\n".encode("utf-16")[:-1])
    formats("", "utf-16")
    assert "b.csv: not utf-16" in both(tmp_path / "b.csv")[1][0]


def test_the_first_record_is_looked_at_in_every_format(tmp_path):
    (tmp_path / "a.csv").write_text("text,n\nx\n")
    (tmp_path / "b.json").write_text("[1]")
    for name in ("a.csv", "b.json"):
        with pytest.raises(SynthError, match=name):
            check_first_records(find_shards([str(tmp_path / name)]), lambda batch: None)


# ---------------------------------------------------------------- tools, pipes, outputs


def test_formats_at_the_command_line(tmp_path):
    table = b"text,label\nx,1\ny,2\n"
    piped = run("cat", "--input-format", "csv", "--head", 1, input=table)
    assert piped.stdout == b'{"text":"x","label":"1"}\n'
    assert run("cat", input=b' [{"a": 1},\n {"a": 2}]').stdout == b'{"a": 1}\n{"a": 2}\n'
    (tmp_path / "a.csv").write_bytes(table)
    report = json.loads(run("stats", tmp_path / "a.csv", "--by", "label", "--jobs", 2).stdout)
    assert [group["documents"] for group in report["groups"]] == [1, 1]
    bad = run("cat", tmp_path / "a.csv", "--encoding", "klingon")
    assert bad.returncode == 2 and b"--encoding klingon: not an encoding" in bad.stderr


@pytest.mark.parametrize("form", ["csv", "tsv", "csv.gz", "tsv.zst"])
def test_what_is_written_is_read_again(form, tmp_path, convert):
    random.seed(3)
    alphabet = 'a,"\t\r\n;é 😀'
    rows = [
        {"id": str(n), "text": "".join(random.choices(alphabet, k=n)), "x": f"{n}"}
        for n in range(60)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = convert(path, tmp_path / f"b.{form}")
    found, bad = both(table)
    assert [record for _, record in found] == rows and not bad
    if "." not in form:
        apart = "," if form == "csv" else "\t"
        seen = duckdb.read_csv(str(table), sep=apart, header=True, all_varchar=True, parallel=False)
        again = [dict(zip(seen.columns, row, strict=True)) for row in seen.fetchall()]
        assert [{k: v or "" for k, v in row.items()} for row in again] == rows


def test_values_and_columns_of_a_table(tmp_path, convert):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"n": 1.50, "text": null, "m": {"a": [1, "x"]}}\n{"n": true}\n{"n": 1e400, "new": "é"}\n'
    )
    written = convert(path, tmp_path / "a.csv").read_text()
    assert written == 'n,text,m,new\n1.50,,"{""a"": [1, ""x""]}",\ntrue,,,\n1e400,,,é\n'
    piped = run("cat", path, "--format", "csv", "--head", 2)
    assert piped.stdout.decode() == 'n,text,m\n1.50,,"{""a"": [1, ""x""]}"\ntrue,,\n'
    refused = run("cat", path, "--format", "csv")
    assert refused.returncode == 1 and b'field "new" is not in the header' in refused.stderr
    half = run("cat", "-o", tmp_path / "b.csv", input=b'{"a": "\\ud800"}\n')
    assert half.returncode == 1 and b"<stdin>:1: holds half of a surrogate pair" in half.stderr
    assert not (tmp_path / "b.csv").exists()
    assert convert(path, tmp_path / "out", "csv").joinpath("part-00000.csv").exists()


@pytest.mark.parametrize(
    "name, expected",
    [
        ("vicuna-7b-v1.3.jsonl", "vicuna-7b-v1.3"),
        ("a.b.csv.gz", "a.b"),
        ("gpt-3.5", "gpt-3.5"),
        ("x.parquet", "x"),
        (".jsonl", ".jsonl"),
    ],
)
def test_a_stem_keeps_the_points_of_a_name(name, expected):
    assert stem(name) == expected
