"""MT-Bench: two turns, references, and FastChat's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthtools.errors import RecordError
from synthtools.evaluate import mt_bench


def questions():
    return [
        {
            "question_id": 80 + n,
            "category": category,
            "turns": [f"{category} first", f"{category} second"],
            "reference": ["gold one", "gold two"] if category == "math" else None,
        }
        for n, category in enumerate(("writing", "math", "coding"))
    ]


def answer_rows(model, **other):
    return [
        {
            "question_id": q["question_id"],
            "answer_id": "x",
            "model_id": model,
            "choices": [
                {
                    "index": 0,
                    "turns": other.get(
                        q["category"], [f"{model} on {q['category']} one", f"{model} two"]
                    ),
                }
            ],
            "tstamp": 1.0,
        }
        for q in questions()
    ]


def test_both_turns_are_graded_and_math_against_its_reference(evaluator, write, scripted):
    judge = scripted(lambda w, c: f"{c}: {4 if ' question 2>' in w else 8}")
    data = write("mt_bench/questions.jsonl", questions())
    run = evaluator(judge, data=data, answers=(write("m.jsonl", answer_rows("m")),), bootstrap=20)
    section = mt_bench.run("mt_bench", run)
    assert section["figures"]["score"] == 6
    assert section["figures"]["turn_1"] == 8
    assert section["figures"]["turn_2"] == 4
    assert section["figures"]["math"] == 6
    assert section["n"] == 3
    assert section["unguided"] == 1  # coding has no reference here
    assert len(judge.asked) == 6
    math = [words for words in judge.asked if "math first" in words]
    assert "gold one" in math[0]
    assert "gold two" not in math[0]
    assert "gold one" in math[1]
    assert "gold two" in math[1]
    assert not any("gold" in words for words in judge.asked if "writing first" in words)
    # The second turn's judge sees the whole conversation.
    assert all(text in math[1] for text in ("math first", "m on math one", "math second", "m two"))
    assert set(section["judge"]["prompts"]) == {
        "rate",
        "rate-second",
        "rate-reference",
        "rate-second-reference",
    }


def test_the_model_hears_its_own_first_answer(evaluator, write, scripted):
    model = scripted(lambda words, code: f"re: {words}")
    heard = []
    plain = model.generate

    def generate(prompts, finished=None):
        prompts = list(prompts)
        heard.extend(prompt.messages for prompt in prompts)
        return plain(prompts, finished)

    model.generate = generate
    data = write("mt_bench/questions.jsonl", questions()[:1])
    judge = scripted(lambda w, c: f"{c}: 5")
    mt_bench.run("mt_bench", evaluator(judge, model, data=data))
    assert heard[1] == (
        {"role": "user", "content": "writing first"},
        {"role": "assistant", "content": "re: writing first"},
        {"role": "user", "content": "writing second"},
    )


def test_an_unreadable_grade_drops_the_question_for_all(evaluator, write, scripted):
    judge = scripted(lambda w, c: "hm" if "bad two" in w and "coding" in w else f"{c}: 5")
    rows = answer_rows("good") + answer_rows("bad")
    data = write("mt_bench/questions.jsonl", questions())
    run = evaluator(judge, data=data, answers=(write("m.jsonl", rows),))
    section = mt_bench.run("mt_bench", run)
    assert section["n"] == 2
    assert section["dropped"] == 1
    assert section["judge"]["unreadable"] == 1
    assert section["figures"]["good: coding"] is None
    assert section["figures"]["bad: score"] == 5
    assert sum(row["dropped"] for row in run.rows) == 4


@pytest.mark.parametrize("score", [0, -2, 10.5, 100, True, "9"])
def test_a_grade_of_no_scale_is_a_bad_record(evaluator, write, score):
    row = {"question_id": 81, "model": "m", "turn": 1}
    file = write("a_single.jsonl", [row | {"score": 9}, row | {"score": score, "turn": 2}])
    with pytest.raises(RecordError, match=':2: field "score" is not a grade'):
        mt_bench.run("mt_bench", evaluator(judgments=str(file)))


def test_files_of_fastchat_go_out_and_come_in(evaluator, write, scripted, tmp_path):
    grades = {"writing": 9, "math": 3}

    def says(words, code):
        if "coding" in words:
            return "no grade"
        kind = "math" if "math first" in words else "writing"
        return f"{code}: {grades[kind]}"

    data = write("mt_bench/questions.jsonl", questions())
    model = scripted(lambda words, code: f"live: {words}")
    out = tmp_path / "out"
    run = evaluator(scripted(says), model, data=data, author_files=str(out), judge_retries=0)
    first = mt_bench.run("mt_bench", run)
    answers = out / "model_answer/scripted.jsonl"
    judgments = out / "model_judgment/scripted_single.jsonl"
    row = json.loads(answers.read_text().splitlines()[1])
    assert row["question_id"] == 81
    assert row["model_id"] == "scripted"
    assert row["choices"] == [
        {"index": 0, "turns": ["live: math first", "live: math second"]},
    ]
    lines = [json.loads(line) for line in judgments.read_text().splitlines()]
    assert [line["score"] for line in lines] == [9, 9, 3, 3, -1, -1]
    assert lines[2]["judge"] == ["scripted", "rate-reference-1"]
    assert {
        "question_id",
        "model",
        "judge",
        "user_prompt",
        "judgment",
        "score",
        "turn",
        "tstamp",
    } == set(lines[0])
    # Answers and judgments alone give the same figures.
    from_answers = mt_bench.run(
        "mt_bench", evaluator(scripted(says), data=data, answers=(str(answers),), judge_retries=0)
    )
    assert from_answers["figures"] == first["figures"]
    from_judgments = mt_bench.run("mt_bench", evaluator(judgments=str(judgments), data=data))
    assert from_judgments["n"] == first["n"] == 2
    assert from_judgments["dropped"] == 1
    assert from_judgments["figures"]["score"] == first["figures"]["score"] == 6
    assert from_judgments["figures"]["math"] == 3
    bare = mt_bench.run("mt_bench", evaluator(judgments=str(judgments)))
    assert bare["figures"]["score"] == 6


def test_several_judges_are_a_panel(evaluator, write):
    """A grade is the mean of both; question 82 lacks one of the other judge's, and is left out."""
    grades = {"a": {(81, 1): 9, (81, 2): 5, (82, 1): 6, (82, 2): 4}, "b": {(81, 1): 7, (81, 2): 4}}
    grades["b"] |= {(82, 1): 6, (82, 2): -1}
    for judge, table in grades.items():
        rows = [
            {"question_id": q, "turn": t, "model": "m", "judge": [judge, "v1"], "score": score}
            for (q, t), score in table.items()
        ]
        folder = write(f"judged/{judge}_single.jsonl", rows)
    section = mt_bench.run("mt_bench", evaluator(judgments=str(Path(folder).parent)))
    assert section["figures"] == {"score": 6.25, "turn_1": 8, "turn_2": 4.5}
    panel = section["panel"]
    assert (section["n"], section["dropped"], panel["n"], panel["left_out"]) == (1, 1, 3, 1)
    assert [(row["n"], row["mean"]) for row in panel["judges"]] == [(4, 20 / 3), (3, 17 / 3)]
    values = [(9, 7), (5, 4), (6, 6)]
    every = [x for pair in values for x in pair]
    observed = sum((x - y) ** 2 for x, y in values) * 2 / 6
    expected = sum((x - y) ** 2 for x in every for y in every) / (6 * 5)
    assert panel["alpha"] == panel["between"][0]["alpha"] == pytest.approx(1 - observed / expected)
    one = mt_bench.run("mt_bench", evaluator(judgments=f"{Path(folder).parent}/a_single.jsonl"))
    assert one["panel"] is None and one["figures"]["score"] == 6


def test_the_real_questions_and_answers(evaluator, shared, scripted):
    judge = scripted(lambda w, c: f"{c}: 7")
    run = evaluator(
        judge,
        data=str(shared),
        answers=(str(shared / "synth_mt_bench_answers"),),
        bootstrap=0,
    )
    section = mt_bench.run("mt_bench", run)
    assert section["n"] == 80
    assert len(section["models"]) == 23
    assert section["unguided"] == 0
    assert section["judge"]["questions"] == 80 * 2 * 23
    assert section["judge"]["unreadable"] == 0
