"""``synth dedup`` against dictionaries of Python, all pairs, and datasketch."""

import json
import re

import numpy as np
import pytest
from datasketch import MinHash

import kernel_reference as reference
import synthtools
from running import synth

RANDOM = np.random.default_rng(0)
WORDS = [f"word{i}" for i in range(400)]


def variants(count):
    """Records of which many have equal or similar texts."""
    texts = []
    for _ in range(count):
        kind = RANDOM.random()
        words = list(RANDOM.choice(WORDS, RANDOM.integers(20, 60)))
        if texts and kind < 0.7:
            words = texts[RANDOM.integers(len(texts))].split()
            if kind < 0.4:
                words[RANDOM.integers(len(words))] = "changed"
        texts.append(" ".join(words))
    return [
        {"id": i, "text": text, "n": float(RANDOM.integers(9)), "url": f"u{RANDOM.integers(30)}"}
        for i, text in enumerate(texts)
    ]


RECORDS = variants(150)


@pytest.fixture
def folder(tmp_path):
    for name, part in (("a.jsonl", RECORDS[:80]), ("b.jsonl", RECORDS[80:])):
        (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in part))
    return tmp_path


def ids(output):
    return [json.loads(line)["id"] for line in output.splitlines()]


def clusters_of(records, name):
    """Records by the value of a field."""
    found = {}
    for record in records:
        found.setdefault(record[name], []).append(record)
    return list(found.values())


def shingles(text):
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


def characters(text):
    return {text[i : i + 5] for i in range(len(text) - 4)}


def similar(records, least, shingled=shingles):
    """Clusters of records that chains of pairs link, each pair compared."""
    sets = [shingled(record["text"]) for record in records]
    roots = list(range(len(records)))
    for _ in records:
        for i, a in enumerate(sets):
            for j in range(i):
                if len(a & sets[j]) >= least * len(a | sets[j]):
                    roots[i] = roots[j] = min(roots[i], roots[j])
    found = {}
    for root, record in zip(roots, records):
        found.setdefault(root, []).append(record)
    return list(found.values())


CHOICES = {
    "first": lambda cluster: cluster[0],
    "longest": lambda cluster: max(cluster, key=lambda r: len(r["text"])),
    "max:n": lambda cluster: max(cluster, key=lambda r: r["n"]),
    "min:n": lambda cluster: min(cluster, key=lambda r: r["n"]),
}


@pytest.mark.parametrize("keep", CHOICES)
def test_near_duplicates_are_those_of_all_pairs(folder, keep):
    clusters = similar(RECORDS, 0.6)
    kept = sorted(CHOICES[keep](cluster)["id"] for cluster in clusters)
    words = ["a.jsonl", "b.jsonl", "--near", "--verify", "--similarity", 0.6, "--keep", keep]
    words += ["--permutations", 512, "--removed", "gone.jsonl", "--report", "r.json"]
    assert ids(synth("dedup", *words, cwd=folder)) == kept
    gone = [json.loads(line) for line in (folder / "gone.jsonl").read_text().splitlines()]
    assert sorted([*kept, *(r["id"] for r in gone)]) == list(range(150))
    cluster_of = {r["id"]: cluster for cluster in clusters for r in cluster}
    texts = {r["id"]: shingles(r["text"]) for r in RECORDS}
    for record in gone:
        cluster = cluster_of[record["id"]]
        best = CHOICES[keep](cluster)["id"]
        file, line = record["duplicate_of"].split(":")
        assert (80 if file == "b.jsonl" else 0) + int(line) - 1 == best
        assert (record["reason"], record["cluster"]) == ("near-duplicate", cluster[0]["id"])
        a, b = texts[record["id"]], texts[best]
        assert record["similarity"] == pytest.approx(len(a & b) / len(a | b), abs=1e-9)
    report = json.loads((folder / "r.json").read_text())
    sizes = [len(cluster) for cluster in clusters]
    assert (report["texts"], report["removed"]) == (150, len(gone))
    assert report["clusters"] == sum(size > 1 for size in sizes)
    assert report["largest_cluster"] == max(sizes)
    assert sum(pair["removed"] for pair in report["by_pair"]) == len(gone)
    shown = report["examples"][0]
    assert shown["removed"]["text"] == RECORDS[_place(shown["removed"])]["text"][:400]
    assert shown["kept"]["text"] == RECORDS[_place(shown["kept"])]["text"][:400]


