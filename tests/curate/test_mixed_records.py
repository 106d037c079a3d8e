"""Mixtures where it is easy to be wrong: rounding, equal ids, several formats, large documents."""

import json
import re
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synthtools.curate import mixed_records
from synthtools.curate.mixture_parts import (
    MeasuredSource,
    MixturePart,
    by_shares,
    everything,
    subsample,
)
from synthtools.curate.source_survey import Room, SourceSurvey, of_one_form
from synthtools.errors import SynthError
from synthtools.records.batch import JsonBatch
from synthtools.records.inputs import find_shards
from synthtools.records.map_threads import BlockTask, map_records
from synthtools.records.record_keys import hashes
from synthtools.records.rejects import Rejects
from synthtools.records.reread_records import picked


def measured(name, sizes, seed=0):
    keys = np.random.default_rng(seed).integers(0, 2**63, len(sizes)).astype(np.uint64)
    return MeasuredSource(name, np.array(sizes, np.int64), keys)


def surveyed(name, *paths, jobs=1, block_bytes=500, room=None):
    """A source, measured in bytes of text."""
    shards = find_shards([str(path) for path in paths])
    survey = SourceSurvey(name, shards, room)

    def work(batch, texts):
        return texts.lengths(), hashes(batch.column("id"), texts.views()), len(texts.data)

    for found in map_records(
        shards,
        Rejects(skip=True),
        BlockTask(work, "text", ("id",)),
        jobs=jobs,
        block_bytes=block_bytes,
    ):
        survey.add(found.batch, *found.result)
    return survey


def lines_of(blend):
    found = [(batch.json_lines(), owners.tolist()) for batch, owners in blend]
    return (
        [line for lines, _ in found for line in lines],
        [owner for _, owners in found for owner in owners],
    )


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=9), min_size=1, max_size=4),
    st.data(),
)
@settings(max_examples=200)
def test_the_largest_total_and_the_one_that_is_advised_can_be_had(columns, data):
    sources = [measured(str(i), column, i) for i, column in enumerate(columns)]
    cuts = [data.draw(st.integers(1, 30)) for _ in sources]
    for shares in ([Fraction(cut, sum(cuts)) for cut in cuts], [cut / sum(cuts) for cut in cuts]):
        epochs = data.draw(st.integers(1, 3))
        largest = sum(part.units for part in by_shares(sources, shares, None, epochs, 0, False))
        assert largest > 0
        with pytest.raises(SynthError) as error:
            by_shares(sources, shares, 10**9, epochs, 0, False)
        advised = int(re.search(r"--total ([\d,]+)", str(error.value))[1].replace(",", ""))
        by_shares(sources, shares, advised, epochs, 0, False)
        with pytest.raises(SynthError):
            by_shares(sources, shares, advised + max(1, len(sources)), epochs, 0, False)


def test_versions_of_a_document_are_drawn_each_for_itself():
    """Generations share their ids: a subsample must not take all versions of a text or none."""
    keys = np.arange(400, dtype=np.uint64)
    sources = [MeasuredSource(f"g{i}", np.ones(400, np.int64), keys) for i in range(2)]
    both = []
    for seed in range(30):
        one, two = (
            set(part.passes[0].tolist()) if part.passes else set()
            for part in subsample(sources, 400, seed)
        )
        both.append(len(one & two))
    assert stats.ttest_1samp(both, 100).pvalue > 0.001


