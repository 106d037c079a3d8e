"""An answer during generation: its random numbers, its bytes, and its end."""

from __future__ import annotations

import codecs
from collections.abc import Callable

import numpy as np

from synthtools.draws import lane_of, uniforms
from synthtools.lm.generation import LENGTH, STOP, Answer
from synthtools.lm.prompt_tokenizer import TokenisedPrompt

_LANE = lane_of("generate")


class PartialAnswer:
    """An answer during generation; ``width``: the padded length of its prompt."""

    def __init__(
        self, prompted: TokenisedPrompt, width: int, seed: int, done: Callable[[Answer], None]
    ) -> None:
        self.width = width
        self.ids = prompted.ids
        self.room = prompted.room
        self.stop = [text.encode() for text in prompted.stop]
        # Random numbers for all positions.
        self.uniforms = uniforms(seed, 0, 0, np.arange(prompted.room), _LANE)
        self.answer: Answer | None = None
        self._done = done
        self._longest_stop = max(map(len, self.stop), default=0)
        self.restart()

    def restart(self) -> None:
        self._written = bytearray()
        self.count = 0

    def take(self, token: int, surface: bytes, ends: bool) -> bool:
        """Appends a token; True if the answer is complete."""
        self.count += 1
        if ends:
            return self._end(STOP, len(self._written))
        start = max(0, len(self._written) - self._longest_stop)
        self._written += surface
        places = [at for stop in self.stop if (at := self._written.find(stop, start)) >= 0]
        if places:
            return self._end(STOP, min(places))
        return self.count == self.room and self._end(LENGTH, len(self._written))

    def _end(self, reason: str, length: int) -> bool:
        # An incomplete character at the end is dropped.
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(
            bytes(self._written[:length]), final=False
        )
        self.answer = Answer(text, reason, len(self.ids), self.count)
        self._done(self.answer)
        return True
