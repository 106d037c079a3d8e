"""Protocols of generation with a model that is a function, so that every answer is known."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import running
from synthtools.curate.answers import stratified
from synthtools.curate.error_extrapolation import pair_in
from synthtools.curate.prompts import STYLES, PromptedRecords, beginning
from synthtools.curate.rationales import gold_of, reached
from synthtools.curate.reshaped_records import Template
from synthtools.errors import SynthError, UsageError
from synthtools.lm.generation import Answer, Prompt
from synthtools.records.batch import JsonBatch
from synthtools.text.rouge import RougePool, common_subsequence, rouge_l, words


def echo(said: str, prompt: Prompt) -> str:
    return f"<{said}>"


def test_every_record_says_how_it_came_about(generate: Any) -> None:
    (found,) = generate([{"id": 1, "prompt": "Hi", "x": 2}], echo, "-m", "M", "--seed", "4")
    assert found == {
        "id": 1,
        "prompt": "Hi",
        "x": 2,
        "response": "<Hi>",
        "model": "M",
        "generate_revision": "r1",
        "generate_finish_reason": "stop",
        "generate_prompt_tokens": 7,
        "generate_tokens": 4,
        "generate_temperature": 0.7,
        "generate_top_p": 0.9,
        "generate_max_new_tokens": 1024,
        "generate_seed": 4,
    }


def test_templates_context_and_system(generate: Any) -> None:
    records = [{"a": "x", "b": {"c": [1]}, "prompt": "p"}]
    template = "{a}: {b} {{z}}"
    assert generate(records, echo, "--template", template)[0]["response"] == '<x: {"c":[1]} {z}>'
    escaped = r"{a}:\n\t{prompt}\\n"
    assert generate(records, echo, "--template", escaped)[0]["response"] == "<x:\n\tp\\n>"
    assert generate(records, echo, "--context-field", "a")[0]["response"] == "<x\n\np>"
    generate(records, echo, "--system", "Be brief.")
    assert generate.models[0].prompts[0].messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "p"},
    )
    generate(records, echo, "--plain")
    assert generate.models[0].prompts[0].text == "p"


def test_a_template_from_a_file(generate: Any, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("Say \\nu {prompt}\n")
    found = generate([{"prompt": "a"}], echo, "--template", f"@{tmp_path / 't'}")
    assert found[0]["response"] == "<Say \\nu a\n>"
    with pytest.raises(SynthError, match="/no/such/file: cannot be read"):
        generate([{"prompt": "a"}], echo, "--template", "@/no/such/file")


def test_a_changed_template_file_is_another_run(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n')
    words = ["generate", "p.jsonl", "--model", llama, "--max-new-tokens", 1, "-o", "out/"]
    words += ["--template", "@t", "--report", "r.json"]
    (tmp_path / "t").write_text("Say {prompt}")
    running.synth(*words, cwd=tmp_path)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["made_by"]["arguments"]["template"] == "Say {prompt}"
    running.synth(*words, "--resume", cwd=tmp_path)
    (tmp_path / "t").write_text("Sing {prompt}")
    assert "template" in running.synth(*words, "--resume", code=1, cwd=tmp_path)


def test_a_file_is_resumed_by_answer(generate: Any, tmp_path: Path) -> None:
    records = [{"prompt": f"{n}"} for n in range(20)]
    output, journal = tmp_path / "a.jsonl", tmp_path / ".a.jsonl.answers.jsonl"

    def breaks(said: str, prompt: Prompt) -> str:
        if said == "13":
            raise SynthError("the server is gone")
        return echo(said, prompt)

    with pytest.raises(SynthError, match="is gone"):
        generate(records, breaks, "-o", str(output))
    assert not output.exists()
    for more in (
        (),
        ("--resume", "--seed", "9"),
    ):  # neither lost in silence nor taken for another's
        with pytest.raises(SynthError, match="--force starts over"):
            generate(records, echo, "-o", str(output), *more)
    generate(records, echo, "-o", str(output), "--resume")
    assert [p.messages[-1]["content"] for p in generate.models[0].prompts] == [
        str(n) for n in range(13, 20)
    ]
    assert [json.loads(line)["response"] for line in output.read_text().splitlines()] == [
        f"<{n}>" for n in range(20)
    ]
    assert not journal.exists()
    undisturbed = tmp_path / "b.jsonl"
    generate(records, echo, "-o", str(undisturbed))
    assert undisturbed.read_bytes() == output.read_bytes()


def test_a_run_without_answers_leaves_nothing(generate: Any, tmp_path: Path) -> None:
    def gone(said: str, prompt: Prompt) -> str:
        raise SynthError("the server is gone")

    with pytest.raises(SynthError, match="is gone"):
        generate([{"prompt": "a"}], gone, "-o", str(tmp_path / "a.jsonl"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    with pytest.raises(UsageError, match="needs an output"):
        generate([{"prompt": "a"}], echo, "-o", "-", "--resume")


def test_a_budget_is_kept_to_one_answer_and_continued(generate: Any, tmp_path: Path) -> None:
    """An answer takes 7 tokens of its prompt and 3 or 4 of its own."""
    records = [{"prompt": f"{n}"} for n in range(20)]
    output = str(tmp_path / "a.jsonl")
    rest = ("-o", output, "--max-new-tokens", "4", "--price-in", "1e6", "--price-out", "2e6")
    spent = 0
    for budget, more in (("tokens=70", ()), ("cost=150", ("--resume",))):
        with pytest.raises(SynthError, match=f"the budget .{budget}. is used up"):
            generate(records, echo, *rest, "--budget", budget, *more)
        asked = [p.messages[-1]["content"] for p in generate.models[0].prompts]
        assert asked == [str(n) for n in range(spent, spent + len(asked))]
        spent += len(asked)
        own = sum(len(f"<{n}>") for n in range(spent))
        used = 7 * spent + (own if budget.startswith("tokens") else 2 * own)
        limit = int(budget.partition("=")[2])
        assert limit <= used < limit + 7 + 2 * 4
    report = tmp_path / "r.json"
    generate(records, echo, *rest, "--resume", "--report", str(report))
    assert len(generate.models[0].prompts) == 20 - spent
    own = sum(len(f"<{n}>") for n in range(20))
    assert json.loads(report.read_text())["cost"] == pytest.approx(7 * 20 + 2 * own)
    assert len(Path(output).read_text().splitlines()) == 20


def test_a_budget_counts_what_a_chat_template_adds(generate: Any, tmp_path: Path) -> None:
    """A prompt of 2 bytes has 50 tokens; the excess is that of one answer, not of all that are in flight."""
    generate.prompt_tokens = 50
    arguments = (
        "-o",
        str(tmp_path / "a.jsonl"),
        "--max-new-tokens",
        "4",
        "--budget",
        "tokens=1000",
    )
    with pytest.raises(SynthError, match="the budget .tokens=1000. is used up"):
        generate([{"prompt": f"{n}"} for n in range(10, 99)], echo, *arguments)
    # Answers of 4 tokens: <10>.
    assert 1000 <= len(generate.models[0].prompts) * (50 + 4) < 1000 + 54


def test_an_estimate_scales_texts_not_their_chat_template() -> None:
    """Prompts of 20 tokens and one for each 4 bytes, of which the sample has the short ones."""
    from synthtools.curate.generation_costs import SampledPrompts, estimate

    class Model:
        def generate(self, prompts: Any) -> Any:
            return [Answer("x", "stop", 20 + prompt.size // 4, 5) for prompt in prompts]

    sample = [Prompt(b"", "x" * size) for size in (40, 80, 120)]
    found = estimate(SampledPrompts(10, 10, 10 * 4000, sample), Model(), 2)
    assert (found["requests"], found["prompt_tokens"]) == (20, 20 * (20 + 1000))
    alike = estimate(SampledPrompts(10, 10, 400, sample[:1] * 2), Model(), 1)
    assert alike["prompt_tokens"] == 10 * (20 + 10)


def test_a_cache_changes_nothing_but_what_is_asked(generate: Any, tmp_path: Path) -> None:
    """Answers that failed are none; those of another model, seed or sampling are others."""
    records = [{"prompt": f"{n}"} for n in range(20)]

    def says(said: str, prompt: Prompt) -> str | None:
        return None if said == "13" else echo(said, prompt)

    def asked(*more: str, name: str = "b.jsonl") -> tuple[int, dict[str, Any]]:
        report = tmp_path / "r.json"
        words = ("-n", "2", "--on-error", "skip", "--report", str(report), "--force", *more)
        generate(records, says, "-o", str(tmp_path / name), "--cache", str(tmp_path / "c"), *words)
        return len(generate.models[0].prompts), json.loads(report.read_text())

    prices = ("--price-in", "1e6", "--price-out", "1e6")
    first, report = asked(*prices, name="a.jsonl")
    assert first == 40
    assert report["cache"] == {"hits": 0, "added": 38, "damaged": 0}
    # 7 tokens of each prompt, and the letters of each answer.
    assert report["cost"] == 2 * sum(7 + len(f"<{n}>") for n in range(20) if n != 13)
    again, report = asked(*prices)
    assert again == 2 and report["cache"] == {"hits": 38, "added": 0, "damaged": 0}
    assert report["cost"] == 0 and report["tokens"] > 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert asked("--budget", "tokens=1")[0] == 2  # what is there costs nothing
    for other in (("--seed", "5"), ("--temperature", "0.5"), ("-m", "other"), ("--system", "s")):
        assert asked(*other)[0] == 40
    kept = "".join(path.read_text() for path in (tmp_path / "c").iterdir())
    assert "no idea" not in kept and len(kept.splitlines()) == 5 * 38


def test_a_dry_run_asks_few_and_writes_nothing(
    generate: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records = [{"prompt": "x" * (1 + n % 3)} for n in range(900)]
    output = tmp_path / "a.jsonl"
    common = ("-m", "A", "-m", "B", "-n", "2", "-o", str(output), "--dry-run", "--json")
    generate(records, echo, *common, "--price-in", "1e6", "--price-out", "2e6")
    plan = json.loads(capfd.readouterr().out)
    assert [len(model.prompts) for model in generate.models] == [16, 16]
    assert not output.exists() and plan["kind"] == "generate-plan"
    assert (plan["prompts"], plan["requests"]) == (900, 3600)
    for one in plan["models"]:
        # Of 900 prompts each length is a third: 2 x 900 answers of 4 tokens on the average.
        assert one["tokens_low"] <= 7200 <= one["tokens_high"] < 7200 * 1.2
        lengths = [len(p.messages[-1]["content"]) for p in generate.models[0].prompts]
        assert one["tokens"] == pytest.approx(1800 * (sum(lengths) / 16 + 2), abs=1)
        assert one["cost"] == pytest.approx(one["prompt_tokens"] + 2 * one["tokens"])
    with pytest.raises(SynthError, match="none of 16 prompts was answered: no idea"):
        generate(records, lambda said, prompt: None, "-o", str(output), "--dry-run")
    with pytest.raises(UsageError, match="needs --price-in"):
        generate(records, echo, "-o", str(output), "--budget", "cost=1")


def test_conversations_in_the_prompt_field(generate: Any) -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    generate([{"prompt": messages}], echo, "--system", "s")
    assert [m["content"] for m in generate.models[0].prompts[0].messages] == ["s", "a", "b", "c"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"text": "a"}, 'no field "prompt"'),
        ({"prompt": None}, 'no field "prompt"'),
        ({"prompt": "  "}, "the prompt is empty"),
        ({"prompt": 5}, "neither a text nor a list of messages"),
        ({"prompt": []}, "nor a list of {role, content}"),
        ({"prompt": [{"role": "oracle", "content": "a"}]}, "nor a list of {role, content}"),
        ({"prompt": [{"role": "assistant", "content": "a"}]}, "does not end with a message of"),
        ({"prompt": "a", "response": "b"}, 'a field "response" already'),
        ({"prompt": "a", "model": "b"}, 'a field "model" already'),
        ({"prompt": "unanswerable"}, "no idea"),
    ],
)
def test_bad_records(generate: Any, tmp_path: Path, record: Any, reason: str) -> None:
    def speak(said: str, prompt: Prompt) -> str | None:
        return None if said == "unanswerable" else said

    records = [{"prompt": "good"}, record, {"prompt": "too"}]
    with pytest.raises(SynthError, match=r"in\.jsonl:2: .*" + reason.replace("{", r"\{")):
        generate(records, speak)
    rejects = tmp_path / "rejects.jsonl"
    found = generate(records, speak, "--on-error", "skip", "--rejects", str(rejects))
    assert [r["response"] for r in found] == ["good", "too"]
    (told,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert told["line"] == 2 and reason in told["reason"] and json.loads(told["raw"]) == record


def test_fields_that_are_named_are_replaced(generate: Any) -> None:
    record = {"prompt": "a", "response": "old", "model": "old"}
    more = ("--response-field", "response", "--model-field", "by")
    (found,) = generate([record], echo, *more, "-m", "M")
    assert (found["response"], found["model"], found["by"]) == ("<a>", "old", "M")


def test_several_answers_have_draws_of_their_own(generate: Any) -> None:
    records = [{"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"}]
    found = generate(records, echo, "-n", "3")
    assert [r["generate_sample"] for r in found] == [0, 1, 2] * 3
    keys = [p.key for p in generate.models[0].prompts]
    assert len(set(keys)) == 9
    generate(records[::-1], echo, "-n", "3")
    assert sorted(p.key for p in generate.models[0].prompts) == sorted(keys)


def test_each_model_answers_all_or_its_share(generate: Any) -> None:
    records = [{"id": i, "prompt": f"p{i}", "kind": "ab"[i % 3 == 0]} for i in range(50)]
    models = ("-m", "A", "-m", "B", "-m", "C", "-m", "D")
    found = generate(records, echo, *models)
    assert [(r["model"], r["id"]) for r in found] == [(m, i) for m in "ABCD" for i in range(50)]
    found = generate(records, echo, *models, "--assign", "stratified", "--stratify-by", "kind")
    assert sorted(r["id"] for r in found) == list(range(50))
    counts = Counter((r["model"], r["kind"]) for r in found)
    for kind in "ab":
        shares = [counts[m, kind] for m in "ABCD"]
        assert max(shares) - min(shares) <= 1
    totals = Counter(r["model"] for r in found).values()
    assert max(totals) - min(totals) <= 1
    again = generate(records, echo, *models, "--assign", "stratified", "--stratify-by", "kind")
    assert again == found
    other = generate(
        records[::-1], echo, *models, "--assign", "stratified", "--stratify-by", "kind"
    )
    assert {r["id"]: r["model"] for r in other} == {r["id"]: r["model"] for r in found}


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(2, 5), st.integers(0, 3))
def test_shares_are_equal(kinds: list[str], models: int, seed: int) -> None:
    lines = [json.dumps({"kind": kind}).encode() for kind in kinds]
    places = np.arange(len(lines))
    batch = JsonBatch("x", places + 1, places, lines=lines)
    items = [
        PromptedRecords(batch, [Prompt(b"", "")] * len(lines), places.astype(np.uint64) * 7919)
    ]
    found = stratified(items if lines else [], models, seed, "kind")
    assert len(found) == len(kinds)
    for kind in {None, *kinds}:
        mine = [m for m, k in zip(found.tolist(), kinds, strict=True) if kind in (None, k)]
        shares = [mine.count(m) for m in range(models)]
        assert max(shares) - min(shares) <= 1


def test_styles_rephrase_the_document(generate: Any) -> None:
    for style in STYLES:
        (found,) = generate([{"text": "The {text}."}], echo, "--style", style)
        assert found["response"] == f"<{STYLES[style]}\n\nThe {{text}}.>"


# ---------------------------------------------------------------- STaR


def test_rationales_that_reach_the_answer_are_kept(generate: Any) -> None:
    def speak(said: str, prompt: Prompt) -> str:
        if "easy" in said or ("hard" in said and "Hint" in said):
            return "Well. The answer is $1,002.50."
        return "The answer is 3."

    records = [
        {"id": kind, "prompt": kind, "answer": "so\n#### 1002.5"} for kind in ("easy", "no", "hard")
    ]
    found = generate(records, speak, "--rationale")
    assert [(r["id"], r["rationale"]) for r in found] == [("easy", "direct"), ("hard", "hinted")]
    said = [p.messages[-1]["content"] for p in generate.models[0].prompts]
    assert len(said) == 5 and sum("Hint: the right answer is 1002.5" in s for s in said) == 2


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        ("The answer is 18.", "18", True),
        ("the answer is: $18.00 a day", "18", True),
        ("The answer is 18. No, the answer is 19.", "18", False),
        ("The answer is 1/2", "0.5", True),
        ("The answer is 1/0", "0.5", False),
        ("The answer is -3", "3", False),
        ("The answer is **Paris**.", "paris", True),
        ("The answer is Paris, France", "Paris", False),
        ("18", "18", False),
        ("", "18", False),
        ("The answer is eighteen", "18", False),
        ("The answer is 50%", "50 %", True),
        ("The answer is -$5", "5", False),
        ("The answer is -$5.", "-5", True),
        ("The answer is **$.75**.", "0.75", True),
        ("The answer is .75", "75", False),
        ("The answer is 75", ".75", False),
    ],
)
def test_what_reaches_an_answer(text: str, gold: str, right: bool) -> None:
    assert reached(text, gold) is right


def test_gold_answers() -> None:
    assert gold_of("a <<1+1=2>>\n#### 2") == "2"
    assert gold_of(5) == "5"


# ---------------------------------------------------------------- S3


def test_errors_become_new_items(generate: Any) -> None:
    def speak(said: str, prompt: Prompt) -> str:
        assert "Its wrong answer: 5" in said
        return "question: New?\nANSWER: yes\nindeed" if "2+2" in said else "I cannot."

    records = [
        {"id": i, "prompt": p, "answer": "4", "response": "5", "model": "small", "junk": 1}
        for i, p in enumerate(("2+2", "3+3"))
    ]
    more = ("--extrapolate-errors", "--wrong-field", "response", "-m", "M")
    (found,) = generate(records, speak, *more)
    assert {k: v for k, v in found.items() if not k.startswith("generate_")} == {
        "prompt": "New?",
        "answer": "yes\nindeed",
        "response": "yes\nindeed",
        "model": "M",
        "id": "0/new-0",
        "extrapolated_from": "0",
    }


def test_pairs() -> None:
    assert pair_in("Question: a\nAnswer: b") == ("a", "b")
    for text in ("", "Question: a", "Answer: b", "Question:\nAnswer: b", "Question: a\nAnswer:"):
        assert pair_in(text) is None


# ---------------------------------------------------------------- beginnings


@given(st.text(max_size=80), st.integers(1, 12))
def test_a_beginning_has_so_many_tokens(builtin_tokenizer: Any, text: str, count: int) -> None:
    found = beginning(text, count, builtin_tokenizer)
    assert text.startswith(found)
    ids = builtin_tokenizer.encode([text])[0]
    if len(ids) <= count:
        assert found == text
    else:
        surfaces = b"".join(builtin_tokenizer.surfaces[i] for i in ids[:count])
        assert surfaces.decode("utf-8", "ignore").strip(" ") == found.strip(" ")


def test_the_beginning_of_a_long_document(builtin_tokenizer: Any, documents: list[str]) -> None:
    whole = " ".join(documents)
    ids = builtin_tokenizer.encode([whole[:2000]])[0][:20]
    expected = b"".join(builtin_tokenizer.surfaces[i] for i in ids).decode()
    assert beginning(whole, 20, builtin_tokenizer) == expected


@pytest.fixture(scope="module")
def builtin_tokenizer(tokenizer: Any) -> Any:
    from synthtools.lm.text_tokenizer import TextTokenizer

    return TextTokenizer(tokenizer)


# ---------------------------------------------------------------- Self-Instruct


def test_new_tasks_are_unlike_all_others(generate: Any) -> None:
    seeds = [{"prompt": f"Seed task number {i} about {'abcdefghijklm'[i]}"} for i in range(12)]
    count = 0

    def speak(said: str, prompt: Prompt) -> str:
        nonlocal count
        count += 1
        new = f"{count} entirely fresh undertaking{count} with plan{count}"
        return f"9. {new}\n10. {new} again\n11. Seed task number 3 about d\n12. two words\n13) " + (
            "word " * 151
        )

    found = generate(seeds, speak, "--self-instruct", "40")
    assert len(found) == 40
    assert [r["id"] for r in found[:2]] == ["self-instruct-0-0", "self-instruct-0-1"]
    assert all(r["rouge_l"] <= 0.7 and "response" not in r for r in found)
    texts = [r["prompt"] for r in seeds] + [r["prompt"] for r in found]
    for place, record in enumerate(found):
        before = texts[: 12 + place]
        nearest = max(rouge_l(words(record["prompt"]), words(other)) for other in before)
        assert record["rouge_l"] == pytest.approx(nearest)
    shown = [p.messages[-1]["content"] for p in generate.models[0].prompts]
    for said in shown:
        assert sum(f"\n{n}. " in said for n in range(1, 10)) == 8
        assert said.count("fresh") <= 2
    assert any("fresh" in said for said in shown)
    with pytest.raises(SynthError, match="gave no new task; there are 0"):
        generate(
            seeds, lambda said, prompt: "9. Seed task number 3 about d", "--self-instruct", "1"
        )
    with pytest.raises(SynthError, match="shows 8 examples, and there are only 3"):
        generate(seeds[:3], speak, "--self-instruct", "1")


def test_a_list_that_is_gone_on_with(generate: Any) -> None:
    seeds = [{"prompt": f"task {i} of {chr(97 + i) * 3}"} for i in range(9)]
    found = generate(
        seeds,
        lambda said, prompt: " Brew some beer\n10. Bake fine bread",
        "--self-instruct",
        "2",
        "--plain",
    )
    assert [r["prompt"] for r in found] == ["Brew some beer", "Bake fine bread"]
    assert generate.models[0].prompts[0].text.endswith("\n9.")


@given(
    st.lists(st.sampled_from("abcd"), max_size=70), st.lists(st.sampled_from("abcd"), max_size=70)
)
def test_common_subsequences(one: list[str], other: list[str]) -> None:
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
            )
    assert common_subsequence(one, other) == table[-1, -1]


@given(st.lists(st.text("ab ", max_size=9), max_size=8), st.text("ab ", max_size=9))
def test_pools_find_the_nearest(texts: list[str], text: str) -> None:
    pool = RougePool()
    for other in texts:
        pool.add(other)
    expected = max((rouge_l(words(text), words(other)) for other in texts), default=0.0)
    assert pool.nearest(text) == pytest.approx(expected)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--style", "wrap-odd"), "--style wrap-odd: use wrap-easy"),
        (("--style", "wrap-qa", "--rationale"), "give one"),
        (("--assign", "all"), "use single or stratified"),
        (("--assign", "stratified"), "several --model"),
        (("--stratify-by", "x"), "belongs to --assign stratified"),
        (("--style", "wrap-qa", "--template", "{a}"), "a prompt of its own"),
        (("--template", "{a}", "--prompt-field", "a"), "names its fields itself"),
        (("--plain", "--system", "a"), "no conversation for --system"),
        (("--plain", "--rationale"), "in a conversation"),
        (("-n", "2", "--rationale"), "-n does not go with rationale"),
        (("--self-instruct", "2", "-m", "a", "-m", "b"), "one pool with one model"),
        (("--wrong-field", "a"), "belongs to --extrapolate-errors"),
        (("--template", "{a.b"), "--template {a.b: "),
        (("--template", "{}"), "only plain {field}"),
        (("--template", "{a:>5}"), "only plain {field}"),
        (("--template", r"\d {a}"), r"for \d write"),
        (("--stop", ""), "an empty string"),
        (("--validate", "odd"), "use words=MIN..MAX"),
        (("--validate", "words=5..2"), "5 is more than 2"),
        (("--validate", "words=.."), "write a range as"),
        (("--validate", "regex=("), "an expression of RE2"),
        (("--validate", "judge=11"), "write a range as"),
        (("--validate", "language=xx"), 'unknown language "xx"'),
        (("--validate", "judge=7.."), "--judge MODEL and the score judge (--validate, --score) go"),
        (("--validate", "probability=0.5.."), "--classifier FILE and the score probability"),
        (("--score-model", "builtin"), "goes with the score perplexity"),
        (("--best-of", "2"), "--best-of N and --score go together"),
        (("--best-of", "2", "--score", "odd"), "use judge, perplexity"),
        (("--best-of", "2", "--score", "mid:words"), "use judge, perplexity"),
        (("--best-of", "2", "--score", "words", "--temperature", "0"), "draws the same answer"),
        (("--against", "a"), "give --distinct"),
        (("--distinct", "exact", "--similarity", "0.5"), "goes with --distinct near"),
        (("--distinct", "exact", "--shard", "1/2"), "does not go with --shard"),
        (("--distinct", "exact", "--rationale"), "--distinct: rationale has checks of its own"),
        (("--judge", "J"), "go together"),
        (("--judge-server", "http://a"), "needs --judge"),
        (("--judge-guided",), "--judge-guided needs --judge MODEL"),
        (
            ("--validate", "judge=7..", "--judge", "J", "--judge-guided", "--backend", "torch"),
            "--judge-guided needs vLLM",
        ),
        (("--retries", "2"), "give --validate or --distinct"),
        (("--validate", "words=2..", "--rationale"), "checks of its own"),
        (("--validate", "words=2..", "--temperature", "0"), "draws the same answer again"),
    ],
)
def test_options_that_do_not_fit(generate: Any, arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        generate([{"prompt": "a"}], echo, *arguments)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_braces_in_templates() -> None:
    template = Template("{{{a}}} {a}{b}")
    assert template.fields == ("a", "b")
    assert template.filled({"a": "{b}", "b": 1}) == "{{b}} {b}1"
