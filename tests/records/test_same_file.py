"""One file under two names counts its documents twice: it is refused, or said where it may be meant."""

import json
import os

import pytest

from running import run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """``a.jsonl`` with a link, a hard link, a directory and a loop to it; ``b.jsonl`` with as many records."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        with open(f"{name}.jsonl", "w") as file:
            file.writelines(json.dumps({"text": f"{name} says {i} words"}) + "\n" for i in range(9))
    os.symlink("a.jsonl", "link.jsonl")
    os.mkdir("d")
    os.link("a.jsonl", "d/hard.jsonl")
    os.mkdir("e")
    os.symlink("../b.jsonl", "e/one.jsonl")
    os.symlink("../b.jsonl", "e/two.jsonl")
    return tmp_path


AGAIN = ("./a.jsonl", "link.jsonl", "d", "d/hard.jsonl", "a.jsonl", "d/../a.jsonl")


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize(
    "words",
    [
        ("mix", "a.jsonl=0.5", "AGAIN=0.5"),
        ("sample", "-n", 3, "b.jsonl", "a.jsonl", "AGAIN"),
        ("stats", "--by", "text", "a.jsonl", "AGAIN"),
        ("dsir", "-n", 3, "--target", "a.jsonl", "--target", "AGAIN", "b.jsonl"),
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
    assert "a.jsonl" in told and ("are the same file" in told or "is named twice" in told)
    if again not in ("d", "a.jsonl"):
        assert again in told


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
    for words in (("cat", "e"), ("stats", "a.jsonl", "e")):
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


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize(
    "words", [("stats",), ("ngram-hash", "--compare"), ("cat", "--count")], ids=" ".join
)
def test_what_is_compared_with_itself_is_said(words, again, here):
    """Both sides alike is how a comparison is checked, and cat repeats what it is told to."""
    words += () if words[0] == "cat" else ("--json",)
    done = run(*words, "a.jsonl", again, cwd=here)
    assert done.returncode == 0 and json.loads(done.stdout)
    assert b"its records count in both" in done.stderr
    quiet = run(*words, "a.jsonl", again, "-q", cwd=here)
    assert quiet.returncode == 0 and not quiet.stderr


@pytest.mark.parametrize("again", AGAIN)
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
