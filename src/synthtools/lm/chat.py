"""Conversations → the text or the tokens that a model is given."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.tokens import TextTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# For tokenizers without a template of their own; ``synth train`` saves it with the model, so that
# every tool uses it.
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ message['role'] | capitalize }}:"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] | trim + eos_token }}{% endgeneration %}"
    "{% else %}{{ ' ' + message['content'] | trim + '\n\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

# A model that was never taught the template goes on with the next turn of the user [ours].
PLAIN_STOP = "\nUser:"

Messages = Sequence[dict[str, str]]


def render(tokenizer: Any, messages: Messages, prompt: bool = False) -> str:
    """A conversation by the tokenizer's chat template.

    Args:
        prompt: end it with the template's own prompt for an answer.

    Raises:
        SynthError: the template refuses it.
    """
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=prompt
        )
    except Exception as error:  # templates raise what they like, of any type
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise SynthError(f"the chat template refuses a conversation: {line}") from error


def plain(messages: Messages) -> str:
    """A conversation as ``TEMPLATE`` writes it, for a server whose model has no template."""
    turns = [f"{m['role'].capitalize()}: {m['content'].strip()}" for m in messages]
    return "\n\n".join([*turns, "Assistant:"])


class ChatTokenizer:
    """Conversations as tokens.

    What a message says is text, whatever it spells: only the template's own marks become special
    tokens. So no text can end its turn and pose as another's.

    Attributes:
        has_template: the tokenizer has a template of its own.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = copy.deepcopy(tokenizer)
        self._backend = self._tokenizer.backend_tokenizer
        self._backend.encode_special_tokens = False
        self._text = TextTokenizer(copy.deepcopy(tokenizer))
        self.has_template = self._tokenizer.chat_template is not None
        if not self.has_template:
            self._tokenizer.chat_template = TEMPLATE
        special = [
            token.content
            for token in self._backend.get_added_tokens_decoder().values()
            if token.content
        ]
        self._special = re.compile("|".join(map(re.escape, special))) if special else None

    def encode(self, messages: Messages) -> np.ndarray:
        """Tokens of a conversation up to where the answer begins, int32.

        Raises:
            SynthError: the template refuses the conversation.
        """
        if self._special and any(self._special.search(m["content"]) for m in messages):
            return self._encode_apart(messages)
        text = render(self._tokenizer, messages, prompt=True)
        return np.array(self._backend.encode(text, add_special_tokens=False).ids, np.int32)

    def _encode_apart(self, messages: Messages) -> np.ndarray:
        """Like ``encode``, of messages that spell special tokens: what the template writes and what
        they say are tokenised apart."""
        marks = [f"\ue000{number}\ue001" for number in range(len(messages))]
        marked = [{**m, "content": mark} for m, mark in zip(messages, marks, strict=True)]
        text = render(self._tokenizer, marked, prompt=True)
        if any(text.count(mark) != 1 for mark in marks):
            raise SynthError("a message spells a special token, and the chat template changes it")
        ids: list[int] = []
        for piece in re.split("(\ue000\\d+\ue001)", text):
            if piece in marks:
                content = messages[marks.index(piece)]["content"]
                ids += self._text.encode([content])[0].tolist()
            elif piece:
                ids += self._backend.encode(piece, add_special_tokens=False).ids
        return np.array(ids, np.int32)
