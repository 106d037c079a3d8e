"""Text that is on every machine, as an input."""

import json
from pydoc_data.topics import topics

from running import run


def test_the_topics_are_records():
    process = run("cat", "builtin:topics")
    records = [json.loads(line) for line in process.stdout.splitlines()]
    assert {record["id"]: record["text"] for record in records} == topics
    assert [record["id"] for record in records] == sorted(topics)


def test_they_are_read_twice_and_by_several_processes():
    both = run("cat", "builtin:topics", "builtin:topics", "--count")
    assert int(both.stdout) == 2 * len(topics)
    one = run("ngram-hash", "builtin:topics", "--jobs", 1, "--json")
    two = run("ngram-hash", "builtin:topics", "--jobs", 2, "--json")
    assert json.loads(one.stdout)["ngrams"] == json.loads(two.stdout)["ngrams"]


def test_an_unfinished_directory_is_gone_on_with(tmp_path):
    words = ["cat", "builtin:topics", "-o", f"{tmp_path}/out", "--shard-size", 20]
    assert run(*words).returncode == 0
    assert run(*words, "--resume").returncode == 0
    assert len(list((tmp_path / "out").glob("part-*"))) == -(-len(topics) // 20)


def test_a_file_of_that_name_is_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "builtin:topics").write_text('{"text": "mine"}\n')
    assert run("cat", "builtin:topics").stdout == b'{"text": "mine"}\n'


def test_the_sample_pairs_people_with_a_model():
    records = [json.loads(line) for line in run("cat", "builtin:sample").stdout.splitlines()]
    human = [record for record in records if record["label"] == "human"]
    synthetic = [record for record in records if record["label"] == "synthetic"]
    assert [record["id"] for record in human] == [record["id"] for record in synthetic]
    assert len(synthetic) == 24 and all(record["text"] == topics[record["id"]] for record in human)
    assert all(record["text"].strip() for record in synthetic)
    one = run("cat", "builtin:sample", "--where", "label=human", "--count")
    assert one.stdout == b"24\n" and b"left out 24 records" in one.stderr
