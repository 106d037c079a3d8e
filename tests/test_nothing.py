"""Nothing is never silent: no records in, none out, no token changed are told on stderr, unless with --quiet."""

import pytest

from running import run

TWO = '{"id": 1, "text": "A pipe carries one stream."}\n{"id": 2, "text": "A file keeps it."}\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.jsonl").write_text(TWO)
    (tmp_path / "none.jsonl").write_text("\n\n")
    (tmp_path / "empty.jsonl").touch()


@pytest.mark.parametrize(
    "words, told",
    [
        ("cat empty.jsonl two.jsonl none.jsonl", ["no records in empty.jsonl, none.jsonl"]),
        ("stats empty.jsonl two.jsonl --json", ["no records in empty.jsonl"]),
        ("cat two.jsonl", []),
        ("cat two.jsonl --head 1", []),
        (
            "cat two.jsonl --where id=3",
            ["nothing was written, of 2 records read", "--where left out 2 records"],
        ),
        (
            "ngram-hash two.jsonl --duplicates -o pairs.jsonl",
            ["nothing was written, of 2 records read"],
        ),
    ],
)
def test_no_records_are_told(folder, words, told):
    done = run(*words.split())
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [f"synth: {line}" for line in told]
    assert run(*words.split(), "--quiet", *(["--force"] if "-o" in words else [])).stderr == b""


def test_an_edit_that_changed_nothing_says_so(folder):
    words = ["edit", "two.jsonl", "--threshold", "0.999999"]
    done = run(*words)
    assert done.stdout.count(b'"edit_changed":0') == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("synth: no token was changed: 0 of ")
    assert run(*words, "--quiet").stderr == b""
