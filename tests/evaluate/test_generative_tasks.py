"""Written answers: extraction, exact match, programs run apart."""

import json
from pathlib import Path

import pytest
import yaml

from synthtools.errors import SynthError
from synthtools.evaluate import generative_tasks, sandbox, tasks
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator

from .conftest import DATA, write
from .test_sandbox import WAY, confined


@pytest.mark.parametrize(
    "text, found",
    [
        ("so 3 + 4 = 7\n#### 7", "7"),
        ("#### 5\nno: #### 1,250.", "1,250"),
        ("#### $-3.5", "$-3.5"),
        ("the answer is 7", None),
        ("", None),
    ],
)
def test_the_last_marked_number_is_the_answer(text, found):
    assert generative_tasks.extracted(text, tasks.shipped()["gsm8k"].extract) == found


@pytest.mark.parametrize(
    "text, gold, loosely, in_svamp",
    [
        ("2 and 3 make 5.0 in all", "5", True, True),
        ("1,024 of them", "1024", True, True),
        ("they lose -$5", "-5", True, True),
        ("they lose -$5", "5", False, False),
        ("a share of .75", "0.75", True, True),
        ("a share of .75", "75", False, False),
        ("it is $3.50.", "3.5", True, True),
        ("seven", "7", False, False),
    ],
)
def test_without_a_mark_the_last_number_counts(text, gold, loosely, in_svamp):
    gsm8k, svamp = (tasks.shipped()[name] for name in ("gsm8k", "svamp"))
    found = generative_tasks.extracted(text, gsm8k.extract_loosely)
    assert generative_tasks.same(found, gold) is loosely
    assert generative_tasks.same(generative_tasks.extracted(text, svamp.extract), gold) is in_svamp


def test_the_loose_match_is_the_flexible_extract_of_the_harness():
    """On recorded answers of four models, and on what they do not write."""
    extraction = pytest.importorskip("lm_eval.filters.extraction")
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.tasks import __file__ as place

    config = yaml.safe_load((Path(place).parent / "gsm8k/gsm8k.yaml").read_text())
    (flexible,) = (f for f in config["filter_list"] if f["name"] == "flexible-extract")
    options = {k: v for k, v in flexible["filter"][0].items() if k != "function"}
    theirs = extraction.RegexFilter(**options)
    metric = {k: v for k, v in config["metric_list"][0].items() if k.startswith(("ignore", "reg"))}
    texts = [("-$5", "-5"), ("of .75", "1"), ("It is 7...", "7"), ("$ 12", "12"), ("none", "0")]
    if DATA.exists():
        records = Evaluator(EvaluationOptions()).records
        gold = {record["id"]: record["answer"] for record in records(str(DATA / "eval_gsm8k"))}
        for record in records(str(DATA / "synth_gsm8k_model_solutions")):
            answer = gold.get("-".join(record["id"].split("-")[:3]))
            if answer is not None:
                texts.append((record["response"], answer))
        assert len(texts) > 5000
    for text, answer in texts:
        (theirs_found,) = theirs.apply([[text]], [{}])[0]
        ours = generative_tasks.extracted(text, tasks.shipped()["gsm8k"].extract_loosely)
        assert ours == (None if theirs_found == "[invalid]" else theirs_found)
        right = exact_match_fn(references=[answer], predictions=[theirs_found], **metric)
        assert generative_tasks.same(ours, answer) == bool(right["exact_match"]), (text, answer)


@pytest.mark.parametrize(
    "found, gold, same",
    [
        ("8", "8.0", True),
        ("1,250", "1250", True),
        ("$3.50", "3.5", True),
        ("-2", "2", False),
        (None, "2", False),
        (" Yes ", "yes", True),
        ("8.0.1", "8", False),
        ("nan", "nan", True),
        ("12", 12, True),
    ],
)
def test_numbers_are_compared_as_numbers(found, gold, same):
    assert generative_tasks.same(found, gold) is same


def test_models_write_and_are_graded(llama, synth, tmp_path):
    items = [{"id": i, "prompt": f"What is {i}?", "answer": f"{i}.0"} for i in range(5)]
    write(tmp_path / "svamp/test.jsonl", items)
    kept = tmp_path / "samples.jsonl"
    words = ["eval", llama, "--suite", "svamp", "--data", tmp_path, "--bootstrap", 20]
    found = synth(*words, "--samples", kept)["suites"]["svamp"]
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert found["n"] == len(rows) == 5
    for row, item in zip(rows, items):
        extracted = generative_tasks.extracted(row["response"], tasks.shipped()["svamp"].extract)
        assert row["extracted"] == extracted
        assert row["exact_match"] == generative_tasks.same(extracted, item["answer"])
    assert found["figures"]["exact_match"] == sum(r["exact_match"] for r in rows) / 5


