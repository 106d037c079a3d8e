"""The 25 instructions of IFEval, by example and against the published checker."""

from __future__ import annotations

import random

import pytest

from synthtools.errors import SynthError
from synthtools.evaluate import ifeval
from synthtools.evaluate.ifeval import RULES, followed, loosened
from synthtools.text.languages import language_of

# Of each instruction: arguments, answers that follow it, answers that do not.
CASES = {
    "keywords:existence": ({"keywords": ["cat", "dog"]}, ["A CAT, a dogma."], ["A cat."]),
    "keywords:frequency": (
        {"keyword": "war", "frequency": 2, "relation": "at least"},
        ["War and warden"],
        ["one war"],
    ),
    "keywords:forbidden_words": (
        {"forbidden_words": ["rock"]},
        ["rocket science"],
        ["We ROCK!"],
    ),
    "keywords:letter_frequency": (
        {"letter": "!", "let_frequency": 2, "let_relation": "less than"},
        ["Oh!"],
        ["Oh!!"],
    ),
    "language:response_language": (
        {"language": "de"},
        ["Das ist ein ganz normaler Satz in deutscher Sprache.", "123 456"],
        ["This is quite an ordinary sentence in the English language."],
    ),
    "length_constraints:number_sentences": (
        {"num_sentences": 3, "relation": "less than"},
        ["Mr. Poe came at 5 p.m. on Friday. He sat down.", "One... two. Three"],
        ["One. Two! Three?", "1. Sit.\n2. Stay."],
    ),
    "length_constraints:number_words": (
        {"num_words": 3, "relation": "at least"},
        ["one two-three"],
        ["one two"],
    ),
    "length_constraints:number_paragraphs": (
        {"num_paragraphs": 2},
        ["a\n***\nb", "***\na\n***\nb\n***"],
        ["a", "a *** *** b", "a\n\nb"],
    ),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "hello"},
        ['First.\n\n"Hello, you.'],
        ["First.\n\nOh hello", "Hello\n\nFirst", "a\n\n\n\nhello"],
    ),
    "detectable_content:number_placeholders": (
        {"num_placeholders": 2},
        ["Dear [name] of [place]"],
        ["Dear [name"],
    ),
    "detectable_content:postscript": (
        {"postscript_marker": "P.P.S"},
        ["text p. p.s. more"],
        ["text P.S. more"],
    ),
    "detectable_format:number_bullet_lists": (
        {"num_bullets": 2},
        ["* a\n- b", "  * a\n  * b"],
        ["* a", "**a**\n* b\n* c\n* d"],
    ),
    "detectable_format:constrained_response": (
        {},
        ["So: My answer is maybe."],
        ["My answer is perhaps."],
    ),
    "detectable_format:number_highlighted_sections": (
        {"num_highlights": 2},
        ["*a* and *b*", "**a** **b**"],
        ["*a*", "* * and **"],
    ),
    "detectable_format:multiple_sections": (
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\na\nSECTION 2\nb"],
        ["Section 1\nSECTION 2"],
    ),
    "detectable_format:json_format": (
        {},
        ['```json\n{"a": 1}\n```', "[1]"],
        ["{a: 1}", 'Here: {"a": 1}', "[" * 100_000],
    ),
    "detectable_format:title": ({}, ["<<poem of joy>>\ntext"], ["<poem>", "<<  >>"]),
    "combination:two_responses": ({}, ["a\n******\nb"], ["a******a", "a", "a****** ******b"]),
    "combination:repeat_prompt": (
        {"prompt_to_repeat": "Say hi."},
        [" say HI. Hi!"],
        ["Sure: Say hi."],
    ),
    "startend:end_checker": (
        {"end_phrase": "Any other questions?"},
        ['Done. any other questions?"'],
        ["Any other questions? No."],
    ),
    "startend:quotation": ({}, ['"all of it"'], ['"', 'say "so"', "“no”"]),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA's FBI", "DON'T", "I saw A-B"],
        ["NASA", "Nasa Fbi"],
    ),
    "change_case:english_capital": (
        {},
        ["WHAT THE WEATHER WILL BE LIKE TOMORROW IS SOMETHING THAT NOBODY HERE KNOWS."],
        ["THIS is not.", "DAS IST EIN GANZ NORMALER SATZ IN DEUTSCHER SPRACHE."],
    ),
    "change_case:english_lowercase": (
        {},
        ["this is quite an ordinary sentence in english."],
        ["This is not.", "das ist ein ganz normaler satz in deutscher sprache."],
    ),
    "punctuation:no_comma": ({}, ["none; at all"], ["one, two"]),
}


@pytest.fixture(autouse=True)
def _languages():
    pytest.importorskip("langdetect")


def test_all_25_have_a_case():
    assert set(CASES) == set(RULES)
    assert len(RULES) == 25


@pytest.mark.parametrize("name", sorted(CASES))
def test_rules(name):
    arguments, good, bad = CASES[name]
    for answer in good:
        assert followed(answer, [name], [arguments]) == [True], answer
    for answer in bad:
        assert followed(answer, [name], [arguments]) == [False], answer
    # An empty answer follows nothing, whatever the rule would say of it.
    assert followed(" \n", [name], [arguments]) == [False]