def _place(told):
    return (80 if told["file"] == "b.jsonl" else 0) + told["line"] - 1


@pytest.mark.parametrize("unit, shingled", [("words", shingles), ("characters", characters)])
def test_unverified_near_duplicates_are_mostly_the_same(folder, unit, shingled):
    found = ids(synth("dedup", "a.jsonl", "b.jsonl", "--near", "--shingle-unit", unit, cwd=folder))
    assert abs(len(found) - len(similar(RECORDS, 0.8, shingled))) <= 8


@pytest.mark.parametrize("options, name", [([], "text"), (["--field", "url"], "url")])
def test_equal_values_are_kept_once(folder, options, name):
    first = [cluster[0]["id"] for cluster in clusters_of(RECORDS, name)]
    assert ids(synth("dedup", "a.jsonl", "b.jsonl", *options, cwd=folder)) == first


def test_marks_number_the_clusters_and_remove_nothing(folder):
    found = synth("dedup", "a.jsonl", "b.jsonl", "--mark", cwd=folder).splitlines()
    for cluster in clusters_of(RECORDS, "text"):
        for record in cluster:
            marked = json.loads(found[record["id"]])
            assert marked == {**record, "cluster": cluster[0]["id"], "cluster_size": len(cluster)}


def test_what_is_only_read_removes_and_is_not_written(folder):
    known = {record["text"] for record in RECORDS[:80]}
    new = {r["text"]: r["id"] for r in reversed(RECORDS[80:]) if r["text"] not in known}
    words = ("dedup", "b.jsonl", "--against", "a.jsonl", "--keep", "longest", "--report", "r.json")
    assert ids(synth(*words, cwd=folder)) == sorted(new.values())
    report = json.loads((folder / "r.json").read_text())
    assert (report["texts"], report["known"]) == (70, 80)
    against = next(p for p in report["by_pair"] if p["kept_in"] == "a.jsonl")
    assert against["removed"] == sum(r["text"] in known for r in RECORDS[80:])
    shown = next(e for e in report["examples"] if e["kept"]["file"] == "a.jsonl")
    assert shown["kept"]["text"] == shown["removed"]["text"]


@pytest.mark.parametrize("method", ["--exact", "--near"])
def test_two_runs_with_an_index_give_what_one_run_gives(folder, method):
    whole = ids(synth("dedup", "a.jsonl", "b.jsonl", method, cwd=folder))
    words = ["dedup", method, "--index", "index"]
    ids(synth(*words, "a.jsonl", cwd=folder))
    out = ["-o", "new", "--shard-size", 10]
    synth(*words, "b.jsonl", *out, cwd=folder)
    new = ids(b"".join(path.read_bytes() for path in sorted((folder / "new").glob("part-*"))))
    assert new == [i for i in whole if i >= 80]
    index = json.loads((folder / "index/index.json").read_text())
    assert [segment["texts"] for segment in index["segments"]] == [80, 70]
    # It had ended: nothing is added again. The same records once more are all known.
    synth(*words, "b.jsonl", *out, "--resume", cwd=folder)
    assert json.loads((folder / "index/index.json").read_text()) == index
    assert synth(*words, "b.jsonl", "--quiet", cwd=folder) == b""
    other = synth("dedup", "a.jsonl", "--index", "index", "--normalize", code=1, cwd=folder)
    assert "index: was made with" in other


