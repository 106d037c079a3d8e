"""Answers of ``synth generate`` that are checked, chosen and drawn again, with a model that is a function."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from synthtools.curate.answer_scores import LENGTHS
from synthtools.curate.validators import validator_of
from synthtools.errors import SynthError
from synthtools.lm.generation import Answer, Prompt

# ---------------------------------------------------------------- validation


def test_refused_answers_are_drawn_again(generate: Any, tmp_path: Path) -> None:
    """Each attempt has a draw of its own; what remains goes to the rejects, and a resumed run asks nothing."""
    records = [{"prompt": f"{n}"} for n in range(6)]
    seeds: dict[str, list[int]] = {}

    def says(said: str, prompt: Prompt) -> str:
        seeds.setdefault(said, []).append(prompt.seed(0))
        # Prompt n has its first good answer at attempt n.
        return "one two three" if len(seeds[said]) > int(said) else "As an AI, no"

    report, rejects = tmp_path / "r.json", tmp_path / "bad.jsonl"
    rules = ("--validate", "words=2..3", "--validate", "!regex=^As an AI", "--retries", "3")
    kept = ("--on-error", "skip", "--rejects", str(rejects), "--report", str(report))
    written = generate(records, says, *rules, *kept, "--cache", str(tmp_path / "c"))
    assert [record["prompt"] for record in written] == ["0", "1", "2", "3"]
    assert {record["response"] for record in written} == {"one two three"}
    assert [len(seeds[str(n)]) for n in range(6)] == [1, 2, 3, 4, 4, 4]
    assert sum(map(len, seeds.values())) == len({seed for one in seeds.values() for seed in one})
    (validation,) = json.loads(report.read_text())["validation"]
    # "As an AI, no" has four words, so that the first rule sees all of them: 0 + 1 + 2 + 3 + 4 + 4.
    assert validation["refused"] == {"words=2..3": 14}
    assert (validation["retried"], validation["given_up"]) == (1 + 2 + 3 + 3 + 3, 2)
    assert (validation["tokens"], validation["prompt_tokens"]) == (14 * len("As an AI, no"), 14 * 7)
    reasons = [json.loads(line)["reason"] for line in rejects.read_text().splitlines()]
    assert reasons == ["the answer is refused by words=2..3: 4 words (4 answers)"] * 2
    again = generate(records, says, *rules, *kept, "--force", "--cache", str(tmp_path / "c"))
    assert again == written and not generate.models[0].prompts


def refused(rule: str, answer: str) -> str | None:
    """What a rule sees in an answer that it refuses."""
    told = [Answer(answer, "stop", 1, len(answer))]
    return validator_of(rule).faults([Prompt(b"", "?")], told, LENGTHS)[0]


@pytest.mark.parametrize(
    ("rule", "answer", "seen"),
    [
        ("words=2..", "one", "1 words"),
        ("words=2..", "one, two", None),
        ("characters=..3", "äöüß", "4 characters"),
        ("characters=4..4", "äöüß", None),
        ("tokens=6..", "five5", "5 tokens"),
        ("regex=^[A-Z]", "small", "'small'"),
        ("regex=^[A-Z]", "Large", None),
        ("regex=a=b", "if a=b", None),
        ("!regex=\\bAI\\b", "an AI", "'an AI'"),
        ("!regex=\\bAI\\b", "PAID", None),
        ("json", ' {"a": [1, null]}\n', None),
        ("json", "```json\n{}\n```", "not JSON: Expecting value at character 1"),
        ("json", '{"a": NaN}', "not JSON: NaN, which JSON lacks"),
        ("json", '{"a": 1} and', "not JSON: Extra data at character 10"),
        ("json", "[" * 100_000, "not JSON: nested too deeply"),
        ("language=de", "Das ist ein ganz normaler Satz in deutscher Sprache.", None),
        ("language=en,fr", "Das ist ein ganz normaler Satz in deutscher Sprache.", "de"),
        ("language=de", "1234", "no language that is known"),
        ("language=zh", "这是一个用中文写的非常普通的句子。", None),
    ],
)
def test_what_validators_refuse(rule: str, answer: str, seen: str | None) -> None:
    assert refused(rule, answer) == seen


SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
}


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ('{"name": "a", "age": 3}', None),
        ('{"name": "a", "age": -1}', "$.age: -1 is less than the minimum of 0"),
        ('{"age": 3}', "$: 'name' is a required property"),
        ("[]", "$: [] is not of type 'object'"),
        ("a", "not JSON: Expecting value at character 1"),
    ],
)
def test_a_schema_is_kept_to(tmp_path: Path, answer: str, seen: str | None) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    assert refused(f"schema={tmp_path}/s.json", answer) == seen


def test_schemas_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched, and what is missing is told in a line."""
    file = tmp_path / "s.json"

    def reason(schema: str) -> str:
        file.write_text(schema)
        with pytest.raises(SynthError) as raised:
            refused(f"schema={file}", '{"name": "a"}')
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "not JSON" in reason("{")
    assert "not a JSON schema: $.type: " in reason('{"type": "odd"}')
    assert "names a schema that it does not hold (http://127.0.0.1:9/s)" in reason(
        '{"$ref": "http://127.0.0.1:9/s"}'
    )
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert "pip install 'synthtools[validate]'" in reason("{}")


