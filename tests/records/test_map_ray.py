"""Records worked on by a cluster: the same as by threads here, whatever the tasks are given."""

import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pickling import Pickling
from synthtools.errors import RecordError, SynthError
from synthtools.records import map_ray, map_threads, reread_records
from synthtools.records.inputs import Shard, find_shards
from synthtools.records.map_threads import BlockTask
from synthtools.records.reader import blocks, blocks_between
from synthtools.records.rejects import Rejects

LINES = [
    b'{"text":"a","id":1}',
    b"",
    b"oops",
    b'{"text":"\xc3\xa9","id":"x"}',
    b'{"id":3}',
    b'{"text":"\\ud800"}',
    b'{"te\\u0078t":"escaped","id":4}',
    b'{"text":"b","n":1.10,"id":123456789012345678901234567890}',
    b'{"text":""}',
]


def seen(shards, way, records=True, block_bytes=200):
    """What a tool sees of the shards, and the bad records."""
    told = io.BytesIO()
    rejects = Rejects(skip=True)
    rejects._write = lambda *said: told.write(repr(said).encode() + b"\n")  # type: ignore[method-assign]
    task = BlockTask(lambda batch, texts: [t.upper() for t in texts], "text", ("id",))
    rows = []
    for found in way(shards, rejects, task, block_bytes):
        batch = found.batch
        assert found.text_bytes == sum(len(text.encode()) for text in found.result)
        rows += zip(
            found.result,
            batch.column("id"),
            batch.numbers.tolist(),
            batch.ordinals.tolist(),
            [batch.source] * len(batch),
            batch.json_lines() if records else [b""] * len(batch),
        )
    return rows, told.getvalue()


def by_threads(shards, rejects, task, size):
    return map_threads.map_records(shards, rejects, task, jobs=1, block_bytes=size)