def test_documents_with_equal_ids_are_drawn_each_for_itself(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": 1, "text": "x" * 9}) + "\n" for _ in range(500)))
    found = surveyed("a", path).measured()
    assert len(set(found.keys.tolist())) == 500
    taken = by_shares([found], [1], 900, 1, 0, False)[0].passes[0]
    assert len(taken) == 100 and stats.kstest(taken, "uniform", (0, 500)).pvalue > 0.001


@pytest.mark.parametrize("form", ["jsonl", "jsonl.zst", "parquet", "arrow"])
def test_documents_are_found_again_by_their_place(form, tmp_path, written, batches_of):
    rubbish = (
        b'\xef\xbb\xbf{"text":"a"}\r\n\n{"text":1}\noops\n{"te\\u0078t":"b"}\n   \n'
        + b"".join(b'{"text":"%d","id":%d}\n' % (n * n, n) for n in range(200))
    )
    (tmp_path / "raw.jsonl").write_bytes(rubbish + b'{"text":"last"}')
    paths = [tmp_path / "raw.jsonl", tmp_path / "two.jsonl"]
    paths[1].write_text('{"text":"z"}\n' * 3)
    if form != "jsonl":
        sound = tmp_path / "sound.jsonl"
        sound.write_bytes(b"".join(line + b"\n" for line in rubbish.splitlines()[6:]))
        paths[0] = written(tmp_path / f"in.{form}", batches_of(sound))
    survey, kept = (surveyed("a", *paths, block_bytes=64, room=room) for room in (None, Room()))
    assert not survey.kept and kept.kept == form.startswith("jsonl")
    whole = [one.measured() for one in (survey, kept)][0]
    lines = [
        line
        for found in map_records(
            find_shards([str(p) for p in paths]),
            Rejects(skip=True),
            BlockTask(lambda b, t: 0, "text"),
        )
        for line in found.batch.json_lines()
    ]
    assert len(lines) == len(whole.sizes) and lines[-1] == b'{"text":"z"}'
    random = np.random.default_rng(1)
    for taken in ([0], [len(lines) - 1], [], range(len(lines)), random.choice(len(lines), 50)):
        passes = [np.unique(np.array(taken, np.int64))]
        part = MixturePart(whole, 1.0, 1.0, passes * 2)  # two passes over it
        for one in (survey, kept):
            again = [line for batch in one.taken(part) for line in batch.json_lines()]
            assert again == [lines[i] for i in passes[0]] * 2


def test_sources_that_fit_into_memory_together_are_kept(tmp_path):
    sizes = {"small": 10, "large": 300, "later": 60}
    for name, count in sizes.items():
        (tmp_path / f"{name}.jsonl").write_text('{"text":"a"}\n' * count)
    room = Room(100 * len('{"text":"a"}\n'))
    kept = {name: surveyed(name, tmp_path / f"{name}.jsonl", room=room).kept for name in sizes}
    assert kept == {"small": True, "large": False, "later": True}
    assert room.left == 30 * len('{"text":"a"}\n')


def test_a_source_that_changes_meanwhile_is_an_error(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text":"a"}\n' * 10)
    shards = find_shards([str(path)])
    path.write_text('{"text":"a"}\n' * 5)
    with pytest.raises(SynthError, match="in.jsonl: has changed"):
        list(picked(shards, [np.arange(1, 11)]))


def test_groups_and_buckets_change_nothing(tmp_path, monkeypatch):
    surveys = []
    for name, count in (("a", 300), ("b", 40)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(
            "".join(
                json.dumps({"text": f"{name}{i} " + "x" * (i % 50)}) + "\n" for i in range(count)
            )
        )
        surveys.append(surveyed(name, path))
    parts = everything([survey.measured() for survey in surveys])

    def blends():
        streams = [[s.taken(p) for s, p in zip(surveys, parts)] for _ in range(2)]
        yield lines_of(mixed_records.interleave(parts, streams[0]))
        yield lines_of(mixed_records.shuffle(parts, streams[1], 7, 100_000))

    plain = list(blends())
    monkeypatch.setattr(mixed_records, "_GROUP", 3)
    monkeypatch.setattr(mixed_records, "_BUCKET_BYTES", 9000)
    monkeypatch.setattr(mixed_records, "_BUFFER_BYTES", 100)
    assert list(blends()) == plain
    for lines, owners in plain:
        assert len(lines) == 340
        assert [json.loads(line)["text"][0] for line in lines] == ["ab"[i] for i in owners]
    (_, even), (shuffled, _) = plain
    # Never far from a source's share: b has a document in nine.
    gaps = np.diff(np.flatnonzero(np.array(even) == 1))
    assert gaps.max() <= 20
    places = [int(re.search(rb"a(\d+)", line)[1]) for line in shuffled if b'"a' in line]
    assert abs(stats.spearmanr(places, np.arange(300)).statistic) < 0.2


def test_large_documents_are_put_in_order_a_few_at_a_time():
    def stream(size):
        for number in range(60):
            yield JsonBatch("x", np.array([number]), lines=[b'{"text":"%s"}' % (b"x" * size)])

    sources = [measured("a", [1 << 20] * 60), measured("b", [10] * 60, 1)]
    parts = everything(sources)
    tracemalloc.start()
    count = 0
    for batch, _ in mixed_records.interleave(parts, [stream(1 << 20), stream(10)]):
        count += len(batch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 120 and peak < 24 << 20


def test_what_becomes_json_is_decided_once(tmp_path, written, batches_of):
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"text":"a","n":1}\n' * 5)
    rows = written(tmp_path / "b.parquet", batches_of(lines))
    other = tmp_path / "c.jsonl"
    other.write_text('{"text":"c"}\n')
    wider = written(tmp_path / "c.parquet", batches_of(other))
    a, b, c = (surveyed(path.stem, path) for path in (lines, rows, wider))
    assert of_one_form([a]) and of_one_form([b, b]) and of_one_form([])
    assert not of_one_form([a, b]) and not of_one_form([b, c])
