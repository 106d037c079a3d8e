"""Answers of ``synth generate`` that are checked, chosen and drawn again, with a model that is a function."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from synthtools.cli.app import build
from synthtools.cli.quantities import NamedContent
from synthtools.curate import selected_answers
from synthtools.curate.validators import LENGTHS, validator_of
from synthtools.errors import SynthError, UsageError
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


def test_a_resumed_directory_knows_what_refused_answers_took(
    generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each prompt has a refused answer of 2 tokens and one of 4; finished shards hold the second ones alone."""
    monkeypatch.setattr(selected_answers, "_TOGETHER", 4)
    output, report = tmp_path / "o", tmp_path / "r.json"
    rules = ("--validate", "characters=3..", "-o", f"{output}/", "--shard-size", "2")
    rest = (*rules, "--max-new-tokens", "4", "--price-in", "1e6", "--price-out", "2e6")
    records, says = [{"prompt": f"{n}"} for n in range(60)], by_draw("no", "fine")
    with pytest.raises(SynthError, match="is used up"):
        generate(records, says, *rest, "--budget", "tokens=700")
    taken = len(generate.models[0].prompts)
    assert len([*output.glob("part-*")]) > 2
    with pytest.raises(SynthError, match="is used up"):
        generate(records, says, *rest, "--budget", "tokens=700", "--resume")
    assert not generate.models[0].prompts
    generate(records, says, *rest, "--resume", "--report", str(report))
    assert len(generate.models[0].prompts) == 120 - taken
    assert json.loads(report.read_text())["cost"] == 60 * (2 * 7 + 2 * (2 + 4))


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
        ("json", '{"a": NaN}', "not JSON: NaN, which is not in JSON"),
        ("json", '{"a": 1} and', "not JSON: Extra data at character 10"),
        ("json", "[" * 100_000, "not JSON: nested too deeply"),
        ("language=de", "Das ist ein ganz normaler Satz in deutscher Sprache.", None),
        ("language=en,fr", "Das ist ein ganz normaler Satz in deutscher Sprache.", "de"),
        ("language=de", "1234", "language not recognized"),
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
    assert "refers to a schema that is not in it (http://127.0.0.1:9/s)" in reason(
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


def test_a_judge_gives_the_rating_alone(generate: Any, tmp_path: Path) -> None:
    """The last reply is all verdict; without --judge-guided it would have none."""
    report = tmp_path / "r.json"
    chosen = ("--best-of", "2", "--score", "judge", "--judge", "J", "--judge-server", "http://a")
    count = iter(range(9))

    def says(said: str, prompt: Prompt) -> str:
        return str(said.count("ß")) if said.startswith("You grade") else "ß" * next(count)

    records = [{"prompt": "a"}, {"prompt": "b"}]
    more = ("--judge-retries", "0", "--judge-tokens", "8", "--report", str(report))
    generate(records, says, *chosen, *more)
    assert json.loads(report.read_text())["judge"]["unreadable"] == 4
    count = iter(range(1, 9))
    written = generate(records, says, *chosen, *more, "--judge-guided")
    judge = json.loads(report.read_text())["judge"]
    assert (judge["alone"], judge["unreadable"], judge["asked_again"]) == (4, 0, 0)
    assert [len(record["response"]) for record in written] == [2, 4]


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


# ---------------------------------------------------------------- the best of several


def by_draw(*texts: str) -> Any:
    """Says the texts in turn, to each prompt for itself."""
    asked: dict[str, int] = {}

    def says(said: str, prompt: Prompt) -> str:
        asked[said] = asked.get(said, -1) + 1
        return texts[asked[said] % len(texts)].format(said)

    return says


def run(*arguments: str) -> None:
    build()([*arguments], standalone_mode=False)


def test_the_best_of_several_is_taken(generate: Any, tmp_path: Path) -> None:
    """Of equal scores the first; what a rule refuses cannot be the best."""
    report = tmp_path / "r.json"
    says = by_draw("ab", "!cdefgh", "wxyz", "mnop", "d")
    rules = ("--best-of", "5", "--validate", "regex=^[a-z]", "--report", str(report))
    for score, answer, number in (("characters", "wxyz", 4.0), ("min:characters", "d", 1.0)):
        written = generate([{"prompt": "1"}, {"prompt": "2"}], says, *rules, "--score", score)
        assert [one["response"] for one in written] == [answer] * 2
        assert [one["generate_score"] for one in written] == [number] * 2
    (found,) = json.loads(report.read_text())["validation"]
    assert found["refused"] == {"regex=^[a-z]": 2}
    assert found["unchosen"] == {"answers": 6, "unscored": 0, "tokens": 2 * (2 + 4 + 4)}
    assert (found["retried"], found["given_up"]) == (0, 0)


def test_what_has_no_good_answer_is_drawn_again(generate: Any) -> None:
    says = by_draw("1", "22", "a", "bb")
    written = generate(
        [{"prompt": "p"}],
        says,
        "--best-of",
        "2",
        "--score",
        "characters",
        "--validate",
        "regex=[a-z]",
    )
    assert [one["response"] for one in written] == ["a"]


def test_scores_are_those_of_other_tools(generate: Any, tmp_path: Path) -> None:
    """Perplexity as ``synth ppl`` has it, probability as ``synth classify`` has it."""
    texts = (
        "The quick brown fox jumps over the dog",
        "colourless green zebra qux flurb",
        "the and of the",
    )
    records = [{"prompt": f"{n}"} for n in range(2)]
    (written, _) = generate(records, by_draw(*texts), "--best-of", "3", "--score", "perplexity")
    source, scored = tmp_path / "texts.jsonl", tmp_path / "scored.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    run("ppl", str(source), "-o", str(scored))
    values = [json.loads(line)["ppl"] for line in scored.read_text().splitlines()]
    assert written["response"] == texts[values.index(min(values))]
    assert written["generate_score"] == min(values)
    classifier, labelled = tmp_path / "c.safetensors", tmp_path / "l.jsonl"
    for name, word in (("a", "fox"), ("b", "zebra")):
        lines = "".join(json.dumps({"text": f"{word} number {n}"}) + "\n" for n in range(20))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    classes = (f"a={tmp_path}/a.jsonl", "--class", f"b={tmp_path}/b.jsonl")
    run("classify", "--class", *classes, "--save", str(classifier), "--report", str(tmp_path / "r"))
    run("classify", str(source), "--classifier", str(classifier), "-o", str(labelled))
    values = [json.loads(line)["score"] for line in labelled.read_text().splitlines()]
    chosen = ("--score", "probability", "--classifier", str(classifier))
    (written, _) = generate(records, by_draw(*texts), "--best-of", "3", *chosen)
    assert (written["response"], written["generate_score"]) == (texts[0], values[0])
    assert values[0] == max(values)


# ---------------------------------------------------------------- none twice

LONG = " ".join(f"word{n}" for n in range(80))


def test_an_answer_is_not_given_twice(generate: Any, tmp_path: Path) -> None:
    """The first prompt that says something keeps it; those behind it draw again, and are told what they repeat."""
    report, rejects = tmp_path / "r.json", tmp_path / "bad.jsonl"
    kept = ("--on-error", "skip", "--rejects", str(rejects), "--report", str(report))
    records = [{"prompt": f"{n}"} for n in range(3)]
    says = by_draw("same", "same", "new {}")
    written = generate(records, says, "--distinct", "exact", *kept)
    assert [one["response"] for one in written] == ["same", "new 1", "new 2"]
    (found,) = json.loads(report.read_text())["validation"]
    assert (found["refused"], found["retried"], found["given_up"]) == ({"distinct": 4}, 4, 0)
    written = generate(records, by_draw("same"), "--distinct", "exact", "--retries", "1", *kept)
    assert [one["response"] for one in written] == ["same"]
    reasons = [json.loads(line)["reason"] for line in rejects.read_text().splitlines()]
    assert reasons == ["the answer is not new: equal to answer 1 of this run (2 answers)"] * 2


def test_near_duplicates_are_caught(generate: Any, tmp_path: Path) -> None:
    """One word of eighty makes a Jaccard index of 71/81; half of the words far less."""
    near, far = LONG.replace("word40", "other"), LONG.replace("word", "w", 40)
    shingles = [{tuple(t.split()[n : n + 5]) for n in range(76)} for t in (LONG, near, far)]
    assert len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1]) == 71 / 81
    assert len(shingles[0] & shingles[2]) / len(shingles[0] | shingles[2]) < 0.5
    records = [{"prompt": prompt} for prompt in (LONG, near, far, LONG.upper())]
    rejects = tmp_path / "bad.jsonl"
    skip = ("--retries", "0", "--on-error", "skip", "--rejects", str(rejects))

    def kept(*arguments: str) -> list[str]:
        return [
            one["response"] for one in generate(records, lambda said, _: said, *skip, *arguments)
        ]

    assert kept("--distinct", "near") == [LONG, far]
    assert "similar to answer 1 of this run" in rejects.read_text()
    assert kept("--distinct", "near", "--similarity", "0.95") == [LONG, near, far]
    assert kept("--distinct", "exact") == [LONG, near, far, LONG.upper()]