def test_a_prompt_that_leaves_no_room_is_counted_as_wrong(llama, synth, tmp_path):
    items = [{"prompt": "short", "answer": "1"}, {"prompt": "word " * 300, "answer": "1"}]
    write(tmp_path / "svamp/test.jsonl", items)
    found = synth("eval", llama, "--suite", "svamp", "--data", tmp_path, "-q")["suites"]["svamp"]
    assert (found["n"], found["unanswered"]) == (2, 1)


def test_examples_of_gsm8k_come_from_the_other_items_where_there_is_no_split(
    llama, synth, tmp_path
):
    items = [{"prompt": f"{i}?", "response": f"#### {i}", "answer": f"{i}"} for i in range(7)]
    path = write(tmp_path / "items.jsonl", items)
    words = ["eval", llama, "--suite", "gsm8k", "--data", path, "--bootstrap", 0]
    section = synth(*words, "--shots", 2)["suites"]["gsm8k"]
    assert (section["shots"], section["shots_from"]) == (2, "other items")
    write(path, [*items, {"prompt": "8?", "answer": "8"}])
    assert f'{path}:8: no field "response"' in synth(*words, "--shots", 7, code=1)
    write(path, [{"prompt": "8?"}])
    assert f'{path}:1: no field "answer"' in synth(*words, "--shots", 0, code=1)


def test_examples_of_a_split_need_their_solution_and_no_short_answer(llama, synth, tmp_path):
    write(tmp_path / "gsm8k/test.jsonl", [{"prompt": "8?", "response": "#### 8", "answer": "8"}])
    split = [{"prompt": f"{i}?", "response": f"#### {i}"} for i in range(3)]
    write(tmp_path / "human_gsm8k_train/train.jsonl", split)
    words = ["eval", llama, "--suite", "gsm8k", "--data", tmp_path, "--shots", 2, "--bootstrap", 0]
    section = synth(*words)["suites"]["gsm8k"]
    assert (section["n"], section["shots"], section["shots_from"]) == (1, 2, "split")


@confined
def test_code_is_refused_unless_allowed(llama, synth, tmp_path):
    item = {
        "id": "one",
        "prompt": "def one():\n",
        "test": "def check(f):\n    assert f() == 1",
        "entry_point": "one",
    }
    write(tmp_path / "humaneval/test.jsonl", [item])
    words = ["eval", llama, "--suite", "humaneval", "--data", tmp_path]
    assert "--allow-code-execution" in synth(*words, code=2)
    assert "takes no examples" in synth(*words, "--allow-code-execution", "--shots", 1, code=2)
    found = synth(*words, "--allow-code-execution")["suites"]["humaneval"]
    assert found["n"] == 1 and found["figures"]["pass_at_1"] == 0
    assert found["sandbox"] == WAY
    assert "--sandbox chroot" in synth(
        *words, "--allow-code-execution", "--sandbox", "chroot", code=2
    )
    free = synth(*words, "--allow-code-execution", "--sandbox", "none")["suites"]["humaneval"]
    assert free["sandbox"] == "none"


@confined
@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_the_right_programs_pass_and_empty_ones_fail(name):
    task = tasks.shipped()[name]
    if not DATA.exists():
        pytest.skip("the shared data is not there")
    records = list(Evaluator(EvaluationOptions(limit=12)).records(tasks.files_of(task, str(DATA))))
    right = [tasks.program(task, record, record["response"]) for record in records]
    assert all(outcome.passed for outcome in sandbox.run_all(right, WAY, 2))
    wrong = [tasks.program(task, record, "    pass\n") for record in records[:4]]
    assert not any(outcome.passed for outcome in sandbox.run_all(wrong, WAY, 2))


def test_an_item_of_the_harness_without_an_answer_is_empty_and_told():
    pytest.importorskip("lm_eval")
    from types import SimpleNamespace

    from synthtools.evaluate.harness import harness_model
    from synthtools.lm.generation import Answer, failed

    answers = [Answer("yes", "stop", 1, 1), failed("too long")]
    told = []
    evaluator = Evaluator(EvaluationOptions(), remark=told.append)
    evaluator.generator = lambda sampling: SimpleNamespace(
        generate=lambda prompts: [answers[int(prompt.key)] for prompt in prompts]
    )
    requests = [SimpleNamespace(args=(text, {"until": ["."]})) for text in ("a", "b")]
    model = harness_model(evaluator)
    assert model.generate_until(requests) == ["yes", ""]
    assert told == ["1 of 2 items could not be answered: too long; they count as empty answers"]
    answers[0] = answers[1]
    with pytest.raises(SynthError, match="2 of 2 items could not be answered: too long"):
        model.generate_until(requests)
