"""Draws of records where it is easy to be wrong: equal ids, chains of draws, resumed runs, limits."""

import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from synthtools.curate.sampled_records import SampleSettings, draw
from synthtools.curate.weighted_draws import WithReplacement
from synthtools.errors import RecordError, SynthError
from synthtools.records.batch import JsonBatch
from synthtools.records.inputs import find_shards
from synthtools.records.outputs import open_sink
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.shard_directory import MANIFEST
from synthtools.records.shard_size import ShardSize
from synthtools.records.spool import Spool


def written(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def batches_of(path, **options):
    found, _, _ = draw(
        read(find_shards([str(path)]), Rejects(), 2000),
        SampleSettings(text_field="text", **options),
        Rejects(),
    )
    return found


def drawn(path, **options):
    return [json.loads(x) for batch in batches_of(path, **options) for x in batch.json_lines()]


@pytest.mark.parametrize("replacement", [False, True])
def test_records_with_equal_ids_are_drawn_each_for_itself(replacement, tmp_path):
    path = written(tmp_path / "in.jsonl", [{"id": "same", "n": n} for n in range(600)])
    counts = Counter()
    for seed in range(60):
        for record in drawn(path, count=30, seed=seed, with_replacement=replacement):
            counts[record["n"] // 100] += 1
    assert stats.chisquare([counts[part] for part in range(6)]).pvalue > 0.001


def test_a_draw_from_a_draw_does_not_know_the_noise_of_the_first(tmp_path):
    """Of what a weighted draw chose, light records owe it to their noise; a second draw with the
    same seed must not prefer them."""
    random = np.random.default_rng(0)
    chosen, again = [], []
    for seed in range(40):
        weights = np.exp(random.normal(0, 2, 400))
        path = written(tmp_path / "all.jsonl", [{"id": i, "w": w} for i, w in enumerate(weights)])
        first = drawn(path, count=80, seed=seed, by="w")
        second = drawn(written(tmp_path / "some.jsonl", first), count=20, seed=seed)
        chosen.append(np.mean([np.log(r["w"]) for r in first]))
        again.append(np.mean([np.log(r["w"]) for r in second]))
    assert stats.ttest_rel(chosen, again).pvalue > 0.001


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_with_replacement_every_slot_is_a_draw_by_weight(n, tmp_path):
    weights = [1e-3, 5.0, 0.0, 1.0, 2.0, 1e-9, 2.0]
    path = written(tmp_path / "in.jsonl", [{"id": i, "w": w} for i, w in enumerate(weights)])
    counts = Counter()
    rounds = max(20, 3000 // n)
    for seed in range(rounds):
        found = drawn(path, count=n, seed=seed, by="w", with_replacement=True)
        assert len(found) == n
        counts.update(record["id"] for record in found)
    expected = np.array([weights[i] for i in (1, 3, 4, 6)]) * n * rounds / 10.001
    assert counts[2] == counts[5] == 0 and counts[0] < 20
    observed = np.array([counts[i] for i in (1, 3, 4, 6)], float)
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 0.001


def test_slots_of_different_records_are_unrelated():
    """The number of slots that keep the first record is binomial, not merely right on average."""
    kept = []
    for seed in range(400):
        with Spool() as spool:
            draws = WithReplacement(50, spool, seed, 0)
            for number in range(3):
                batch = JsonBatch("x", np.array([1]), np.array([number]), lines=[b"{}"])
                draws.add(batch, np.zeros(1), np.array([number], np.uint64))
            kept.append(int((draws.result() >> 32 == 0).sum()))
    observed = np.bincount(np.digitize(kept, [13, 15, 17, 19, 21]), minlength=6)
    edges = stats.binom(50, 1 / 3).cdf([12, 14, 16, 18, 20])
    expected = 400 * np.diff(np.concatenate([[0], edges, [1]]))
    assert stats.chisquare(observed, expected).pvalue > 0.001


def test_a_resumed_draw_with_replacement_loses_no_copy(tmp_path):
    path = written(tmp_path / "in.jsonl", [{"id": i} for i in range(10)])
    options = {"count": 60, "seed": 1, "with_replacement": True}
    whole = [line for batch in batches_of(path, **options) for line in batch.json_lines()]
    out = tmp_path / "out"

    def sink(resume):
        return open_sink(
            f"{out}/",
            "jsonl",
            shards=[],
            force=not resume,
            resume=resume,
            shard_size=ShardSize(7, "records"),
            job={},
        )

    for left in range(9):
        first = sink(resume=False)
        for batch in batches_of(path, **options):
            first.write(batch)
        first.finish()
        manifest = json.loads((out / MANIFEST).read_text())
        for shard in manifest["shards"][left:]:
            (out / shard["name"]).unlink()
        manifest["shards"], manifest["complete"] = manifest["shards"][:left], False
        (out / MANIFEST).write_text(json.dumps(manifest))
        second = sink(resume=True)
        for batch in batches_of(path, **options):
            rest = batch.take(np.flatnonzero(batch.ordinals >= second.resume_from))
            if len(rest):
                second.write(rest)
        second.finish()
        found = b"".join(shard.read_bytes() for shard in sorted(out.glob("part-*")))
        assert found.splitlines() == whole


@pytest.mark.parametrize("replacement", [False, True])
def test_any_seed_and_any_integer_will_do(replacement, tmp_path):
    path = written(tmp_path / "in.jsonl", [{"id": i, "w": 10**400 if i else 1} for i in range(5)])
    for seed in (0, 2**64, 10**30):
        found = drawn(path, count=2, seed=seed, by="w", with_replacement=replacement)
        assert len(found) == 2 and all(record["id"] for record in found)
    with pytest.raises(RecordError, match=r"in.jsonl:2: .*infinite"):
        drawn(path, count=1, seed=0, by="w", log=True)


def test_more_draws_than_memory_holds(tmp_path):
    path = written(tmp_path / "in.jsonl", [{"id": 1}])
    with pytest.raises(SynthError, match="8 bytes of memory for each draw"):
        drawn(path, count=10**18, seed=0, with_replacement=True)
    with pytest.raises(SynthError, match="only 1 record$"):
        drawn(path, count=10**18, seed=0)
