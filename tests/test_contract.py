"""What every tool promises, held over every tool."""

import json
import os
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import typer

import running
from synthtools.cli.app import TOOLS, build

PRIOR = Path(__file__).resolve().parent.parent / "src/synthtools/prior/model.safetensors"
needs_prior = pytest.mark.skipif(not PRIOR.exists(), reason="the built-in model is not there yet")

# What dsir moves towards.
TARGET = Path(tempfile.mkdtemp()) / "target.jsonl"
TARGET.write_text(json.dumps({"text": topics["lambda"]}) + "\n")
OTHER = TARGET.with_name("other.jsonl")  # a second class
OTHER.write_text(json.dumps({"text": topics["while"]}) + "\n")

# Tools that take records and give records, with what makes them quick.
FILTERS = {
    "cat": [],
    "ppl": ["--context", "64"],
    "edit": ["--context", "64", "--threshold", "0.5"],
    "ngram-hash": ["--per-record", "minhash"],
    "embed": ["--context", "64"],
    "dsir": ["--target", TARGET, "--weights"],
    "mix": [],
    "sample": ["-n", "6"],
    "dedup": ["--near"],
    "decontaminate": ["--benchmark", TARGET],
    "classify": ["--class", f"one={TARGET}", "--class", f"other={OTHER}", "--buckets", "100"],
    "generate": ["--continue", "8", "--max-new-tokens", "4", "--context", "64"],
}
REPORTS = {
    "ppl": ["--context", "64", "--summary"],
    "ngram-hash": [],
    "stats": [],
    "embed": ["--context", "64", "--map", "--method", "pca"],
}
MODELS = ("ppl", "edit", "embed", "generate")
# Tools that read no records.
SOURCELESS = {"audit", "eval", "diff", "table", "simulate", "plot", "warm", "help"}
NO_SUCH = "--no-such-option"


def params(*tools):
    return [pytest.param(tool, marks=needs_prior if tool in MODELS else ()) for tool in tools]


def line(tool, source, *more):
    """A command line; mix names its sources with their shares."""
    words = [tool, source, *more]
    if tool == "mix" and source != NO_SUCH:
        words = [tool, *more, "--", f"{source}=1"]
    return [str(word) for word in words]


def run(tool, source, *more, **kinds):
    return running.run(*line(tool, source, *more), **kinds)


@pytest.fixture(scope="module")
def human(tmp_path_factory):
    path = tmp_path_factory.mktemp("contract") / "human.jsonl"
    with open(path, "w") as file:
        for name in sorted(topics)[:6]:
            record = {"id": name, "text": topics[name][:600], "kept": [1.10, {"a": None}]}
            file.write(json.dumps(record) + "\n")
    return path


@pytest.fixture(scope="module")
def plain(human):
    """What a tool makes of the file, of an interpreter that starts for it; run once for each."""

    @cache
    def found(tool):
        words = [*running.COLD, *line(tool, human, *FILTERS[tool])]
        return subprocess.run(words, capture_output=True)

    return found


def one_line(result, code):
    assert result.stdout == b""
    return running.one_line(result, code)


UNFILTERED = {"train", "unlearn", "stats", "compare", "origin", "fit"}


def test_every_filter_is_held_to_the_contract():
    assert set(FILTERS) == set(TOOLS) - UNFILTERED - SOURCELESS


@pytest.mark.parametrize("tool", TOOLS)
def test_every_option_has_help(tool):
    command = typer.main.get_command(build()).commands[tool]
    assert command.help
    assert "Examples:" in command.help and "Memory:" in command.help
    for parameter in command.params:
        assert parameter.help and parameter.help.strip(), parameter.name


@pytest.mark.parametrize("tool", TOOLS)
def test_unknown_option_is_wrong_usage(tool):
    assert NO_SUCH in one_line(run(tool, NO_SUCH), 2)


