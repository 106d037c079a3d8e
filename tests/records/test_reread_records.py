"""Records that are read again are those that would have been kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthtools.records import map_threads
from synthtools.records.inputs import Shard
from synthtools.records.map_threads import BlockTask
from synthtools.records.rejects import Rejects
from synthtools.records.reread_records import RereadRecords, picked
from synthtools.records.spool import Spool

LINES = st.sampled_from([b'{"text":"a"}', b"", b"  ", b"oops", b'{"text":"%d"}', b'{"id":1}'])


@given(
    st.lists(st.lists(LINES, max_size=30), min_size=1, max_size=4),
    st.integers(10, 200),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_recalled_records_are_those_of_a_spool(tmp_path_factory, files, size, users, seed):
    folder = tmp_path_factory.mktemp("in")
    shards = []
    for number, lines in enumerate(files):
        content = b"\n".join(b.replace(b"%d", b"%d" % i) for i, b in enumerate(lines))
        (folder / f"{number}.jsonl").write_bytes(content)
        shards.append(Shard(f"{number}", folder / f"{number}.jsonl", len(content)))
    random = np.random.default_rng(seed)
    task = BlockTask(lambda batch, texts: None, "text")
    recalled = RereadRecords(shards, lambda *asked: picked(*asked, block_bytes=50))
    spools = [Spool() for _ in range(users)]
    kept, held = [[] for _ in spools], [[] for _ in spools]
    for found in map_threads.map_records(shards, Rejects(skip=True), task, block_bytes=size):
        for user, spool in enumerate(spools):
            some = np.flatnonzero(random.random(len(found.batch)) < random.random())
            kept[user].append(spool.add(found.batch, some))
            held[user].append(recalled.add(found.batch, some))
    for spool, one, other in zip(spools, kept, held):
        mine, theirs = (np.concatenate([np.zeros(0, np.int64), *some]) for some in (one, other))
        wanted = np.flatnonzero(random.random(len(mine)) < 0.7)
        assert rows(spool.batches(mine[wanted])) == rows(recalled.batches(theirs[wanted]))
        assert np.array_equal(spool.ordinals(mine), recalled.ordinals(theirs))
        spool.close()


def rows(batches):
    return [
        row
        for batch in batches
        for row in zip(
            [batch.source] * len(batch),
            batch.numbers.tolist(),
            batch.ordinals.tolist(),
            batch.json_lines(),
            strict=True,
        )
    ]


@pytest.mark.parametrize("blank", [False, True])
def test_what_is_held_does_not_grow_with_the_records(tmp_path, blank):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text":"a"}\n' * 5000 + b"\n" * blank + b'{"text":"a"}\n' * 5000)
    shard = Shard("a", path, path.stat().st_size)
    recalled = RereadRecords([shard], picked)
    task = BlockTask(lambda batch, texts: None, "text")
    for found in map_threads.map_records([shard], Rejects(), task, block_bytes=2000):
        for start in (1, 0):  # of two users the one that takes less comes first
            recalled.add(found.batch, np.arange(start, len(found.batch)))
    assert len(recalled._stretches) <= 4
