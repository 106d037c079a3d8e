"""``synth ngram-hash`` through the binary."""

import json
import re
from collections import Counter
from functools import partial
from pydoc_data.topics import topics

import numpy as np
import pytest
from datasketch import MinHash

import running
from kernel_reference import ngram_hash

NAMES = sorted(topics)


synth = partial(running.synth, "ngram-hash")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ngrams")
    for name, part in (("left", NAMES[:30]), ("right", NAMES[30:50])):
        lines = (json.dumps({"id": topic, "text": topics[topic]}) + "\n" for topic in part)
        (path / f"{name}.jsonl").write_text("".join(lines))
    return path


def tokens(name):
    return re.findall(r"\w+|[^\w\s]+", topics[name].lower())


def test_the_report_of_a_corpus(folder):
    report = json.loads(synth("left.jsonl", "--top", 5, cwd=folder))
    words = [tokens(name) for name in NAMES[:30]]
    assert report["documents"] == 30
    assert report["ngrams"] == sum(2 * len(w) - 1 for w in words) == sum(report["response"])
    assert len(report["response"]) == report["buckets"] == 10_000
    pairs = Counter(" ".join(w[i : i + 2]) for w in words for i in range(len(w) - 1))
    ranked = sorted(pairs.items(), key=lambda row: (-row[1], row[0]))[:5]
    assert report["top"]["2"]["ngrams"] == [list(row) for row in ranked]
    assert report["top"]["2"]["count_too_low_by_at_most"] == 0
    assert report["made_by"]["counts"]["read"] == 30
    exact = json.loads(synth("left.jsonl", "--top", 5, "--exact", "--jobs", 2, cwd=folder))
    assert exact["top"] == report["top"] and exact["response"] == report["response"]


def test_inputs_are_compared_each_with_each(folder, tmp_path):
    picture = tmp_path / "responses.svg"
    arguments = ("left.jsonl", "right.jsonl", "./left.jsonl", "--compare", "--top", 10)
    report = json.loads(synth(*arguments, "--plot", picture, cwd=folder))
    assert [i["name"] for i in report["inputs"]] == ["left.jsonl", "right.jsonl", "./left.jsonl"]
    assert len(report["pairs"]) == 3
    same = report["pairs"][1]
    assert (same["left"], same["right"]) == ("left.jsonl", "./left.jsonl")
    assert (same["js"], same["total_variation"]) == (0, 0) and same["buckets"] == []
    other = report["pairs"][0]
    assert other["js"] > 0.01 and other["over_represented"]["1"]["left"]
    assert picture.read_bytes().startswith(b"<?xml")
    again = tmp_path / "again.svg"
    synth(*arguments, "--plot", again, cwd=folder)
    assert again.read_bytes() == picture.read_bytes()


def test_signatures_are_those_of_datasketch(folder):
    found = synth("right.jsonl", "--per-record", "minhash", "--permutations", 64, cwd=folder)
    for line in found.splitlines():
        record = json.loads(line)
        words = tokens(record["id"])
        signature = MinHash(num_perm=64)
        signature.update_batch(
            {" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))}
        )
        assert record["minhash"] == signature.hashvalues.tolist()


def test_signatures_of_the_fast_hash(folder, tmp_path):
    """datasketch's formula over the reference's hash of the same shingles, instead of SHA-1."""
    drawn = np.random.RandomState(1)
    a = drawn.randint(0, 1 << 31, 16, dtype=np.uint32).astype(object) * 2 + 1
    b = drawn.randint(0, 1 << 32, 16, dtype=np.uint32).astype(object)
    found = synth(
        "right.jsonl", "--per-record", "minhash", "--permutations", 16, "--hash", "fast", cwd=folder
    )
    for record in map(json.loads, found.splitlines()):
        words = tokens(record["id"])
        runs = [words[i : i + 5] for i in range(max(1, len(words) - 4))]
        values = [ngram_hash(run) >> 32 for run in runs]
        wanted = np.min([(a * value + b) % (1 << 32) for value in values], axis=0)
        assert record["minhash"] == wanted.tolist()
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes((folder / "left.jsonl").read_bytes())
    report = json.loads(synth("left.jsonl", copy, "--duplicates", "--hash", "fast", cwd=folder))
    assert report["documents_in_clusters"] == 60


def test_near_duplicates_within_and_across(folder, tmp_path):
    changed = topics[NAMES[0]].split()
    changed[10] = "otherwise"
    records = [
        {"id": "near", "text": " ".join(changed)},
        {"id": "far", "text": "something else altogether, in eight words or so"},
        {"id": "again", "text": topics[NAMES[3]]},
        {"id": "empty", "text": ""},
        {"id": "empty too", "text": ""},
    ]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(r) + "\n" for r in records))
    report = json.loads(synth("left.jsonl", other, "--duplicates", cwd=folder))
    found = {(p["left"]["id"], p["right"]["id"]): p["similarity"] for p in report["pairs"]}
    assert set(found) == {(NAMES[0], "near"), (NAMES[3], "again")}
    assert found[NAMES[3], "again"] == 1 > found[NAMES[0], "near"] > 0.8
    assert report["clusters"] == 2 and report["documents_in_clusters"] == 4
    assert report["by_input"] == [{"left": "left.jsonl", "right": str(other), "pairs": 2}]
    pairs = tmp_path / "pairs.jsonl"
    synth("left.jsonl", other, "--duplicates", "-o", pairs, cwd=folder)
    lines = [json.loads(line) for line in pairs.read_text().splitlines()]
    assert [(p["left"]["id"], p["right"]["id"]) for p in lines] == sorted(found)
    assert lines[0]["left"] == {"file": "left.jsonl", "line": 1, "id": NAMES[0]}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, folder):
    path = tmp_path_factory.mktemp("vectors")
    random = np.random.default_rng(0)
    wide, narrow = random.normal(size=(300, 8)), random.normal(size=(60, 8)) * 0.05
    vectors = np.round(np.concatenate([wide, narrow]), 4)
    lines = (json.dumps({"id": i, "embedding": v.tolist()}) + "\n" for i, v in enumerate(vectors))
    (path / "in.jsonl").write_text("".join(lines))
    return path


