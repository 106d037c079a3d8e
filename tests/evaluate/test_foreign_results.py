"""``synth diff`` and ``synth table`` on results of other programs, made by these programs where they are installed."""

import io
import json
import logging
import struct
import zipfile

import numpy as np
import pytest
import yaml
import zstandard
from scipy import stats

from synthtools.errors import SynthError
from synthtools.evaluate import foreign_results
from synthtools.measure.significance import detectable_difference

from .conftest import DATA, write


def read(value, name="x.json", beside=None):
    data = value if isinstance(value, bytes) else json.dumps(value, indent=2).encode()

    def content(path):
        raise FileNotFoundError(path)

    return foreign_results.of(data, name, beside or content)


def lines(records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.fixture(scope="module")
def harness_runs(tiny_models, questions, tmp_path_factory):
    """The folders of two real runs of lm-eval: a choice with two metrics, an answer with two filters."""
    evaluator = pytest.importorskip("lm_eval.evaluator")
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("harness")
    data = {"data_files": {"test": str(questions / "eval_arc_easy/test.jsonl")}}
    common = {"dataset_path": "json", "dataset_kwargs": data, "test_split": "test"}
    extract = {"function": "regex", "regex_pattern": "([a-z])"}
    choice = common | {
        "task": "which",
        "output_type": "multiple_choice",
        "doc_to_text": "{{prompt}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "higher_is_better": True}, {"metric": "acc_norm"}],
    }
    written = common | {
        "task": "write",
        "output_type": "generate_until",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "e",
        "generation_kwargs": {"max_gen_toks": 4, "until": ["\n"]},
        "metric_list": [{"metric": "exact_match", "higher_is_better": True}],
        "filter_list": [
            {"name": "plain", "filter": [{"function": "take_first"}]},
            {"name": "letter", "filter": [extract, {"function": "take_first"}]},
        ],
    }
    for task in (choice, written):
        (folder / f"{task['task']}.yaml").write_text(yaml.safe_dump(task))
    runs = {}
    logging.disable(logging.CRITICAL)
    try:
        for kind in ("llama", "gpt2"):
            tracker = EvaluationTracker(output_path=str(folder / kind))
            results = evaluator.simple_evaluate(
                model=HFLM(pretrained=str(tiny_models[kind]), device="cpu", batch_size=8),
                tasks=["which", "write"],
                task_manager=TaskManager(include_path=str(folder), include_defaults=False),
                bootstrap_iters=100,
                log_samples=True,
                evaluation_tracker=tracker,
            )
            samples = results.pop("samples")
            tracker.save_results_aggregated(results=results, samples=samples)
            for task, rows in samples.items():
                tracker.save_results_samples(task_name=task, samples=rows)
            (runs[kind],) = (folder / kind).rglob("results_*.json")
    finally:
        logging.disable(logging.NOTSET)
    return runs


def of_harness(run, task):
    (path,) = run.parent.glob(f"samples_{task}_*.jsonl")
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def test_two_runs_of_the_harness(harness_runs, synth, tmp_path):
    runs = harness_runs.values()
    found = synth("diff", *runs, "--bootstrap", 200, "--json")
    rows = {(row["suite"], row["figure"]): row for row in found["paired"]}
    metrics = {("which", "acc"), ("which", "acc_norm")}
    metrics |= {("write", "exact_match (plain)"), ("write", "exact_match (letter)")}
    assert set(rows) == metrics
    p = []
    for (task, figure), row in rows.items():
        metric, _, filtered = figure.rstrip(")").partition(" (")
        sides = []
        for run in runs:
            stated = json.loads(run.read_text())["results"][task]
            held = [s for s in of_harness(run, task)[1] if s["filter"] == (filtered or "none")]
            sides.append({s["doc_id"]: s[metric] for s in held})
            mean = stated[f"{metric},{filtered or 'none'}"]
            assert row[("first", "other")[len(sides) - 1]] == pytest.approx(mean)
        gained = sum(sides[1][i] > sides[0][i] for i in sides[0])
        lost = sum(sides[1][i] < sides[0][i] for i in sides[0])
        expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        assert row["p"] == pytest.approx(expected)
        assert row["n"] == len(sides[0]) > 20 and row["unlike"] == {}
        p.append(row["p"])
    # Holm by hand: the k-th smallest of m times m − k + 1, never below one before it.
    raised = [min(1, value * (len(p) - k)) for k, value in enumerate(sorted(p))]
    by_hand = dict(zip(sorted(p), np.maximum.accumulate(raised)))
    for row in rows.values():
        assert row["p_holm"] == pytest.approx(by_hand[row["p"]], abs=1e-12)
    stated = json.loads(harness_runs["llama"].read_text())["results"]["which"]
    acc, reach = stated["acc,none"], 1.959964 * stated["acc_stderr,none"]
    section = read(harness_runs["llama"].read_bytes()).report["suites"]["which"]
    assert section["intervals"]["acc"] == pytest.approx([acc - reach, acc + reach])
    assert section["higher_is_better"]["acc"] is True and section["n"] == 40
    alone = [tmp_path / f"lm-eval-samples-{name}.jsonl" for name in "ab"]
    for path, run in zip(alone, runs):
        path.write_bytes(of_harness(run, "which")[0].read_bytes())
    same = synth("diff", *alone, "--bootstrap", 200, "--json")
    for row in same["paired"]:
        assert row["suite"] == "lm-eval" and "cannot be seen" in row["sentence"]
        theirs = rows["which", row["figure"]]
        for name in ("first", "other", "n", "p", "detectable"):
            assert row[name] == theirs[name]


def test_a_table_of_runs_of_the_harness(harness_runs, synth, tmp_path):
    for name, run in harness_runs.items():
        (tmp_path / f"{name}.json").write_bytes(run.read_bytes())
    take = ("--take", "acc=suites.which.figures.acc")
    found = synth("table", f"{tmp_path}/{{model}}.json", *take, "--json")
    values = {row["model"]: row["acc"] for row in found["rows"]}
    samples = of_harness(harness_runs["llama"], "which")[0]
    take = ("--take", "acc=suites.lm-eval.figures.acc")
    (row,) = synth("table", samples, *take, "--json")["rows"]
    assert row["acc"] == values["llama"]
    stated = {name: json.loads(run.read_text()) for name, run in harness_runs.items()}
    assert values == {name: run["results"]["which"]["acc,none"] for name, run in stated.items()}


def sample(number, acc, text="t", **more):
    record = {"doc_id": number, "resps": [], "filtered_resps": [], "filter": "none"}
    return {**record, "metrics": ["acc"], "doc_hash": f"{text}{number}", "acc": acc, **more}


def test_items_of_other_texts_are_left_out_and_other_prompts_told(tmp_path, caplog):
    from synthtools import diff

    caplog.set_level(logging.INFO)
    one = [sample(i, i % 2, prompt_hash="p") for i in range(10)]
    other = [sample(i, 1.0, "t" if i < 7 else "u", prompt_hash="pq"[i == 0]) for i in range(9)]
    write(tmp_path / "a.jsonl", one)
    write(tmp_path / "b.jsonl", other)
    (row,) = diff(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))["paired"]
    assert (row["n"], row["only_first"], row["other_text"]) == (7, 1, 2)
    assert row["unlike"] == {"prompt_hash": 1}
    said = caplog.text
    assert "2 items of one id have two texts" in said and "another prompt" in said
    write(tmp_path / "b.jsonl", [sample(i, 1.0, "u") for i in range(9)])
    with pytest.raises(SynthError, match="have different texts"):
        diff(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))


