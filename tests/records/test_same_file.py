"""One file under two names counts its documents twice: it is refused, or said where it may be meant."""

import json
import os
import subprocess
import sys

import pytest

from running import run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """``a.jsonl`` with a link, a hard link, a directory and a loop to it; ``b.jsonl`` with as many records."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        with open(f"{name}.jsonl", "w") as file:
            for i in range(9):
                record = {
                    "text": f"{name} says {i} words",
                    "ppl": 7.0 + i,
                    "nll": 2.0,
                    "n_tokens": 5,
                }
                record |= {"embedding": [float(i), 1.0]}
                file.write(json.dumps(record) + "\n")
    os.symlink("a.jsonl", "link.jsonl")
    os.mkdir("d")
    os.link("a.jsonl", "d/hard.jsonl")
    os.mkdir("e")
    os.symlink("../b.jsonl", "e/one.jsonl")
    os.symlink("../b.jsonl", "e/two.jsonl")
    return tmp_path


AGAIN = ("./a.jsonl", "link.jsonl", "d", "d/hard.jsonl", "a.jsonl", "d/../a.jsonl")


@pytest.mark.parametrize("again", AGAIN)
def test_whatever_its_second_name(again, here):
    done = run("mix", "a.jsonl=0.5", f"{again}=0.5", cwd=here)
    told = done.stderr.decode()
    assert done.returncode == 2 and not done.stdout
    assert "a.jsonl" in told and ("are the same file" in told or "is named twice" in told)
    assert again in told or again == "d"


@pytest.mark.parametrize("again", ["link.jsonl", "d"])
@pytest.mark.parametrize(
    "words",
    [
        ("sample", "-n", 3, "b.jsonl", "a.jsonl", "AGAIN"),
        ("stats", "b.jsonl", "a.jsonl", "AGAIN", "--by", "text"),
        ("ngram-hash", "--duplicates", "a.jsonl", "AGAIN"),
        ("embed", "--map", "--by", "text", "--vector-field", "embedding", "a.jsonl", "AGAIN"),
        ("dedup", "b.jsonl", "a.jsonl", "--against", "AGAIN"),
        ("decontaminate", "a.jsonl", "--benchmark", "AGAIN"),
        ("dsir", "-n", 3, "--target", "a.jsonl", "--target", "AGAIN", "b.jsonl"),
        ("dsir", "-n", 3, "--target", "b.jsonl", "a.jsonl", "AGAIN"),
        ("train", "a.jsonl", "AGAIN", "--dry-run", "--tokenizer", "builtin"),
        ("unlearn", "--model", "builtin", "--forget", "a.jsonl", "--replay", "AGAIN", "--dry-run"),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_a_corpus_holds_no_file_twice(words, again, here):
    done = run(*(str(word).replace("AGAIN", again) for word in words), cwd=here)
    assert done.returncode == 2 and not done.stdout
    told = done.stderr.decode()
    if "two sources are called a:" in told:  # unlearn looks at their names first
        return
    assert "a.jsonl" in told and "are the same file" in told


def test_globs_that_overlap(here):
    done = run("mix", "a*=0.5", "[ab].jsonl=0.5", cwd=here)
    assert done.returncode == 2 and b"a.jsonl is named twice" in done.stderr
    both = run("mix", "[ab].jsonl=1", cwd=here)
    assert both.returncode == 0 and len(both.stdout.splitlines()) == 18


def test_standard_input_is_a_file_too(here):
    with open("a.jsonl", "rb") as file:
        done = run("sample", "-n", 2, "-", "link.jsonl", stdin=file, cwd=here)
    assert done.returncode == 2 and b"<stdin> and link.jsonl are the same file" in done.stderr
    piped = run("cat", "-", "a.jsonl", input=(here / "a.jsonl").read_bytes(), cwd=here)
    assert piped.returncode == 0 and len(piped.stdout.splitlines()) == 18


def test_links_within_a_directory(here):
    plan = ("train", "a.jsonl", "--dry-run", "--tokens", 100, "--tokenizer", "builtin")
    for words in (
        ("cat", "e"),
        ("stats", "a.jsonl", "e"),
        ("dsir", "-n", 3, "--target", "e", "a.jsonl"),
        (*plan, "--valid", "new=e"),
        ("eval", "builtin", "--suite", "perplexity", "--valid", "new=e"),
    ):
        done = run(*words, cwd=here)
        assert done.returncode == 2
        assert b"e/one.jsonl and e/two.jsonl are the same file" in done.stderr


def test_an_output_stands_untouched(here):
    os.mkdir("out")
    (here / "out" / "part-00000.jsonl").write_text('{"text": "kept"}\n')
    for words in (
        ("ngram-hash", "--signatures", "a.jsonl", "d"),
        ("sample", "-n", 2, "a.jsonl", "d"),
    ):
        assert run(*words, "-o", "out/", "--force", cwd=here).returncode == 2
    assert (here / "out" / "part-00000.jsonl").read_text() == '{"text": "kept"}\n'


COMPARED = (
    ("stats", "--json"),
    ("ngram-hash", "--compare", "--json"),
    ("ppl", "--compare", "--json"),
    ("embed", "--map", "--vector-field", "embedding", "--method", "pca", "--json"),
)


@pytest.mark.parametrize("again", ["./a.jsonl", "d"])
@pytest.mark.parametrize("words", [*COMPARED, ("cat", "--count")], ids=lambda w: " ".join(w[:2]))
def test_what_is_compared_with_itself_is_said(words, again, here):
    """Both sides alike is how a comparison is checked, and cat repeats what it is told to."""
    done = run(*words, "a.jsonl", again, cwd=here)
    assert done.returncode == 0, done.stderr
    assert b"its records count in both" in done.stderr
    report = json.loads(done.stdout)
    if words[0] == "cat":
        assert report == 18
    else:
        sides = report.get("groups") or report["inputs"]
        assert [side.get("documents") or side["drawn"] for side in sides] == [9, 9]
    quiet = run(*words, "a.jsonl", again, "-q", cwd=here)
    assert quiet.returncode == 0 and b"count in both" not in quiet.stderr


@pytest.mark.parametrize("words", COMPARED, ids=lambda words: " ".join(words[:2]))
def test_two_sides_of_one_name_cannot_be_told_apart(words, here):
    for name in ("a.jsonl", "d", "a.jsonl b.jsonl a.jsonl"):
        inputs = name.split() if " " in name else (name, name)
        done = run(*words, *inputs, cwd=here)
        assert done.returncode == 2 and not done.stdout
        assert f"{inputs[0]} is named twice: a comparison could not".encode() in done.stderr


def test_cat_repeats_what_it_is_told_to(here):
    done = run("cat", "a.jsonl", "b.jsonl", "a.jsonl", cwd=here)
    once = [(here / f"{name}.jsonl").read_bytes() for name in "ab"]
    assert done.returncode == 0 and done.stdout == once[0] + once[1] + once[0]
    assert done.stderr == b"synth: a.jsonl is named twice: its records count in both\n"


@pytest.mark.parametrize("again", ["link.jsonl", "d"])
def test_a_target_that_is_selected_from_is_said(again, here):
    words = ("dsir", "-n", 3, "--min-tokens", 1, "--target", "a.jsonl", again)
    done = run(*words, cwd=here)
    assert done.returncode == 0 and b"a target is selected from, too" in done.stderr
    assert not run(*words, "-q", cwd=here).stderr


def test_validation_on_what_is_trained_on_is_said(here):
    words = ("train", "a.jsonl", "--dry-run", "--tokens", 100, "--context", 16)
    words += ("--tokenizer", "builtin", "--valid")
    told = run(*words, "seen=d", cwd=here)
    assert told.returncode == 0, told.stderr
    assert b"d/hard.jsonl are the same file: --valid measures text" in told.stderr
    assert b"same file" not in run(*words, "new=b.jsonl", cwd=here).stderr


def test_records_of_the_program_are_no_file(here):
    """Whatever the program's own stdin is."""
    code = (
        "import synthtools as synth\n"
        "print(len(list(synth.dedup([{'text': 'a'}], [{'text': 'b'}]))))\n"
    )
    with open(here / "a.jsonl") as stdin:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=stdin, capture_output=True, text=True
        )
    assert done.stdout == "2\n", done.stderr
