"""Records worked on by several cores: the same as one after the other."""

import json
import random
import threading
import time

import pytest
from tests.running import synth

from synthtools.errors import RecordError
from synthtools.records.inputs import find_shards
from synthtools.records.map_threads import BlockTask, map_records
from synthtools.records.reader import read
from synthtools.records.record_faults import require_text
from synthtools.records.rejects import Rejects
from synthtools.scale.threads import in_order

RUBBISH = [
    b'{"text":"a","id":1}',
    b"",
    b"oops",
    b'{"text":"\xc3\xa9","id":"x"}',
    b'{"id":3}',
    b"   ",
    b'{"text":null}',
    b'{"text":"\\ud800"}',
    b'{"te\\u0078t":"escaped","id":4}',
    b'{"text":"b","n":123456789012345678901234567890,"id":123456789012345678901234567890}',
    b'{"text":"c","x":NaN}',
    b'{"text":""}',
]


def slow(shards):
    rejects = Rejects(skip=True)
    rows = []
    for batch in read(shards, rejects):
        batch = require_text(batch, "text", rejects)
        rows += zip(
            batch.column("text"),
            batch.column("id"),
            batch.json_lines(),
            batch.numbers.tolist(),
            batch.ordinals.tolist(),
            strict=True,
        )
    return rows, rejects.reasons


def fast(shards, jobs, block_bytes, fields=("id",)):
    rejects = Rejects(skip=True)
    rows = []
    work = lambda batch, texts: list(texts)  # noqa: E731
    task = BlockTask(work, "text", fields)
    for found in map_records(shards, rejects, task, jobs=jobs, block_bytes=block_bytes):
        assert found.result == list(found.texts)
        batch = found.batch
        rows += zip(
            found.result,
            batch.column("id"),
            batch.json_lines(),
            batch.numbers.tolist(),
            batch.ordinals.tolist(),
            strict=True,
        )
    return rows, rejects.reasons


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("block_bytes", [1, 50, 1 << 20])
@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "parquet", "arrow"])
def test_the_same_records_as_read_one_by_one(jobs, block_bytes, form, tmp_path, convert):
    source = tmp_path / "in.jsonl"
    if form.startswith("jsonl"):
        source.write_bytes(b"\n".join(RUBBISH * 3))
    else:
        records = [{"text": t, "id": i} for i, t in enumerate(["a", "é", None, "", "c"] * 4)]
        source.write_text("".join(json.dumps(r) + "\n" for r in records))
    path = source if form == "jsonl" else None
    if form == "jsonl.gz":
        import gzip

        path = tmp_path / "in.jsonl.gz"
        path.write_bytes(gzip.compress(source.read_bytes()))
    elif path is None:
        path = convert(source, tmp_path / f"in.{form}")
    other = tmp_path / "other.jsonl"
    other.write_bytes(b'{"text":"z"}')
    names = [str(path), str(other)]
    assert fast(find_shards(names), jobs, block_bytes) == slow(find_shards(names))
    assert fast(find_shards(names), jobs, block_bytes, fields=()) == slow(find_shards(names))


def test_the_first_bad_record_is_the_one_told(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"text":"a"}\n' * 100 + b"{}\noops\n" * 50)
    with pytest.raises(RecordError, match=r"in.jsonl:101: no field"):
        list(
            map_records(
                find_shards([str(source)]),
                Rejects(),
                BlockTask(lambda b, t: 0, "text"),
                jobs=4,
                block_bytes=64,
            )
        )


def test_a_damaged_shard_ends_where_the_damage_is(tmp_path):
    import gzip

    lines = b"".join(b'{"text":"%d"}\n' % n for n in range(5000))
    source = tmp_path / "in.jsonl.gz"
    source.write_bytes(gzip.compress(lines)[:-2000])
    rows, reasons = fast(find_shards([str(source)]), 2, 1 << 12)
    expected, expected_reasons = slow(find_shards([str(source)]))
    assert rows == expected and 0 < len(rows) < 5000
    assert reasons == expected_reasons and reasons.total() == 1


def test_results_come_in_order_and_some_ahead():
    running = threading.Semaphore(0)

    def work(item):
        if item == 0:
            assert running.acquire(timeout=30)  # the next is worked on meanwhile
        else:
            running.release()
        return item

    assert list(in_order(range(20), work, 3)) == list(range(20))


def test_an_error_comes_where_its_item_stood():
    def work(item):
        if item == 5:
            raise ValueError("five")
        time.sleep(0.001)
        return item

    found = []
    with pytest.raises(ValueError, match="five"):
        for item in in_order(range(1000), work, 2):
            found.append(item)
    assert found == list(range(5))


def test_other_columns_of_parquet_are_not_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = random.Random(1)
    rows = [
        {
            "id": i,
            "meta": {"text": f"number {i}", "kind": "even" if i % 2 == 0 else "odd"},
            "vector": [draw.random() for _ in range(2000)],
        }
        for i in range(300)
    ]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, use_dictionary=False)

    def taken(fields_only):
        (shard,) = find_shards([str(path)])
        task = BlockTask(
            lambda batch, texts: list(zip(texts, batch.column("meta.kind"), strict=True)),
            "meta.text",
            ("meta.kind",),
            fields_only=fields_only,
        )
        results = [one.result for one in map_records([shard], Rejects(), task)]
        return [pair for result in results for pair in result], shard.bytes_read

    (few, read_few), (whole, read_whole) = taken(True), taken(False)
    assert few == whole == [(row["meta"]["text"], row["meta"]["kind"]) for row in rows]
    assert read_few * 10 < read_whole


def test_reports_on_parquet_are_those_on_its_records(tmp_path):
    from synthtools import ngram_hash, stats

    lines = [
        {"id": i, "text": f"one two {i} three", "kind": "ab"[i % 2], "meta": {"k": "xy"[i % 2]}}
        for i in range(50)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    synth("cat", tmp_path / "a.jsonl", "-o", tmp_path / "a.parquet")
    for tool, options in (
        (ngram_hash, {"top": 5}),
        (stats, {"by": "kind"}),
        (stats, {"by": "meta.k", "keywords": True}),
    ):
        of_lines, of_rows = (tool(tmp_path / name, **options) for name in ("a.jsonl", "a.parquet"))
        for report in (of_lines, of_rows):
            del report["made_by"]
        assert of_lines == of_rows
