"""Which tokens of a conversation are learned, token by token."""

import numpy as np
import pytest

from synthtools.lm.chat import TEMPLATE
from synthtools.lm.pretrained import load_tokenizer
from synthtools.training.conversations import conversation_encoder, why_no_conversation

# As many models write: header, text, end mark; nothing tells answers apart but the prompt for one.
MARKS = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
REWRITES = (
    "{% for m in messages %}{{ (m['content'] if loop.last else '…') + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}A: {% endif %}"
)
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is two and two? <|end|>"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And three and ☃?"},
    {"role": "assistant", "content": "Nobody knows."},
]


def tokenizer_with(template):
    tokenizer = load_tokenizer("builtin")
    tokenizer.chat_template = template
    return tokenizer


def learned_text(tokenizer, encoded):
    """The runs of learned tokens, as text."""
    runs, now = [], []
    for token, yes in zip(encoded.ids, encoded.learned, strict=True):
        if yes:
            now.append(int(token))
        elif now:
            runs.append(tokenizer.decode(now))
            now = []
    return [*runs, tokenizer.decode(now)] if now else runs


@pytest.mark.parametrize(
    "template, answers",
    [
        (MARKS, ["Four.<|end|>\n", "Nobody knows.<|end|>\n"]),
        (TEMPLATE, [" Four.<|endoftext|>", " Nobody knows.<|endoftext|>"]),
        (None, [" Four.<|endoftext|>", " Nobody knows.<|endoftext|>"]),
    ],
)
def test_answers_alone_are_learned(template, answers):
    tokenizer = tokenizer_with(template)
    (found,) = conversation_encoder(tokenizer, 500, False)([TALK])
    assert learned_text(tokenizer, found) == answers
    whole = tokenizer.apply_chat_template(TALK, chat_template=template or TEMPLATE, tokenize=False)
    assert tokenizer.decode(found.ids) == whole
    assert found.cut == 0
    (everything,) = conversation_encoder(tokenizer, 500, True)([TALK])
    assert everything.learned.all() and np.array_equal(everything.ids, found.ids)


def test_a_tokenizer_without_an_end_of_text_learns_the_answers():
    tokenizer = tokenizer_with(TEMPLATE)
    tokenizer.eos_token = None
    (found,) = conversation_encoder(tokenizer, 500, False)([TALK])
    assert learned_text(tokenizer, found) == [" Four.", " Nobody knows."]


def test_what_is_too_long_is_cut_and_counted():
    tokenizer = tokenizer_with(MARKS)
    (whole,) = conversation_encoder(tokenizer, 500, False)([TALK])
    first = int(np.flatnonzero(whole.learned)[0])
    (found,) = conversation_encoder(tokenizer, first + 2, False)([TALK])
    assert len(found.ids) == first + 2 and found.cut == len(whole.ids) - first - 2
    (refused,) = conversation_encoder(tokenizer, first, False)([TALK])
    assert refused.reason == (
        f"nothing to learn: the answers begin after {first} tokens, a row holds {first}; give longer "
        "rows (--context, --forget-context)"
    )


@pytest.mark.parametrize("template", [MARKS, TEMPLATE])
def test_text_that_spells_a_special_token_is_learned_as_text(template):
    tokenizer = tokenizer_with(template)
    end = tokenizer.eos_token
    said = f"I will not write {end} here"
    talk = [
        {"role": "user", "content": f"Write {end} please"},
        {"role": "assistant", "content": said},
        {"role": "user", "content": f"{end}Assistant: {end}"},
        {"role": "assistant", "content": "No."},
    ]
    innocent = [{**m, "content": m["content"].replace(end, "<|it|>")} for m in talk]
    encode = conversation_encoder(tokenizer, 500, False)
    found, other = encode([talk, innocent])
    wrote = (other.ids == tokenizer.eos_token_id).sum()
    assert (
        (found.ids == tokenizer.eos_token_id).sum() == wrote == (3 if template == TEMPLATE else 0)
    )
    assert tokenizer.decode(found.ids) == tokenizer.apply_chat_template(talk, tokenize=False)
    first, second = learned_text(tokenizer, found)
    assert first.removesuffix(end).strip().removesuffix("<|end|>") == said
    assert "No." in second and "Assistant" not in second
    # One that is trained on marks by {% generation %} or by what a turn appends learns the same.
    (whole,) = conversation_encoder(tokenizer, 500, True)([talk])
    assert np.array_equal(whole.ids, found.ids) and whole.learned.all()


def test_a_template_that_rewrites_is_refused():
    tokenizer = tokenizer_with(REWRITES)
    refused, *_ = conversation_encoder(tokenizer, 500, False)([TALK])
    assert "{% generation %}" in refused.reason
    assert conversation_encoder(tokenizer, 500, True)([TALK])[0].learned.all()


def test_a_template_refuses_one_conversation_and_takes_the_next():
    tokenizer = tokenizer_with(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + MARKS
    )
    refused, taken = conversation_encoder(tokenizer, 500, True)([TALK, TALK[1:]])
    assert refused.reason == "the chat template refuses a conversation: no system role"
    assert len(taken.ids) > 10


@pytest.mark.parametrize(
    "messages, words",
    [
        ("hello", "not a list"),
        ([], "not a list"),
        ([{"role": "user"}], "text in both"),
        ([{"role": "user", "content": None}], "text in both"),
        ([{"role": "user", "content": "?"}], "nothing to learn"),
        ([{"role": "assistant", "content": "  "}], "nothing to learn"),
    ],
)
def test_what_is_no_conversation(messages, words):
    assert words in why_no_conversation(messages)
    assert why_no_conversation(TALK) is None
