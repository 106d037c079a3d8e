"""The Python API: the same numbers and bytes as the command line, and nothing of a terminal."""

import inspect
import json
import subprocess
import sys
import threading

import pyarrow as pa
import pytest

import synthtools as synth
from running import synth as command
from synthtools.errors import RecordError, SynthError, UsageError

RECORDS = [{"text": f"record {i}", "n": 10**25 + i} for i in range(500)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


def from_command(*words):
    return [json.loads(line) for line in command(*words).splitlines()]


def report_of_command(*words):
    return json.loads(command(*words))


def test_records_are_those_of_the_command_line(file):
    wanted = from_command("sample", file, "-n", 7, "--seed", 3)
    assert list(synth.sample(file, count=7, seed=3)) == wanted
    assert list(synth.sample(str(file), count="7", seed=3)) == wanted
    assert list(synth.sample(RECORDS, count=7, seed=3)) == wanted
    assert list(synth.sample(iter(RECORDS), count=7, seed=3)) == wanted


def test_cat_gives_records_or_their_number(file, tmp_path):
    words = {"where": ["n>=10000000000000000000000490"], "set": ["a=b"], "select": ["text", "a"]}
    wanted = [{"text": f"record {i}", "a": "b"} for i in range(490, 500)]
    assert list(synth.cat(RECORDS, **words)) == list(synth.cat(file, **words)) == wanted
    report = synth.cat(RECORDS, where="!n", count=True, report=str(tmp_path / "report.json"))
    assert report["count"] == 0 and report["left_out"] == 500
    assert json.loads((tmp_path / "report.json").read_text())["count"] == 0
    with pytest.raises(UsageError, match="where n>x: compare with a number, not with x"):
        synth.cat(RECORDS, where=["n>x"])


def test_mix_takes_shares_by_source(file, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"text": f"other {i}"}) + "\n" for i in range(500)))
    options = {"total": "90", "unit": "documents", "seed": 2}
    words = ("--total", 90, "--unit", "documents", "--seed", 2)
    wanted = from_command("mix", f"{file}=2/3", f"{other}=1/3", *words)
    assert sum("n" in record for record in wanted) == 60
    assert list(synth.mix({file: "2/3", other: "1/3"}, **options)) == wanted
    plan = synth.mix({file: 0.75, other: 0.25}, dry_run=True, **options)
    assert [row["documents"] for row in plan["sources"]] == [68, 22]
    generations = {"workflow": "accumulate", "generation": [str(file), str(other)]}
    assert len(list(synth.mix(**generations, label="from"))) == 1000
    with pytest.raises(UsageError, match="write SOURCE=SHARE"):
        synth.mix(RECORDS)


def test_generate_gives_records_or_the_report(file, tmp_path):
    words = ("--prompt-field", "text", "--continue", 2, "--max-new-tokens", 3, "--seed", 5)
    (tmp_path / "three.jsonl").write_text("".join(json.dumps(r) + "\n" for r in RECORDS[:3]))
    wanted = from_command("generate", tmp_path / "three.jsonl", *words)
    options = {"prompt_field": "text", "continue_": 2, "max_new_tokens": 3, "seed": 5}
    assert list(synth.generate(RECORDS[:3], **options)) == wanted
    report = synth.generate(RECORDS[:3], **options, output=str(tmp_path / "out.jsonl"))
    assert (report["protocol"], report["prompts"], report["left_out"]) == ("continue", 3, 0)
    with pytest.raises(UsageError, match="style plain: use wrap-easy"):
        synth.generate(RECORDS, style="plain")


def test_arrow_streams_are_inputs(file, tmp_path):
    texts = {"text": [f"record {i}" for i in range(500)]}
    found = list(synth.sample(pa.table(texts), count=5))
    assert found == [{"text": r["text"]} for r in synth.sample(RECORDS, count=5)]


def test_records_can_be_read_twice(file, tmp_path):
    target = tmp_path / "target.jsonl"
    target.write_bytes(file.read_bytes())
    options = {"target": [str(target)], "count": 3, "min_tokens": 1}
    wanted = from_command("dsir", file, "--target", target, "-n", 3, "--min-tokens", 1)
    assert list(synth.dsir(RECORDS, **options)) == wanted
    assert list(synth.dsir(iter(RECORDS), **options)) == wanted  # kept on disk meanwhile


