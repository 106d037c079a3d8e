"""Vectors of texts from sentence encoders: any model of transformers with hidden states.

As in ``torch_engine``, sequences are padded to lengths that depend only on the sequence. An encoder attends
to the right, so padding is masked; sequences without padding are run in batches of their own without a mask,
because models choose another attention kernel if a batch needs no mask.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthtools.closeable import Closeable
from synthtools.lm.scorer import NO_PROMPT, Tokenised
from synthtools.lm.scores import PoolingEngine
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.lm.torch.torch_replica import Replica, at_least
from synthtools.lm.windows import windows


class EncoderPass(NamedTuple):
    """One forward pass: tokens, int32, and the ranges whose hidden states are summed."""

    tokens: np.ndarray
    runs: tuple[tuple[int, int], ...]


class EncoderReplica(Replica):
    """An encoder on one device.

    Args:
        padding: id of the padding token.
    """

    def __init__(
        self,
        model: Any,
        device: str,
        batch_tokens: int | None,
        remark: Callable[[str], None],
        padding: int,
    ) -> None:
        self._padding = padding
        super().__init__(model, device, batch_tokens, remark)

    def _try_out(self) -> None:
        ids = torch.full((2, 8), self._padding, device=self._device)
        mask = torch.ones_like(ids)
        mask[:, 4:] = 0
        with torch.inference_mode():
            self._states(ids, mask)

    def _states(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return self._model(input_ids=ids, attention_mask=mask).last_hidden_state

    @torch.inference_mode()
    def _pool(self, sequences: list[Any], width: int) -> list[np.ndarray]:
        sums: list[np.ndarray] = [np.zeros(0, np.float32)] * len(sequences)
        filled = [len(part.tokens) == width for part in sequences]
        for masked in (False, True):
            members = [index for index, full in enumerate(filled) if full != masked]
            if not members:
                continue
            rows = at_least(len(members), width)
            ids = np.full((rows, width), self._padding, np.int64)
            mask = np.zeros((rows, width), np.int64)
            mask[:, 0] = 1  # a fully masked row would give NaN
            for row, index in enumerate(members):
                tokens = sequences[index].tokens
                ids[row, : len(tokens)] = tokens
                mask[row, : len(tokens)] = 1
            hidden = self._states(
                torch.from_numpy(ids).to(self._device),
                torch.from_numpy(mask).to(self._device) if masked else None,
            )
            for row, index in enumerate(members):
                states = [hidden[row, start:end].float() for start, end in sequences[index].runs]
                sums[index] = torch.cat(states).sum(0).cpu().numpy()
        return sums


class SentenceEncoder(Closeable):
    """Vectors of texts; a context manager that releases the device.

    Args:
        stride: tokens between the starts of windows.
        lower: whether to lower-case texts.

    Attributes:
        description: the model's entry in reports.
        chunk_bytes, calls: see ``scorer.LanguageModel``.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        engine: PoolingEngine,
        *,
        stride: int,
        lower: bool,
        description: dict[str, Any],
    ) -> None:
        self.description = description
        self.chunk_bytes = engine.chunk_bytes
        self.calls = engine.calls
        self._tokenizer = tokenizer
        self._engine = engine
        self._before, self._after = tokenizer.around()
        self._capacity = engine.context - len(self._before) - len(self._after)
        self._stride = stride
        self._lower = lower

    def close(self) -> None:
        self._engine.close()

    def tokenise(self, texts: list[str]) -> list[Tokenised]:
        """Tokens of texts, without added special tokens."""
        if self._lower:
            texts = [text.lower() for text in texts]
        return [Tokenised(ids, NO_PROMPT) for ids in self._tokenizer.encode(texts)]

    def embed(self, texts: list[Tokenised], pooling: str = "mean") -> np.ndarray:
        """Vectors of texts from the last hidden states, float32 [texts, width]; zeros for a text
        without tokens.

        Args:
            pooling: ``mean`` over a text's tokens and the special ones around it, as in
                sentence-transformers; ``cls``, the first token; ``last``, the last one. Texts
                beyond the context go through overlapping windows with special tokens around each
                [ours]: for ``mean`` each token of the text counts once, for ``cls`` the windows'
                vectors are averaged, weighted by their new tokens, and for ``last`` there is one
                window, at the end of the text.
        """
        by_text = [self._parts(text.ids, pooling) for text in texts]
        sums = iter(self._engine.pooled([part for some in by_text for part, _ in some]))
        vectors = np.zeros((len(texts), self._engine.width), np.float32)
        for row, some in enumerate(by_text):
            for (_, weight), one in zip(some, islice(sums, len(some)), strict=True):
                vectors[row] += one * (weight if pooling == "cls" else 1)
            if pooling != "last" and some:
                vectors[row] /= sum(weight for _, weight in some)
        return vectors

    def _parts(self, ids: np.ndarray, pooling: str) -> list[tuple[EncoderPass, int]]:
        """The windows of a text, and the number of new tokens in each."""
        if not len(ids):
            return []
        if pooling == "last":
            tokens = np.concatenate([self._before, ids[-self._capacity :], self._after])
            return [(EncoderPass(tokens, ((len(tokens) - 1, len(tokens)),)), 1)]
        before, parts = len(self._before), []
        for window in windows(len(ids), 0, self._capacity, self._stride):
            tokens = np.concatenate([self._before, ids[window.start : window.end], self._after])
            first = before + window.first - window.start
            runs = ((0, 1),) if pooling == "cls" else ((0, before), (first, len(tokens)))
            parts.append((EncoderPass(tokens, runs), before + len(tokens) - first))
        return parts