def test_a_resumed_run_writes_the_removed_records_anew(folder):
    words = ["dedup", "a.jsonl", "b.jsonl", "-o", "out/", "--shard-size", 10, "--removed"]
    synth(*words, "gone.jsonl", "--resume", cwd=folder)
    gone, shards = (folder / "gone.jsonl").read_bytes(), sorted((folder / "out").glob("part-*"))
    assert len(ids(gone)) == 150 - len(clusters_of(RECORDS, "text"))
    synth(*words, "gone.jsonl", "--resume", cwd=folder)  # it had ended
    assert (folder / "gone.jsonl").read_bytes() == gone
    assert "not there, but the run" in synth(*words, "x/", "--resume", code=1, cwd=folder)
    # Killed when the first shard stood, with or without the removed records beside it.
    manifest = folder / "out/.synth.json"
    told = json.loads(manifest.read_text())
    whole = [path.read_bytes() for path in shards]
    for left in (gone, None, b"of another program"):
        manifest.write_text(json.dumps({**told, "shards": told["shards"][:1], "complete": False}))
        (folder / "gone.jsonl").unlink()
        if left is not None:
            (folder / "gone.jsonl").write_bytes(left)
        if left not in (gone, None):
            message = synth(*words, "gone.jsonl", "--resume", code=1, cwd=folder)
            assert "gone.jsonl: was made by another program" in message
            assert (folder / "gone.jsonl").read_bytes() == left
            continue
        synth(*words, "gone.jsonl", "--resume", cwd=folder)
        assert (folder / "gone.jsonl").read_bytes() == gone
        assert [path.read_bytes() for path in shards] == whole
    (folder / "gone.jsonl").unlink()
    synth(*words, "gone/", "--resume", cwd=folder)
    parts = sorted((folder / "gone").glob("part-*"))
    assert len(parts) > 1 and b"".join(path.read_bytes() for path in parts) == gone


def test_an_index_that_lacks_a_run_that_ended_gets_it(folder):
    """The run was killed between its output and its index."""
    words = ["dedup", "b.jsonl", "--index", "index", "-o", "new", "--shard-size", 10, "--resume"]
    synth(*words, cwd=folder)
    index = (folder / "index/index.json").read_text()
    rows = (folder / "index/fingerprints-00000.npy").read_bytes()
    (folder / "index/index.json").unlink()
    # Its fingerprints were there perhaps, and nothing that says so.
    synth(*words, cwd=folder)
    assert (folder / "index/index.json").read_text() == index
    (folder / "index/index.json").unlink()
    (folder / "index/fingerprints-00000.npy").unlink()
    synth(*words, cwd=folder)
    assert (folder / "index/index.json").read_text() == index
    assert (folder / "index/fingerprints-00000.npy").read_bytes() == rows


def test_a_damaged_index_is_one_line(folder):
    (folder / "index").mkdir()
    (folder / "index/other").write_text("")
    words = ("dedup", "a.jsonl", "--index", "index")
    assert "index: not an index" in synth(*words, code=1, cwd=folder)
    (folder / "index/other").unlink()
    synth(*words, cwd=folder)
    (folder / "index/fingerprints-00000.npy").write_bytes(b"no array")
    assert "fingerprints-00000.npy: damaged" in synth(*words, code=1, cwd=folder)
    (folder / "index/index.json").write_text("{}")
    assert "index.json: not the description" in synth(*words, code=1, cwd=folder)


def test_signatures_of_sha1_are_those_of_datasketch(folder):
    synth("dedup", "a.jsonl", "--near", "--hash", "sha1", "--index", "index", cwd=folder)
    rows = np.load(folder / "index/fingerprints-00000.npy", allow_pickle=False)
    for record, row in zip(RECORDS[:80], rows, strict=True):
        peer = MinHash(num_perm=128)
        peer.update_batch([one.encode() for one in reference.shingles(record["text"])])
        assert (row == peer.hashvalues).all()


def cut(texts, unit, least):
    """Texts without paragraphs or lines that came before, plainly."""
    seen, found = set(), []
    pattern = r".+\n*" if unit == "line" else r"(?:.+\n)*(?:.+\n*)"
    for text in texts:
        left, removed = "", False
        for piece in re.findall(pattern, text):
            removed = len(piece.strip()) >= least and piece.strip() in seen
            left += "" if removed else piece
            if len(piece.strip()) >= least:
                seen.add(piece.strip())
        found.append(left.rstrip() if removed else left)
    return found


