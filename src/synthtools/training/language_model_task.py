"""Language modelling as a task of the loop: rows of several sources, each with its weight."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from synthtools.training import attention
from synthtools.training.head import head_loss, head_odds
from synthtools.training.loop import MicroBatch
from synthtools.training.objectives import CROSS_ENTROPY
from synthtools.training.packers import IGNORED, Blend, Rows, RowsGiven
from synthtools.training.parallel import Ranks, reshard

_R = TypeVar("_R")


class RowStream(NamedTuple):
    """A stream of rows, for instance for training or replay.

    Attributes:
        name: of the stream; sources: names of the rows' sources.
        rows: per step; end: of the run; length: tokens of a row.
    """

    name: str
    blend: Blend
    rows: int
    end: int = sys.maxsize
    length: int = 0
    sources: Sequence[str] = ()

    def batch(self, step: int) -> Rows:
        """The rows of a step; the last one may have fewer."""
        return self.blend.batch(step, self.rows, self.end)

    def given(self, steps: int) -> dict[str, RowsGiven]:
        """The rows of each source that so many steps used."""
        counts = self.blend.given(min(self.end, steps * self.rows))
        return dict(zip(self.sources, counts, strict=True))


class DeviceRows(NamedTuple):
    """Rows on the device, and the positions to learn.

    Attributes:
        tokens, positions: int64 [rows, length].
        places: int64 [n], flat indices of the predicting positions; computed on the CPU, to avoid
            synchronising with the device.
        labels: int64 [n], the token after each.
        weights: float32 [n], weight of each in the loss.
        sources: int64 [n], the source of each.
        documents: keyword arguments that separate documents (``attention.boundaries``).
    """

    tokens: Tensor
    positions: Tensor
    places: Tensor
    labels: Tensor
    weights: Tensor
    sources: Tensor
    documents: dict[str, Any]


class ModelWithHead(torch.nn.Module):
    """A causal language model with the computation of its head: the module that the loop trains and the
    ranks shard. The head runs inside the forward pass, where sharded parameters are gathered."""

    def __init__(self, model: Any, bfloat16: bool) -> None:
        super().__init__()
        self.model = model
        self.bfloat16 = bfloat16
        # The variable-length kernel has no dropout.
        self.variable_length = bfloat16 and not any(
            getattr(model.config.get_text_config(), name, 0)
            for name in ("attention_dropout", "attn_pdrop")
        )

    def forward(self, data: DeviceRows, head: Callable[[Tensor, Tensor], _R]) -> _R:
        """The result of ``head`` on the last hidden states of the predicting positions, [n, width], and
        the output layer, [vocabulary, width]."""
        device = data.tokens.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.bfloat16):
            hidden = self.model.base_model(
                input_ids=data.tokens,
                position_ids=data.positions,
                attention_mask=None,
                use_cache=False,
                **data.documents,
            ).last_hidden_state
        states = hidden.flatten(0, 1)[data.places]
        if self.bfloat16 and device == "cuda":
            states = states.to(torch.bfloat16)
        return head(states, self.model.get_output_embeddings().weight)


def on_device(rows: Rows, weights: np.ndarray, device: str, variable_length: bool) -> DeviceRows:
    """Rows as tensors on a device.

    Args:
        weights: float [rows], weight of each row's tokens in the loss.
        variable_length: whether a GPU separates documents by the variable-length kernel.
    """
    positions = torch.from_numpy(np.ascontiguousarray(rows.positions))
    documents = attention.boundaries(positions, variable_length and device != "cpu")
    flat = rows.labels.ravel()
    places = np.flatnonzero(flat != IGNORED)
    row = places // rows.labels.shape[1]

    def moved(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device, non_blocking=True)

    return DeviceRows(
        moved(np.ascontiguousarray(rows.tokens)),
        positions.to(device, non_blocking=True),
        moved(places),
        moved(flat[places]),
        moved(weights[row].astype(np.float32)),
        moved(rows.sources[row]),
        {
            key: value.to(device) if isinstance(value, Tensor) else value
            for key, value in documents.items()
        },
    )


def micro_batches(batch: Rows, micro_rows: int, ranks: Ranks) -> list[tuple[Rows, slice]]:
    """This rank's rows of a batch in micro-batches, with their ranges; the same number on each rank.

    If the last batch has too few rows, a micro-batch is a row of padding with an empty range.
    """
    rows = len(batch.sources)
    mine = -(-rows // ranks.count)
    first = mine * ranks.rank
    parts = []
    for start in range(first, first + mine, micro_rows):
        place = slice(min(start, rows), min(start + micro_rows, first + mine, rows))
        if place.start == place.stop:
            blank = batch._replace(labels=np.full_like(batch.labels, IGNORED))
            parts.append((blank.part(slice(0, 1)), place))
        else:
            parts.append((batch.part(place), place))
    return parts


@dataclass
class LanguageModelTask:
    """Predicts the next token.

    Attributes:
        root: the trained module.
        stream: the rows; with several sources, each source's loss is reported.
        micro_rows: rows per forward pass of one rank.
        weights: of each source's mean loss, None for its share of tokens. Sources without a weight share
            the rest of 1 in proportion to their tokens; the loss of a step is
            Σ_s w_s · (mean loss of the tokens of s).
        names: ``loss`` (mean over all tokens); with weights ``weighted_loss``, which is minimised;
            then ``loss <source>``.
    """

    root: ModelWithHead
    stream: RowStream
    micro_rows: int
    ranks: Ranks
    weights: Sequence[float | None]

    def __post_init__(self) -> None:
        self.terms: Sequence[str] = ()
        weighted = any(weight is not None for weight in self.weights)
        self._totals = ["loss", *(["weighted_loss"] if weighted else [])]
        sources = self.stream.sources
        several = sources if len(sources) > 1 else ()
        self.names: Sequence[str] = [*self._totals, *(f"loss {source}" for source in several)]

    def micro_batches(self, step: int) -> list[MicroBatch]:
        batch = self.stream.batch(step)
        weights = self._token_weights(batch)
        micros = []
        for part, place in micro_batches(batch, self.micro_rows, self.ranks):
            data = on_device(part, weights[place], self.ranks.device, self.root.variable_length)
            micros.append(MicroBatch(data, len(data.places)))
        return micros

    def _token_weights(self, batch: Rows) -> np.ndarray:
        """Weight of each row's tokens, float64 [rows]; over all tokens they sum to 1."""
        counts = (batch.labels != IGNORED).sum(1)
        total = max(1, int(counts.sum()))
        if all(weight is None for weight in self.weights):
            return np.full(len(counts), 1.0 / total)
        left = 1.0 - sum(weight for weight in self.weights if weight is not None)
        free = [s for s, weight in enumerate(self.weights) if weight is None]
        tokens = np.bincount(batch.sources, counts, len(self.weights))
        shared = max(1.0, float(tokens[free].sum())) if free else 1.0
        each = np.zeros(len(self.weights))
        for source, weight in enumerate(self.weights):
            if weight is not None:
                each[source] = weight / max(1.0, tokens[source])
            else:
                each[source] = left / shared
        return np.asarray(each[batch.sources])

    def loss(self, micro: MicroBatch, only: str | None = None) -> tuple[Tensor, Tensor]:
        data: DeviceRows = micro.data

        def head(states: Tensor, output: Tensor) -> tuple[Tensor, ...]:
            return head_loss(states, output, data.labels, data.weights, CROSS_ENTROPY)[:2]

        total, odds = self.root(data, head)
        exact = CROSS_ENTROPY.value(odds).double()
        seen = torch.zeros(len(self.names), 2, dtype=torch.float64, device=odds.device)
        seen[0, 0], seen[0, 1] = exact.sum(), len(odds)
        if len(self._totals) > 1:
            # The weights of a step sum to 1, or less if a source is missing.
            seen[1, 0], seen[1, 1] = (exact * data.weights).sum(), data.weights.sum()
        of_sources = seen[len(self._totals) :]
        if len(of_sources):
            of_sources[:, 0].index_add_(0, data.sources, exact)
            of_sources[:, 1].index_add_(0, data.sources, torch.ones_like(exact))
        return total, seen

    def parts(self, means: dict[str, float]) -> dict[str, float]:
        return means


