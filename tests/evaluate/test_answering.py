"""Written answers: extraction, exact match, programs run apart."""

import json

import pytest

from synthtools.evaluate import answering, sandbox, tasks
from synthtools.evaluate.session import Session, Wanted

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
    assert answering.extracted(text, tasks.shipped()["gsm8k"].extract) == found


def test_without_a_mark_the_last_number_counts_loosely():
    loose = tasks.shipped()["gsm8k"].extract_loosely
    assert answering.extracted("2 and 3 make 5.0 in all", loose) == "5.0"
    assert answering.extracted("1,024 of them", loose) == "1,024"
    assert answering.extracted("none", loose) is None


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
    assert answering.same(found, gold) is same


def test_models_write_and_are_graded(llama, synth, tmp_path):
    items = [{"id": i, "prompt": f"What is {i}?", "answer": f"{i}.0"} for i in range(5)]
    write(tmp_path / "svamp/test.jsonl", items)
    kept = tmp_path / "samples.jsonl"
    words = ["eval", llama, "--suite", "svamp", "--data", tmp_path, "--bootstrap", 20]
    found = synth(*words, "--samples", kept)["suites"]["svamp"]
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert found["n"] == len(rows) == 5
    for row, item in zip(rows, items):
        extracted = answering.extracted(row["response"], tasks.shipped()["svamp"].extract)
        assert row["extracted"] == extracted
        assert row["exact_match"] == answering.same(extracted, item["answer"])
    assert found["figures"]["exact_match"] == sum(r["exact_match"] for r in rows) / 5


def test_a_prompt_that_leaves_no_room_is_counted_as_wrong(llama, synth, tmp_path):
    items = [{"prompt": "short", "answer": "1"}, {"prompt": "word " * 300, "answer": "1"}]
    write(tmp_path / "svamp/test.jsonl", items)
    found = synth("eval", llama, "--suite", "svamp", "--data", tmp_path, "-q")["suites"]["svamp"]
    assert (found["n"], found["unanswered"]) == (2, 1)


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
    records = list(Session(Wanted(limit=12)).records(tasks.files_of(task, str(DATA))))
    right = [tasks.program(task, record, record["response"]) for record in records]
    assert all(outcome.passed for outcome in sandbox.run_all(right, WAY, 2))
    wrong = [tasks.program(task, record, "    pass\n") for record in records[:4]]
    assert not any(outcome.passed for outcome in sandbox.run_all(wrong, WAY, 2))
