"""FollowBench: its rules, its rates, its files."""

from __future__ import annotations

import json
import random

import pytest

from synthtools.evaluate import followbench
from synthtools.evaluate.followbench_rules import has_rule, kept


def rule(origin, level, answer, target="", kind="mixed", example=1):
    return kept(kind, origin, example, level, target, answer)


# origin, level, answers that keep all constraints, answers that do not.
BY_LEVEL = [
    ("xsum", 1, ["One sentence."], ["Two. Sentences."]),
    ("xsum", 2, ["Short."], ["word " * 25]),
    ("xsum", 3, ["In Scotland it rained."], ["It rained in Newton Stewart."]),
    ("xsum", 4, ["They are cleaning up."], ["They clean up."]),
    ("xsum", 5, ["The operation is going on."], ["The work is going on."]),
    ("samsum", 5, ["Kim has stuff to do."], ["Kim, has stuff to do.", "Kim procrastinates stuff."]),
    ("gigaword", 1, ["a b c d e f g h"], ["a b c"]),
    ("gigaword", 2, ["a b c d e f g h"], ["a b c d e f g h."]),
    ("gigaword", 3, ["a b c d e f g h"], ["A b c d e f g h"]),
    ("gigaword", 5, ["two killed in blast in southern philippines monday"], ["a b c d e f g bus"]),
    ("arxiv", 5, ["We edit activations."], ["We edit transformer activations.", "Activations."]),
    (
        "cnn_dailymail",
        5,
        ["Potter is rich. The actor is calm. He has made films."],
        [
            "Potter is rich. The lavish actor is calm. He has made films.",
            "Potter is rich. The actor is calm. He made films.",
            "Potter is rich.",
        ],
    ),
]


@pytest.mark.parametrize(("origin", "level", "good", "bad"), BY_LEVEL)
def test_rules_by_level(origin, level, good, bad):
    assert all(rule(origin, level, answer) for answer in good)
    assert not any(rule(origin, level, answer) for answer in bad)


def test_rules_with_a_target():
    assert rule("E2E", 1, "name[A]", "name[A]")
    assert not rule("E2E", 1, "name[A] ", "name[A]")
    assert rule("WIKIEVENTS", 2, "a\nb", "b\na\nc")
    assert not rule("WIKIEVENTS", 2, "a\nd", "b\na\nc")
    assert rule("CONLL2003", 1, "Taiwan Strait", "['China', 'Taiwan Strait']")
    assert rule("CONLL2003", 1, "O'Neil", "[\"O'Neil\", 'X']")
    assert not rule("CONLL2003", 1, "China'", "['China', 'Taiwan Strait']")
    assert rule("BBH_logical", 1, "Not (A), so (B)", "(B)")
    assert not rule("BBH_logical", 1, "(B) is wrong, (A)", "(B)")
    assert rule("BBH_time", 1, "It is 12/29/1937.", "12/29/1937")
    assert rule("gsm_8k", 1, "$12 + $2 = $14.", "$14")
    assert rule("self_made_space", 1, "the 20th floor", "20th floor")


def test_the_shape_of_examples():
    target = "{instruction}\n{{'AI assistant': '{answer}'}}"
    shape = {"kind": "example", "target": target}
    assert rule("aeslc", 1, "{'AI assistant': 'Meeting'}", **shape)
    assert not rule("aeslc", 1, "Subject: Meeting", **shape)
    assert not rule("aeslc", 1, "{'AI assistant': 'Meeting'} I hope", **shape)


def test_the_two_examples_of_format():
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen " * 2
    parts = [f"{n}. {long}" for n in (1, 2, 3)]
    table = "\n\n".join(parts)
    fits = {"kind": "format", "origin": "helpful_base", "example": 22}
    assert rule(level=1, answer=table, **fits)
    assert not rule(level=1, answer="one", **fits)
    assert not rule(level=3, answer="a\n\nb\n\nc", **fits)
    speech = {"kind": "format", "origin": "koala", "example": 30}
    assert rule(level=1, answer="**Growth", **speech)
    assert not rule(level=2, answer="**Growth", **speech)
    assert has_rule("format", "koala", 30)
    assert not has_rule("format", "koala", 29)
    assert not has_rule("style", "koala", 30)


def test_the_targets_of_the_real_data_keep_their_rules(real):
    checked = 0
    for record in real("eval_followbench_en"):
        kind, origin, number = record["constraint_type"], record["origin"], record["example_id"]
        target = record["target"]
        if not record["level"] or not target.strip() or not has_rule(kind, origin, number):
            continue
        if kind == "example":
            answer = record["answer"]
            if "\n" in answer:
                continue  # the authors' pattern ends at a line
        elif origin == "CONLL2003":
            answer = target[2:].split("'")[0]
        else:
            answer = target
        assert kept(kind, origin, number, record["level"], target, answer), record["id"]
        if target != "{instruction}\n{answer}":  # which any line keeps
            assert not kept(kind, origin, number, record["level"], target, "No, thank you")
        checked += 1
    assert checked > 250


def records(groups=3, kind="style"):
    return [
        {
            "id": f"{kind}-{group}-L{level}",
            "constraint_type": kind,
            "prompt": f"Write {kind} {group}" + "".join(f", c{n}" for n in range(1, level + 1)),
            "example_id": group,
            "origin": "oasst",
            "level": level,
            "target": "",
        }
        for group in range(groups)
        for level in range(6)
    ]


