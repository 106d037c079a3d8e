"""Several judges as one, and judges whose engine keeps their reply to a verdict."""

from __future__ import annotations

import re

import pytest

from synthtools.evaluate import judge_prompts
from synthtools.evaluate.judge import CHOICE, Judge, Question, rating, verdict_fields, yes_no
from synthtools.evaluate.judge_panel import JudgePanel
from synthtools.lm.generation import SamplingSettings

RATE = Question("rate", judge_prompts.RATE, {"question": "Q", "answer": "A"}, rating(1, 10))
TEXTS = {"instruction": "Q", "answer A": "one", "answer B": "two"}
BETTER = Question("better", judge_prompts.BETTER, TEXTS, CHOICE)
KEPT = Question(
    "kept", judge_prompts.CONSTRAINTS, {"steps": "S", "answer": "A", "count": "2"}, yes_no(2)
)


def panel_of(scripted, replies):
    """A panel of judges a, b, c, … of whom each always gives one verdict, or none."""

    def says(reply):
        return lambda words, code: f"{code}: {reply}" if isinstance(reply, str) else reply

    return JudgePanel(
        [Judge(scripted(says(r), name=n)) for n, r in zip("abc", replies, strict=False)]
    )


@pytest.mark.parametrize(
    ("question", "replies", "value"),
    [
        (RATE, ("7", "8"), 7.5),
        (RATE, ("1", "2", "9"), 4),
        (BETTER, ("A", "A", "B"), "A"),
        (BETTER, ("A", "B"), "TIE"),
        (BETTER, ("B", "TIE"), "B"),
        (BETTER, ("A", "B", "TIE"), "TIE"),
        (KEPT, ("YES, NO", "YES, YES"), [True, False]),
        (KEPT, ("YES, NO", "NO, YES", "NO, YES"), [False, True]),
    ],
)
def test_the_verdict_of_a_panel(scripted, question, replies, value):
    (found,) = panel_of(scripted, replies).ask([question])
    assert (found.value, found.problem) == (value, None)
    assert len(verdict_fields(found)["votes"]) == len(replies)


def test_a_judge_that_gives_none_is_said_and_counted(scripted, refused):
    panel = panel_of(scripted, ("7", refused("HTTP 500: no more")))
    (found,) = panel.ask([RATE])
    assert found.value is None
    assert found.problem == "b: HTTP 500: no more"
    assert verdict_fields(found)["votes"] == [7, None]
    account = panel.account()
    assert [judge["failed"] for judge in account["judges"]] == [0, 1]
    assert account["panel"]["n"] == 0 and account["panel"]["left_out"] == 1


def test_agreement_of_a_panel(scripted):
    """Krippendorff's alpha by hand: of the units (1, 1), (10, 10), (1, 10) the observed disagreement
    is 81 in two of six pairs, the expected 81 in 18 of 30 pairs: 1 - (2/6)/(18/30) = 4/9."""
    grades = {"a": ("1", "10", "1"), "b": ("1", "10", "10")}
    judges = []
    for name, given in grades.items():
        said = iter(given)
        judges.append(
            Judge(scripted(lambda _, code, said=said: f"{code}: {next(said)}", name=name))
        )
    panel = JudgePanel(judges)
    panel.ask([RATE._replace(key=str(number)) for number in range(3)])
    found = panel.account()["panel"]
    assert found["alpha"] == pytest.approx(4 / 9)
    assert [row["mean"] for row in found["judges"]] == [4, 7]


@pytest.mark.parametrize(
    ("question", "reply", "value"),
    [(RATE, "10", 10), (BETTER, "TIE", "TIE"), (KEPT, "NO, YES", [False, True])],
)
def test_the_last_reply_of_a_guided_judge_is_the_verdict_alone(scripted, question, reply, value):
    sampling = SamplingSettings(0.0, 1.0, None, 64)
    model = scripted(lambda words, code: reply if "Do not explain" in words else "I like it.")
    judge = Judge(model, retries=1, guided=sampling)
    (found,) = judge.ask([question])
    assert (found.value, found.tries) == (value, 2)
    assert found.prompt.endswith("-alone")
    assert judge.account()["alone"] == 1 and judge.account()["unreadable"] == 0
    free, kept = model.sampled
    assert free.regex is None and re.fullmatch(kept.regex, reply)
    assert not re.fullmatch(kept.regex, "I like it.")


def test_a_guided_reply_that_is_cut_is_unreadable(scripted):
    judge = Judge(scripted(lambda words, code: "YES, N"), retries=0, guided=SamplingSettings())
    assert judge.ask([KEPT])[0].value is None
    assert judge.account()["unreadable"] == 1


def test_the_form_of_ratings_is_all_whole_numbers_of_the_scale():
    written = [str(number) for number in range(-1, 12)]
    form = rating(1, 10).regex
    assert [n for n in written if re.fullmatch(form, n)] == [str(n) for n in range(1, 11)]
