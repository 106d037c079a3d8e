"""Records kept aside come back as they were."""

import json

import numpy as np
import pytest

from synthtools.records import spool as spooling
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.spool import Spool
from synthtools.records.transform import merged


@pytest.fixture(params=["jsonl", "parquet"])
def source(request, tmp_path, convert):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"n": n, "text": "é" * (n % 7)}) + "\n" for n in range(200)))
    return path if request.param == "jsonl" else convert(path, tmp_path / "in.parquet")


def batches(source):
    return list(read(find_shards([str(source)]), Rejects(), batch_bytes=300))


def lines_of(found):
    return [line for batch in found for line in batch.json_lines()]


@pytest.mark.parametrize("waste", [0, 1 << 26])
def test_any_records_in_any_order(source, waste, monkeypatch):
    monkeypatch.setattr(spooling, "_WASTE", waste)  # 0: dead bytes are given back at once
    random = np.random.default_rng(1)
    given = batches(source)
    lines = lines_of(given)
    with Spool() as spool:
        handles = np.concatenate([spool.add(batch) for batch in given])
        assert np.array_equal(spool.ordinals(handles), np.arange(200))
        left = np.arange(200)
        for _ in range(5):
            gone = random.choice(left, 25, replace=False)
            spool.drop(handles[gone])
            left = np.setdiff1d(left, gone)
            wanted = random.permutation(np.concatenate([left, left[:5]]))
            found = list(spool.batches(handles[wanted]))
            assert lines_of(found) == [lines[i] for i in wanted]
            assert [n for batch in found for n in batch.numbers] == [i + 1 for i in wanted]
        spool.drop(handles[left])
        assert list(spool.batches(handles[:0])) == []


def test_dropped_records_give_their_place_back(source, monkeypatch):
    monkeypatch.setattr(spooling, "_WASTE", 1000)
    with Spool() as spool:
        for _ in range(50):
            for batch in batches(source):
                spool.drop(spool.add(batch))
        spool._file.seek(0, 2)
        assert spool._file.tell() < 20_000


def test_records_of_several_batches_as_one(source, tmp_path, convert):
    given = batches(source)
    lines = lines_of(given)
    order = np.random.default_rng(2).permutation(len(lines))
    whole = merged(given, order)
    assert whole.json_lines() == [lines[i] for i in order]
    assert type(whole) is type(given[0])
    # Lines and rows together become lines.
    other = tmp_path / "other.jsonl"
    other.write_text('{"other":1e3}\n')
    both = [*given, *batches(other)]
    assert merged(both, np.array([200, 0])).json_lines() == [b'{"other":1e3}', lines[0]]