def test_another_schema_is_another_run(generate: Any, tmp_path: Path) -> None:
    schema = tmp_path / "s.json"
    arguments = ("--validate", f"schema={schema}", "-o", str(tmp_path / "o"), "--on-error", "skip")
    schema.write_text("{}")
    generate([{"prompt": "a"}], lambda said, prompt: "1", *arguments)
    schema.write_text('{"type": "integer"}')
    with pytest.raises(SynthError, match="other arguments"):
        generate([{"prompt": "a"}], lambda said, prompt: "1", *arguments, "--resume")


def test_a_judge_refuses(generate: Any, tmp_path: Path) -> None:
    """The second answer to each prompt is good; the judge is asked once for each, a resumed run asks nobody."""
    count: dict[str, int] = {}

    def says(said: str, prompt: Prompt) -> str:
        if said.startswith("You grade"):
            code = re.search(r"own: (\w{6}),", said)[1]
            return f"Hm.\n{code}: {3 if 'poor' in said else 8}"
        count[said] = count.get(said, 0) + 1
        return "poor" if count[said] == 1 else "fine"

    report, records = tmp_path / "r.json", [{"prompt": f"{n}"} for n in range(3)]
    rules = ("--validate", "judge=7..", "--judge", "J", "-m", "M", "--cache", str(tmp_path / "c"))
    rules = (*rules, "--report", str(report))
    written = generate(records, says, *rules)
    assert [record["response"] for record in written] == ["fine"] * 3
    found = json.loads(report.read_text())
    assert found["validation"][0]["refused"] == {"judge=7..": 3}
    assert (found["judge"]["model"], found["judge"]["questions"]) == ("J", 6)
    assert found["made_by"]["model"]["name"] == "M"
    assert generate(records, says, *rules) == written
    assert not any(model.prompts for model in generate.models)


def test_refusals_are_counted_by_rule(
    generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each tells what it saw; together they are one line."""
    report, rejects = tmp_path / "r.json", tmp_path / "bad.jsonl"
    rules = ("--validate", "regex=^a", "--retries", "0", "--on-error", "skip")
    records = [{"prompt": f"{n}"} for n in range(5)]
    generate(
        records, lambda said, _: said, *rules, "--rejects", str(rejects), "--report", str(report)
    )
    kind = "the answer is refused by regex=^a"
    assert f"5 skipped: 5 × {kind}; kept in" in capsys.readouterr().err
    assert json.loads(report.read_text())["made_by"]["counts"]["reasons"] == {kind: 5}
    reasons = [json.loads(line)["reason"] for line in rejects.read_text().splitlines()]
    assert reasons == [f"{kind}: '{n}'" for n in range(5)]
