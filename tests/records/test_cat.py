"""synth cat, and what any tool that reads and writes records costs."""

import re
import subprocess
import sys

import pytest
import zstandard

from running import command, run

LINES = [b'{"id":%d, "text":"%s","n":1.50}' % (i, b"word " * (i % 9)) for i in range(2000)]
JSONL = b"".join(line + b"\n" for line in LINES)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("cat") / "in.jsonl"
    path.write_bytes(JSONL)
    return path


def test_count(source, refused):
    assert run("cat", source, source, "--count").stdout == b"4000\n"
    assert run("cat", source, "--count", "--head", "7").stdout == b"7\n"
    refused(run("cat", source, "--count", "--format", "arrow"), "are for records", code=2)


def test_head(source, tmp_path):
    assert run("cat", source, "--head", "3").stdout == b"".join(line + b"\n" for line in LINES[:3])
    assert run("cat", source, "-n", "0").stdout == b""
    # What comes after is not read: this file is damaged there, and this one is.
    (tmp_path / "damaged.jsonl").write_bytes(JSONL * 100 + b"{")
    assert run("cat", tmp_path / "damaged.jsonl", tmp_path, "--head", "5").stdout.count(b"\n") == 5


def test_head_counts_what_is_written(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"a":1}\n{"b":2}\n{"a":3}\n{"b":4}\n{"a":5}\n')
    result = run("cat", tmp_path / "in.jsonl", "--select", "a", "--head", "2", "--on-error", "skip")
    assert result.stdout == b'{"a":1}\n{"a":3}\n'


def test_head_of_a_pipe_without_end():
    line = '"$@" 2>&1; echo ${PIPESTATUS[@]}'
    done = subprocess.run(
        ["bash", "-c", f"yes '{{\"a\":1}}' | {line}", "bash", *command(), "cat", "--head", "3"],
        capture_output=True,
        timeout=30,
    )
    assert done.stdout == b'{"a":1}\n' * 3 + b"141 0\n" and done.stderr == b""


def test_select(source, tmp_path, refused, convert):
    expected = b'{"n":1.50,"id":0}\n{"n":1.50,"id":1}\n'
    assert run("cat", source, "--select", "n, id", "--head", "2").stdout == expected
    parquet = convert(source, tmp_path / "in.parquet")
    found = run("cat", parquet, "--select", "n,id", "--head", "2").stdout
    assert found == expected.replace(b"1.50", b"1.5")
    for path in (source, parquet):
        refused(
            run("cat", path, "--select", "id,x"),
            f'{path}:1: no field "x" (fields: id, text, n; see --select)',
        )
    for names in ("", "a,,b", "a,a"):
        refused(run("cat", source, "--select", names), "name different fields", code=2)


@pytest.mark.parametrize("form", ["arrow", "parquet", "jsonl.gz", "jsonl.zst"])
def test_every_format_through_a_pipe(form, source):
    line = f'"$@" {source} --format {form} | "$@" - --select text,id | "$@" --count'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, "bash", *command(), "cat"], capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"2000\n", b"")


# ---------------------------------------------------------------- memory

_MEASURED = """
import re, sys
from synthtools.cli.app import main
try:
    main()
finally:
    peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
    print("peak", peak[1], file=sys.stderr)
"""


def peak(*arguments, **more):
    """Most memory that a run of synth held, in MiB, and its stdout."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, arguments)],
        capture_output=True,
        check=True,
        **more,
    )
    return int(re.search(rb"peak (\d+)", done.stderr)[1]) / 1024, done.stdout


def large(path, megabytes):
    block = b"".join(
        b'{"id":%d,"text":"%s","scores":[%f,0.25]}\n' % (i, b"some words %d " % i * 60, i / 7)
        for i in range(1000)
    )
    with open(path, "wb") as file:
        for _ in range((megabytes << 20) // len(block) + 1):
            file.write(block)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    return {size: large(folder / f"{size}.jsonl", size) for size in (50, 200)}


def test_memory_is_that_of_a_batch(files, tmp_path):
    """JSONL to JSONL: the input may grow as it likes."""
    found = [peak("cat", files[size], "-o", tmp_path / f"{size}.jsonl")[0] for size in (50, 200)]
    assert max(found) < 120 and found[1] < found[0] + 20


def test_memory_of_columns_is_that_of_some_groups(files, tmp_path):
    parquet = tmp_path / "200.parquet"
    found, _ = peak("cat", files[200], "-o", parquet)
    assert found < 650  # pyarrow alone takes 100; of 64 MiB of rows there are some copies
    found, count = peak("cat", parquet, "--select", "id,text,scores", "--count")
    assert count.strip().isdigit() and found < 450


def test_a_bomb_streams(tmp_path):
    """A gigabyte of small records in a hundred kilobytes of zstd."""
    path = tmp_path / "bomb.jsonl.zst"
    block = b'{"a":0}\n' * (1 << 17)  # 1 MiB
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    with open(path, "wb") as file:
        for _ in range(1 << 10):
            file.write(compressor.compress(block))
        file.write(compressor.flush())
    assert path.stat().st_size < 300_000
    # A number that is reached early: the point is what was inflated for it.
    found, counted = peak("cat", path, "--count", "--head", "3000000")
    assert counted == b"3000000\n"
    assert found < 300


# ---------------------------------------------------------------- what is loaded


def loaded(*arguments):
    code = (
        "import sys\nfrom synthtools.cli.app import main\n"
        "try: main()\nfinally: print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True)
    assert done.returncode == 0
    return set(done.stderr.decode().split())


def test_lines_load_nothing_heavy(source):
    modules = loaded("cat", source)
    assert not modules & {"pyarrow", "zstandard", "torch", "transformers", "rich"}
    assert "orjson" in modules


def test_help_loads_nothing_heavy():
    heavy = {"pyarrow", "zstandard", "torch", "transformers", "rich", "numpy"}
    assert not loaded("--help") & heavy
    assert not loaded("cat", "--help") & heavy