@torch.no_grad()
def mean_losses(
    root: ModelWithHead,
    sets: dict[str, tuple[Blend, int]],
    micro_rows: int,
    ranks: Ranks,
    moved: Callable[[str, int, float], None],
) -> dict[str, tuple[float, int]]:
    """Mean loss (nats per token) and predicted tokens of each set.

    Args:
        sets: name → rows and their number.
        moved: called with the set, the number of tokens read by this rank, and their share of all.
    """
    root.eval()
    means = {}
    for name, (blend, rows) in sets.items():
        sums = torch.zeros(2, dtype=torch.float64)
        together = micro_rows * ranks.count
        for first in range(0, rows, together):
            numbers = range(first + ranks.rank, min(first + together, rows), ranks.count)
            # A rank without rows computes a dummy row: all ranks take part in every pass.
            batches = [blend.batch(n, 1) for n in numbers] or [blend.batch(0, 1)]
            joined = Rows(*(np.concatenate(fields) for fields in zip(*batches, strict=True)))
            part = joined.part(slice(0, len(joined.sources)))
            weights = np.ones(len(part.sources))
            data = on_device(part, weights, ranks.device, root.variable_length)
            odds = root(data, lambda states, weight, to=data.labels: head_odds(states, weight, to))
            if numbers:
                values = CROSS_ENTROPY.value(odds).double()
                sums += torch.tensor([float(values.sum()), len(values)])
            share = min(1.0, (first + together) / rows)
            moved(f"validation: {name}", int(sums[1]), share)
        total, count = ranks.sum(sums.to(ranks.device)).tolist()
        means[name] = (total / max(1.0, count), int(count))
    reshard(root)
    return means
