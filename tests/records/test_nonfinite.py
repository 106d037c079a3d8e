"""NaN and infinities of columns: null in JSON and told, kept, or refused; Parquet and Arrow keep them."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synthtools
from running import run, synth
from synthtools.errors import RecordError, UsageError

INF = math.inf


@pytest.fixture
def source(tmp_path):
    """Four numbers that JSON cannot say, and a text that looks like them."""
    rows = [
        {"id": 1, "x": math.nan, "v": [1.5, INF], "t": 'NaN, \\"Infinity\\"'},
        {"id": 2, "x": -INF, "v": [2.0], "t": "a"},
        {"id": 3, "x": 0.5, "v": [math.nan], "t": "NaN"},
    ]
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def strictly(line):
    def refused(word):
        raise AssertionError(word)

    return json.loads(line, parse_constant=refused)


@pytest.mark.parametrize("out", [None, "out.jsonl", "out/"])
def test_they_are_null_and_told(source, tmp_path, out):
    words = ["--format", "jsonl"] if out is None or out.endswith("/") else []
    report = tmp_path / "r.json"
    done = run("cat", source, *words, *(["-o", tmp_path / out] if out else []), "--report", report)
    assert done.returncode == 0
    assert done.stderr.decode().startswith("synth: 4 numbers NaN or infinite became null in JSON (")
    files = sorted((tmp_path / out).glob("part-*")) if out == "out/" else [tmp_path / str(out)]
    content = done.stdout if out is None else b"".join(file.read_bytes() for file in files)
    found = [strictly(line) for line in content.splitlines()]
    assert [(one["x"], one["v"]) for one in found] == [
        (None, [1.5, None]),
        (None, [2]),
        (0.5, [None]),
    ]
    assert [one["t"] for one in found] == ['NaN, \\"Infinity\\"', "a", "NaN"]
    assert json.loads(report.read_text())["made_by"]["counts"]["nonfinite_as_null"] == 4
    assert run("cat", source, "--quiet").stderr == b""


def test_they_are_kept_or_refused_on_request(source, tmp_path):
    kept = synth("cat", source, "--nan", "keep").splitlines()
    assert b'"x":NaN,"v":[1.5,Infinity]' in kept[0] and b'"x":-Infinity' in kept[1]
    told = synth("cat", source, "--nan", "fail", code=1)
    assert f"{source}:1: holds NaN, which JSON cannot say (--nan null or keep" in told
    assert "--nan zero: use keep, null or fail" in synth("cat", source, "--nan", "zero", code=2)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_columns_keep_them(source, tmp_path, form):
    done = run("cat", source, "-o", tmp_path / f"out.{form}")
    assert (done.returncode, done.stderr) == (0, b"")
    back = synth("cat", tmp_path / f"out.{form}", "--nan", "keep")
    assert back == synth("cat", source, "--nan", "keep")


def test_lines_that_hold_them_stay_as_they_were(tmp_path):
    line = b'{"x": NaN, "y":  -Infinity}\n'
    (tmp_path / "in.jsonl").write_bytes(line)
    done = run("cat", tmp_path / "in.jsonl")
    assert (done.stdout, done.stderr) == (line, b"")


@pytest.mark.parametrize("output", [None, "o.jsonl.gz", "o/"])
def test_with_fail_the_record_is_set_aside(tmp_path, output):
    source, rejects = tmp_path / "n.parquet", tmp_path / "r.jsonl"
    values = [0.5, float("nan"), 1.5, float("-inf")]
    pq.write_table(pa.table({"text": list("abcd"), "x": values}), source)
    words = ["cat", source, "--nan", "fail", "--on-error", "skip", "--rejects", rejects]
    out = (
        []
        if output is None
        else ["-o", tmp_path / output, *(["--format", "jsonl"] if output == "o/" else [])]
    )
    done = run(*words, *out, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "report.json").read_text())["made_by"]["counts"]
    assert (counts["read"], counts["written"], counts["skipped"]) == (4, 2, 2)
    written = done.stdout if output is None else run("cat", tmp_path / output).stdout
    assert [json.loads(line)["text"] for line in written.splitlines()] == ["a", "c"]
    bad = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(one["line"], one["reason"].split(",")[0]) for one in bad] == [
        (2, "holds NaN"),
        (4, "holds -Infinity"),
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_path_that_leads_nowhere_is_a_fault_of_its_record(tmp_path, form):
    rows = [{"text": "a", "meta": [{"n": "x"}]}, {"text": "b", "meta": []}]
    source, rejects, out = (tmp_path / name for name in (f"n.{form}", "r.jsonl", "o.jsonl"))
    if form == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), source)
    words = ["mix", f"{source}=1", "--label", "meta[0].n", "-o", out]
    assert ":2: nothing that" in synth(*words, code=1)
    done = run(*words, "--on-error", "skip", "--rejects", rejects)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["meta"] for line in out.read_text().splitlines()] == [
        [{"n": str(source)}]
    ]
    (bad,) = map(json.loads, rejects.read_text().splitlines())
    assert bad["line"] == 2 and "could be set" in bad["reason"]


@pytest.mark.parametrize("output", [None, "out.jsonl"])
@pytest.mark.parametrize("kind", [pa.Table.from_pylist, list])
def test_records_of_the_program_obey_too(kind, output, tmp_path, caplog):
    rows = [{"text": t, "x": x, "v": v} for t, x, v in (("a", 0.5, [1.0, INF]), ("b", 2.0, [3.0]))]

    def found(nan, **more):
        given = {"nan": nan, "force": True, **more}
        if output is None:
            return list(synthtools.cat(kind(rows), **given))
        synthtools.cat(kind(rows), output=tmp_path / output, **given)
        return list(map(json.loads, (tmp_path / output).read_text().splitlines()))

    caplog.set_level("INFO", "synthtools")
    assert found("null") == [rows[0] | {"v": [1.0, None]}, rows[1]]
    assert "1 number NaN or infinite became null" in caplog.text
    assert found("keep") == rows
    with pytest.raises(RecordError, match="<records 1>:1: holds Infinity"):
        found("fail")
    assert found("fail", on_error="skip") == rows[1:]
    with pytest.raises(UsageError, match="zero"):
        found("zero")
