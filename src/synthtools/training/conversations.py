"""Conversations → tokens, and which of them the model is to learn: the answers.

A record holds ``messages`` (a list of {"role", "content"}), or a prompt and a response, which are a
conversation of two. The tokenizer's chat template writes it as text. What is learned is what the
template marks with ``{% generation %}``, else what an assistant's message adds to the conversation
after the template's own prompt for an answer, the end-of-turn mark included [ours].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.chat import TEMPLATE, render
from synthtools.training.corpus import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def why_no_conversation(messages: Any) -> str | None:
    """What is wrong with the messages of a record; None where nothing is."""
    if not isinstance(messages, list) or not messages:
        return "messages is no list of {role, content}"
    for message in messages:
        if not isinstance(message, dict) or not all(
            isinstance(message.get(key), str) for key in ("role", "content")
        ):
            return "messages is no list of {role, content} with text in both"
    if not any(m["role"] == "assistant" and m["content"].strip() for m in messages):
        return "no message of an assistant holds text: there is nothing to learn"
    return None


def conversation_encoder(
    tokenizer: PreTrainedTokenizerFast, length: int, learn_all: bool
) -> Callable[[list[list[dict[str, str]]]], list[Encoded | None]]:
    """Conversations → at most ``length`` tokens each.

    Args:
        learn_all: prompts too.

    Returns:
        A function; it gives None where the cut leaves no token to be learned.

    Raises:
        SynthError: (the function) the chat template cannot tell answers from prompts.
    """
    tokenizer.backend_tokenizer.encode_special_tokens = False  # the template's own marks are tokens
    if tokenizer.chat_template is None:
        tokenizer.chat_template = TEMPLATE
    marked = (
        "{% generation" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template
    )

    def encode(messages: list[dict[str, str]]) -> Encoded | None:
        text = render(tokenizer, messages)
        found = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        ids = np.array(found.ids, np.int64)
        if learn_all:
            learned = np.ones(len(ids), bool)
        else:
            spans = _marked(tokenizer, messages) if marked else _appended(tokenizer, messages, text)
            learned = np.zeros(len(ids), bool)
            offsets = np.array(found.offsets, np.int64).reshape(-1, 2)
            for start, end in spans:
                learned |= (offsets[:, 1] > start) & (offsets[:, 0] < end)
        # The first token has nothing to be predicted from.
        if not learned[1:length].any():
            return None
        return Encoded(ids[:length], learned[:length], max(0, len(ids) - length))

    return lambda conversations: [encode(messages) for messages in conversations]


def _marked(tokenizer: Any, messages: list[dict[str, str]]) -> list[tuple[int, int]]:
    from transformers.utils.chat_template_utils import render_jinja_template

    _, spans = render_jinja_template(
        [messages],
        chat_template=tokenizer.chat_template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    return [(start, end) for start, end in spans[0]]


def _appended(tokenizer: Any, messages: list[dict[str, str]], text: str) -> list[tuple[int, int]]:
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = render(tokenizer, messages[:number], prompt=True)
        after = render(tokenizer, messages[: number + 1])
        if not (text.startswith(before) and text.startswith(after) and after.startswith(before)):
            raise SynthError(
                "the chat template rewrites what came before, so that answers cannot be found in "
                "it: mark them in the template with {% generation %}, or use --learn-all"
            )
        spans.append((len(before), len(after)))
    return spans
