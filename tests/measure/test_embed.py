"""``synth embed`` through the binary."""

import json
from pydoc_data.topics import topics

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from running import synth

NAMES = sorted(topics)


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("embed")
    records = [
        {"id": n, "text": topics[n][:400], "n": [1.10], "kind": "ab"[i % 2]}
        for i, n in enumerate(NAMES[:40])
    ]
    records[3]["text"] = ""
    write(path / "left.jsonl", records[:24])
    write(path / "right.jsonl", records[24:])
    r = np.random.default_rng(0)
    stored = [
        {"id": i, "embedding": row, "kind": "ab"[i > 29]}
        for i, row in enumerate((r.normal(size=(50, 3)) + np.arange(50)[:, None] // 30).tolist())
    ]
    write(path / "stored.jsonl", stored)
    return path


def test_records_get_vectors_and_keep_their_fields(folder, builtin):
    lines = synth("embed", "left.jsonl", cwd=folder).splitlines()
    before = (folder / "left.jsonl").read_bytes().splitlines()
    for old, new in zip(before, lines, strict=True):
        assert new.startswith(old[:-1] + b',"embedding":')
    vectors = [json.loads(line)["embedding"] for line in lines]
    assert vectors[3] is None and all(len(v) == 256 for i, v in enumerate(vectors) if i != 3)
    report = folder / "report.json"
    synth("embed", "left.jsonl", "-o", "left.parquet", "--report", report, cwd=folder)
    table = pq.read_table(folder / "left.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 256)
    stored = table.column("embedding").to_pylist()
    assert stored[3] is None
    for mine, theirs in zip(stored, vectors, strict=True):
        assert mine is None or np.array_equal(np.float32(mine), np.float32(theirs))
    assert json.loads(report.read_text())["vectors"] == 23
    back = synth("cat", "left.parquet", cwd=folder).splitlines()
    assert [json.loads(line)["embedding"] for line in back] == vectors
    # A later batch, or another file, may lack the field or have it in another width.
    mixed = ("left.parquet", "stored.jsonl", "-o", "mixed.parquet")
    synth("cat", *mixed, cwd=folder)
    widths = [
        row and len(row) for row in pq.read_table(folder / "mixed.parquet")["embedding"].to_pylist()
    ]
    assert widths == [256] * 3 + [None] + [256] * 20 + [3] * 50


def test_a_map_of_two_corpora(folder, builtin, tmp_path):
    arguments = ("embed", "left.jsonl", "right.jsonl", "--map", "--limit", 15, "--seed", 4)
    plot = tmp_path / "map.png"
    report = json.loads(synth(*arguments, "--plot", plot, "--json", cwd=folder))
    assert report["kind"] == "embed-map" and report["method"] == "tsne"
    assert report["made_by"]["model"]["pooling"] == "mean"
    left, right = report["groups"]
    assert (left["name"], left["records"], left["drawn"]) == ("left.jsonl", 24, 15)
    assert left["points"] + left["without_vector"] == right["drawn"] == right["points"] == 15
    (pair,) = report["pairs"]
    assert 0 <= pair["energy_distance"]["p_value"] <= 1 and pair["neighbours"] == 5
    lines = {r["id"]: i for i, r in enumerate(map(json.loads, open(folder / "left.jsonl")), 1)}
    for point in report["points"]:
        assert np.isfinite([point["x"], point["y"]]).all()
        if point["group"] == "left.jsonl":
            assert point["record"] == f"left.jsonl:{lines[point['id']]}"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_neither_layout_nor_format_changes_a_place_or_a_number(folder, tmp_path):
    lines = (folder / "stored.jsonl").read_text().splitlines(keepends=True)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    (whole / "left.jsonl").write_text("".join(lines[:30]))
    (whole / "right.jsonl").write_text("".join(lines[30:]))
    (parts / "left").mkdir(parents=True)
    (parts / "left/a.jsonl").write_text("".join(lines[12:30]))
    (parts / "left/b.jsonl").write_text("".join(lines[:12]))
    synth("cat", whole / "right.jsonl", "-o", parts / "right.parquet")
    more = ("--map", "--vector-field", "embedding", "--limit", 15, "--plot", "map.svg")
    one = json.loads(synth("embed", "left.jsonl", "right.jsonl", *more, cwd=whole))
    other = json.loads(synth("embed", "left", "right.parquet", *more, cwd=parts))
    assert one["method"] == "tsne" and len(one["points"]) == 30
    places = [[(p["id"], p["x"], p["y"]) for p in report["points"]] for report in (one, other)]
    assert places[0] == places[1]
    for report in (one, other):
        del report["pairs"][0]["left"], report["pairs"][0]["right"]
    assert one["pairs"] == other["pairs"]
    assert (whole / "map.svg").read_bytes().startswith(b"<?xml")


def test_groups_by_a_field_with_stored_vectors(folder):
    arguments = ("embed", "stored.jsonl", "--map", "--vector-field", "embedding", "--method", "pca")
    one = json.loads(synth(*arguments, cwd=folder))
    assert one["pairs"] == [] and one["dimensions"] == 3 and len(one["points"]) == 50
    assert one["made_by"]["model"] is None
    report = json.loads(synth(*arguments, "--by", "kind", "--reference", "b", cwd=folder))
    assert [(g["name"], g["points"]) for g in report["groups"]] == [("b", 20), ("a", 30)]
    from synthtools.measure.two_sample import compare

    vectors = {r["id"]: r["embedding"] for r in map(json.loads, open(folder / "stored.jsonl"))}
    sides = [
        np.float32([vectors[p["id"]] for p in report["points"] if p["group"] == g]) for g in "ba"
    ]
    (pair,) = report["pairs"]
    assert {"left": "b", "right": "a", **compare(*sides)} == pair
    assert "no such group" in synth(*arguments, "--reference", "c", code=1, cwd=folder)
    wide = write(folder / "wide.jsonl", [{"id": i, "embedding": [i, 1]} for i in range(14)])
    assert "more than 12 groups" in synth(
        *arguments[:1], wide, *arguments[2:], "--by", "id", code=1
    )


BAD = [
    ([{"embedding": [1, 2]}, {"embedding": [1, float("nan")]}], "not a list of finite numbers"),
    ([{"embedding": [1, 2]}, {"embedding": [1]}], "has 1 numbers where others have 2"),
    ([{"embedding": [1, 2]}, {"other": 1}], 'no field "embedding"'),
    ([{"embedding": [1e30, 2]}, {"embedding": [1, 2]}], "numbers beyond"),
    ([{"embedding": None}], "none of its 1 records has a vector"),
    ([], "there are no records"),
]


@pytest.mark.parametrize("records, words", BAD)
def test_vectors_that_are_none_are_told(records, words, tmp_path):
    path = write(tmp_path / "bad.jsonl", records)
    more = ("--map", "--vector-field", "embedding", "--method", "pca")
    assert words in synth("embed", path, *more, code=1)


def test_documents_without_a_vector_are_counted(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        [{"embedding": [i, 1]} if i % 3 else {"embedding": None} for i in range(9)],
    )
    more = ("--map", "--vector-field", "embedding", "--method", "pca")
    again = tmp_path / "again.jsonl"
    again.symlink_to(path)
    report = json.loads(synth("embed", path, again, *more, "--permutations", 0))
    assert [g["without_vector"] for g in report["groups"]] == [3, 3]
    assert [g["name"] for g in report["groups"]] == [str(path), str(again)]
    pair = report["pairs"][0]
    assert pair["energy_distance"] == {"value": 0, "expected": None, "p_value": None}


@pytest.mark.parametrize(
    "more, words",
    [
        (("--map", "-o", "x.jsonl"), "--report"),
        (("--plot", "x.png"), "goes with --map"),
        (("--limit", "5"), "goes with --map"),
        (("--map", "--plot", "x.gif"), ".png or .svg"),
        (("--map", "--neighbours", "4"), "odd"),
        (("--map", "--shard", "1/2"), "the whole of each"),
        (("--map", "--method", "mds"), "use tsne, umap or pca"),
        (("--map", "--limit", "none"), "--limit none: "),
        (("--by", "kind"), "--by goes with --map"),
        (("--json",), "--json belongs to reports"),
        (("--pooling", "median"), "use mean, last or cls"),
    ],
)
def test_wrong_usage(more, words, folder):
    assert words in synth(
        "embed", "stored.jsonl", *more, "--text-field", "kind", code=2, cwd=folder
    )