def test_density_tells_a_crowd_from_the_rest(embedded):
    arguments = ("in.jsonl", "--per-record", "density", "--rows", 50)
    found = synth(*arguments, cwd=embedded)
    densities = [json.loads(line)["density"] for line in found.splitlines()]
    assert len(densities) == 360 and min(densities) >= 1
    assert np.median(densities[300:]) > 1.3 * np.median(densities[:300])
    piped = synth(
        "--per-record", "density", "--rows", 50, input=(embedded / "in.jsonl").read_bytes()
    )
    assert piped == found
    report = json.loads(synth("in.jsonl", "--density", "--rows", 50, cwd=embedded))
    assert report["mean"] == pytest.approx(np.mean(densities))
    parquet = embedded / "in.parquet"
    running.synth("cat", "in.jsonl", "-o", parquet, "--force", cwd=embedded)
    rows = json.loads(synth(parquet, "--density", "--rows", 50))
    assert rows["mean"] == report["mean"] and rows["width"] == report["width"]


@pytest.mark.parametrize(
    "vector, words",
    [
        ([1.0], "has 1 numbers where others have 2"),
        ([], "not a list of finite numbers"),
        ("x", "not a list of finite numbers"),
        ([1, None], "not a list of finite numbers"),
        ([1, float("nan")], "not a list of finite numbers"),
    ],
)
def test_bad_vectors_are_bad_records(vector, words, tmp_path):
    path = tmp_path / "in.jsonl"
    lines = [{"embedding": [0, 1]}, {"embedding": vector}, {"embedding": [3, 4]}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    message = synth(path, "--density", code=1)
    assert f"{path}:2: " in message and words in message
    report = json.loads(synth(path, "--density", "--on-error", "skip"))
    assert report["documents"] == 2 and report["made_by"]["counts"]["skipped"] == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--compare", "--duplicates"], "give one"),
        (["--compare"], "two inputs"),
        (["--per-record", "x"], "use minhash or density"),
        (["--hash", "md5"], "use fast, sha1 or sha256"),
        (["--hash", "sha1"], "n-grams are hashed by fast or sha256"),
        (["--duplicates", "--hash", "sha256"], "signatures are hashed by fast or sha1"),
        (["--n", "0"], "--n 0: give a whole number, 1 to 100"),
        (["--n", "1,x"], "--n x: give a whole number"),
        (["-o", "x.jsonl"], "--report"),
        (["--plot", "x.gif"], ".png or .svg"),
        (["--density", "--width", "0"], "--width"),
        (["--per-record", "minhash", "--json"], "--json"),
        (["--duplicates", "--format", "jsonl", "--json"], "--json"),
        (["--density", "-o", "x.jsonl"], "--report"),
    ],
)
def test_wrong_usage(arguments, words, folder):
    message = synth("left.jsonl", *arguments, cwd=folder, code=2)
    assert words in message


def test_density_of_what_a_model_makes_of_texts(tmp_path):
    path = tmp_path / "in.jsonl"
    texts = [topics[name][:200] for name in NAMES[:4]] + [topics[NAMES[5]][:200]] * 3
    path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)))
    arguments = (path, "--per-record", "density", "--vector-model", "builtin", "--rows", 40)
    densities = [json.loads(line)["density"] for line in synth(*arguments).splitlines()]
    assert densities[4] == densities[5] == densities[6] > max(densities[:4])
    report = json.loads(synth(path, "--density", "--vector-model", "builtin", "--rows", 40))
    assert report["mean"] == pytest.approx(np.mean(densities))
    assert report["made_by"]["model"]["name"] == "builtin"
