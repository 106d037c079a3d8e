"""Ways to run synth, as a process or as the functions below it, for the tests of records."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from synthtools.records.inputs import find_shards
from synthtools.records.outputs import open_sink
from synthtools.records.reading import read
from synthtools.records.rejects import Rejects
from synthtools.records.size import Size

SYNTH = (sys.executable, "-m", "synthtools")


def _synth(*arguments, input=b"", **more):
    """Runs synth to its end; the result has code, stdout, stderr (bytes)."""
    done = subprocess.run(
        [*SYNTH, *map(str, arguments)],
        input=None if "stdin" in more else input,
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=60,
        **more,
    )
    return SimpleNamespace(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(scope="session")
def synth():
    return _synth


@pytest.fixture(scope="session")
def command():
    """synth as the beginning of a command line."""
    return list(SYNTH)


@pytest.fixture(scope="session")
def refused():
    """Checks that a run of synth failed as users are promised: one line, which holds the words."""

    def check(result, *words, code=1):
        assert result.code == code, result
        lines = result.stderr.decode().splitlines()
        assert len(lines) == 1 and lines[0].startswith("synth: "), result.stderr
        assert "internal error" not in lines[0]
        for word in words:
            assert str(word) in lines[0]

    return check


def _batches(*paths, **options):
    return read(find_shards([str(path) for path in paths]), Rejects(), **options)


def _convert(source, target, form=None, size=Size(1 << 30, "bytes"), job=None, **options):
    """``synth cat source -o target`` without a process."""
    sources = [source] if isinstance(source, (str, Path)) else source
    shards = find_shards([str(path) for path in sources])
    sink = open_sink(
        str(target), form, shards=shards, force=True, resume=False, shard_size=size, job=job or {}
    )
    try:
        for batch in read(shards, Rejects(), **options):
            sink.write(batch)
        sink.finish()
    except BaseException:
        sink.abort()
        raise
    return Path(target)


@pytest.fixture(scope="session")
def convert():
    return _convert


@pytest.fixture(scope="session")
def lines_of():
    """The JSON lines of files in any format."""

    def lines(*paths, **options):
        return [line for batch in _batches(*paths, **options) for line in batch.json_lines()]

    return lines


@pytest.fixture(scope="session")
def batches_of():
    return _batches


@pytest.fixture(scope="session")
def folder():
    """A directory for one example of hypothesis."""

    @contextmanager
    def make():
        # In memory where that can be had: outputs are synced to their disk.
        with tempfile.TemporaryDirectory(
            dir="/dev/shm" if os.path.isdir("/dev/shm") else None
        ) as name:
            yield Path(name)

    return make


@pytest.fixture
def unprivileged():
    """Takes root's rights away for the test, so that permissions count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)
