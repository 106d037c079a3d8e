"""Unlearning as a task of the loop: a stream to forget, a stream to keep, and the original model.

Each step uses both streams. Documents to forget are not cut, because some losses are per document; replay is
packed as in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthtools.training.frozen_model import Drift, FrozenModel
from synthtools.training.head import KLTarget, head_loss, head_odds
from synthtools.training.language_model_task import (
    DeviceRows,
    ModelWithHead,
    RowStream,
    micro_batches,
    on_device,
)
from synthtools.training.loop import MicroBatch
from synthtools.training.objectives import (
    ASCENT,
    CROSS_ENTROPY,
    DocumentObjective,
    LoweredLabel,
    Objective,
    UnlearnLoss,
)
from synthtools.training.packers import IGNORED, Rows
from synthtools.training.parallel import Ranks

FORGET, REPLAY = "forget", "replay"
_SUMS = ("loss", "forget_loss", "forget_nll", "replay_nll", "original_nll", "kl")


class StreamRows(NamedTuple):
    """Rows of one stream on the device.

    Attributes:
        stream: its name.
        data: the rows.
        documents: int64 [places], each position's document, numbered from 0; None unless needed.
        documents_here: number of documents in these rows.
        tokens, all_documents: of this stream in the whole step, all ranks.
        step_tokens: of the whole step, both streams.
    """

    stream: str
    data: DeviceRows
    documents: Tensor | None
    documents_here: int
    tokens: int
    all_documents: int
    step_tokens: int


@dataclass
class UnlearnTask:
    """Forgets one stream and keeps the other.

    Attributes:
        root: the trained module.
        original: the frozen model.
        how: method, weights, direction of the KL.
        streams: ``forget``, ``replay`` or both, as the weights require.
        micro_rows: rows per forward pass of one rank.
        paired: report each step the rise of the replay loss over the original's on the same rows.
        names: ``original_nll`` is that of the original on the same rows of replay.
    """

    root: ModelWithHead
    original: FrozenModel
    how: UnlearnLoss
    streams: Sequence[RowStream]
    micro_rows: int
    ranks: Ranks
    paired: bool = False

    def __post_init__(self) -> None:
        self.names: Sequence[str] = _SUMS
        self.terms: Sequence[str] = self.how.terms
        self._drift = Drift(self.root, self.original, self.ranks)

    def micro_batches(self, step: int) -> list[MicroBatch]:
        batches = [stream.batch(step) for stream in self.streams]
        tokens = [int((batch.labels != IGNORED).sum()) for batch in batches]
        micros = []
        for stream, batch, count in zip(self.streams, batches, tokens, strict=True):
            numbers = documents_of(batch)
            documents = int(numbers.max(initial=-1)) + 1
            terms = [FORGET] if stream.name == FORGET else [t for t in self.terms if t != FORGET]
            for part, place in micro_batches(batch, self.micro_rows, self.ranks):
                data = on_device(
                    part, np.ones(len(part.sources)), self.ranks.device, self.root.bfloat16
                )
                of_places = numbers[place, : part.labels.shape[1]]
                _, own = np.unique(of_places[of_places >= 0], return_inverse=True)
                piece = StreamRows(
                    stream.name,
                    data,
                    torch.from_numpy(own.astype(np.int64)).to(self.ranks.device),
                    int(own.max(initial=-1)) + 1,
                    max(1, count),
                    max(1, documents),
                    sum(tokens),
                )
                micros.append(MicroBatch(piece, len(data.places), terms))
        return micros

    def loss(self, micro: MicroBatch, only: str | None = None) -> tuple[Tensor, Tensor]:
        piece: StreamRows = micro.data
        weights = {
            name: weight if only in (None, name) else 0.0
            for name, weight in self.how.weights._asdict().items()
        }
        if piece.stream == FORGET:
            total, value, seen = self._forget(piece, weights["forget"])
        else:
            total, value, seen = self._replay(piece, weights["replay"], weights["kl"])
        # So that the sum over the step's tokens, divided by their number, is the loss.
        seen["loss"] = (value.double() * piece.step_tokens, micro.tokens)
        sums = torch.zeros(len(self.names), 2, dtype=torch.float64, device=total.device)
        for name, (amount, count) in seen.items():
            sums[self.names.index(name), 0] = amount
            sums[self.names.index(name), 1] = count
        return total, sums

    def _forget(
        self, piece: StreamRows, weight: float
    ) -> tuple[Tensor, Tensor, dict[str, tuple[Any, int]]]:
        data, objective = piece.data, self.how.objective
        if isinstance(objective, DocumentObjective):
            each = weight / piece.all_documents
            total, values, odds = self._forget_documents(piece, each, objective)
            value = values.sum() * each
            if self.how.pairs and piece.documents is not None:
                odds = odds[
                    piece.documents % 2 == 0
                ]  # of the answers to forget, not the preferred ones
        elif isinstance(objective, LoweredLabel):
            none = torch.zeros_like(data.weights)
            of_kl = torch.full_like(data.weights, weight / piece.tokens)
            states, output = self.original(data)
            target = KLTarget(states, output, of_kl, lowered=objective.strength)

            def lowered(own: Tensor, own_output: Tensor) -> tuple[Tensor, ...]:
                return head_loss(own, own_output, data.labels, none, CROSS_ENTROPY, target)[:3]

            total, odds, values = self.root(data, lowered)
            values, value = values.double(), total.detach()
        else:
            assert isinstance(objective, Objective)
            weights = torch.full_like(data.weights, weight / piece.tokens)

            def head(states: Tensor, output: Tensor) -> tuple[Tensor, ...]:
                return head_loss(states, output, data.labels, weights, objective)[:2]

            total, odds = self.root(data, head)
            values, value = objective.value(odds).double(), total.detach()
        nll = CROSS_ENTROPY.value(odds).double().sum()
        seen = {"forget_loss": (values.sum(), len(values)), "forget_nll": (nll, len(odds))}
        return total, value, seen

    def _forget_documents(
        self, piece: StreamRows, weight: float, objective: DocumentObjective
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Document losses: computes ln π first, then gradient ascent with the weight dL/d ln π.

        Returns:
            The loss, the loss of each document, the log-odds of each label.
        """
        data, documents = piece.data, piece.documents
        assert documents is not None

        def summed(values: Tensor) -> Tensor:
            return values.new_zeros(piece.documents_here).index_add_(0, documents, values)

        original = data.weights.new_zeros(piece.documents_here)
        if objective.compares:
            states, output = self.original(data)
            original = summed(-CROSS_ENTROPY.value(head_odds(states, output, data.labels)))
        tokens = summed(torch.ones_like(data.weights))

        def head(states: Tensor, output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            odds = head_odds(states.detach(), output.detach(), data.labels)
            log_p = summed(-CROSS_ENTROPY.value(odds))
            slopes = objective.slope(log_p, original, tokens) * weight
            loss = head_loss(states, output, data.labels, slopes[documents], ASCENT)
            return loss.total, log_p, odds

        total, log_p, odds = self.root(data, head)
        return total, objective.value(log_p, original, tokens).double(), odds

    def _replay(
        self, piece: StreamRows, weight: float, kl_weight: float
    ) -> tuple[Tensor, Tensor, dict[str, tuple[Any, int]]]:
        data = piece.data
        each = torch.full_like(data.weights, weight / piece.tokens)
        original = None
        apart = None
        if self.how.weights.kl:
            states, output = self.original(data)
            kept = torch.full_like(data.weights, kl_weight / piece.tokens)
            original = KLTarget(states, output, kept, self.how.reverse)
        elif self.paired:
            states, output = self.original(data)
            apart = CROSS_ENTROPY.value(head_odds(states, output, data.labels))

        def head(states: Tensor, output: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            return tuple(head_loss(states, output, data.labels, each, CROSS_ENTROPY, original))

        total, odds, divergence, original_nll = self.root(data, head)
        count = len(odds)
        seen = {"replay_nll": (CROSS_ENTROPY.value(odds).double().sum(), count)}
        if original is not None:
            seen["kl"] = (divergence.double().sum(), count)
            apart = original_nll
        if apart is not None:
            seen["original_nll"] = (apart.double().sum(), count)
        return total, total.detach(), seen

    def parts(self, means: dict[str, float]) -> dict[str, float]:
        """``forget_loss``, ``distance`` (of rmu, from the original's hidden states), ``forget_ppl``, ``replay_ppl``, ``replay_rise`` (of perplexity over the
        original's on the same rows, 0.1 for 10 %), ``kl`` (nats a token), ``drift``."""
        numbers: dict[str, float] = {}
        known = ("forget_loss", "kl", "distance")
        numbers |= {name: means[name] for name in known if name in means}
        for name in ("forget", "replay"):
            if f"{name}_nll" in means:
                numbers[f"{name}_ppl"] = _exp(means[f"{name}_nll"])
        if "original_nll" in means:
            numbers["replay_rise"] = _exp(means["replay_nll"] - means["original_nll"]) - 1
        drift = self._drift()
        return numbers if drift is None else numbers | {"drift": drift}


def _exp(value: float) -> float:
    return math.exp(min(700.0, value))


def documents_of(batch: Rows) -> np.ndarray:
    """Index of each position's document, among documents with tokens to learn: int64 [rows, length]; −1
    elsewhere."""
    starts = (batch.positions == 0).ravel()
    numbers = np.cumsum(starts).reshape(batch.positions.shape)
    learned = batch.labels != IGNORED
    numbered = np.full(numbers.shape, -1, np.int64)
    numbered[learned] = np.unique(numbers[learned], return_inverse=True)[1]
    return numbered
