"""DSIR against the formula written out, in the order of the paper, with nothing but the library."""

import hashlib
import json
import math
import re
from collections import Counter
from fractions import Fraction
from pydoc_data.topics import topics
from unittest.mock import Mock

import numpy as np
import pytest

from pickling import Pickling
from running import synth
from synthtools.cli.quantities import path_share
from synthtools.curate.dsir import Estimator, Features, parts_of
from synthtools.errors import SynthError
from synthtools.records import map_ray

WIDE = ["Ωmega ΣΑΣ ﬁne İstanbul naïve café 北京 ٣٤ 𝒳", "ǅ ß ẞ e\u0301 _x_ don't—stop…"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("dsir")
    raw, target, other = [], [], []
    for number, name in enumerate(sorted(topics)):
        text = topics[name]
        pieces = [text[i : i + 900] for i in range(0, min(len(text), 9000), 900)]
        (target if "string" in text[:400] else raw).extend(pieces)
        other += pieces[:1] if number % 5 == 0 else []
    raw[3:3] = [*WIDE, "", "one"]
    for name, texts in (("raw", raw), ("target", target), ("other", other)):
        lines = (json.dumps({"id": f"{name}{i}", "text": t}) + "\n" for i, t in enumerate(texts))
        (path / f"{name}.jsonl").write_text("".join(lines))
    return path


def texts(path):
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def counts_of(text, n=2, buckets=10_000):
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    grams = [" ".join(words[i : i + k]) for k in range(1, n + 1) for i in range(len(words) - k + 1)]
    digests = (hashlib.sha256(gram.encode()).hexdigest() for gram in grams)
    return Counter(int(digest, 16) % buckets for digest in digests), len(words)


def obvious_weights(raw, target, n=2, buckets=10_000, smoothing=0.0):
    both = []
    for corpus in (target, raw):
        total = Counter()
        for text in corpus:
            total += counts_of(text, n, buckets)[0]
        every = sum(total.values()) + smoothing * buckets
        both.append([(total[b] + smoothing) / every for b in range(buckets)])
    p, q = both
    return [
        math.fsum(
            count * (math.log(p[b] + 1e-8) - math.log(q[b] + 1e-8))
            for b, count in counts_of(text, n, buckets)[0].items()
        )
        for text in raw
    ]


@pytest.mark.parametrize("more", [{}, {"n": 3, "buckets": 500, "smoothing": 1.0}])
def test_weights_are_those_of_the_formula(more, folder):
    options = [word for name, value in more.items() for word in (f"--{name}", value)]
    found = synth(
        *("dsir", "raw.jsonl", "--target", "target.jsonl", "--weights", "--hash", "sha256"),
        *options,
        cwd=folder,
    )
    ours = [json.loads(line)["dsir_logw"] for line in found.splitlines()]
    raw = texts(folder / "raw.jsonl")
    expected = obvious_weights(raw, texts(folder / "target.jsonl"), **more)
    assert len(ours) == len(raw) > 250
    assert np.abs(np.array(ours) - expected).max() < 1e-6
    assert ours[3 + len(WIDE)] == 0  # no text, no weight


def test_the_fast_hash_gives_nearly_the_same_order(folder):
    from scipy.stats import spearmanr

    weights = []
    for name in ("fast", "sha256"):
        arguments = ("raw.jsonl", "--target", "target.jsonl", "--weights", "--hash", name)
        lines = synth("dsir", *arguments, cwd=folder).splitlines()
        weights.append([json.loads(line)["dsir_logw"] for line in lines])
    assert spearmanr(*weights).statistic > 0.9  # a small target: 0.99 on real corpora


def test_tokens_are_counted_as_the_authors_do():
    for n in (1, 2, 3):
        for words in range(n - 1, 9):
            ngrams = sum(max(0, words - k + 1) for k in range(1, n + 1))
            assert Features(n=n).tokens(np.array([ngrams]))[0] == words
    assert Features().tokens(np.array([0]))[0] == 0


def test_top_k_takes_the_heaviest_that_are_long_enough(folder, tmp_path):
    report = tmp_path / "report.json"
    common = ("dsir", "raw.jsonl", "--target", "target.jsonl", "--hash", "sha256")
    found = synth(
        *common,
        "-n",
        30,
        "--top-k",
        "--weights",
        "--min-tokens",
        120,
        "--report",
        report,
        cwd=folder,
    )
    raw = texts(folder / "raw.jsonl")
    weights = obvious_weights(raw, texts(folder / "target.jsonl"))
    long = [i for i, text in enumerate(raw) if counts_of(text)[1] >= 120]
    best = sorted(sorted(long, key=lambda i: -weights[i])[:30])
    assert [json.loads(line)["id"] for line in found.splitlines()] == [f"raw{i}" for i in best]
    # Untouched but for the field.
    assert found.splitlines()[0].startswith(
        (folder / "raw.jsonl").read_bytes().splitlines()[best[0]][:-1]
    )
    found_report = json.loads(report.read_text())
    assert found_report["long_enough"] == len(long) and found_report["records_seen"] == len(raw)
    assert found_report["kl_reduction"] > 0


def test_noise_changes_little_and_belongs_to_the_seed(folder):
    def ids(*more):
        lines = synth("dsir", "raw.jsonl", "--target", "target.jsonl", "-n", 60, *more, cwd=folder)
        return [json.loads(line)["id"] for line in lines.splitlines()]

    first = ids("--seed", 1)
    assert first == ids("--seed", 1, "--jobs", 2)
    top = ids("--top-k")
    assert len(set(first) & set(top)) >= 50  # noise of 1.3 beside scores of hundreds
    assert first == sorted(first, key=lambda name: int(name[3:]))


def test_an_estimator_is_kept_and_read_again(folder, tmp_path):
    kept = tmp_path / "estimator.json"
    common = ("dsir", "raw.jsonl", "-n", 20)
    first = synth(*common, "--target", "target.jsonl", "--save-estimator", kept, cwd=folder)
    assert synth(*common, "--estimator", kept, cwd=folder) == first
    # Then a pipe will do, and the raw data is read once.
    piped = synth("dsir", "-n", 20, "--estimator", kept, input=(folder / "raw.jsonl").read_bytes())
    assert piped == first
    for content in (
        "",
        "[]",
        "{}",
        kept.read_text().replace('"raw_counts": [', '"raw_counts": [1,'),
    ):
        broken = tmp_path / "broken.json"
        broken.write_text(content)
        assert "--save-estimator" in synth(*common, "--estimator", broken, cwd=folder, code=1)


def test_raw_data_from_a_pipe_is_kept_and_read_twice(folder):
    arguments = ("--target", "target.jsonl", "-n", 20)
    piped = synth("dsir", *arguments, input=(folder / "raw.jsonl").read_bytes(), cwd=folder)
    assert piped == synth("dsir", "raw.jsonl", *arguments, cwd=folder)


def test_several_targets_pick_no_record_twice(folder):
    shares = ("--target", "target.jsonl=3", "--target", "other.jsonl=1")
    found = synth("dsir", "raw.jsonl", *shares, "-n", 100, "--weights", "--top-k", cwd=folder)
    records = [json.loads(line) for line in found.splitlines()]
    assert len({record["id"] for record in records}) == 100
    assert Counter(r["dsir_target"] for r in records) == {"target.jsonl": 75, "other.jsonl": 25}
    alone = synth(
        *("dsir", "raw.jsonl", "--target", "target.jsonl", "-n", 75, "--top-k"), cwd=folder
    )
    first = {json.loads(line)["id"] for line in alone.splitlines()}
    assert first == {r["id"] for r in records if r["dsir_target"] == "target.jsonl"}


def test_a_fit_on_the_first_tokens(folder, tmp_path):
    report = tmp_path / "report.json"
    arguments = ("--target", "target.jsonl", "-n", 5, "--fit-tokens", 1000, "--report", report)
    synth("dsir", "raw.jsonl", *arguments, cwd=folder)
    assert json.loads(report.read_text())["raw_tokens_fitted"] >= 1000


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["-n", "5"], 2, "--target"),
        (["--target", "target.jsonl"], 2, "-n"),
        (["--target", "target.jsonl=0", "-n", "5"], 2, "above 0"),
        (["--target", "target.jsonl=1", "--target", "other.jsonl", "-n", "5"], 2, "a share"),
        (["--target", "target.jsonl", "-n", "5", "--hash", "md5"], 2, "--hash md5"),
        (["--target", "target.jsonl", "-n", "9999"], 1, "lower --min-tokens"),
        (["--target", "empty.jsonl", "-n", "5"], 1, "has no words"),
        (["--target", "gone.jsonl", "-n", "5"], 1, "gone.jsonl"),
        (
            ["--target", "target.jsonl", "--target-text-field", "body", "-n", "5"],
            1,
            "--target-text",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, code, words, folder):
    (folder / "empty.jsonl").write_text('{"text":" "}\n')
    message = synth("dsir", "raw.jsonl", *arguments, cwd=folder, code=code)
    assert words in message