@pytest.mark.parametrize("tool", sorted({*TOOLS} - SOURCELESS - {"unlearn"}))
def test_missing_file_is_one_line(tool, tmp_path):
    training = ["-o", tmp_path / "m", "--train-tokenizer", 400]
    labelled = ["--human", TARGET, "--synthetic", OTHER]
    law = ["--law", "power", "--x", "tokens", "--y", "loss"]
    more = {"train": training, "compare": [OTHER], "origin": labelled, "fit": law}.get(
        tool, FILTERS.get(tool, [])
    )
    assert "nowhere.jsonl" in one_line(run(tool, "nowhere.jsonl", *more, cwd=tmp_path), 1)


@pytest.mark.parametrize("tool", FILTERS)
def test_missing_file_without_a_model_load(tool, human, tmp_path):
    # The inputs are looked at before anything heavy is loaded.
    result = run(tool, tmp_path / "gone.jsonl", *FILTERS[tool], "-o", tmp_path / "out.jsonl")
    one_line(result, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tool", params(*sorted(set(FILTERS) - {"sample", "mix"})))
def test_empty_input_is_no_error(tool):
    result = run(tool, "-", *FILTERS[tool])
    assert (result.returncode, result.stdout) == (0, b"")
    assert result.stderr == b"synth: no records in <stdin>\n"


@pytest.mark.parametrize("tool", ["sample", "mix"])
def test_what_draws_cannot_draw_from_nothing(tool):
    one_line(run(tool, "-", *FILTERS[tool]), 1)


@pytest.mark.parametrize("tool", params(*FILTERS))
def test_stdin_equals_file_and_two_runs_are_equal(tool, human, plain):
    first = plain(tool)
    assert first.returncode == 0 and first.stderr == b"", first.stderr.decode()
    second = run(tool, "-", *FILTERS[tool], input=human.read_bytes())
    assert second.stdout == first.stdout
    records = [json.loads(line) for line in first.stdout.splitlines()]
    for before, after in zip(human.read_text().splitlines(), records, strict=True):
        before = json.loads(before)
        assert list(after)[:3] == list(before)
        assert (after["id"], after["kept"]) == (before["id"], before["kept"])
    assert first.stdout.count(b'"kept": [1.1, {"a": null}]') == len(records)


@pytest.mark.parametrize(
    "tool", params(*MODELS, "ngram-hash", "dsir", "mix", "dedup", "decontaminate", "classify")
)
def test_jobs_and_batches_change_no_byte(tool, human, plain):
    ways = [["--jobs", 1], ["--jobs", 2], *([["--batch-tokens", 100]] if tool in MODELS else [])]
    outputs = {run(tool, human, *FILTERS[tool], *way).stdout for way in ways}
    assert outputs == {plain(tool).stdout} and b"" not in outputs


@pytest.mark.parametrize("tool", params(*FILTERS))
def test_a_reader_that_leaves_ends_the_tool_silently(tool, human):
    words = [*running.command(), *line(tool, human, *FILTERS[tool])]
    command = f"set -o pipefail; {shlex.join(words)} | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout)["id"]


@pytest.mark.parametrize("tool", params(*FILTERS))
def test_a_full_disk_is_one_line(tool, human):
    with open("/dev/full", "wb") as full:
        result = run(tool, human, *FILTERS[tool], stdout=full)
    assert result.returncode == 1
    assert result.stderr.decode().splitlines() == [
        "synth: <stdout>: cannot be written: No space left on device"
    ]


@pytest.mark.parametrize("tool", params(*FILTERS))
@pytest.mark.parametrize(
    "bad, words",
    [
        (b'{"text": "a', "not JSON"),
        (b'{"text": "\xff"}', "UTF-8"),
        (b'["text"]', "must be a JSON object"),
    ],
)
def test_a_bad_record_stops_the_tool_or_is_set_aside(tool, bad, words, human, tmp_path):
    mixed = tmp_path / "mixed.jsonl"
    good = human.read_bytes().splitlines(keepends=True)
    mixed.write_bytes(good[0] + bad + b"\n" + good[1])
    output, rejects = tmp_path / "out.jsonl", tmp_path / "bad.jsonl"
    options = ["-n", "2"] if tool == "sample" else FILTERS[tool]
    stopped = one_line(run(tool, mixed, *options, "-o", output), 1)
    assert f"{mixed}:2: " in stopped and words in stopped
    assert not output.exists() and not list(tmp_path.glob(".*"))
    skipped = run(tool, mixed, *options, "-o", output, "--on-error", "skip", "--rejects", rejects)
    assert skipped.returncode == 0 and b"1 skipped" in skipped.stderr
    assert len(output.read_bytes().splitlines()) == 2
    reject = json.loads(rejects.read_bytes())
    assert reject["line"] == 2 and words in reject["reason"]


@pytest.mark.parametrize(
    "tool",
    params(
        "ppl", "edit", "embed", "ngram-hash", "dsir", "mix", "dedup", "decontaminate", "classify"
    ),
)
@pytest.mark.parametrize(
    "record, words",
    [({"body": "a"}, "--text-field"), ({"text": 3}, "a number"), ({"text": None}, "null")],
)
def test_a_record_without_text_names_the_remedy(tool, record, words, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(record) + "\n")
    message = one_line(run(tool, path, *FILTERS[tool]), 1)
    assert f"{path}:1: " in message and words in message


@pytest.mark.parametrize("tool", params(*MODELS))
def test_an_unknown_model_and_too_long_a_context_are_one_line(tool, human):
    task = ["--continue", "8"] if tool == "generate" else []
    assert "nowhere" in one_line(run(tool, human, *task, "--model", "./nowhere"), 1)
    assert "at most 512" in one_line(run(tool, human, *task, "--context", 100_000), 1)


@pytest.mark.parametrize("tool", params(*FILTERS))
def test_output_equal_to_input_is_refused(tool, human, tmp_path):
    path = tmp_path / "same.jsonl"
    path.write_bytes(human.read_bytes())
    message = one_line(run(tool, path, *FILTERS[tool], "-o", path, "--force"), 1)
    assert "both input and output" in message
    assert path.read_bytes() == human.read_bytes()


@pytest.mark.parametrize("tool", params(*FILTERS))
def test_parquet_in_and_out_gives_the_same_records(tool, human, plain, tmp_path):
    assert run("cat", human, "-o", tmp_path / "in.parquet").returncode == 0
    result = run(tool, tmp_path / "in.parquet", *FILTERS[tool], "-o", tmp_path / "out.parquet")
    assert result.returncode == 0, result.stderr.decode()
    back = run("cat", tmp_path / "out.parquet")
    assert [json.loads(x) for x in back.stdout.splitlines()] == [
        json.loads(x) for x in plain(tool).stdout.splitlines()
    ]


@pytest.mark.parametrize("tool", params(*FILTERS))
def test_shards_resume_to_the_same_bytes(tool, human, tmp_path):
    common = [*FILTERS[tool], "--shard-size", 2, "-o"]
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert run(tool, human, *common, whole).returncode == 0
    assert run(tool, human, *common, part).returncode == 0
    # As if it had been killed after the first shard.
    manifest = json.loads((part / ".synth.json").read_text())
    for shard in manifest["shards"][1:]:
        os.unlink(part / shard["name"])
    manifest["shards"], manifest["complete"] = manifest["shards"][:1], False
    (part / ".synth.json").write_text(json.dumps(manifest))
    report = tmp_path / "report.json"
    assert run(tool, human, *common, part, "--resume", "--report", report).returncode == 0
    assert len(list(part.glob("part-*"))) == 3
    for shard in whole.glob("part-*"):
        assert (part / shard.name).read_bytes() == shard.read_bytes()
    assert json.loads(report.read_text())["made_by"]["counts"]["written"] == 6
    refused = one_line(run(tool, human, *common, part), 1)
    assert "--resume" in refused and "--force" in refused


@pytest.mark.parametrize("tool", params(*REPORTS))
def test_reports_are_json_off_a_terminal_and_say_what_made_them(tool, human):
    result = run(tool, human, *REPORTS[tool])
    report = json.loads(result.stdout)
    made_by = report["made_by"]
    assert made_by["tool"] == tool and made_by["version"]
    assert made_by["counts"]["read"] == 6 and made_by["inputs"][0]["bytes"] == human.stat().st_size
    assert made_by["seconds"] > 0
    assert (made_by["model"] or {}).get("name") == ("builtin" if tool in MODELS else None)


@pytest.mark.parametrize("tool", params(*FILTERS, *REPORTS))
def test_records_are_counted_as_read_written_and_skipped(tool, human, tmp_path):
    """Six sound records, then a line that is no JSON and a record without a text."""
    path, report = tmp_path / "in.jsonl", tmp_path / "report.json"
    path.write_bytes(human.read_bytes() + b'{"id": 7,\n{"id": 8}\n')
    skip = ["--on-error", "skip", "--quiet"]
    if tool in REPORTS:
        found = json.loads(run(tool, path, *REPORTS[tool], *skip).stdout)
    else:
        done = run(tool, path, *FILTERS[tool], *skip, "--report", report)
        assert done.returncode == 0, done.stderr
        found = json.loads(report.read_text())
    counts = found["made_by"]["counts"]
    # What needs no text finds nothing wrong with the last.
    skipped = 1 if tool in ("cat", "sample") else 2
    assert (counts["read"], counts["skipped"]) == (8, skipped)
    assert counts["written"] == (0 if tool in REPORTS else 6 if tool == "sample" else 8 - skipped)
    rate = found["made_by"]["throughput"]["records_per_second"]
    seconds = found["made_by"]["seconds"]  # to the millisecond
    assert 8 / (seconds + 0.0006) - 0.06 <= rate
    assert seconds < 0.001 or rate <= 8 / (seconds - 0.0006) + 0.06


def test_what_is_read_is_not_what_is_written(human, tmp_path):
    """Pairs of near-duplicates are no records of the input: 12 are read, 6 pairs written."""
    twice, report = tmp_path / "twice.jsonl", tmp_path / "report.json"
    twice.write_bytes(human.read_bytes().replace(b'"id": "', b'"id": "other '))
    out = ["-o", tmp_path / "pairs.jsonl", "--report", report]
    done = run("ngram-hash", human, twice, "--duplicates", "--threshold", 0.99, *out)
    assert done.returncode == 0, done.stderr
    counts = json.loads(report.read_text())["made_by"]["counts"]
    assert counts == {"read": 12, "written": 6, "skipped": 0}


@pytest.mark.parametrize("tool", ["cat"])
def test_interrupted_is_130_and_leaves_nothing(tool, tmp_path):
    output = tmp_path / "out.jsonl"
    process = running.start(tool, "-", "-o", output, stdin=subprocess.PIPE)
    process.stdin.write(b'{"a": 1}\n')
    process.stdin.flush()
    while not list(tmp_path.glob(".*.partial")):
        assert process.poll() is None
    process.terminate()
    _, errors = process.communicate()
    assert (process.returncode, errors) == (130, b"")
    assert not list(tmp_path.iterdir())


ODD = [
    b'{"id":123456789012345678901234567890,"text":"a long integer","n":1.10,"e":1E400}',
    b' {"text" : "spaces\\u0020and \\/ escapes" , "text":"of equal keys the last counts"}\t',
    b'{"text":"beside half a pair","other":"\\ud800"}',
    b'{"text":"","empty":{},"nan":NaN}',
    b'{"text":"x"}',
    b'{"text":"x"}',
]


@pytest.mark.parametrize("tool", ["cat", "mix", "sample", "dsir"])
def test_what_is_passed_on_keeps_its_bytes(tool, tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_bytes(b"\n".join(ODD) + b"\n")
    options = {"dsir": ["--target", TARGET, "-n", "6", "--min-tokens", "0"]}
    result = run(tool, path, *options.get(tool, FILTERS[tool]))
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.splitlines() == ODD