def by_cluster(keep):
    def way(shards, rejects, task, size):
        return map_ray.map_records(shards, rejects, task, Pickling(), keep, size)

    return way


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Shards of all kinds, some with bad records, one damaged."""
    folder = tmp_path_factory.mktemp("in")
    (folder / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(LINES * 40))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(LINES * 20)))
    whole = b"".join(b'{"text":"%d","id":%d}\n' % (n, n) for n in range(3000))
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(whole)[:-2000])
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [{"text": t, "id": i, "n": {"m": i}} for i, t in enumerate(["ä", None, "", "c"] * 50)]
    pq.write_table(pa.Table.from_pylist(records), folder / "d.parquet")
    (folder / "e.jsonl").write_bytes(b'{"text":"z"}')
    return folder


@pytest.mark.parametrize("records", [True, False])
def test_the_same_as_by_threads(inputs, records):
    shards = lambda: find_shards([str(inputs)])  # noqa: E731
    expected = seen(shards(), by_threads, records)
    assert len(expected[0]) > 1000 and expected[1].count(b"\n") > 100
    keep = map_ray.KeptParts(records=records)
    assert seen(shards(), by_cluster(keep), records) == expected
    assert seen(shards(), by_cluster(keep), records, 1) == expected


def test_what_is_not_asked_for_does_not_travel(tmp_path):
    source = tmp_path / "a.jsonl"
    with source.open("w") as file:
        for number in range(3000):
            file.write(
                json.dumps({"id": number, "text": f"{number} " * 40, "more": "x" * 200}) + "\n"
            )
    size = source.stat().st_size
    moved = {}
    for keep in (map_ray.KeptParts(False), map_ray.KeptParts(False, True), map_ray.KeptParts(True)):
        cluster = Pickling()
        task = BlockTask(lambda batch, texts: texts.lengths().sum(), "text")
        shards = find_shards([str(source)])
        found = list(map_ray.map_records(shards, Rejects(), task, cluster, keep, 1 << 16))
        assert size <= shards[0].bytes_read < size + 100 and len(found) > 5
        assert (len(found[0].texts) > 0) == keep.texts
        moved[keep] = cluster.moved / size
    few, texts, whole = moved.values()
    # Numbers alone; the texts too; there the lines, back the numbers.
    assert few < 0.1 < texts < 0.7 < whole < 1.2


@pytest.mark.parametrize("records", [True, False])
def test_of_many_rows_in_one_piece_each_block_travels_by_itself(tmp_path, records):
    import pyarrow as pa

    table = pa.table({"id": range(5000), "text": [f"{n} " * 50 for n in range(5000)]})
    path = tmp_path / "a.arrow"
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    cluster, shards = Pickling(), find_shards([str(path)])
    task = BlockTask(lambda batch, texts: 0, "text", ("id",))
    keep = map_ray.KeptParts(records=records)
    found = list(map_ray.map_records(shards, Rejects(), task, cluster, keep, 1 << 16))
    assert len(found) > 15
    assert [number for f in found for number in f.batch.column("id")] == list(range(5000))
    assert cluster.moved < path.stat().st_size * (1.3 if records else 0.3)


def test_what_is_picked_is_the_same(inputs):
    shards = [s for s in find_shards([str(inputs)]) if "c.jsonl" not in s.name]
    wanted = [np.arange(4, 190, 9), np.array([5, 6]), np.arange(1, 150, 2), np.zeros(0, np.int64)]
    here = list(reread_records.picked(shards, wanted))
    cluster = Pickling()
    there = list(map_ray.picked(shards, wanted, cluster))
    assert [len(some) for some in wanted[:3]] == [
        sum(len(batch) for batch in there if batch.source == shard.name) for shard in shards[:3]
    ]
    for way in (lambda b: b.json_lines(), lambda b: b.numbers.tolist(), lambda b: [b.source]):
        assert [x for b in here for x in way(b)] == [x for b in there for x in way(b)]


def test_of_what_is_picked_nothing_else_travels(tmp_path, convert):
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for number in range(2000):
            file.write(json.dumps({"id": number, "text": f"{number} " * 40}) + "\n")
    for source in (path, convert(path, tmp_path / "a.parquet")):
        shards, cluster = find_shards([str(source)]), Pickling()
        (batch,) = map_ray.picked(shards, [np.array([7])], cluster)
        assert batch.column("id") == [6] and cluster.moved < 5000


def test_what_has_gone_since_is_told(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text":"a"}\n' * 9)
    shards, wanted = find_shards([str(path)]), [np.array([2, 9])]
    path.write_bytes(b'{"text":"a"}\n' * 8)
    with pytest.raises(SynthError, match=r"a\.jsonl: has changed while it was read"):
        list(map_ray.picked(shards, wanted, Pickling()))
    path.unlink()
    with pytest.raises(SynthError, match=r"a\.jsonl: is not there on a node"):
        list(map_ray.picked(shards, wanted, Pickling()))


def refusing(batch, texts):
    for number, text in zip(batch.numbers.tolist(), texts, strict=True):
        if text == "stop":
            raise RecordError(batch.source, number, "not this one")


@pytest.mark.parametrize(
    "line, said",
    [(b"{}", 'a.jsonl:801: no field "text"'), (b'{"text":"stop"}', "a.jsonl:801: not this one")],
)
def test_a_bad_record_of_a_later_piece_is_told_with_its_line(tmp_path, line, said):
    source = tmp_path / "a.jsonl"
    source.write_bytes(b'{"text":"a"}\n' * 800 + line + b"\n" + b'{"text":"a"}\n' * 99)
    shards, keep = find_shards([str(source)]), map_ray.KeptParts(False)
    with pytest.raises(RecordError, match=said):
        list(
            map_ray.map_records(
                shards, Rejects(), BlockTask(refusing, "text"), Pickling(), keep, 64
            )
        )


def test_a_pipe_is_read_here(tmp_path):
    import os
    import threading

    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = b'{"text":"a"}\n' * 100
    threading.Thread(target=path.write_bytes, args=[content], daemon=True).start()
    task = BlockTask(lambda batch, texts: len(batch), "text")
    found = map_ray.map_records(
        find_shards([str(path)]), Rejects(), task, Pickling(), map_ray.KeptParts(False), 300
    )
    assert sum(f.result for f in found) == 100


def test_a_file_that_a_node_does_not_see(tmp_path):
    gone = Shard("a.jsonl", tmp_path / "a.jsonl", 5)
    task = BlockTask(lambda batch, texts: 0, "text")
    with pytest.raises(SynthError, match=r"a\.jsonl: is not there on a node.*shared file system"):
        list(map_ray.map_records([gone], Rejects(), task, Pickling(), map_ray.KeptParts(False)))


@given(
    st.lists(st.sampled_from([b"", b"a", b" ", b"abcdefgh", b"\xff"]), max_size=30),
    st.booleans(),
    st.booleans(),
    st.integers(1, 12),
    st.integers(1, 4),
)
def test_pieces_are_the_blocks_of_the_whole(tmp_path_factory, lines, mark, end, size, step):
    content = b"\xef\xbb\xbf" * mark + b"{\n" + b"\n".join(lines) + b"\n" * end
    path = tmp_path_factory.mktemp("pieces") / "a.jsonl"
    path.write_bytes(content)
    shard = Shard("a.jsonl", path, len(content))
    whole = [(b.number, b.lines) for b in blocks([shard], size, True)]
    count = -(-len(content) // size)
    found, before = [], 0
    for start in range(0, count, step):
        stop = start + step if start + step < count else None
        for block in blocks_between(shard, size, start, stop):
            found.append((block.number + before, block.lines))
        before = sum(lines.count(b"\n") for _, lines in found)
    assert found == whole