def test_an_output_gives_the_report_and_the_same_bytes(file, tmp_path):
    report = synth.sample(file, count=7, output=str(tmp_path / "api.jsonl"))
    command("sample", file, "-n", 7, "-o", tmp_path / "cli.jsonl")
    assert (tmp_path / "api.jsonl").read_bytes() == (tmp_path / "cli.jsonl").read_bytes()
    assert report["kind"] == "sample" and report["made_by"]["arguments"]["count"] == 7


def test_ngram_hash_compares_records_as_it_compares_files(file, tmp_path):
    report = synth.ngram_hash(str(file), RECORDS[:100], compare=True, n=[1, 3], buckets=64)
    assert [one["name"] for one in report["inputs"]] == [str(file), "<records 2>"]
    half = tmp_path / "half.jsonl"
    half.write_text("".join(json.dumps(record) + "\n" for record in RECORDS[:100]))
    wanted = report_of_command("ngram-hash", file, half, "--compare", "--n", "1,3", "--buckets", 64)
    assert report["pairs"][0]["buckets"] == wanted["pairs"][0]["buckets"]
    assert report["inputs"][0] == wanted["inputs"][0]


def test_ngram_hash_gives_records_or_the_report_of_their_duplicates(file, tmp_path):
    wanted = from_command("ngram-hash", file, "--per-record", "minhash", "--permutations", 4)
    assert list(synth.ngram_hash(file, per_record="minhash", permutations=4)) == wanted
    options = {"duplicates": True, "threshold": 0.4, "shingle": 1}
    report = synth.ngram_hash(RECORDS, **options, output=str(tmp_path / "pairs.jsonl"))
    pairs = (tmp_path / "pairs.jsonl").read_text().splitlines()
    assert (
        len(pairs)
        == report["pairs_found"]
        == len(list(synth.ngram_hash(RECORDS, **options, format="jsonl")))
    )


def test_stats_are_those_of_the_command_line(file):
    words = (
        "stats",
        file,
        "--measures",
        "lengths,rates",
        "--rate",
        "r=record 1",
        "--tests",
        "none",
    )
    options = {"measures": ["lengths", "rates"], "rate": ["r=record 1"], "tests": "none"}
    for report in (
        synth.stats(file, **options),
        synth.stats(pa.Table.from_pylist([{"text": r["text"]} for r in RECORDS]), **options),
    ):
        (group,) = report["groups"]
        assert group.pop("name") in (str(file), "<records 1>")
        (wanted,) = report_of_command(*words)["groups"]
        assert group == {name: value for name, value in wanted.items() if name != "name"}
        assert report["made_by"]["arguments"]["rate"] == ["r=record 1"]
        assert group["rates"]["r"]["matches"] == 111  # 1, 10 to 19, 100 to 199


def test_embed_gives_records_or_a_map(tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps(record) + "\n" for record in RECORDS[:4]))
    embedded = list(synth.embed(RECORDS[:4]))
    assert embedded == from_command("embed", few) and len(embedded[0]["embedding"]) == 256
    options = {"map": True, "vector_field": "embedding", "method": "pca", "permutations": 9}
    report = synth.embed(embedded[:2], embedded[2:], **options)
    assert [group["name"] for group in report["groups"]] == ["<records 1>", "<records 2>"]
    assert len(report["points"]) == 4 and len(report["pairs"]) == 1


def test_errors_are_exceptions_in_the_callers_words(file):
    with pytest.raises(UsageError, match="count -1: give a whole number, at least 1"):
        synth.sample(file, count=-1)
    with pytest.raises(UsageError, match="allocation both: use proportional or equal"):
        synth.sample(file, count=1, allocation="both")
    with pytest.raises(UsageError, match=r"cuont: .*count"):
        synth.sample(file, cuont=1)
    # So does what is below the tools, for a report and for records alike.
    for arguments in ({"summary": True}, {}):
        with pytest.raises(UsageError, match="^stride 5: at most 1 with windows of 2 tokens"):
            list(synth.ppl(file, context=2, stride=5, **arguments))
    with pytest.raises(UsageError, match="name files"):
        synth.sample(count=1)
    with pytest.raises(UsageError, match="by keyword"):
        synth.simulate(file)
    with pytest.raises(SynthError, match="only 500"):
        list(synth.sample(RECORDS, count=501))
    with pytest.raises(RecordError, match=r"<records 1>:2: .* not str"):
        list(synth.sample([{"text": "a"}, "b"], count=1))


