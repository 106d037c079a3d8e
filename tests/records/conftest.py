"""Ways to run what synth runs, as the functions below it, for the tests of records."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from running import one_line
from synthtools.records.inputs import find_shards
from synthtools.records.outputs import open_sink
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.shard_size import ShardSize


@pytest.fixture(scope="session")
def refused():
    """Checks that a run of synth failed as users are promised: one line, which holds the words."""

    def check(result, *words, code=1):
        line = one_line(result, code)
        for word in words:
            assert str(word) in line

    return check


def _batches(*paths, **options):
    return read(find_shards([str(path) for path in paths]), Rejects(), **options)


def _convert(source, target, form=None, size=ShardSize(1 << 30, "bytes"), job=None, **options):
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
