"""Verdicts, ratings and scores as the benchmarks' own packages read them, and as we do.

    pip install --no-deps fschat alpaca_eval

What they would call a judge with, and what their imports want beside, is stood in for; the code that reads a
judgment is theirs. Where theirs and ours differ, the table says why ours is right.
"""

from __future__ import annotations

import argparse
import importlib
import math
import re
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

from synthtools.evaluate import mt_bench
from synthtools.evaluate.judge import CHOICE, rating, verdict_of

CODE = "BCDFGH"


@pytest.fixture(scope="module")
def stood_in():
    """Modules of these names, until the module's tests are done."""
    with pytest.MonkeyPatch.context() as patch:

        def stand_in(name, **held):
            module = ModuleType(name)
            module.__dict__.update(held)
            patch.setitem(sys.modules, name, module)

        yield stand_in


@pytest.fixture(scope="module")
def fastchat(stood_in):
    """``fastchat.llm_judge.common``, whose judge replies what ``reply`` holds."""
    pytest.importorskip("fastchat")
    from fastchat.conversation import get_conv_template

    for name in ("openai", "anthropic", "fastchat.model"):
        stood_in(name)
    stood_in(
        "fastchat.model.model_adapter",
        get_conversation_template=lambda model: get_conv_template("chatgpt"),
        ANTHROPIC_MODEL_LIST=(),
        OPENAI_MODEL_LIST=("judge",),
    )
    common = importlib.import_module("fastchat.llm_judge.common")
    common.chat_completion_openai = lambda *_, **__: common.reply
    return common


def fastchat_judge(common, form):
    words = {"system_prompt": "", "prompt_template": "", "output_format": form}
    return common.Judge("judge", words)


def fastchat_rating(common, reply):
    """None where FastChat writes −1, and where its reading ends in an error."""
    common.reply = reply
    answer = {"choices": [{"turns": ["a"]}]}
    try:
        judge = fastchat_judge(common, "[[rating]]")
        found, _, _ = common.run_judge_single({"turns": ["q"]}, answer, judge, None)
    except SyntaxError:
        return None
    return None if found == -1 else found


def fastchat_winner(common, reply):
    common.reply = reply
    answer = {"choices": [{"turns": ["a"]}]}
    judge = fastchat_judge(common, "[[A]]")
    winner, _, _ = common.run_judge_pair({"turns": ["q"]}, answer, answer, judge, None)
    return None if winner == "error" else winner.upper()


def both_forms(reply):
    """A reply in FastChat's form and in ours: what stands in braces is the verdict."""
    ours = re.sub(r"{(.*?)}", lambda m: f"{CODE}: {'TIE' if m[1] == 'C' else m[1]}", reply)
    return re.sub(r"{(.*?)}", r"[[\1]]", reply), ours


OUT_OF_RANGE = "FastChat takes a grade out of the range that was asked for"
OF_TEN = "out of the ten that were asked for is a grade"
LAST = "a judge that changes its mind means its last word"
FIRST_OF_TWO = "two verdicts in one line are not one"
RATINGS_APART = {
    "{11}": (11, None, OUT_OF_RANGE),
    "{0}": (0, None, OUT_OF_RANGE),
    "{100}": (100, None, OUT_OF_RANGE),
    "{10.5}": (10.5, None, OUT_OF_RANGE),
    "{7/10}": (None, 7, OF_TEN),
    "{7 out of 10}": (None, 7, OF_TEN),
    "{ 7 }": (None, 7, "blanks say nothing"),
    "{007}": (None, 7, "FastChat ends in a SyntaxError"),
    "{7 [8]}": (8, None, FIRST_OF_TWO),
    "At first {3}, but no.\n{8}": (3, 8, LAST),
    "I say {3}, then {8}": (3, 8, LAST),
    "{7} {8}": (7, None, FIRST_OF_TWO),
    f"<{CODE} answer>[[10]]</{CODE} answer>\n{{3}}": (10, 3, "what the text says of itself"),
}
RATINGS_ALIKE = (
    "{7}", "{1}", "{10}", "{10.0}", "{7.5}", "{7.}", "Good.\n\n{8}", "{8}\nThat is all.", "{-5}",
    "{- 5}", "{−5}", "{.5}", "{8,5}", "{8, 5}", "{7 or 8}", "{7/100}", "{4/5}", "{1_0}", "{1-10}",
    "{seven}", "{1e1}", "{inf}", "{nan}", "{0x7}", "{²}", "{٧}", "{７}", "{}", "7", "",
)  # fmt: skip


@pytest.mark.parametrize("reply", RATINGS_ALIKE)
def test_ratings_are_fastchats(reply, fastchat):
    theirs, ours = both_forms(reply)
    value = verdict_of(ours, CODE, rating(1, 10))
    assert value == fastchat_rating(fastchat, theirs)


@pytest.mark.parametrize("reply", RATINGS_APART)
def test_ratings_that_are_read_otherwise(reply, fastchat):
    theirs, ours = both_forms(reply)
    read = fastchat_rating(fastchat, theirs), verdict_of(ours, CODE, rating(1, 10))
    assert read == RATINGS_APART[reply][:2]