def test_parts_and_names():
    assert parts_of(10, (0.5, 0.25, 0.25)) == [5, 2, 3]
    assert path_share("a/b=c/=0.5") == ("a/b=c/", 0.5)
    assert path_share("a=70%") == ("a", Fraction(7, 10))
    assert path_share("a=b") == ("a=b", None)
    assert path_share("a=inf") == ("a=inf", None) and path_share("a=1/0") == ("a=1/0", None)
    assert path_share("a=1e99999999") == ("a=1e99999999", None)
    assert [path_share(f"a={s}").share for s in ("2/3", ".5", "1e-1")] == [
        Fraction(2, 3),
        Fraction(1, 2),
        Fraction(1, 10),
    ]
    with pytest.raises(ValueError):
        path_share("a=-1")
    with pytest.raises(SynthError, match="has no words"):
        Estimator(Features(), ("t",), (1.0,), np.zeros((1, 10)), np.ones(10)).log_ratios()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet", "out/"])
def test_on_a_cluster_what_is_chosen_is_read_again(folder, tmp_path, output, shared, monkeypatch):
    """Blank lines, bad records, a file cut short, rows beside lines; files that other machines do not
    see, whose records then are kept."""
    import gzip

    from synthtools.cli.app import build
    from synthtools.cli.options import Jobs

    lines = (folder / "raw.jsonl").read_bytes().splitlines()
    inputs = tmp_path / "in"
    inputs.mkdir()
    mixed = b"\n".join(
        b"\n".join([line, *[b"", b"  ", b"oops"][: n % 4]]) for n, line in enumerate(lines)
    )
    (inputs / "a.jsonl").write_bytes(mixed)
    (inputs / "b.jsonl.gz").write_bytes(gzip.compress(mixed)[:-3000])
    synth("cat", folder / "raw.jsonl", "-o", inputs / "c.parquet")
    picked = Mock(wraps=map_ray.picked)
    monkeypatch.setattr(map_ray, "picked", picked)
    if not shared:
        monkeypatch.setattr(map_ray, "is_shared", lambda shard: False)
    found = []
    for name, cluster in (("here", None), ("there", Pickling())):
        monkeypatch.setattr(Jobs, "cluster", lambda _, cluster=cluster: cluster)
        out = tmp_path / name
        out.mkdir()
        words = ["dsir", inputs, "--target", f"{folder / 'target.jsonl'}=0.6", "--weights", "-q"]
        words += ["--target", f"{folder / 'other.jsonl'}=0.4", "-n", "300", "--min-tokens", "5"]
        words += ["--on-error", "skip", "--rejects", out / "bad", "--report", out / "report.json"]
        words += ["--shard-size", "100", "-o", out / output]
        build()([str(word) for word in words], standalone_mode=False)
        report = json.loads((out / "report.json").read_bytes())
        assert report.pop("made_by")["inputs"] and report["selected"] == 300
        files = sorted(p for p in out.rglob("*") if p.is_file() and p.suffix[1:] != "json")
        found.append((report, {p.relative_to(out): p.read_bytes() for p in files}))
    assert found[0] == found[1] and len(found[0][1]) > 1
    assert picked.call_count == int(shared)