def test_the_loose_reading_forgives_a_first_line_a_last_one_and_asterisks():
    wanted = ["startend:quotation"], [{}]
    answer = 'Sure, here it is:\n*"all of it"*\nHope that helps!'
    assert followed(answer, *wanted) == [False]
    assert followed(answer, *wanted, loose=True) == [True]
    assert len(loosened(answer)) == 8
    assert followed("Sure: no", *wanted, loose=True) == [False]


def test_languages_do_not_change_from_call_to_call():
    short = "no"
    assert len({language_of(short) for _ in range(10)}) == 1


@pytest.fixture(scope="module")
def published():
    """lm-evaluation-harness's copy of the authors' checker, and whether it can count sentences."""
    nltk = pytest.importorskip("nltk")
    pytest.importorskip("immutabledict")
    langdetect = pytest.importorskip("langdetect")
    before, nltk.download = nltk.download, lambda *_, **__: True
    try:
        checker = pytest.importorskip("lm_eval.tasks.ifeval.utils")
    finally:
        nltk.download = before
    langdetect.DetectorFactory.seed = 0
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        return checker, False
    return checker, True


# A letter of chance stands in for these in the published checker.
MARKS = ("#", "!")


def test_verdicts_are_the_published_checkers(published, real):
    checker, has_sentences = published
    drawn = random.Random(5)
    answers = [record["response"] for record in real("synth_mt_bench_answers")[::40]]
    own = [answer for _, good, bad in CASES.values() for answer in (*good, *bad)]
    count = 0
    for record in drawn.sample(real("eval_ifeval"), 70):
        example = checker.InputExample(
            record["key"], record["instruction_id_list"], record["prompt"], record["kwargs"]
        )
        for answer in (*drawn.sample(answers, 2), drawn.choice(own), record["prompt"]):
            if len(answer) > 3000 or answer.startswith("[[["):
                continue
            for loose, test in (
                (False, checker.test_instruction_following_strict),
                (True, checker.test_instruction_following_loose),
            ):
                ours = followed(
                    answer, record["instruction_id_list"], record["kwargs"], loose=loose
                )
                theirs = list(_without_sentences(checker, example, answer, test, has_sentences))
                for name, given, mine, other in zip(
                    record["instruction_id_list"], record["kwargs"], ours, theirs
                ):
                    if other is not None and given.get("letter") not in MARKS:
                        assert mine == other, (name, given, answer)
                        count += 1
    assert count > 500


def _without_sentences(checker, example, answer, test, has_sentences):
    """The published verdicts, one instruction at a time; None of those that need Punkt's data."""
    for name, given in zip(example.instruction_id_list, example.kwargs):
        if not has_sentences and name in (
            "length_constraints:number_sentences",
            "change_case:capital_word_frequency",
        ):
            yield None
            continue
        one = checker.InputExample(example.key, [name], example.prompt, [given])
        yield test(one, answer).follow_instruction_list[0]


def prompts():
    return [
        {
            "id": f"i{n}",
            "key": n,
            "prompt": f"Prompt {n}",
            "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
            "kwargs": [{}, {}],
        }
        for n in range(4)
    ]


def test_accuracies_and_what_is_left_out(evaluator, write):
    data = write("ifeval.jsonl", prompts())
    said = {
        "good": ['"yes"', '"yes"', '"a, b"', "no"],
        "other": ["x", '"x"', '*\n"loose"\n*', None],
    }
    rows = [
        {"prompt": f"Prompt {n}", "response": text, "model": model}
        for model, texts in said.items()
        for n, text in enumerate(texts)
        if text is not None
    ]
    run = evaluator(data=data, answers=(write("answers.jsonl", rows),), bootstrap=50)
    section = ifeval.run("ifeval", run)
    # Prompt 3 has no answer of the other model: it counts for neither.
    assert section["n"] == 3
    assert section["dropped"] == 1
    figures = section["figures"]
    assert figures["good: prompt_strict"] == pytest.approx(2 / 3)
    assert figures["good: instruction_strict"] == pytest.approx(5 / 6)
    assert figures["other: prompt_strict"] == pytest.approx(1 / 3)
    assert figures["other: prompt_loose"] == pytest.approx(2 / 3)
    low, high = section["intervals"]["good: prompt_strict"]
    assert 0 <= low <= figures["good: prompt_strict"] <= high <= 1
    kinds = {row["kind"]: row["strict"] for row in section["models"][0]["kinds"]}
    assert kinds == {"punctuation:no_comma": pytest.approx(2 / 3), "startend:quotation": 1}
    assert section["models"][1]["missing"] == {"not in the file": 1}
    assert [row["dropped"] for row in run.rows] == [False, False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": 3}, "no text"),
        ({"kwargs": []}, "one length"),
        ({"instruction_id_list": ["a:b", "c:d"]}, "unknown instruction"),
        ({"kwargs": [{"x": 1}, {}]}, "do not fit"),
        ({"instruction_id_list": [], "kwargs": []}, "must hold"),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{}]}, "do not fit"),
    ],
)
def test_bad_prompts(change, reason):
    assert reason in ifeval.fault(prompts()[0] | change)
    assert ifeval.fault(prompts()[0]) is None


def test_answers_to_other_prompts_are_an_error(evaluator, write):
    rows = [{"prompt": "Something else", "response": "x"}]
    run = evaluator(data=write("ifeval.jsonl", prompts()), answers=(write("a.jsonl", rows),))
    with pytest.raises(SynthError, match="no answer to any of the 4 prompts"):
        ifeval.run("ifeval", run)
