"""Files in every state a user meets them in, through the real binary."""

import gzip
import json
import os
import shlex
import signal
import subprocess
import time
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from running import COLD, command, one_line, run

RECORDS = [{"id": i, "text": f"text {i} é", "n": 10**29 if i == 3 else i} for i in range(200)]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()


cat = partial(run, "cat")


def failed(result, *words, code=1):
    line = one_line(result, code)
    for word in words:
        assert word in line


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow"])
def test_every_format_by_content_from_file_and_pipe(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    assert cat("-", "-o", path, input=LINES).returncode == 0
    hidden = tmp_path / "no-suffix"
    hidden.write_bytes(path.read_bytes())
    for result in (cat(path), cat(hidden), cat("-", input=path.read_bytes())):
        assert result.returncode == 0
        assert [json.loads(line) for line in result.stdout.splitlines()] == RECORDS
    if suffix.startswith("jsonl"):
        assert result.stdout == LINES


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-60], ["truncated gzip"]),
        ("a.jsonl.zst", zstandard.compress(LINES)[:-9], ["truncated zstd"]),
        ("a.jsonl.zst", zstandard.compress(LINES)[:40] + b"\0" * 400, ["zstd"]),
        ("a.jsonl", b"\xff\xfe{\0", ["UTF-16", "--encoding utf-16"]),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n', [":2:", "not valid UTF-8"]),
        ("a.jsonl", b'{"text": "a"}\n{"text": }\n', [":2:", "not JSON"]),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000 + b"\n", [":1:"]),
    ],
)
def test_damage_is_one_line_with_its_place(name, content, words, tmp_path):
    path, output = tmp_path / name, tmp_path / "out.jsonl"
    path.write_bytes(content)
    failed(cat(path, "-o", output), str(path), *words)
    assert not output.exists() and not list(tmp_path.glob(".*"))


def test_truncated_parquet_and_arrow(tmp_path):
    table = pa.table({"text": ["a", "b"] * 1000})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        failed(cat(tmp_path / name, "-o", tmp_path / "out.jsonl"), name, "truncated")
        assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_an_empty_file_has_no_records(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    result = cat(tmp_path / name)
    assert (result.returncode, result.stdout) == (0, b"")
    assert result.stderr.startswith(b"synth: no records in ")
    assert cat(tmp_path / name, "--count").stdout == b"0\n"


def test_damage_set_aside_and_the_rest_goes_on(tmp_path):
    (tmp_path / "1.jsonl").write_bytes(b'{"a": 1}\nrubbish\n{"a": 2}\n')
    (tmp_path / "2.jsonl.zst").write_bytes(zstandard.compress(LINES)[:-9])
    (tmp_path / "3.jsonl").write_bytes(b'{"a": 3}')
    rejects = tmp_path / "rejects.txt"
    result = cat(tmp_path, "--on-error", "skip", "--rejects", rejects)
    assert result.returncode == 0
    seen = [json.loads(line) for line in result.stdout.splitlines()]
    assert seen[:2] == [{"a": 1}, {"a": 2}] and seen[-1] == {"a": 3}
    entries = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(e["file"].split("/")[-1], e["line"]) for e in entries][0] == ("1.jsonl", 2)
    assert entries[0]["raw"] == "rubbish" and "truncated" in entries[1]["reason"]
    assert b"2 skipped" in result.stderr
    told = cat(tmp_path / "1.jsonl", "--on-error", "skip")
    assert b"1.jsonl:2:" in told.stderr and told.returncode == 0


def test_an_endless_pipe_is_read_no_further_than_needed():
    line = f"yes '{{\"a\": 1.50}}' | {shlex.join(command())} cat --head 3"
    result = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60)
    assert result.stdout == b'{"a": 1.50}\n' * 3 and result.stderr == b""


def test_select_keeps_spelling_and_names_what_lacks(tmp_path):
    line = b'{"b" : 1.10, "a":[ 1,2 ],"c":1E5}\n'
    assert cat("--select", "c,b", input=line).stdout == b'{"c":1E5,"b" : 1.10}\n'
    failed(cat("--select", "d", input=line), "<stdin>:1:", '"d"', "b, a, c")


def test_existing_unwritable_and_nameless_outputs(tmp_path):
    path = tmp_path / "there.jsonl"
    path.write_text("mine")
    failed(cat("-", "-o", path, input=LINES), "--force")
    assert path.read_text() == "mine"
    assert cat("-", "-o", path, "--force", input=LINES).returncode == 0
    assert path.read_bytes() == LINES
    failed(cat("-", "-o", tmp_path / "none" / "a.jsonl", input=LINES), "none")
    failed(cat("-", "-o", tmp_path / "a.xls", input=LINES), ".xls", code=2)
    failed(cat("-", "-o", "/dev/full", input=LINES), "No space left")
    failed(cat("-", "-o", tmp_path / "a.jsonl", "--resume", input=LINES), "--resume", code=2)


def test_redirection_onto_the_input_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    line = f"{shlex.join(command())} cat a.jsonl >> a.jsonl"
    result = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True)
    assert result.returncode == 1 and b"both input and output" in result.stderr
    assert path.read_bytes() == LINES


@pytest.mark.parametrize("form", ["jsonl", "jsonl.zst", "parquet"])
def test_killed_and_resumed_shards_are_those_of_an_uninterrupted_run(form, tmp_path):
    source = tmp_path / "in.jsonl"
    with open(source, "w") as file:
        for i in range(30_000):
            file.write(json.dumps({"id": i, "text": f"record {i} " * 20}) + "\n")
    arguments = [source, "--format", form, "--shard-size", 2500, "-o"]
    assert cat(*arguments, tmp_path / "whole").returncode == 0
    broken = tmp_path / "broken"
    for wanted in (1, 4):
        process = subprocess.Popen([*COLD, "cat", *map(str, arguments), str(broken), "--resume"])
        while process.poll() is None and len(list(broken.glob("part-*"))) < wanted:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = tmp_path / "report.json"
    assert cat(*arguments, broken, "--resume", "--report", report).returncode == 0
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert sorted(p.name for p in broken.iterdir()) == names and len(names) == 13
    for name in names:
        if name.startswith("part-"):
            assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert json.loads(report.read_text())["made_by"]["counts"]["written"] == 30_000
    # A finished run has nothing left to do; other arguments or another input are another run.
    before = {p.name: p.stat().st_mtime_ns for p in broken.glob("part-*")}
    assert cat(*arguments, broken, "--resume").returncode == 0
    assert before == {p.name: p.stat().st_mtime_ns for p in broken.glob("part-*")}
    failed(cat(*arguments, broken, "--resume", "--select", "id"), "select", "--force")
    with open(source, "a") as file:
        file.write('{"id": -1, "text": ""}\n')
    failed(cat(*arguments, broken, "--resume"), "inputs", "--force")


def test_names_that_are_hard_on_programs(tmp_path):
    for name in (b"new\nline.jsonl", b"not-utf8-\xff.jsonl", b"-dash.jsonl"):
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as file:
            file.write(LINES)
        result = subprocess.run([*command(), "cat", path], capture_output=True)
        assert result.returncode == 0 and result.stdout == LINES, result.stderr
    assert cat(tmp_path, "--count").stdout == b"600\n"
