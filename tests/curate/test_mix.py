"""Mixtures: shares by recount, an order that favours nobody, and what they may depend on."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from running import synth
from synthtools.curate.mixture_parts import (
    MeasuredSource,
    by_shares,
    interleaved,
    shuffled,
    subsample,
)
from synthtools.errors import SynthError


def measured(name, sizes, first_key=0):
    keys = np.arange(first_key, first_key + len(sizes), dtype=np.uint64) * np.uint64(2654435761)
    return MeasuredSource(name, np.array(sizes, np.int64), keys)


sizes = st.lists(st.integers(0, 50), min_size=1, max_size=60)


@given(sizes, sizes, st.integers(1, 99), st.integers(1, 4), st.integers(0, 5), st.floats(0.1, 1))
@settings(max_examples=200)
def test_shares_are_exact(left, right, percent, epochs, seed, part):
    """Each source is off by less than one document, and no document comes too often."""
    sources = [measured("a", left), measured("b", right, 1000)]
    shares = [percent / 100, 1 - percent / 100]
    if not all(source.total for source in sources):
        with pytest.raises(SynthError, match="is empty"):
            by_shares(sources, shares, None, epochs, seed, False)
        return
    most = min(epochs * s.total / share for s, share in zip(sources, shares))
    total = max(1, int(part * most))
    if total > most:
        return
    for source, share, found in zip(
        sources, shares, by_shares(sources, shares, total, epochs, seed, False)
    ):
        assert abs(found.units - share * total) < max(source.sizes.max(), 1)
        counts = Counter(i for taken in found.passes for i in taken.tolist())
        assert max(counts.values(), default=0) <= epochs
        # Each pass is whole before the next begins.
        assert all(len(taken) == len(source.sizes) for taken in found.passes[:-1])
        assert all((np.diff(taken) > 0).all() for taken in found.passes)
    with pytest.raises(SynthError, match="there is enough for --total"):
        by_shares(sources, shares, int(most) + 2, epochs, seed, False)


@given(sizes, sizes, sizes)
@settings(max_examples=100)
def test_no_prefix_favours_a_source(first, second, third):
    columns = (first, second, third)
    sources = [measured(str(i), column, 1000 * i) for i, column in enumerate(columns)]
    if not all(source.total for source in sources):
        return
    parts = by_shares(sources, [0.5, 0.3, 0.2], None, 2, 0, False)
    owners = interleaved(parts)
    totals = np.array([part.units for part in parts], float)
    assert np.bincount(owners, minlength=3).tolist() == [part.documents for part in parts]
    if not totals.all():
        return
    left = [iter(part.sizes().tolist()) for part in parts]
    given_units = np.zeros(3)
    largest = [part.sizes().max() / total for part, total in zip(parts, totals)]
    for owner in owners:
        given_units[owner] += next(left[owner])
        shares = given_units / totals
        assert shares.max() - shares.min() <= 2 * max(largest) + 1e-9


def test_documents_are_counted_out_exactly():
    sources = [measured("a", [1] * 100), measured("b", [1] * 100), measured("c", [1] * 100)]
    parts = by_shares(sources, [1 / 3] * 3, 100, 1, 0, True)
    assert sorted(part.documents for part in parts) == [33, 33, 34]
    assert sum(part.documents for part in by_shares(sources, [1 / 3] * 3, None, 1, 0, True)) == 300


def test_a_shuffle_is_one_order_of_all():
    sources = [measured("a", [1] * 500), measured("b", [1] * 500, 1000)]
    parts = by_shares(sources, [0.5, 0.5], None, 1, 0, True)
    ranks = shuffled(parts, 3)
    assert sorted(np.concatenate(ranks).tolist()) == list(range(1000))
    assert abs(np.corrcoef(np.concatenate(ranks), np.arange(1000))[0, 1]) < 0.1


def test_a_subsample_is_drawn_from_the_pool():
    sources = [measured("g0", [1] * 900), measured("g1", [1] * 100, 5000)]
    parts = subsample(sources, 500, 0)
    assert sum(part.documents for part in parts) == 500
    assert 30 <= parts[1].documents <= 70
    with pytest.raises(SynthError, match="together hold 1,000"):
        subsample(sources, 1001, 0)


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mix")
    (path / "human").mkdir()
    for shard in range(2):
        lines = (
            json.dumps({"id": f"h{shard}-{i}", "text": f"human words {'é ' * (i % 40)}", "n": 1.10})
            for i in range(150)
        )
        (path / f"human/{shard}.jsonl").write_text("\n".join(lines).replace("1.1", "1.10") + "\n")
    lines = [json.dumps({"text": f"model text {i % 7} " + "x" * (i % 90)}) for i in range(400)]
    (path / "synthetic.jsonl").write_text("\n".join(lines) + "\n")
    synth("cat", path / "synthetic.jsonl", "-o", path / "synthetic.parquet")
    return path


def test_a_mixture_and_its_manifest(folder, tmp_path):
    report = tmp_path / "mix.json"
    common = ["human/=0.75", "synthetic.jsonl=0.25", "--total", "4KB".replace("KB", "K")]
    found = synth("mix", *common, "--label", "from", "--report", report, cwd=folder)
    records = [json.loads(line) for line in found.splitlines()]
    size = Counter()
    for record in records:
        size[record["from"]] += len(record["text"].encode())
    rows = {row["source"]: row for row in json.loads(report.read_text())["sources"]}
    assert {name: row["units"] for name, row in rows.items()} == size
    assert abs(size["human/"] - 3000) < 100 and abs(size["synthetic.jsonl"] - 1000) < 110
    assert found.count(b'"n": 1.10') == rows["human/"]["documents"]
    # The same whatever the shards, the format of a source and the number of cores.
    again = synth("mix", *common, "--label", "from", "--jobs", 3, cwd=folder)
    assert again == found
    other = synth("mix", "human/*.jsonl=75%", "synthetic.parquet=25%", "--total", 4000, cwd=folder)
    texts = [json.loads(line)["text"] for line in other.splitlines()]
    assert texts == [record["text"] for record in records]


@pytest.mark.parametrize("unit", ["tokens", "words", "documents"])
def test_units_by_recount(unit, folder):
    more = ["--tokenizer", "builtin"] if unit == "tokens" else []
    arguments = ["human/=0.5", "synthetic.parquet=0.5", "--unit", unit, *more, "--total", 200]
    found = synth("mix", *arguments, "--label", "from", cwd=folder)
    count = {"words": lambda text: len(text.split()), "documents": lambda text: 1}.get(unit)
    if count is None:
        from transformers import AutoTokenizer

        from synthtools.lm.model_name import ModelName

        tokenizer = AutoTokenizer.from_pretrained(ModelName().location)
        count = lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])  # noqa: E731
    size, largest = Counter(), 1
    for record in map(json.loads, found.splitlines()):
        size[record["from"]] += count(record["text"])
        largest = max(largest, count(record["text"]))
    for got in size.values():
        assert abs(got - 100) < largest


def test_said_numbers_of_tokens_are_taken(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": f"{i}", "tokens": 10}) + "\n" for i in range(50)))
    found = synth("mix", f"{path}=1", "--unit", "tokens", "--total", 100)
    assert len(found.splitlines()) == 10
    path.write_text('{"text":"a","tokens":3}\n{"text":"b"}\n')
    message = synth("mix", f"{path}=1", "--unit", "tokens", code=1)
    assert f"{path}:2: " in message and "--tokenizer" in message


def test_a_shuffle_holds_the_same_records(folder, monkeypatch):
    arguments = ["human/=0.5", "synthetic.jsonl=0.5", "--label", "from"]
    plain = synth("mix", *arguments, cwd=folder)
    mixed = synth("mix", *arguments, "--shuffle", cwd=folder)
    assert plain != mixed and sorted(plain.splitlines()) == sorted(mixed.splitlines())
    assert synth("mix", *arguments, "--shuffle", "--jobs", 2, cwd=folder) == mixed


def test_epochs_repeat_whole_passes(folder):
    message = synth("mix", "human/=1", "--total", 1_000_000, cwd=folder, code=1)
    assert "there is enough for --total" in message and "--epochs" in message
    found = synth(
        "mix", "human/=1", "--unit", "documents", "--total", 750, "--epochs", 3, cwd=folder
    )
    ids = [json.loads(line)["id"] for line in found.splitlines()]
    assert len(set(ids[:300])) == len(set(ids[300:600])) == 300
    assert len(set(ids[600:])) == 150


def test_workflows(folder):
    generations = ["--generation", "human", "--generation", "synthetic.jsonl", "--label", "from"]

    def counts(*more):
        found = synth("mix", *generations, *more, cwd=folder)
        return Counter(json.loads(line)["from"] for line in found.splitlines())

    assert counts("--workflow", "replace") == {"synthetic.jsonl": 400}
    assert counts("--workflow", "accumulate") == {"human": 300, "synthetic.jsonl": 400}
    sampled = counts("--workflow", "accumulate-subsample", "--unit", "documents")
    assert sum(sampled.values()) == 300 and min(sampled.values()) > 80


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "name the sources"),
        (["human/"], "SOURCE=SHARE"),
        (["human/=x"], "SOURCE=SHARE"),
        (["human/=nan", "b=1"], "SOURCE=SHARE"),
        (["human/=-0.5", "b=1.5"], "negative"),
        (["human/=0.5", "b=0.6"], "sum to 1.1"),
        (["human/=0.5", "human/=0.5"], "named twice"),
        (["human/=1", "--unit", "pages"], "--unit pages"),
        (["human/=1", "--unit", "words", "--tokenizer", "builtin"], "--tokenizer"),
        (["human/=1", "--workflow", "replace"], "--generation"),
        (["--generation", "human"], "--workflow"),
        (["--workflow", "other", "--generation", "human"], "--workflow other"),
    ],
)
def test_wrong_usage(arguments, words, folder):
    message = synth("mix", *arguments, cwd=folder, code=2)
    assert words in message


def test_a_share_of_nothing_leaves_a_source_out(folder):
    found = synth("mix", "human/=0", "synthetic.jsonl=1", cwd=folder)
    assert len(found.splitlines()) == 400


def test_resumed_mixtures_are_the_same(folder, tmp_path):
    arguments = ["human/=0.5", "synthetic.jsonl=0.5", "--shard-size", 50]
    synth("mix", *arguments, "-o", tmp_path / "whole", cwd=folder)
    synth("mix", *arguments, "-o", tmp_path / "part", cwd=folder)
    manifest = json.loads((tmp_path / "part/.synth.json").read_text())
    for shard in manifest["shards"][2:]:
        (tmp_path / "part" / shard["name"]).unlink()
    manifest["shards"], manifest["complete"] = manifest["shards"][:2], False
    (tmp_path / "part/.synth.json").write_text(json.dumps(manifest))
    synth("mix", *arguments, "-o", tmp_path / "part", "--resume", cwd=folder)
    for shard in (tmp_path / "whole").glob("part-*"):
        assert (tmp_path / "part" / shard.name).read_bytes() == shard.read_bytes()


@pytest.mark.parametrize("order", [[], ["--shuffle"]])
@pytest.mark.parametrize("skip", [False, True])
def test_a_record_that_cannot_be_written_is_named_by_its_file(tmp_path, order, skip):
    rows = [{"text": "b", "x": x} for x in (0.5, float("nan"), 1.5)]
    for name in ("one", "two"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' * 3)
    report, rejects = tmp_path / "report.json", tmp_path / "r.jsonl"
    bad = [f"{tmp_path / name}.parquet" for name in ("one", "two")]
    words = ["mix", tmp_path / "a.jsonl=0.5", *(f"{name}=0.25" for name in bad), "--unit"]
    words += ["documents", "--epochs", 2, "--total", 12, "--nan", "fail", *order]
    if not skip:
        line = synth(*words, code=1)
        assert any(f"{name}:2: holds NaN" in line for name in bad)
        return
    synth(*words, "--on-error", "skip", "--rejects", rejects, "--report", report)
    found = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert sorted((one["file"], one["line"]) for one in found) == [(name, 2) for name in bad]
    counts = json.loads(report.read_text())["made_by"]["counts"]
    assert (counts["read"], counts["written"], counts["skipped"]) == (9, 10, 2)