def slow(verdicts):
    """HSR and SSR by level and CSL, as the paper writes them: {(group, level): flags}."""
    rates = {}
    for level in range(1, 6):
        flags = [f for (_, at), f in verdicts.items() if at == level]
        rates[f"hsr_level_{level}"] = sum(all(f) for f in flags) / len(flags)
        rates[f"ssr_level_{level}"] = sum(sum(f) / level for f in flags) / len(flags)
    groups = sorted({group for group, _ in verdicts})
    total = 0
    for group in groups:
        level = 0
        while level < 5 and all(verdicts[group, level + 1]):
            level += 1
        total += level
    rates["csl"] = total / len(groups)
    for kind in ("hsr", "ssr"):
        rates[kind] = sum(rates[f"{kind}_level_{level}"] for level in range(1, 6)) / 5
    return rates


def test_rates_are_the_papers(evaluator, write, scripted):
    drawn = random.Random(2)
    verdicts = {
        (group, level): [drawn.random() < 0.8 for _ in range(level)]
        for group in range(6)
        for level in range(1, 6)
    }

    def says(words, code):
        group = int(words.split("Write style ")[1].split(",")[0].split("\n")[0])
        level = words.count("Added constraints: ")
        flags = ", ".join("YES" if flag else "NO" for flag in verdicts[group, level])
        return f"So:\n{code}: {flags}"

    data = write("followbench.jsonl", records(6))
    answers = [{"prompt": r["prompt"], "response": "x"} for r in records(6) if r["level"]]
    judge = scripted(says)
    run = evaluator(judge, data=data, answers=(write("m.jsonl", answers),), bootstrap=30)
    section = followbench.run("followbench", run)
    expected = slow(verdicts)
    assert section["figures"] == {key: pytest.approx(expected[key]) for key in section["figures"]}
    assert set(section["figures"]) == set(expected)
    assert section["n"] == 30
    assert section["models"][0]["types"][0]["csl"] == pytest.approx(expected["csl"])
    assert [row["hard"] for row in run.rows[:5]] == [int(all(verdicts[0, n])) for n in range(1, 6)]
    # The judge sees how the instruction grew, and only up to the level in question.
    assert "Added constraints: 2" in judge.asked[1]
    assert "Added constraints: 3" not in judge.asked[1]


def test_an_unreadable_verdict_drops_the_instruction_for_all_models(evaluator, write, scripted):
    def says(words, code):
        level = words.count("Added constraints: ")
        if level == 2 and "MUDDLE" in words:
            return "YES, YES" if "could not" not in words else "[]"
        return f"{code}: {', '.join(['YES'] * level)}"

    answers = [
        {"prompt": r["prompt"], "response": text, "model": model}
        for model, text in (("a", "fine"), ("b", "MUDDLE"))
        for r in records(1)
    ]
    data = write("followbench.jsonl", records(1))
    run = evaluator(scripted(says), data=data, answers=(write("m.jsonl", answers),))
    section = followbench.run("followbench", run)
    assert section["n"] == 4
    assert section["dropped"] == 1
    assert section["judge"]["unreadable"] == 1
    for model in "ab":
        assert section["figures"][f"{model}: hsr_level_2"] is None
        assert section["figures"][f"{model}: hsr"] == 1  # over the levels that are left
        assert section["figures"][f"{model}: csl"] is None  # the group's level 2 is not known
    kept_rows = [row for row in run.rows if row["dropped"]]
    assert [(row["model"], row["level"]) for row in kept_rows] == [("a", 2), ("b", 2)]
    assert kept_rows[1]["judgment"] == "[]"


def test_the_limit_counts_instructions_and_rules_need_no_judge(evaluator, write, scripted):
    rows = [r | {"origin": "text_editing", "target": "done"} for r in records(2, "mixed")]
    data = write("followbench.jsonl", rows)
    run = evaluator(None, scripted(lambda words, code: "done"), data=data, limit=7)
    section = followbench.run("followbench", run)
    assert section["n"] == section["by_rule"] == 7
    assert section["judge"] is None
    assert section["figures"]["hsr"] == 1
    assert section["figures"]["csl"] == 5  # of the one group that is whole


def test_files_of_the_authors_go_out_and_come_in(evaluator, write, scripted, tmp_path):
    data = write("followbench.jsonl", records(2))
    model = scripted(lambda words, code: f"answer to {words}")
    judge = scripted(lambda words, code: f"{code}: " + "YES " * words.count("Added constraints: "))
    out = str(tmp_path / "out")
    first = followbench.run("followbench", evaluator(judge, model, data=data, author_files=out))
    path = tmp_path / "out/api_output/scripted_style_constraint.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 10
    assert lines[0] == {
        "prompt_new": "Write style 0, c1",
        "choices": [{"message": {"content": "answer to Write style 0, c1"}}],
    }
    again = followbench.run("followbench", evaluator(judge, data=data, answers=(str(path),)))
    assert again["figures"] == first["figures"]
    assert again["n"] == 10


@pytest.mark.parametrize(
    "change", [{"level": 6}, {"level": "1"}, {"constraint_type": "odd"}, {"prompt": None}]
)
def test_bad_instructions(change):
    assert followbench.fault(records()[1] | change)
    assert followbench.fault(records()[1]) is None
