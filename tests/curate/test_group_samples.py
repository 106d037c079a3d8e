"""Samples of groups: uniform, and a matter of seed and record alone."""

import json
from collections import Counter

import numpy as np
import pytest

from synthtools.curate.sampled_records import GroupSamples
from synthtools.records.batch import JsonBatch
from synthtools.records.spool import Spool


def batch(records, source="a.jsonl"):
    lines = [json.dumps(record).encode() for record in records]
    return JsonBatch(source, np.arange(1, len(lines) + 1), lines=lines)


def drawn(parts, limit, seed=0):
    """The drawn records of one group, the first drawn first."""
    with Spool() as spool:
        samples = GroupSamples(limit, seed, "text", spool)
        for part in parts:
            samples.add("g", batch(part))
        found = samples.drawn("g")
        records = [record for some in found.batches for record in some.objects]
        assert found.seen == sum(map(len, parts))
        return [records[index] for index in found.order]


RECORDS = [{"id": i, "text": f"text {i}"} for i in range(60)]


@pytest.mark.parametrize("records", [RECORDS, [{"text": r["text"]} for r in RECORDS]])
def test_layout_and_order_change_no_draw(records):
    whole = drawn([records], 10)
    assert len(whole) == 10
    assert drawn([records[40:], records[:40][::-1]], 10) == whole
    assert drawn([records], 10, seed=1) != whole


def test_the_sample_of_fewer_is_the_beginning_of_that_of_more():
    assert drawn([RECORDS], 20)[:7] == drawn([RECORDS], 7)
    everything = drawn([RECORDS], None)
    assert sorted(r["id"] for r in everything) == list(range(60))
    assert everything[:20] == drawn([RECORDS], 20)


def test_equal_records_are_drawn_like_others():
    same = [{"text": "x"}] * 30
    assert len(drawn([same], 12)) == 12


def test_every_record_is_drawn_as_often_as_any_other():
    counts = Counter(r["id"] for seed in range(400) for r in drawn([RECORDS[:10]], 3, seed))
    assert sum(counts.values()) == 1200
    # 120 each; the standard deviation is 9.2.
    assert all(80 < counts[i] < 160 for i in range(10))


def test_groups_know_nothing_of_each_other():
    with Spool() as spool:
        samples = GroupSamples(5, 0, "text", spool)
        samples.start("empty")
        samples.add("a", batch(RECORDS))
        samples.add("b", batch(RECORDS[::-1], "b.jsonl"))
        assert samples.names() == ["empty", "a", "b"]
        assert not len(samples.drawn("empty").order)
        ids = []
        for name in ("a", "b"):
            found = samples.drawn(name)
            records = [record["id"] for some in found.batches for record in some.objects]
            ids.append([records[index] for index in found.order])
        assert ids[0] == ids[1] == [r["id"] for r in drawn([RECORDS], 5)]
