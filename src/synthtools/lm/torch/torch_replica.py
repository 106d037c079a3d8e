"""A causal language model of transformers on one device: hidden states and scores of a batch.

After one forward pass the output layer runs in float32 over chunks of rows, so that the logits of a batch
never exist at once; the k largest are computed only for the rows that need them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from synthtools.errors import SynthError, parameter
from synthtools.lm.scores import (
    Candidates,
    ScoreRequest,
    Sequence,
    SequenceScores,
    TokenDistribution,
    ordered_candidates,
)
from synthtools.lm.torch.float32_product import float32_product, operands
from synthtools.lm.torch.llama import Llama
from synthtools.lm.torch.token_distribution import distribution

_R = TypeVar("_R")
_S = TypeVar("_S")

# On a CPU larger batches only exceed the caches.
_CPU_BATCH_TOKENS = 2048
# Below this number of rows BLAS uses other kernels, which round differently.
_LEAST_ROWS = 64
# topk returns so many more, so that ties at the k-th place are broken by our order.
_SPARE = 4
# Number of logits per chunk.
_CPU_LOGITS = 1 << 22
_GPU_LOGITS = 1 << 27


def at_least(rows: int, width: int) -> int:
    """Rows of a batch of this length, at least so many that BLAS uses its usual kernels."""
    return max(rows, -(-_LEAST_ROWS // width))


def out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; on a CPU torch says so only in the message."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class Replica:
    """The model on one device, up to its hidden states.

    Attributes:
        batch_tokens: maximal tokens of a batch, padding included.
        parameters: number of parameters.
        width: size of a hidden state.
        changes_itself: whether the model has state that depends on the batch (RecurrentGemma: recurrent
            states, LongRoPE: frequencies), so that it takes only one batch at a time.
    """

    def __init__(
        self, model: Any, device: str, batch_tokens: int | None, remark: Callable[[str], None]
    ) -> None:
        self._model = model
        self._device = torch.device(device)
        self._remark = remark
        self._remarked = False
        self._on_gpu = self._device.type != "cpu"
        self.batch_tokens = batch_tokens or (
            _gpu_batch_tokens(model, self._device) if self._on_gpu else _CPU_BATCH_TOKENS
        )
        self.parameters = sum(one.numel() for one in model.parameters())
        self.width: int = model.config.get_text_config().hidden_size
        before = _held_by_modules(model)
        self._try_out()
        self.changes_itself = _held_by_modules(model) != before or any(
            "longrope" in str(getattr(module, "rope_type", "")) for module in model.modules()
        )

    def _try_out(self) -> None:
        """Runs the model once, to see whether it works and has state."""
        raise NotImplementedError

    def _hidden(self, ids: Tensor) -> Tensor:
        """Hidden states [batch, length, width] of token ids [batch, length]."""
        return self._model.base_model(input_ids=ids, use_cache=False).last_hidden_state

    def pool(self, sequences: list[Sequence], width: int) -> list[np.ndarray]:
        """Sums of hidden states of sequences of one padded length (see ``TorchEngine.pooled``)."""
        return self._halving(sequences, width, lambda some: self._pool(some, width))

    def _halving(
        self, sequences: list[_S], width: int, function: Callable[[list[_S]], list[_R]]
    ) -> list[_R]:
        """Halves the batch if memory runs out, with one remark.

        Raises:
            MemoryError: it does not suffice for one sequence.
        """
        try:
            return function(sequences)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(sequences) == 1:
                raise MemoryError(str(error)) from error
        torch.cuda.empty_cache()
        half = len(sequences) // 2
        self.batch_tokens = max(width, min(self.batch_tokens, half * width))
        if not self._remarked:
            self._remarked = True
            self._remark(
                f"{self._device}: out of memory with {len(sequences) * width:,} tokens at once; "
                "going on with smaller batches"
            )
        return self._halving(sequences[:half], width, function) + self._halving(
            sequences[half:], width, function
        )

    @torch.inference_mode()
    def _pool(self, sequences: list[Sequence], width: int) -> list[np.ndarray]:
        rows = at_least(len(sequences), width)
        ids = np.zeros((rows, width), np.int64)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence.tokens)] = sequence.tokens
        hidden = self._hidden(torch.from_numpy(ids).to(self._device))
        return [
            hidden[row, sequence.first : len(sequence.tokens)].float().sum(0).cpu().numpy()
            for row, sequence in enumerate(sequences)
        ]


class ScorerReplica(Replica):
    """A causal language model with its output layer.

    Attributes:
        observer: a second model with the same vocabulary on the same device, for cross-entropies.
    """

    observer: ScorerReplica | None = None

    def _try_out(self) -> None:
        head = self._model.get_output_embeddings()
        bfloat16 = self._on_gpu and head.weight.dtype == torch.bfloat16
        self._weight = head.weight if bfloat16 else head.weight.float()
        self._bias = None if getattr(head, "bias", None) is None else head.bias.float()
        logits = _GPU_LOGITS if self._on_gpu else _CPU_LOGITS
        # Halves of a chunk still have at least _LEAST_ROWS.
        self._rows = max(2 * _LEAST_ROWS, logits // len(self._weight))
        self._scale, self._cap = self._find_output_rule()

    def _find_output_rule(self) -> tuple[float, float | None]:
        """The model's transformation of logits: a factor (Cohere, Granite) and a soft cap (Gemma).

        Raises:
            SynthError: it applies another one, which is not supported, or attends to the right.
        """
        if isinstance(self._model, Llama):  # it has none; three passes are a part of its start
            return 1.0, None
        name = self._model.config.name_or_path
        config = self._model.config.get_text_config()
        scale = _first(config, "logit_scale", "lm_head_multiplier") or 1.0
        scale /= _first(config, "logits_scaling") or 1.0
        cap = _first(config, "final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
        ids = torch.arange(1, 9, device=self._device)[None] % len(self._weight)
        other = ids.clone()
        other[0, -1] = 0
        with torch.inference_mode():
            theirs = self._model(input_ids=ids, use_cache=False).logits[0].float()
            ours = self._logits(self._hidden(ids)[0], scale, cap)
            beside = self._logits(self._hidden(other)[0], scale, cap)
        # Their head may round to the weights' type; ours does not.
        rounding = 1e-3 if self._model.dtype == torch.float32 else 2e-2
        allowed = rounding * float(theirs.abs().max())
        if float((beside - ours)[:-1].abs().max()) > allowed:
            raise SynthError(
                f"{name}: is not a causal language model: a token changes the predictions for those "
                "before it"
            )
        if float((theirs[:, : ours.shape[1]] - ours).abs().max()) > allowed:
            raise SynthError(
                f"{name}: computes its output in a way that the torch backend does not know; use "
                f"{parameter('backend', 'vllm')}"
            )
        return scale, cap

    def _logits(self, hidden: Tensor, scale: float, cap: float | None) -> Tensor:
        """float32 logits [rows, vocabulary] of hidden states [rows, width]."""
        states, weight = operands(hidden, self._weight)
        logits = float32_product(states, weight.T)
        if self._bias is not None:
            logits += self._bias
        if scale != 1.0:
            logits *= scale
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 logits [rows, vocabulary] of hidden states [rows, width]; a row's do not depend
        on the number of rows."""
        rows = len(hidden)
        hidden = torch.nn.functional.pad(hidden, (0, 0, 0, at_least(rows, 1) - rows))
        return self._logits(hidden, self._scale, self._cap)[:rows]

    def score(
        self, sequences: list[Sequence], width: int, request: ScoreRequest
    ) -> list[SequenceScores]:
        return self._halving(sequences, width, lambda some: self._score(some, width, request))

    @torch.inference_mode()
    def _score(
        self, sequences: list[Sequence], width: int, request: ScoreRequest
    ) -> list[SequenceScores]:
        rows = at_least(len(sequences), width)
        ids = np.zeros((rows, width), np.int64)
        # A token is predicted from the hidden state before it.
        scored = np.zeros((rows, width), bool)
        for row, sequence in enumerate(sequences):
            length = len(sequence.tokens)
            ids[row, :length] = sequence.tokens
            scored[row, sequence.first - 1 : length - 1] = True
        tokens = torch.from_numpy(ids).to(self._device)
        wanted = torch.from_numpy(scored).to(self._device)
        hidden = self._hidden(tokens)[wanted]
        targets = tokens.roll(-1, 1)[wanted]
        beside = None
        if request.distribution and self.observer is not None:
            beside = self.observer._hidden(tokens)[wanted]
        logprobs, present, top_ids, top_logprobs, numbers = self._head(
            hidden, targets, request, beside
        )
        ends = np.cumsum([len(s.tokens) - s.first for s in sequences])
        counts = np.concatenate([[0], np.cumsum(present)])
        results, start = [], 0
        for end in ends:
            candidates = None
            if request.candidates:
                part = slice(counts[start], counts[end])
                candidates = Candidates(present[start:end], top_ids[part], top_logprobs[part])
            own = TokenDistribution(*numbers[:, start:end]) if request.distribution else None
            results.append(SequenceScores(logprobs[start:end], candidates, own))
            start = end
        return results

    def _head(
        self, hidden: Tensor, targets: Tensor, request: ScoreRequest, beside: Tensor | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Log-probabilities of targets, and candidates of the rows that need them.

        Args:
            hidden: [rows, width]; targets: [rows]; beside: hidden states of the observer.

        Returns:
            logprobs float32 [rows], present bool [rows], ids and logprobs [rows present, k], and
            the rows of ``TokenDistribution`` [4, rows], as requested.
        """
        count = len(hidden)
        if 0 < count < _LEAST_ROWS:  # see _LEAST_ROWS
            hidden = torch.nn.functional.pad(hidden, (0, 0, 0, _LEAST_ROWS - count))
            targets = torch.nn.functional.pad(targets, (0, _LEAST_ROWS - count))
            if beside is not None:
                beside = torch.nn.functional.pad(beside, (0, 0, 0, _LEAST_ROWS - count))
        k = min(request.candidates, len(self._weight))
        low, high = request.log_bounds()
        logprobs, present, top_ids, top_logprobs, numbers = [], [], [], [], []
        for start, end in _chunks(len(hidden), self._rows):
            logits = self._logits(hidden[start:end], self._scale, self._cap)
            mass = torch.logsumexp(logits, 1)
            chosen = logits.gather(1, targets[start:end, None])[:, 0] - mass
            logprobs.append(chosen)
            if request.distribution:
                other = None
                if beside is not None and self.observer is not None:
                    observer = self.observer
                    other = observer._logits(beside[start:end], observer._scale, observer._cap)
                numbers.append(distribution(logits, targets[start:end], other))
            if not k:
                continue
            mask = (chosen >= low) | (chosen <= high)
            mask[max(0, count - start) :] = False
            top = torch.topk(logits[mask], min(k + _SPARE, logits.shape[1]), dim=1)
            present.append(mask)
            top_ids.append(top.indices)
            top_logprobs.append(top.values - mass[mask, None])
        empty = np.zeros((0, k))
        all_logprobs = torch.cat(logprobs)[:count].cpu().numpy() if logprobs else np.zeros(0, "f4")
        moments = (
            torch.cat(numbers, 1)[:, :count].cpu().numpy() if numbers else np.zeros((4, 0), "f4")
        )
        if not k or not logprobs:
            none = np.zeros(count, bool), empty.astype("i4"), empty.astype("f4")
            return all_logprobs, *none, moments
        candidates = ordered_candidates(
            torch.cat(present)[:count].cpu().numpy(),
            torch.cat(top_ids).cpu().numpy(),
            torch.cat(top_logprobs).cpu().numpy(),
        )
        best = candidates.ids[:, :k], candidates.logprobs[:, :k]
        return all_logprobs, candidates.present, *best, moments


def _held_by_modules(model: Any) -> list[tuple[str, int]]:
    """Names and identities of the modules' attributes and buffers."""
    return [
        (name, id(value))
        for module in model.modules()
        for held in (vars(module), module._buffers)
        for name, value in held.items()
    ]


def _chunks(rows: int, size: int) -> list[tuple[int, int]]:
    """Ranges of at most ``size`` rows, of nearly equal length (none so short that BLAS uses another
    kernel)."""
    pieces = max(1, -(-rows // size))
    bounds = [rows * i // pieces for i in range(pieces + 1)]
    return [(a, b) for a, b in itertools.pairwise(bounds) if a < b]


def _first(config: Any, *names: str) -> float | None:
    """The first of these attributes that a configuration sets."""
    values = (getattr(config, name, None) for name in names)
    return next((float(value) for value in values if value), None)


def _gpu_batch_tokens(model: Any, device: torch.device) -> int:
    """The tokens that fit into half of the free memory, from the size of a layer's activations."""
    free, _ = torch.cuda.mem_get_info(device)
    config = model.config.get_text_config()
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * width
    bytes_per_token = (8 * width + 3 * inner) * model.dtype.itemsize + 8 * width
    logits = _GPU_LOGITS * 4 * 3
    return int(min(1 << 17, max(4096, (free / 2 - logits) / bytes_per_token)))
