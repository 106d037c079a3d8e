"""Prompts → tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.chat import PLAIN_STOP, ChatTokenizer
from synthtools.lm.generation import Answer, Prompt, SamplingSettings, failed, too_long
from synthtools.lm.text_tokenizer import TextTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class TokenisedPrompt(NamedTuple):
    """A prompt as tokens.

    Attributes:
        ids: int32 [n].
        room: maximal number of tokens of the answer.
        stop: strings that end it.
    """

    ids: np.ndarray
    room: int
    stop: tuple[str, ...]


class PromptTokenizer:
    """Renders and tokenises prompts for one model.

    Attributes:
        tokenizer: text ↔ tokens.
        context: tokens of prompt and answer.
        sampling: applies to prompts that are tokenised from now on.
    """

    def __init__(
        self,
        loaded: PreTrainedTokenizerFast,
        tokenizer: TextTokenizer,
        bos: bool,
        context: int,
        sampling: SamplingSettings,
        remark: Callable[[str], None],
        name: str,
    ) -> None:
        self.tokenizer = tokenizer
        self.context = context
        self.end_ids = {loaded.eos_token_id} - {None}
        self._loaded = loaded
        self._begin = [tokenizer.bos_id] if bos else []
        self.sampling = sampling
        self._remark = remark
        self._name = name
        self._chat: ChatTokenizer | None = None

    def _conversations(self) -> ChatTokenizer:
        if self._chat is None:
            self._chat = ChatTokenizer(self._loaded)
            if not self._chat.has_template:
                self._remark(
                    f"{self._name}: has no chat template; conversations are rendered plainly "
                    "(User: … Assistant:)"
                )
        return self._chat

    def ready(self, prompt: Prompt) -> TokenisedPrompt | Answer:
        """The prompt as tokens, or why it cannot be answered."""
        stop = self.sampling.stop
        try:
            if prompt.text is not None:
                ids = self.tokenizer.encode([prompt.text])[0]
                ids = np.concatenate([np.array(self._begin, np.int32), ids])
            else:
                chat = self._conversations()
                ids = chat.encode(prompt.messages or (), prompt.begun)
                if not chat.has_template:
                    stop = (*stop, PLAIN_STOP)
        except SynthError as error:  # the template or the tokenizer rejects it
            return failed(str(error))
        if not len(ids):
            return failed("the prompt is empty, and the model has no begin-of-text token before it")
        room = min(self.sampling.max_new_tokens, self.context - len(ids))
        if room < 1:
            return too_long(len(ids), self.context)
        return TokenisedPrompt(ids, room, stop)
