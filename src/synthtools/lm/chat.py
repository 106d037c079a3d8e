"""Conversations → the text or tokens of a prompt."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.tokenizer_faults import PanicError, encoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# For tokenizers that have no chat template; ``synth train`` saves it with the model, so that every
# tool uses it.
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ message['role'] | capitalize }}:"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] | trim + (eos_token or '') }}{% endgeneration %}"
    "{% else %}{{ ' ' + message['content'] | trim + '\n\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

# A model that was not trained on the template continues with the user's next turn [ours].
PLAIN_STOP = "\nUser:"

Messages = Sequence[dict[str, str]]


def render(tokenizer: Any, messages: Messages, prompt: bool = False) -> str:
    """A conversation by the tokenizer's chat template.

    Args:
        prompt: end it with the template's own prompt for an answer.

    Raises:
        SynthError: the template rejects it.
    """
    try:
        return str(
            tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=prompt
            )
        )
    except Exception as error:  # a template may raise anything
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise SynthError(f"the chat template refuses a conversation: {line}") from error


def plain(messages: Messages) -> str:
    """A conversation rendered by ``TEMPLATE``, for a server whose model has no template."""
    turns = [f"{m['role'].capitalize()}: {m['content'].strip()}" for m in messages]
    return "\n\n".join([*turns, "Assistant:"])


class ChatTokenizer:
    """Conversations as tokens.

    The content and the role of a message are always encoded as text: only markup written by the template
    becomes special tokens. A message therefore cannot end its turn and impersonate another role.

    Special tokens that occur in messages are replaced by placeholders before the template runs. Those that
    the template wrote are then replaced by random marks, and the placeholders by the original text. A copy
    of the tokenizer maps the marks to the special tokens, so that all text between them is tokenised as usual.

    Attributes:
        has_template: whether the tokenizer has a chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        from tokenizers import AddedToken

        self._tokenizer = copy.deepcopy(tokenizer)
        self._backend = self._tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True
        self.has_template = self._tokenizer.chat_template is not None
        if not self.has_template:
            self._tokenizer.chat_template = TEMPLATE
        template = str(self._tokenizer.chat_template)
        self._marks_answers = "{% generation" in template or "{%- generation" in template
        added = self._backend.get_added_tokens_decoder().items()
        special = {i: token for i, token in added if token.special and token.content}
        self._spelled: list[str] = [token.content for token in special.values()]
        secret = secrets.token_hex(8)
        self._marks = [f"\ue000{secret}{n}\ue001" for n in range(len(special))]
        self._aside = f"\ue002{secret}"
        self._backend.add_tokens(
            [
                AddedToken(
                    mark,
                    single_word=token.single_word,
                    lstrip=token.lstrip,
                    rstrip=token.rstrip,
                    normalized=False,
                    special=False,
                )
                for mark, token in zip(self._marks, special.values(), strict=True)
            ]
        )
        self._stands_for = np.arange(1 + max(self._backend.get_vocab().values()))
        for mark, identifier in zip(self._marks, special, strict=True):
            self._stands_for[self._backend.token_to_id(mark)] = identifier
        # As the tokenizer matches them: the longest at each position.
        longest = sorted(self._spelled, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest)) or "(?!)")
        self._put_aside = re.compile(f"{self._aside}(\\d+)\ue001|{self._special.pattern}")

    def encode(self, messages: Messages, begun: str = "") -> np.ndarray:
        """Tokens of a conversation up to where the answer begins, int32.

        Args:
            begun: the first words of the answer.

        Raises:
            SynthError: the template rejects the conversation, or the tokenizer fails on it.
        """
        if begun:
            text, _, end = self._last_said([*messages, {"role": "assistant", "content": begun}])
            text = text[:end]
        else:
            text = self.written(messages, prompt=True)
        return self.tokens(text)[0].astype(np.int32)

    def answered(self, messages: Messages) -> tuple[np.ndarray, np.ndarray]:
        """Tokens before the content of the last message, and of that content without its end mark; int32.

        Raises:
            SynthError: as ``encode``, or the template changes the content.
        """
        text, start, end = self._last_said(messages)
        ids, offsets = self.tokens(text)
        first = int((offsets[:, 1] <= start).sum())
        after = int((offsets[:, 0] < end).sum())
        return ids[:first].astype(np.int32), ids[first:after].astype(np.int32)

    def _last_said(self, messages: Messages) -> tuple[str, int, int]:
        """A rendered conversation, and the start and end of its last message's content in it."""
        text = self.written(messages)
        content = messages[-1]["content"].strip()
        start = text.find(content, self.answers(messages, text)[-1][0])
        if start < 0:
            raise SynthError("the chat template changes what an answer says")
        return text, start, start + len(content)

    def written(self, messages: Messages, prompt: bool = False) -> str:
        """A conversation rendered by the template, with marks for the template's special tokens.

        Args:
            prompt: end it with the template's own prompt for an answer.

        Raises:
            SynthError: the template refuses it.
        """
        return self._marked(render(self._tokenizer, self._quoted(messages), prompt))

    def answers(self, messages: Messages, text: str, otherwise: str = "") -> list[tuple[int, int]]:
        """Start and end of each answer in the output of ``written``: what the template marks with
        {% generation %}, otherwise what an assistant's message adds after the prompt for an answer.

        Args:
            otherwise: an alternative for the user, appended to the error.

        Raises:
            SynthError: the template rejects the conversation, or changes earlier messages.
        """
        if self._marks_answers:
            return self._marked_answers(messages)
        spans = []
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self.written(messages[:number], prompt=True)
            after = self.written(messages[: number + 1])
            if not (
                text.startswith(before) and text.startswith(after) and after.startswith(before)
            ):
                raise SynthError(
                    "the chat template rewrites what came before, so that answers cannot be located "
                    f"in it: mark them in the template with {{% generation %}}{otherwise}"
                )
            spans.append((len(before), len(after)))
        return spans

    def _marked_answers(self, messages: Messages) -> list[tuple[int, int]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            [self._quoted(messages)],
            chat_template=self._tokenizer.chat_template,
            return_assistant_tokens_mask=True,
            **self._tokenizer.special_tokens_map,
        )

        def place(before: int) -> int:
            return len(self._marked(texts[0][:before]))

        return [(place(start), place(end)) for start, end in spans[0]]

    def tokens(self, written: str) -> tuple[np.ndarray, np.ndarray]:
        """Token ids, int64 [n], and their spans in the output of ``written``, int64 [n, 2].

        Raises:
            SynthError: the tokenizer's native code fails.
        """
        plain = partial(self._backend.encode_batch, add_special_tokens=False)
        (encoding,) = encoded(plain, [written])
        if isinstance(encoding, PanicError):
            raise SynthError(f"the tokenizer fails at a conversation: {encoding}")
        ids = self._stands_for[np.array(encoding.ids, np.int64)]
        return ids, np.array(encoding.offsets, np.int64).reshape(-1, 2)

    def _quoted(self, value: Any) -> Any:
        """Messages with placeholders for text that spells special tokens."""
        if isinstance(value, str):
            return self._special.sub(
                lambda match: f"{self._aside}{self._spelled.index(match[0])}\ue001", value
            )
        if isinstance(value, dict):
            return {key: self._quoted(held) for key, held in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._quoted(held) for held in value]
        return value

    def _marked(self, text: str) -> str:
        """The template's output with marks for its special tokens and the original text for placeholders."""

        def replaced(match: re.Match[str]) -> str:
            if match[1] is not None:
                return self._spelled[int(match[1])]
            return self._marks[self._spelled.index(match[0])]

        return self._put_aside.sub(replaced, text)