def test_samples_of_two_tasks_in_one_file_are_refused():
    with pytest.raises(SynthError, match="x.json:3: doc_id 0 comes with two texts"):
        read(lines([sample(0, 1), sample(1, 1), sample(0, 1, "u")]))
    with pytest.raises(SynthError, match="x.json:2: no field"):
        read(lines([sample(0, 1), {"doc_id": 1}]))


def test_metrics_that_are_no_number_of_an_item_are_counted():
    rows = [sample(i, 1, metrics=["acc", "brier"], brier=[0, [0.5]]) for i in range(3)]
    report = read(lines([*rows, sample(3, float("nan"))])).report
    section = report["suites"]["lm-eval"]
    assert section["figures"] == {"acc": 1.0} and section["left_out"] == {"brier": 3, "acc": 1}


LOG = {
    "version": 2,
    "status": "success",
    "eval": {"task": "colours", "model": "m"},
    "results": {
        "scores": [
            {"name": "match", "metrics": {"accuracy": {"value": 0.5}, "stderr": {"value": 0.1}}}
        ]
    },
}
GRADES = [("C", 2), ("I", 3.0), ("P", 1), ("N", None), ("C", True)]
SAMPLES = [
    {"id": i // 2, "epoch": i % 2 + 1, "input": "q", "target": "t"}
    | {"scores": {"match": {"value": grade}, "parts": {"value": {"length": number}}}}
    for i, (grade, number) in enumerate(GRADES)
]


def zstd_zip(members):
    """A zip archive as Inspect writes it: zstd, which Python's zipfile cannot write."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for name, value in members.items():
            archive.writestr(name, zstandard.compress(json.dumps(value).encode()))
    data = bytearray(stored.getvalue())
    for name, value in members.items():
        size = struct.pack("<L", len(json.dumps(value).encode()))
        for magic, at, length in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
            place = data.index(magic)
            while data[place + (30 if at == 8 else 46) :][: len(name)] != name.encode():
                place = data.index(magic, place + 1)
            data[place + at : place + at + 2] = b"\x5d\0"
            data[place + length : place + length + 4] = size
    return bytes(data)


@pytest.mark.parametrize("archive", [False, True])
def test_a_log_of_inspect(archive):
    members = {"_journal/start.json": {}, "header.json": LOG}
    members |= {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in SAMPLES}
    found = read(zstd_zip(members) if archive else LOG | {"samples": SAMPLES})
    section = found.report["suites"]["colours"]
    # Epochs of an item are one: (1 + 0)/2, (½ + 0)/2, 1.
    assert [s["match"] for s in found.samples] == [0.5, 0.25, 1.0]
    assert section["figures"]["match"] == pytest.approx(1.75 / 3)
    assert section["figures"]["match accuracy"] == 0.5 and section["n"] == 3
    assert section["intervals"]["match accuracy"] == pytest.approx([0.304, 0.696], abs=1e-3)
    assert [s["parts length"] for s in found.samples] == [2.5, 1.0, 1.0]
    assert section["left_out"] == {"parts length": 1}


def test_a_run_of_inspect_that_did_not_end():
    with pytest.raises(SynthError, match="without header.json"):
        read(zstd_zip({"samples/0_epoch_1.json": SAMPLES[0]}))


def test_preferences_of_alpaca_eval():
    pairs = [(1, 0.0), (1.5, 0.5), (1.75, 0.75), (2, 1.0), (0, 0.5), (None, None)]
    rows = [
        {"instruction": f"i{i}", "output_1": "", "generator_1": "base", "output_2": ""}
        | {"generator_2": "mine", "annotator": "judge", "preference": preference}
        for i, (preference, _) in enumerate(pairs)
    ]
    found = read(rows)
    section = found.report["suites"]["alpaca_eval"]
    assert [s.get("win_rate") for s in found.samples] == [share for _, share in pairs]
    assert section["figures"]["win_rate"] == pytest.approx(2.75 / 5) and section["n"] == 5
    assert section["left_out"] == {"win_rate": 1}
    both = read([*rows, *({**row, "generator_2": "other"} for row in rows)])
    assert set(both.report["suites"]) == {"alpaca_eval: mine", "alpaca_eval: other"}


def test_a_leaderboard_of_alpaca_eval():
    text = ",win_rate,standard_error,n_total,mode\ngpt4,73.5,1.5,805,minimal\nclaude,70,2,805,x\n"
    suites = read(text.encode()).report["suites"]
    assert suites["alpaca_eval: gpt4"]["figures"] == {"win_rate": 73.5, "standard_error": 1.5}
    assert suites["alpaca_eval: claude"]["n"] == 805


def test_judgments_of_fastchat():
    grade = {"question_id": 81, "model": "m", "judge": ["gpt-4", "single-v1"]}
    rows = [(81, 1, 9), (81, 2, 4), (82, 1, -1), (82, 2, 6)]
    rows = [grade | {"question_id": q, "turn": t, "score": s} for q, t, s in rows]
    found = read(lines(rows))
    section = found.report["suites"]["mt_bench"]
    assert section["figures"] == {"score": 6.25, "turn_1": 9.0, "turn_2": 5.0}
    assert section["left_out"] == {"score": 1, "turn_1": 1}
    two = [("model_1", "model_1"), ("model_2", "model_2"), ("model_1", "model_2")]
    two += [("tie", "tie"), ("error", "model_1")]
    pairs = [
        {"question_id": i, "model_1": "m", "model_2": "n", "g1_winner": a, "g2_winner": b}
        | {"judge": ["gpt-4", "pair-v2"], "turn": 1}
        for i, (a, b) in enumerate(two)
    ]
    found = read(lines(pairs))
    assert [s.get("win_rate") for s in found.samples] == [1.0, 0.0, 0.5, 0.5, None]
    with_other = [*rows, {**rows[0], "judge": ["other", "x"]}]
    assert set(read(lines(with_other)).report["suites"]) == {
        "mt_bench by gpt-4",
        "mt_bench by other",
    }


def test_what_is_not_read_says_what_is(tmp_path, synth):
    (tmp_path / "a.json").write_text('{"what": 1}')
    write(tmp_path / "b.jsonl", [{"text": "a"}, {"text": "b"}])
    for name in ("a.json", "b.jsonl"):
        message = synth("diff", tmp_path / name, tmp_path / name, code=1)
        assert "lm-eval" in message and "Inspect" in message and "FastChat" in message
    for text in (
        '{"results": {"a": {}}, "configs": {}, "n-samples": []}',
        '{"results": {"../a": {}}, "configs": {}}',
    ):
        (tmp_path / "a.json").write_text(text)
        assert "unknown format: " in synth("diff", tmp_path / "a.json", tmp_path / "a.json", code=1)
    assert read({"kind": "eval"}) is None and read(b"a,b\n1,2\n") is None


def test_recorded_judgments_of_two_models(tmp_path, synth):
    """GPT-4's preferences for two models over one reference, recorded by the authors of AlpacaEval."""
    path = DATA / "eval_alpaca_eval_judgments/judgments.jsonl.zst"
    if not path.exists():
        pytest.skip("the recorded judgments are not here")
    with zstandard.open(path, "rt") as file:
        records = [json.loads(line) for line in file]
    judge = "weighted_alpaca_eval_gpt4_turbo"
    names = list(dict.fromkeys(r["model"] for r in records if r["judge"] == judge))[:2]
    tables = []
    for name in names:
        held = [r for r in records if (r["judge"], r["model"]) == (judge, name)]
        write(tmp_path / f"{name}.jsonl", held)
        tables.append({r["prompt_id"]: (r["preference"] or 1.5) - 1 for r in held})
    found = synth("diff", *(tmp_path / f"{name}.jsonl" for name in names), "--json")
    (row,) = found["paired"]
    both = [(tables[0][key], tables[1][key]) for key in tables[0] if key in tables[1]]
    assert (row["n"], row["figure"]) == (len(both), "win_rate") and row["n"] > 600
    change = np.diff(np.array(both), axis=1)[:, 0]
    assert row["difference"] == pytest.approx(change.mean())
    normal = stats.norm.interval(0.95, change.mean(), change.std() / len(change) ** 0.5)
    assert row["interval"] == pytest.approx(normal, abs=0.003)
    assert row["p"] == pytest.approx(stats.ttest_1samp(change, 0).pvalue, abs=0.02)


def power(n, psi, delta, draws=4000, seed=0):
    """How often McNemar's exact test is below 5 %, by simulation with scipy's binomial."""
    draw = np.random.default_rng(seed)
    counts = draw.multinomial(n, [(psi + delta) / 2, (psi - delta) / 2, 1 - psi], draws)
    p = stats.binom.cdf(np.minimum(counts[:, 0], counts[:, 1]), counts[:, 0] + counts[:, 1], 0.5)
    return (2 * p < 0.05).mean()


@pytest.mark.parametrize("n, psi", [(500, 0.1), (500, 0.3), (2000, 0.05), (14_000, 0.2)])
def test_a_detectable_difference_is_found_four_times_in_five(n, psi):
    change = np.zeros(n)
    change[: round(n * psi)] = 1
    change[: round(n * psi) // 2] = -1
    found = detectable_difference(change, True)
    assert 0.74 < power(n, psi, found) < 0.82
    assert power(n, psi, found / 2) < 0.4


def test_a_detectable_difference_by_hand():
    """500 pairs of which 12 % disagree: (1.96 √.12 + .8416 √(.12 − δ²))² = 500 δ²."""
    change = np.r_[np.ones(30), -np.ones(30), np.zeros(440)]
    found = detectable_difference(change, True)
    assert (1.95996 * 0.12**0.5 + 0.84162 * (0.12 - found**2) ** 0.5) ** 2 == pytest.approx(
        500 * found**2, rel=1e-4
    )
    assert found == pytest.approx(0.0432, abs=2e-4)
    # Where all agree, as many must disagree as differ: √(500 δ) = 1.96 + .84 √(1 − δ).
    least = detectable_difference(np.zeros(500), True)
    assert (500 * least) ** 0.5 == pytest.approx(1.95996 + 0.84162 * (1 - least) ** 0.5, rel=1e-4)
    assert detectable_difference(np.zeros(5), True) is None
    assert detectable_difference(np.zeros(500), False) is None
    spread = np.random.default_rng(0).normal(0, 2, 400)
    assert detectable_difference(spread, False) == pytest.approx(2.8016 * 2 / 20, rel=0.05)
