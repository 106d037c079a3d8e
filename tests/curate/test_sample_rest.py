"""``synth sample --rest``: a split in which nothing is lost and nothing comes twice."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from running import run, synth
from synthtools.curate.sampled_records import SampleSettings, draw, undrawn
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects

LINES = [
    b'{"id": %d, "w": %d.50, "model":"%s", "text": "%s"}' % (i, i % 4, b"abc"[i % 3 : i % 3 + 1], b"t" * (i % 7))
    for i in range(300)
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_bytes(b"".join(line + b"\n" for line in LINES[:100]))
    (tmp_path / "in/b.jsonl").write_bytes(b"".join(line + b"\n" for line in LINES[100:]))
    return tmp_path


def lines_of(path):
    return path.read_bytes().splitlines()


@pytest.mark.parametrize(
    "options",
    [
        ["-n", 40],
        ["-n", 1],
        ["-n", 300],
        ["-n", 30, "--stratify-by", "model", "--allocation", "equal"],
        ["-n", 50, "--by", "w"],
    ],
)
def test_both_parts_are_the_input(options, folder):
    synth("sample", "in", *options, "-o", "drawn.jsonl", "--rest", "rest.jsonl", cwd=folder)
    drawn, rest = lines_of(folder / "drawn.jsonl"), lines_of(folder / "rest.jsonl")
    assert len(drawn) == options[1] and sorted(drawn + rest) == sorted(LINES)
    assert rest == [line for line in LINES if line not in set(drawn)]
    assert synth("sample", "in", *options, cwd=folder).splitlines() == drawn


@settings(max_examples=40)
@given(ids=st.lists(st.sampled_from([1, 2, "1", None]), max_size=30), part=st.floats(0, 1))
def test_equal_records_are_told_apart(ids, part, tmp_path_factory):
    path = tmp_path_factory.mktemp("rest") / "in.jsonl"
    path.write_text("".join(json.dumps({"id": i}) + "\n" for i in ids))
    drawing = SampleSettings(int(part * len(ids)), 3, "text")
    first, _, ordinals = draw(read(find_shards([str(path)]), Rejects(), 64), drawing, Rejects())
    second = undrawn(read(find_shards([str(path)]), Rejects()), drawing, ordinals)
    places = [int(n) for batch in second for n in batch.numbers]
    chosen = [int(n) for batch in first for n in batch.numbers]
    assert sorted(places + chosen) == list(range(1, len(ids) + 1)) and places == sorted(places)


def test_stdin_formats_directories_and_report(folder):
    options = ["-n", 40, "--seed", 5]
    synth("sample", "in", *options, "-o", "drawn.jsonl", "--rest", "rest.jsonl", cwd=folder)
    drawn, rest = lines_of(folder / "drawn.jsonl"), lines_of(folder / "rest.jsonl")
    piped = ["-o", "d.parquet", "--rest", "parts/", "--shard-size", 100, "--format", "parquet"]
    data = b"".join(line + b"\n" for line in LINES)
    synth("sample", *options, *piped, "--report", "r.json", input=data, cwd=folder)
    assert [part.name for part in sorted((folder / "parts").glob("p*"))] == [
        f"part-0000{i}.parquet" for i in range(3)
    ]
    assert json.loads((folder / "r.json").read_text())["rest"] == 260
    for source, lines in (("d.parquet", drawn), ("parts/", rest)):
        found = synth("cat", source, cwd=folder).splitlines()
        assert list(map(json.loads, found)) == list(map(json.loads, lines))
    again = ["--rest", "rest.arrow", "--format", "arrow"]
    stream = synth("sample", "d.parquet", "parts", "-n", 8, *again, cwd=folder)
    assert synth("cat", "-", "--count", input=stream) == b"8\n"
    assert synth("cat", "rest.arrow", "--count", cwd=folder) == b"292\n"
    # The rest on stdout.
    options += ["-o", "drawn.jsonl", "--force", "--rest", "-"]
    assert synth("sample", "in", *options, cwd=folder).splitlines() == rest


def test_bad_records_are_in_neither_part(folder):
    bad = b'{"id": 1, "w": -1}\n{"id"\n'
    (folder / "in/b.jsonl").write_bytes(LINES[0] + b"\n" + bad + LINES[1] + b"\n")
    options = ["-n", 60, "--by", "w", "-o", "d.jsonl", "--rest", "r.jsonl"]
    skipping = ["--on-error", "skip", "--rejects", "bad.jsonl"]
    stopped = synth("sample", "in", *options, cwd=folder, code=1)
    assert "b.jsonl:3: " in stopped and not (folder / "r.jsonl").exists()
    done = run("sample", "in", *options, *skipping, cwd=folder)
    assert done.returncode == 0 and b"2 skipped" in done.stderr
    assert {json.loads(line)["line"] for line in lines_of(folder / "bad.jsonl")} == {2, 3}
    assert len(lines_of(folder / "d.jsonl") + lines_of(folder / "r.jsonl")) == 102


@pytest.mark.parametrize(
    "options, words, code",
    [
        (["-o", "x.jsonl", "--rest", "./x.jsonl"], "is an output already", 2),
        (["--rest", "-"], "is an output already", 2),
        (["-o", "out/", "--rest", "out/x.jsonl"], "would read both outputs", 2),
        (["-o", "out/x.jsonl", "--rest", "out"], "would read both outputs", 2),
        (["--rest", "x.jsonl", "--with-replacement"], "leaves no rest", 2),
        (["--rest", "x.txt"], "--rest x.txt: the suffix says no format", 2),
        (["--rest", ""], "--rest was given an empty name", 2),
        (["--rest", "here.jsonl"], "here.jsonl: already there; --force", 1),
        (["--rest", "in/a.jsonl", "--force"], "both input and output", 1),
        (["--rest", "in/"], "holds the input", 1),
        (["--report", "x.jsonl", "--rest", "x.jsonl"], "is an output already", 2),
        (["-n", "301", "--rest", "x.jsonl"], "there are only 300", 1),
    ],
)
def test_what_is_refused_leaves_nothing(options, words, code, folder):
    (folder / "here.jsonl").write_text("kept")
    before = sorted(folder.rglob("*"))
    assert words in synth("sample", "in", "-n", 3, *options, cwd=folder, code=code)
    assert sorted(folder.rglob("*")) == before and (folder / "here.jsonl").read_text() == "kept"


def test_no_room_for_one_part_leaves_neither(folder):
    message = synth(
        "sample", "in", "-n", 3, "-o", "d.jsonl", "--rest", "/dev/full", cwd=folder, code=1
    )
    assert "No space left" in message and not (folder / "d.jsonl").exists()
