"""Multiple choice: our numbers are those of lm-evaluation-harness; a pass serves all choices."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import yaml

from synthtools.errors import SynthError
from synthtools.evaluate import choices, tasks
from synthtools.evaluate.choices import Shots, split_of
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.likelihood import Continuations, likelihoods, next_tokens
from synthtools.evaluate.suites import expanded
from synthtools.records.rejects import Rejects

from .conftest import DATA, write


def harness_yaml(folder, questions):
    """The tasks as the harness has them, in its own templates."""
    common = {
        "dataset_path": "json",
        "output_type": "multiple_choice",
        "test_split": "test",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}, {"metric": "brier_score"}],
    }
    one = common | {
        "task": "theirs_arc",
        "dataset_kwargs": {"data_files": {"test": str(questions / "eval_arc_easy/test.jsonl")}},
        "doc_to_text": "Question: {{prompt}}\nAnswer:",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": common["metric_list"][:2],
    }
    letters = "".join("\n%s. {{choices[%d]}}" % (c, i) for i, c in enumerate("ABCD"))
    two = common | {
        "task": "theirs_mmlu",
        "dataset_kwargs": {"data_files": {"test": str(questions / "mmlu/test.jsonl")}},
        "doc_to_text": "{{prompt}}" + letters + "\nAnswer:",
        "doc_to_choice": ["A", "B", "C", "D"],
        "doc_to_target": "answer",
        "description": "The following are multiple choice questions (with answers) about "
        "{{subject|replace('_', ' ')}}.\n\n",
    }
    filled = "prompt.split('_')[0] + choices"
    three = one | {
        "task": "theirs_winogrande",
        "dataset_kwargs": {"data_files": {"test": str(questions / "winogrande/test.jsonl")}},
        "doc_to_text": "answer",
        "doc_to_choice": "{{[%s[0], %s[1]]}}" % (filled, filled),
        "doc_to_target": "{{prompt.split('_')[1]}}",
        "target_delimiter": "",
    }
    for task in (one, two, three):
        (folder / f"{task['task']}.yaml").write_text(yaml.safe_dump(task))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_our_numbers_are_the_harness_own(kind, tiny_models, questions, synth, tmp_path):
    evaluator = pytest.importorskip("lm_eval.evaluator")
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    harness_yaml(tmp_path, questions)
    logging.disable(logging.CRITICAL)
    try:
        theirs = evaluator.simple_evaluate(
            model=HFLM(pretrained=str(tiny_models[kind]), device="cpu", batch_size=8),
            tasks=["theirs_arc", "theirs_mmlu", "theirs_winogrande"],
            task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
            bootstrap_iters=0,
        )
    finally:
        logging.disable(logging.NOTSET)
    samples = tmp_path / "samples.jsonl"
    words = ["eval", tiny_models[kind], "--suite", "arc_easy,mmlu,winogrande"]
    words += ["--data", questions]
    ours = synth(*words, "--shots", 0, "--samples", samples, "--bootstrap", 0)
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    for name in ("arc_easy", "mmlu", "winogrande"):
        other = {"arc_easy": "theirs_arc"}.get(name, f"theirs_{name}")
        figures = ours["suites"][name]["figures"]
        assert figures["accuracy"] == theirs["results"][other]["acc,none"]
        assert figures["accuracy_norm"] == theirs["results"][other]["acc_norm,none"]
        their_rows = sorted(theirs["samples"][other], key=lambda row: row["doc_id"])
        our_rows = [row for row in rows if row["suite"] == name]
        assert len(our_rows) == len(their_rows)
        for mine, them in zip(our_rows, their_rows):
            raw = [float(one[0]) for one in them["filtered_resps"]]
            assert mine["logprobs"] == pytest.approx(raw, abs=2e-3)
    brier = theirs["results"]["theirs_mmlu"]["brier_score,none"]
    assert ours["suites"]["mmlu"]["figures"]["brier"] == pytest.approx(brier, abs=1e-5)


def test_the_harness_on_our_model_agrees_and_gets_calibration(llama, questions, synth, tmp_path):
    pytest.importorskip("lm_eval")
    harness_yaml(tmp_path, questions)
    words = ["eval", llama, "--suite", "arc_easy", "--suite", "lm-eval:theirs_arc"]
    found = synth(*words, "--data", questions, "--task-files", tmp_path, "--bootstrap", 0)
    ours, theirs = found["suites"].values()
    assert theirs["figures"]["acc"] == ours["figures"]["accuracy"]
    assert theirs["figures"]["acc_norm"] == ours["figures"]["accuracy_norm"]
    for name, value in ours["figures"].items():
        assert theirs["figures"][name] == pytest.approx(value, abs=1e-6)
    message = synth("eval", llama, "--suite", "lm-eval:no_such", "--task-files", tmp_path, code=1)
    assert "no_such" in message


def test_one_pass_for_letters_gives_what_four_give(tiny):
    prompts = [f"Of {i} things.\nAnswer:" for i in range(7)]
    singles = [f" {c}" for c in "ABCDabcdestw" if len(tiny.tokenizer.encode([f" {c}"])[0]) == 1]
    endings = [*singles[:3], " zzyzx"]
    together = list(likelihoods(tiny, (Continuations([p] * 3, endings[:3]) for p in prompts)))
    apart = list(likelihoods(tiny, (Continuations([p] * 4, endings) for p in prompts)))
    for one, other in zip(together, apart):
        assert one.tokens.tolist() == [1, 1, 1]
        assert one.logprobs.tolist() == other.logprobs[:3].tolist()
    ids = [int(tiny.tokenizer.encode([e])[0][0]) for e in endings[:3]]
    for one, asked in zip(next_tokens(tiny, prompts, ids), together):
        assert one.tolist() == asked.logprobs.tolist()


def test_an_ending_that_melts_into_the_prompt_is_scored_all_the_same(tiny):
    words = ("the", "and", "is", "in", "to", "of", "or")
    melting = [w for w in words if len(tiny.tokenizer.encode([w[:-1], w])[1]) == 1]
    assert melting
    for word in melting:
        (found,) = likelihoods(tiny, [Continuations([word[:-1]] * 2, [word[-1], " else"])])
        assert found.tokens.min() >= 1 and (found.logprobs < 0).all()


def test_a_prompt_that_is_too_long_loses_its_beginning_and_is_counted(tiny, documents):
    long = documents[0][:3000].rstrip()
    ids = tiny.tokenizer.encode([long])[0]
    assert len(ids) > tiny.capacity
    (found,) = likelihoods(tiny, [Continuations([long] * 2, [" one thing", " another"])])
    assert found.cut > 0
    endings = [len(x) for x in tiny.tokenizer.encode([" one thing", " another"])]
    kept = [tiny.tokenizer.encode([long + e])[0] for e in (" one thing", " another")]
    for logprob, whole, size in zip(found.logprobs, kept, endings):
        from synthtools.lm.scorer import Tokenised
        from synthtools.lm.scores import ScoreRequest

        end = whole[-tiny.capacity :]
        (score,) = tiny.score([Tokenised(end[-size:], end[:-size])], ScoreRequest())
        assert logprob == pytest.approx(float(score.logprobs.sum()), abs=1e-4)
    assert list(next_tokens(tiny, [long], [5])) == [None]


def test_a_gap_is_filled_and_what_follows_is_scored(llama, tiny, questions, synth):
    found = synth("eval", llama, "--suite", "winogrande", "--data", questions, "--bootstrap", 0)
    right = 0
    for line in (questions / "winogrande/test.jsonl").read_text().splitlines():
        record = json.loads(line)
        before, after = record["prompt"].split("_")
        sums = []
        for choice in record["choices"]:
            (one,) = likelihoods(tiny, [Continuations([before + choice], [after])])
            sums.append(one.logprobs[0])
        right += int(np.argmax(sums)) == record["answer"]
    assert found["suites"]["winogrande"]["figures"]["accuracy"] == right / 40


def test_results_do_not_depend_on_batches_jobs_or_other_suites(llama, questions, synth, tmp_path):
    outputs = []
    for k, more in enumerate(
        (["-j", 1], ["-j", 2, "--batch-tokens", 100], ["--suite", "winogrande"])
    ):
        words = ["eval", llama, *more, "--suite", "arc_easy", "--data", questions]
        samples = tmp_path / f"{k}.jsonl"
        section = synth(*words, "--samples", samples, "--bootstrap", 20)["suites"]["arc_easy"]
        rows = [x for x in samples.read_text().splitlines() if '"suite":"arc_easy"' in x]
        outputs.append((section, rows))
    assert outputs[0] == outputs[1] == outputs[2]


def test_examples_come_from_the_same_subject(questions):
    task = tasks.shipped()["mmlu"]
    records = [json.loads(x) for x in (questions / "mmlu/dev.jsonl").read_text().splitlines()]
    shots = Shots(task, records)
    before = shots.before({"prompt": "", "subject": "of_1", "choices": []})
    assert before.startswith(
        "The following are multiple choice questions (with answers) about of 1."
    )
    of_one = [r["prompt"] for r in records if r["subject"] == "of_1"][:5]
    assert [part.split("\n")[0] for part in before.strip().split("\n\n")[1:]] == of_one
    with pytest.raises(SynthError, match="lower --shots"):
        shots.before({"prompt": "", "subject": "of_2", "choices": []})


def test_examples_are_never_the_question_its_duplicate_or_its_group(tmp_path):
    task = replace(tasks.shipped()["arc_easy"], shots=3)
    items = [{"prompt": f"what is {i}?", "choices": ["a", f"{i}"], "answer": 1} for i in range(12)]
    items[3] = items[1] | {"prompt": "What  is 1?", "choices": ["1", "a"], "answer": 0}
    for i in (0, 5, 6):
        items[i]["group"] = "tale"
    shots = Shots(task, items, other_items=True)
    for i, item in enumerate(items):
        kin = {j for j in range(12) if {i, j} <= {1, 3} or {i, j} <= {0, 5, 6}}
        expected = [j for j in range(12) if j != i and j not in kin][:3]
        words = [tasks.solved(task, items[j]) for j in expected]
        assert shots.before(item) == "".join(one + "\n\n" for one in words)
    assert shots.account() == {"shots": 3, "shots_from": "other items", "fewer_shots": 0}
    with pytest.raises(SynthError, match="only 2 examples"):
        Shots(task, items[:3], other_items=True).before(items[0])
    # A question that stands in the split of examples, too, has one fewer.
    split = Shots(task, items[:2] + items[4:5])
    assert split.before(items[1]).count("Question") == 2
    assert split.account() == {"shots": 3, "shots_from": "split", "fewer_shots": 1}


def test_twins_of_winogrande_are_no_examples_of_each_other():
    task = replace(tasks.shipped()["winogrande"], shots=1)
    twins = [
        {"prompt": f"Ann met Eve as _ was {word}.", "choices": names, "answer": 0}
        for word, names in (("in", ["Ann", "Eve"]), ("out", ["Eve", "Ann"]))
    ]
    other = {"prompt": "The cup hit the jar; the _ broke.", "choices": ["cup", "jar"], "answer": 1}
    shots = Shots(task, [*twins, other], other_items=True)
    assert [shots.before(one) for one in twins] == ["The cup hit the jar; the jar broke.\n\n"] * 2


def test_a_split_of_examples_is_found_by_its_name_alone(questions, tmp_path):
    mmlu, arc = tasks.shipped()["mmlu"], tasks.shipped()["arc_easy"]
    assert split_of(mmlu, str(questions)) == str(questions / "mmlu/dev.jsonl")
    assert split_of(arc, str(questions)) is None
    assert split_of(arc, str(questions / "eval_arc_easy/test.jsonl")) is None
    write(tmp_path / "gsm8k/test.jsonl", [])
    gsm8k = tasks.shipped()["gsm8k"]
    assert split_of(gsm8k, str(tmp_path)) is None
    own = write(tmp_path / "gsm8k/train.jsonl", [])
    assert split_of(gsm8k, str(tmp_path)) == str(own)
    assert split_of(gsm8k, str(own.parent)) == str(own)
    apart = write(tmp_path / "human_gsm8k_train/train.jsonl", [])
    assert split_of(gsm8k, str(tmp_path)) == str(apart)
    apart.unlink()
    own.unlink()
    own.hardlink_to(own.with_name("test.jsonl"))
    assert split_of(gsm8k, str(tmp_path)) is None


def test_examples_out_of_the_items_are_those_of_the_harness(llama, questions, synth, tmp_path):
    evaluator = pytest.importorskip("lm_eval.evaluator")
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    harness_yaml(tmp_path, questions)
    path = tmp_path / "theirs_arc.yaml"
    more = {"fewshot_split": "test", "fewshot_config": {"sampler": "first_n"}}
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | more))
    logging.disable(logging.CRITICAL)
    try:
        theirs = evaluator.simple_evaluate(
            model=HFLM(pretrained=str(llama), device="cpu", dtype="float32", batch_size=8),
            tasks=["theirs_arc"],
            num_fewshot=1,
            task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
            bootstrap_iters=0,
        )
    finally:
        logging.disable(logging.NOTSET)
    samples = tmp_path / "samples.jsonl"
    words = ["eval", llama, "--suite", "arc_easy", "--data", questions, "--shots", 1]
    section = synth(*words, "--samples", samples, "--bootstrap", 0)["suites"]["arc_easy"]
    assert (section["shots"], section["shots_from"]) == (1, "other items")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    their_rows = sorted(theirs["samples"]["theirs_arc"], key=lambda row: row["doc_id"])
    assert section["truncated"] == 0 and len(rows) == len(their_rows) == 40
    for mine, them in zip(rows, their_rows):
        raw = [float(one[0]) for one in them["filtered_resps"]]
        assert mine["logprobs"] == pytest.approx(raw, abs=1e-3)


def test_items_that_are_examples_too_are_said_once_and_counted_once(llama, synth, tmp_path):
    items = [{"prompt": f"{i}", "choices": ["a", "b"], "answer": i % 2} for i in range(6)]
    path = write(tmp_path / "items.jsonl", [*items, {"prompt": "bad"}])
    words = ["eval", llama, "--suite", "arc_easy", "--data", path, "--bootstrap", 0]
    found = synth(*words, "--shots", 2, "--on-error", "skip")
    assert found["suites"]["arc_easy"]["shots_from"] == "other items"
    assert found["made_by"]["counts"]["skipped"] == 1
    assert synth(*words, "--shots", 0, "--on-error", "skip")["suites"]["arc_easy"]["n"] == 6
    told: list[str] = []
    choices.examples(
        choices.task_of("arc_easy", EvaluationOptions(shots=2)),
        Evaluator(
            EvaluationOptions(data=str(path)), rejects=Rejects(skip=True), remark=told.append
        ),
    )
    assert len(told) == 1 and f"other items of {path}" in told[0] and "shots 0" in told[0]


@pytest.mark.parametrize(
    "record, words",
    [
        ({"choices": ["a", "b"], "answer": 0}, 'no field "prompt"'),
        ({"prompt": 3, "choices": ["a", "b"], "answer": 0}, "is not a text"),
        ({"prompt": "a", "choices": ["a"], "answer": 0}, "two or more"),
        ({"prompt": "a", "choices": "ab", "answer": 0}, "two or more"),
        ({"prompt": "a", "choices": ["a", "b"], "answer": 2}, '"answer"'),
        ({"prompt": "a", "choices": ["a", "b"], "answer": None}, '"answer"'),
        ({"prompt": "a", "choices": ["a", "b"], "answer": True}, '"answer"'),
        ({"prompt": "a", "choices": ["a", ""], "answer": 0}, "texts"),
    ],
)
def test_bad_items_name_their_place_or_are_set_aside(record, words, llama, synth, tmp_path):
    good = {"prompt": "a", "choices": ["b", "c"], "answer": "c"}
    path = write(tmp_path / "arc_easy/test.jsonl", [good, record])
    words_of_run = ["eval", llama, "--suite", "arc_easy", "--data", tmp_path, "--bootstrap", 0]
    message = synth(*words_of_run, code=1)
    assert f"{path}:2: " in message and words in message
    rejects = tmp_path / "bad.jsonl"
    found = synth(*words_of_run, "--on-error", "skip", "--rejects", rejects, "-q")
    assert found["suites"]["arc_easy"]["n"] == 1 and found["made_by"]["counts"]["skipped"] == 1
    assert words in json.loads(rejects.read_text())["reason"]


def test_a_task_of_ones_own(llama, synth, tmp_path):
    write(tmp_path / "mine/test.jsonl", [{"prompt": "a", "choices": ["b", "c"], "answer": 1}] * 2)
    own = tmp_path / "mine.json"
    own.write_text(json.dumps({"kind": "multiple_choice", "prompt": "Say {prompt}:"}))
    found = synth("eval", llama, "--suite", own, "--data", tmp_path, "--bootstrap", 0)
    assert found["suites"][str(own)]["n"] == 2
    for text, words in (
        ('{"kind": "guess", "prompt": "x"}', "'kind'"),
        ('{"kind": "code"}', "'prompt'"),
        ('{"kind": "code", "prompt": 3}', "type str"),
        ('{"kind": "code", "promt": "x"}', "unknown field 'promt'"),
        ("[]", "object"),
        ("{", "not a task"),
    ):
        own.write_text(text)
        assert words in synth("eval", llama, "--suite", own, "--data", tmp_path, code=1)


def test_every_task_that_ships_reads_its_data():
    if not DATA.exists():
        pytest.skip("the shared data is not there")
    there = []
    for name, task in tasks.shipped().items():
        try:
            path = tasks.files_of(task, str(DATA))
        except SynthError:
            continue
        from synthtools.evaluate.evaluator import Evaluator

        there.append(name)
        for record in Evaluator(EvaluationOptions(limit=200)).records(path):
            assert tasks.fault(task, record) is None, name
            if task.kind == "multiple_choice":
                asked = tasks.question(task, record)
                assert len(asked.prompts) == len(asked.endings) and "{" not in task.choice[-1:]
    assert len(there) >= 12


def test_a_group_names_what_is_not_there(questions, tmp_path):
    names, groups = expanded(["general"], EvaluationOptions(data=str(questions)))
    assert names == ["arc_easy", "winogrande"]
    assert set(groups["general"]["missing"]) >= {"boolq", "piqa"}
    with pytest.raises(SynthError, match="finance"):
        expanded(["finance"], EvaluationOptions(data=str(tmp_path)))


@pytest.mark.parametrize("bos", [True, False])
def test_a_token_across_the_edge_costs_what_the_harness_says(bos, llama, open_on_cpu):
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = open_on_cpu(llama, bos="always" if bos else "never")
    encode = model.tokenizer.encode
    text = "There is another word for the function that returns nothing in this module."
    whole = len(encode([text])[0])
    pairs = [(text[:i], text[i:]) for i in range(len(text) - 3)]
    # Where nothing lies beyond the prompt's tokens, the harness refuses.
    pairs = [pair for pair in pairs if len(encode([pair[0]])[0]) < whole]
    assert sum(sum(map(len, encode(list(pair)))) > whole for pair in pairs) > 10
    pairs += [(prompt + "  ", ending) for prompt, ending in pairs[1:9]]
    theirs = HFLM(str(llama), device="cpu", dtype="float32", batch_size=8, add_bos_token=bos)
    expected = [
        # One at a time: its cache mixes up splits of one text.
        theirs.loglikelihood([Instance("loglikelihood", {}, pair, 0)], disable_tqdm=True)[0][0]
        for pair in pairs
    ]
    found = likelihoods(model, [Continuations([prompt], [ending]) for prompt, ending in pairs])
    assert [one.logprobs[0] for one in found] == pytest.approx(expected, abs=1e-4)