@pytest.mark.parametrize("unit", ["line", "paragraph"])
@pytest.mark.parametrize("least", [0, 4])
def test_lines_and_paragraphs_that_came_before_go(tmp_path, unit, least):
    random = np.random.default_rng(1)
    lines = ["one", "two words", "three of them", "fourth", "is"]
    texts = [
        "".join(
            f"{random.choice(lines)} {random.integers(3)}" + "\n" * random.integers(1, 4)
            for _ in range(random.integers(1, 6))
        )
        for _ in range(40)
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": t, "id": i}) + "\n" for i, t in enumerate(texts)))
    words = ["dedup", path, "--unit", unit, "--removed", tmp_path / "gone.jsonl"]
    words += ["--min-length", least, "--report", tmp_path / "r.json"]
    found = {r["id"]: r["text"] for r in map(json.loads, synth(*words).splitlines())}
    left = cut(texts, unit, least)
    assert found == {i: text for i, text in enumerate(left) if text.strip()}
    gone = [json.loads(line) for line in (tmp_path / "gone.jsonl").read_text().splitlines()]
    assert {r["id"] for r in gone} == {i for i, t in enumerate(left) if t != texts[i]}
    for record in gone:  # nothing is lost
        both = found.get(record["id"], "") + record["text"]
        assert sorted("".join(both.split())) == sorted("".join(texts[record["id"]].split()))
        assert record["reason"] == f"equal {unit}"
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["records_emptied"] == 40 - len(found)
    assert report["records_changed"] == len(gone) - (40 - len(found))


def test_records_keep_their_bytes_whatever_the_form(folder):
    lines = (folder / "a.jsonl").read_bytes().splitlines(keepends=True)
    first = {}
    for line in lines:
        first.setdefault(json.loads(line)["text"], line)
    assert synth("dedup", "-", input=b"".join(lines)) == b"".join(first.values())
    synth("cat", "a.jsonl", "-o", "a.parquet", cwd=folder)
    synth("dedup", "a.parquet", "--near", "--jobs", 1, "-o", "one.parquet", cwd=folder)
    synth("dedup", "a.parquet", "--near", "--jobs", 3, "-o", "three.parquet", cwd=folder)
    assert (folder / "one.parquet").read_bytes() == (folder / "three.parquet").read_bytes()


def test_the_python_function_gives_records_and_reports(folder):
    records = list(synthtools.dedup(RECORDS, normalize=True))
    assert [r["id"] for r in records] == [c[0]["id"] for c in clusters_of(RECORDS, "text")]
    report = synthtools.dedup(RECORDS, near=True, output=str(folder / "out.jsonl"))
    assert report["texts"] == 150 and report["kind"] == "dedup"


@pytest.mark.parametrize(
    "words, told",
    [
        (["--exact", "--near"], "give one"),
        (["--similarity", 0.5], "--similarity goes with --near"),
        (["--near", "--unit", "line"], "leave out --unit"),
        (["--min-length", 3], "--min-length goes with --unit"),
        (["--unit", "line", "--mark"], "go without --mark"),
        (["--keep", "best"], "use first, longest, max:FIELD or min:FIELD"),
        (["--near", "--hash", "sha1", "--verify"], "--hash sha1 goes without"),
        (["--near", "--verify", "--index", "i"], "only signatures"),
        (["--mark", "--keep", "longest"], "--mark removes nothing"),
    ],
)
def test_options_that_do_not_go_together(folder, words, told):
    assert told in synth("dedup", "a.jsonl", *words, code=2, cwd=folder)


def test_a_field_that_is_not_there_is_told_before_anything_is_read(folder):
    assert "--keep" in synth(
        "dedup", "a.jsonl", "--keep", "max:m", "-o", "x.jsonl", code=1, cwd=folder
    )
    assert not (folder / "x.jsonl").exists()
    words = ("dedup", "a.jsonl", "--keep", "max:m", "--index", "i")
    assert "--keep" in synth(*words, code=1, cwd=folder) and not (folder / "i").exists()
