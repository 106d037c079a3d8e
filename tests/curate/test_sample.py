"""Draws of records: frequencies against weights, and what they may depend on."""

import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

import running
from synthtools.curate.sampled_records import SampleSettings, draw
from synthtools.curate.weighted_draws import allocated
from synthtools.draws import gumbel, record_uniforms
from synthtools.errors import RecordError, SynthError
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects


@pytest.fixture
def source(tmp_path):
    def write(records, name="in.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    return write


def drawn(paths, batch_bytes=1 << 20, **options):
    batches = read(find_shards([str(p) for p in paths]), Rejects(), batch_bytes)
    found, report, _ = draw(batches, SampleSettings(text_field="text", **options), Rejects())
    return [json.loads(line) for batch in found for line in batch.json_lines()], report


def test_noise_is_gumbel_and_belongs_to_seed_record_and_lane():
    keys = np.arange(200_000, dtype=np.uint64)
    noise = gumbel(7, keys)
    assert stats.kstest(noise, "gumbel_r").pvalue > 0.001
    for other in (gumbel(8, keys), gumbel(7, keys, lane=1), gumbel(7, keys + np.uint64(1))):
        assert abs(np.corrcoef(noise, other)[0, 1]) < 0.01
    assert np.array_equal(gumbel(7, keys[::-1]), noise[::-1])
    assert record_uniforms(0, keys).min() > 0 and record_uniforms(0, keys).max() < 1
    # For ever: selections made today must be the same tomorrow.
    assert record_uniforms(1, np.array([0, 1, 2**64 - 1], np.uint64)).tolist() == pytest.approx(
        PINNED, abs=0
    )


PINNED = [0.8847898165349133, 0.5698115281575162, 0.9464799541476023]


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("kind", ["linear", "log", "inverse", "origin"])
def test_frequencies_follow_the_weights(kind, replacement, source):
    weights = [1, 2, 3, 4, 0]
    fields = {
        "linear": weights,
        "log": None,
        "inverse": [12, 6, 4, 3, 0],
        "origin": [1 - (w / 4) ** 0.5 for w in weights],  # (1 - q)^2 is in proportion
    }[kind]
    if kind == "log":
        fields = [700 + float(np.log(w)) if w else -np.inf for w in weights]
    counts = Counter()
    for seed in range(1500):
        records = [{"id": f"{seed}-{i}", "w": w} for i, w in enumerate(fields)]
        path = source(records)
        found, _ = drawn(
            [path],
            count=1,
            seed=seed,
            by="w",
            log=kind == "log",
            inverse=kind == "inverse",
            bias=2.0 if kind == "origin" else None,
            with_replacement=replacement,
        )
        counts[int(found[0]["id"][-1])] += 1
    assert counts[4] == 0
    assert stats.chisquare([counts[i] for i in range(4)], [150, 300, 450, 600]).pvalue > 0.001


def test_by_origin(source):
    """(1 - q)^10 unless another is asked for: of 1,024 : 1 the likelier human text is drawn."""
    path = source([{"id": f"{i}", "origin": 0.5 * (i % 2)} for i in range(2000)])
    for bias, least, most in (((), 495, 500), (("--bias", 0), 200, 300)):
        found = running.synth("sample", path, "-n", 500, "--by", "origin", *bias)
        human = sum(json.loads(line)["origin"] == 0 for line in found.splitlines())
        assert least <= human <= most
    assert "--bias belongs to --by origin" in running.synth(
        "sample", path, "-n", 5, "--bias", 2, code=2
    )
    for bad, words in ((1.5, "1.5, not a probability"), (None, "not a number")):
        path = source([{"id": "a", "origin": bad}], "bad.jsonl")
        assert words in running.synth("sample", path, "-n", 1, "--by", "origin", code=1)


def test_with_replacement_many_draws_at_once(source):
    path = source([{"id": i, "w": i % 5} for i in range(50)])
    found, report = drawn([path], count=20_000, seed=3, by="w", with_replacement=True)
    assert len(found) == 20_000 and report["distinct"] == 40
    assert [r["id"] for r in found] == sorted(r["id"] for r in found)
    counts = Counter(r["id"] for r in found)
    expected = [20_000 * (i % 5) / 100 for i in range(50) if i % 5]
    assert stats.chisquare([counts[i] for i in range(50) if i % 5], expected).pvalue > 0.001


def test_inclusion_without_replacement(source):
    """Every record is as likely as any other: 3 of 6 in half of the draws."""
    counts = Counter()
    for seed in range(800):
        path = source([{"text": f"{seed} {i}"} for i in range(6)])
        for record in drawn([path], count=3, seed=seed)[0]:
            counts[record["text"][-1]] += 1
    assert stats.chisquare([counts[str(i)] for i in range(6)]).pvalue > 0.001


def test_a_draw_depends_on_seed_and_records_alone(source):
    records = [{"id": i, "text": "same"} for i in range(300)]
    whole = source(records)
    first = source(records[:70], "a.jsonl")
    second = source(records[70:], "b.jsonl")
    ids = [r["id"] for r in drawn([whole], count=40, seed=1)[0]]
    assert ids == sorted(ids) and len(set(ids)) == 40
    for other in (
        drawn([first, second], count=40, seed=1),
        drawn([whole], count=40, seed=1, batch_bytes=100),
        drawn([second, first], count=40, seed=1),
    ):
        assert sorted(r["id"] for r in other[0]) == ids
    assert [r["id"] for r in drawn([whole], count=40, seed=2)[0]] != ids
    larger = {r["id"] for r in drawn([whole], count=60, seed=1)[0]}
    assert set(ids) < larger  # the best 40 are among the best 60


def test_equal_texts_without_ids_are_different_records(source):
    path = source([{"text": "same"} for _ in range(1000)])
    assert len(drawn([path], count=500, seed=0)[0]) == 500


def test_strata(source):
    records = [{"id": i, "model": "abc"[min(i // 60, 2)]} for i in range(100)]
    path = source(records)
    found, report = drawn([path], count=10, seed=0, stratify_by="model")
    assert Counter(r["model"] for r in found) == {"a": 6, "b": 4}
    assert report["strata"] == {
        "a": {"records": 60, "drawn": 6},
        "b": {"records": 40, "drawn": 4},
    }
    found, _ = drawn([path], count=90, seed=0, stratify_by="model", equal=True)
    assert Counter(r["model"] for r in found) == {"a": 50, "b": 40}  # b has no more
    assert [r["id"] for r in found] == sorted(r["id"] for r in found)


@pytest.mark.parametrize(
    "count, sizes, equal, parts",
    [
        (10, [1, 1, 1], False, [1, 1, 1]),
        (10, [50, 30, 20], False, [5, 3, 2]),
        (2, [1, 1, 1], False, [1, 1, 0]),
        (7, [10, 10, 10], True, [3, 2, 2]),
        (20, [2, 5, 100], True, [2, 5, 13]),
        (0, [3, 0], True, [0, 0]),
        (3, [], True, []),
    ],
)
def test_allocation(count, sizes, equal, parts):
    assert allocated(count, sizes, equal) == parts


def test_weights_of_csv_are_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("text,w\nno,0\nyes,2.5\n")
    found, _ = drawn([tmp_path / "a.csv"], count=1, seed=0, by="w")
    assert found == [{"text": "yes", "w": "2.5"}]


@pytest.mark.parametrize(
    "value, words",
    [
        (-1, "negative"),
        (float("nan"), "NaN"),
        (float("inf"), "infinite"),
        ("3rd", "not a number"),
        (None, "not a number"),
        (True, "not a number"),
    ],
)
def test_bad_weights_are_bad_records(value, words, source):
    path = source([{"id": 0, "w": 1}, {"id": 1, "w": value}])
    batches = read(find_shards([str(path)]), Rejects())
    with pytest.raises(RecordError, match=rf"in.jsonl:2: .*{words}"):
        draw(batches, SampleSettings(1, 0, "text", by="w"), Rejects())


def test_a_missing_weight_names_the_fields(source):
    path = source([{"id": 0, "other": 1}])
    with pytest.raises(RecordError, match=r'no field "w" \(fields: id, other; see --by\)'):
        drawn([path], count=1, seed=0, by="w")


@pytest.mark.parametrize("replacement", [False, True])
def test_more_than_there_are(replacement, source):
    path = source([{"id": 0, "w": 0}, {"id": 1, "w": 0}])
    with pytest.raises(SynthError, match="only 2 records, 0 of them with a weight above 0"):
        drawn([path], count=1, seed=0, by="w", with_replacement=replacement)