def test_answers_repeat_nothing_of_files_and_indexes(generate: Any, tmp_path: Path) -> None:
    old, rejects = tmp_path / "old.jsonl", tmp_path / "bad.jsonl"
    old.write_text('{"text": "one two three"}\n{"response": "four", "text": "five"}\n')
    known = tmp_path / "known.jsonl"
    known.write_text('{"text": "six seven"}\n')
    skip = ("--retries", "0", "--on-error", "skip", "--rejects", str(rejects))
    for method in ("exact", "near"):
        index = str(tmp_path / f"index-{method}")
        run("dedup", str(known), f"--{method}", "--index", index, "-o", f"{index}.jsonl")
        before = (Path(index) / "index.json").read_bytes()
        records = [
            {"prompt": text} for text in ("one two three", "four", "five", "six seven", "eight")
        ]
        against = ("--distinct", method, "--against", str(old), "--against", index)
        written = generate(records, lambda said, _: said, *skip, *against)
        assert [one["response"] for one in written] == ["five", "eight"]
        reasons = [json.loads(line)["reason"] for line in rejects.read_text().splitlines()]
        assert f"equal to {old}:1" in reasons[0] and f"equal to {old}:2" in reasons[1]
        assert f"to {index}:1" in reasons[2]
        assert (Path(index) / "index.json").read_bytes() == before