WINNERS_APART = {
    "{a}": (None, "A", "a small letter means the same"),
    "{A} or {B}": ("A", None, FIRST_OF_TWO),
    "{A} {B}": ("A", None, FIRST_OF_TWO),
    "{B}, though {A} has merits": ("A", None, FIRST_OF_TWO),
    "{A}\n{B}": ("A", "B", LAST),
    "Not {A}: {B}": ("A", "B", LAST),
}
WINNERS_ALIKE = (
    "{A}", "{B}", "{C}", "A is longer.\n\n{B}", "{A}\nB is wrong.", "{A tie}", "{AB}", "{A/B}",
    "{A and B are equally good}", "{A is worse, so B}", "{A or B}", "{-A}", "{}", "A", "",
)  # fmt: skip


@pytest.mark.parametrize("reply", WINNERS_ALIKE)
def test_winners_are_fastchats(reply, fastchat):
    theirs, ours = both_forms(reply)
    assert verdict_of(ours, CODE, CHOICE) == fastchat_winner(fastchat, theirs)


@pytest.mark.parametrize("reply", WINNERS_APART)
def test_winners_that_are_read_otherwise(reply, fastchat):
    theirs, ours = both_forms(reply)
    read = fastchat_winner(fastchat, theirs), verdict_of(ours, CODE, CHOICE)
    assert read == WINNERS_APART[reply][:2]


@pytest.fixture(scope="module")
def alpaca_parsers(stood_in):
    """``alpaca_eval.completion_parsers``, without what the rest of the package imports."""
    pytest.importorskip("scipy")
    spec = find_spec("alpaca_eval")
    if spec is None:
        pytest.skip("alpaca_eval is not installed")
    stood_in("alpaca_eval", __path__=list(spec.submodule_search_locations))
    stood_in("pkg_resources")
    return importlib.import_module("alpaca_eval.completion_parsers")


@pytest.mark.parametrize(
    "said",
    [
        "Output (a)", "Output (b)", "output (b)", "A tie", "Neither", "",
        "Output (a) and Output (b) are equally good", "Output (a) is worse, so Output (b)",
        "Output (a) or Output (b)",
    ],
)  # fmt: skip
def test_preferences_are_alpaca_evals(said, alpaca_parsers):
    """Its annotators take a reply for an error that gives not one preference for the one pair."""
    patterns = {"A": r"(?i)output \(a\)", "B": r"(?i)output \(b\)"}
    found = alpaca_parsers.regex_parser(said, patterns) if said else []
    ours = re.sub(r"(?i)output \((.)\)", lambda m: m[1].upper(), said)
    assert verdict_of(f"{CODE}: {ours}", CODE, CHOICE) == (found[0] if len(found) == 1 else None)


@pytest.mark.parametrize("rank", ["1", "2", "0", "3", "'1'", "1, 2", "None", "-1", "1 or 2"])
def test_ranks_are_alpaca_evals(rank, alpaca_parsers):
    """The first of two is ranked: A is 1, B is 2; anything else has no preference."""
    reply = f"[{{'model': 'model_1', 'rank': {rank}}}, {{'model': 'model_2', 'rank': 2}}]"
    (theirs,) = alpaca_parsers.ranking_parser(reply)
    ours = verdict_of(f"{CODE}: {rank.translate({49: 'A', 50: 'B'})}", CODE, CHOICE)
    if rank == "'1'":  # quoted or not: the letter is the same
        assert (ours, math.isnan(theirs)) == ("A", True)
    else:
        assert ours == (None if math.isnan(theirs) else "AB"[theirs - 1])


def test_fastchats_table_of_our_judgments_is_ours(evaluator, write, scripted, tmp_path, capsys):
    """FastChat's ``show_result`` on the judgments that we write gives our scores."""
    pytest.importorskip("pandas")
    pytest.importorskip("fastchat")
    show_result = importlib.import_module("fastchat.llm_judge.show_result")
    data = [{"question_id": n, "category": "x", "turns": ["one", "two"]} for n in range(5)]
    said = [
        {"question_id": n, "model_id": m, "choices": [{"index": 0, "turns": [m * n, m]}]}
        for m in ("a", "bb")
        for n in range(5)
    ]
    judge = scripted(lambda words, code: f"{code}: {1 + len(words) % 10}")
    run = evaluator(
        judge,
        data=write("mt_bench/questions.jsonl", data),
        answers=(write("m.jsonl", said),),
        author_files=str(tmp_path / "out"),
        bootstrap=0,
    )
    ours = mt_bench.run("mt_bench", run)
    (file,) = (tmp_path / "out" / "model_judgment").iterdir()
    show_result.display_result_single(
        argparse.Namespace(
            input_file=str(file), bench_name="mt_bench", judge_model="", model_list=None
        )
    )
    average = capsys.readouterr().out.split("Average")[1]
    theirs = dict(re.findall(r"^(a|bb) +([0-9.]+)$", average, re.M))
    for model in ours["models"]:
        assert model["figures"]["score"] == pytest.approx(float(theirs[model["model"]]), abs=1e-5)
    assert len(theirs) == len(ours["models"]) == 2