def test_a_caller_may_stop_early_and_nothing_is_left_running(file):
    before = threading.active_count()
    records = synth.sample(RECORDS, count=400)
    assert next(records)["text"].startswith("record")
    records.close()
    assert threading.active_count() == before


def test_two_threads_and_two_calls_do_not_meet(file):
    found = {}

    def draw(seed):
        found[seed] = list(synth.sample(RECORDS, count=9, seed=seed))

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: list(synth.sample(RECORDS, count=9, seed=seed)) for seed in range(4)}


def test_an_evaluation_is_that_of_the_command_line(tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        "".join(json.dumps({"text": f"A short text, number {i}."}) + "\n" for i in range(3))
    )
    samples = [tmp_path / "api.jsonl", tmp_path / "cli.jsonl"]
    report = synth.eval("builtin", valid=f"a={texts}", samples=samples[0], devices="cpu")
    words = ["--valid", f"a={texts}", "--samples", samples[1], "--devices", "cpu"]
    other = json.loads(command("eval", "builtin", *words))
    assert report["suites"] == other["suites"]
    assert samples[0].read_bytes() == samples[1].read_bytes()
    assert "perplexity" in {row["suite"] for row in synth.eval(list_suites=True)["suites"]}
    with pytest.raises(UsageError, match="give one, not 2"):
        synth.eval("builtin", "other", suite="arc_easy")