def test_another_index_or_classifier_is_another_run(generate: Any, tmp_path: Path) -> None:
    """Their names are as before; what is in them is not."""
    (tmp_path / "old.jsonl").write_text('{"text": "old"}\n')
    (tmp_path / "new.jsonl").write_text('{"text": "new"}\n')
    index = str(tmp_path / "seen")
    run("dedup", str(tmp_path / "old.jsonl"), "--index", index, "-o", str(tmp_path / "d.jsonl"))
    output = tmp_path / "a.jsonl"
    arguments = ("--distinct", "exact", "--against", index, "-o", str(output))
    records = [{"prompt": f"{n}"} for n in range(9)]
    with pytest.raises(SynthError, match="no idea"):
        generate(records, lambda said, _: None if said == "5" else f"<{said}>", *arguments)
    run("dedup", str(tmp_path / "new.jsonl"), "--index", index, "-o", str(tmp_path / "e.jsonl"))
    with pytest.raises(SynthError, match=r"with other arguments \(against\); --force"):
        generate(records, lambda said, _: f"<{said}>", *arguments, "--resume")
    classifier, shown = NamedContent(tmp_path / "c"), set()
    for content in ("one", "two", "one"):
        (tmp_path / "c").write_text(content)
        shown.add(classifier.shown)
    assert len(shown) == 2 and all(name.startswith(f"{classifier} (") for name in shown)


def test_a_killed_run_repeats_nothing_either(
    generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a file the bytes of an undisturbed run; a directory with finished shards is refused."""
    records = [{"prompt": f"{n}"} for n in range(40)]
    left = [1000]

    def says(said: str, prompt: Prompt) -> str:
        left[0] -= 1
        if not left[0]:
            raise SynthError("gone")
        return f"answer {prompt.seed(0) % 8}"

    file = tmp_path / "a.jsonl"
    arguments = ("--distinct", "exact", "--retries", "4", "--on-error", "skip")
    written = generate(records, says, *arguments)
    left[0] = 30
    with pytest.raises(SynthError, match="gone"):
        generate(records, says, *arguments, "-o", str(file))
    left[0] = 1000
    generate(records, says, *arguments, "-o", str(file), "--resume")
    assert [json.loads(line) for line in file.read_text().splitlines()] == written
    assert len(written) == 8 == len({one["response"] for one in written})
    folder = ("-o", f"{tmp_path}/d/", "--shard-size", "5", *arguments)
    monkeypatch.setattr(selected_answers, "_TOGETHER", 10)
    left[0] = 120  # the first shards stand
    with pytest.raises(SynthError, match="gone"):
        generate(records, says, *folder)
    left[0] = 1000
    with pytest.raises(UsageError, match="resumed into a FILE alone"):
        generate(records, says, *folder, "--resume")


def test_batches_of_the_engine_play_no_part(llama: Path, tmp_path: Path) -> None:
    """Random weights that say one of few words: most answers repeat another."""
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"prompt": f"Word {n}"}) + "\n" for n in range(24)))
    common = (
        "generate",
        str(source),
        "-m",
        str(llama),
        "--max-new-tokens",
        "1",
        "--on-error",
        "skip",
    )
    common = (*common, "--distinct", "exact", "--temperature", "9", "--top-k", "6", "-q")
    outputs = []
    for name, more in (("a.jsonl", ()), ("b.jsonl", ("--batch-tokens", "40", "--jobs", "1"))):
        run(*common, *more, "-o", str(tmp_path / name))
        outputs.append((tmp_path / name).read_bytes())
    assert outputs[0] == outputs[1] and outputs[0].count(b"\n") > 2