def test_ppl_gives_reports_and_records(tmp_path):
    path = tmp_path / "human.jsonl"
    texts = ["The sea was calm and the boats came home.", "Numbers are what one counts with.", "a"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    report = synth.ppl(str(path), model="builtin", summary=True)
    wanted = json.loads(command("ppl", path, "--summary"))
    assert report["kind"] == "ppl-summary" and report["made_by"]["model"]["name"] == "builtin"
    assert {k: v for k, v in report.items() if k != "made_by"} == {
        k: v for k, v in wanted.items() if k != "made_by"
    }
    scored = list(synth.ppl([{"text": text} for text in texts]))
    assert scored == from_command("ppl", path)
    (pair,) = synth.ppl(iter(scored[:2]), scored[1:2], compare=True, bootstrap=0)["pairs"]
    left, right = (scored[0]["ppl"] + scored[1]["ppl"]) / 2, scored[1]["ppl"]
    assert pair["median_shift"] == pytest.approx(right - left)
    with pytest.raises(UsageError, match="dtype half: use auto, float32"):
        synth.ppl(path, dtype="half")


def test_edit_gives_the_records_of_the_command_line(tmp_path):
    path = tmp_path / "human.jsonl"
    records = [
        {"id": f"r{i}", "text": f"The sea was calm, and {i} boats came home."} for i in range(4)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    edited = list(synth.edit(records, threshold=0.1, seed=1))
    assert edited == from_command("edit", path, "--threshold", 0.1, "--seed", 1)
    report = synth.edit(path, threshold=0.1, seed=1, output=str(tmp_path / "edited.jsonl"))
    (row,) = report["generations"]
    assert row["flagged"] == sum(record["edit_flagged"] for record in edited) > 0
    with pytest.raises(UsageError, match="rejection some: use authors or exact"):
        synth.edit(path, rejection="some")


def test_every_function_has_a_signature_and_its_help():
    for name in synth.FUNCTIONS:
        function = getattr(synth, name)
        first, *others = inspect.signature(function).parameters.values()
        assert first.kind != inspect.Parameter.POSITIONAL_ONLY
        assert {p.kind for p in others} == {inspect.Parameter.KEYWORD_ONLY}
        assert function.__doc__ and "\b" not in function.__doc__


def test_nothing_is_printed_and_the_process_stays_as_it_was(file):
    code = (
        "import os, signal, sys\n"
        "import synthtools as synth\n"
        "assert not {'numpy', 'torch', 'typer'} & set(sys.modules)\n"
        "before = dict(os.environ), signal.getsignal(signal.SIGTERM), os.getcwd()\n"
        "records = [{'text': 'a'}, {'text': 1}, {'text': 'b'}] * 9\n"
        "kept = list(synth.dsir(records, target=sys.argv[1], count=2, min_tokens=1, on_error='skip'))\n"
        "assert len(kept) == 2\n"
        "import torch\n"
        "torch.set_num_threads(3)\n"
        "report = synth.ppl([{'text': 'The sea.'}] * 3, devices='cpu', summary=True)\n"
        "assert report['documents'] == 3 and len(list(synth.ppl([{'text': 'The sea.'}]))) == 1\n"
        "assert torch.get_num_threads() == 3\n"
        "assert (dict(os.environ), signal.getsignal(signal.SIGTERM), os.getcwd()) == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_reports_are_drawn_from_files_and_as_they_are(tmp_path):
    report = synth.simulate(workflow="replace", generations=3, repetitions=5)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert synth.plot(path) == synth.plot(report) == command("plot", path).decode()
    assert synth.plot(report, output=str(tmp_path / "api.svg")) is None
    command("plot", path, "-o", tmp_path / "command.svg")
    assert (tmp_path / "api.svg").read_bytes() == (tmp_path / "command.svg").read_bytes()


def test_reports_are_compared_from_files_and_as_they_are(tmp_path):
    reports = [synth.simulate(workflow="replace", repetitions=5, seed=seed) for seed in (0, 1)]
    paths = [tmp_path / "0.json", tmp_path / "1.json"]
    for path, report in zip(paths, reports, strict=True):
        path.write_text(json.dumps(report))
    wanted = report_of_command("diff", *paths)
    assert synth.diff(*paths)["rows"] == synth.diff(*reports)["rows"] == wanted["rows"] != []
    assert synth.diff(*reports)["reports"] == ["<report 1>", "<report 2>"]
    with pytest.raises(UsageError, match="two reports or more"):
        synth.diff(reports[0])


def test_a_table_is_of_reports_and_records(tmp_path):
    reports = [
        synth.simulate(workflow="replace", generations=2, repetitions=5, seed=seed)
        for seed in (0, 1)
    ]
    for seed, report in enumerate(reports):
        (tmp_path / f"run-{seed}.json").write_text(json.dumps(report))
    pattern = str(tmp_path / "run-{seed}.json")
    options = {"take": ["error=workflows[0].simulated[-1]"], "claim": "Grows: error > 1"}
    report = synth.table(pattern, **options)
    words = ["--take", options["take"][0], "--claim", options["claim"]]
    wanted = report_of_command("table", pattern, *words)
    for part in ("rows", "groups", "claims"):
        assert report[part] == wanted[part]
    errors = [one["workflows"][0]["simulated"][-1] for one in reports]
    assert [row["error"] for row in report["rows"]] == errors
    assert synth.table(reports[1], **options)["rows"] == [{"error": errors[1]}]
    again = synth.table(report["rows"], by=["seed"], over=[""])
    assert [group["values"]["error"]["mean"] for group in again["groups"]] == errors
    with pytest.raises(UsageError, match="claim error: character 6: expected a comparison"):
        synth.table(pattern, take=options["take"], claim="error")


def test_a_model_is_trained_and_unlearns_as_on_the_command_line(file, tmp_path):
    small = {"tokens": "300", "batch": 2, "context": 32}
    words = ("--tokens", 300, "--batch", 2, "--context", 32, "--json", "-q")
    report = synth.train(RECORDS[:40], model="builtin", **small, output=str(tmp_path / "api"))
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps(record) + "\n" for record in RECORDS[:40]))
    wanted = json.loads(command("train", few, "--from", "builtin", *words, "-o", tmp_path / "cli"))
    assert report["curve"] == wanted["curve"] and report["steps"] == 5
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("api", "cli")]
    assert models[0] == models[1]
    ended = []

    def unlearn():  # signals belong to the main thread
        options = {"forget": [str(few)], "replay": [f"{file}=100%"], "weights": [0.1, 1, 1]}
        output = str(tmp_path / "less")
        ended.append(synth.unlearn(model="builtin", **options, **small, output=output))

    thread = threading.Thread(target=unlearn)
    thread.start()
    thread.join()
    words = ("--forget", few, "--replay", f"{file}=1", "--weights", "0.1,1,1", *words)
    wanted = json.loads(command("unlearn", "--model", "builtin", *words, "-o", tmp_path / "same"))
    assert ended[0]["curve"] == wanted["curve"] and ended[0]["sets"] == wanted["sets"]
    assert ended[0]["weights"] == {"forget": 0.1, "replay": 1.0, "kl": 1.0}
    with pytest.raises(UsageError, match=r"schedule x: use cosine"):
        synth.train(RECORDS, model="builtin", schedule="x", output="m")
