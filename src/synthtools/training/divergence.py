"""Comparison of a model with its original, on the same documents.

Both models read every row. For each predicted token: −ln p, the entropy of the prediction and
KL(original ‖ model); over all positions: the mean of the predictions, that is the expected frequency of each
token. An unlearned pattern shows as a peak of these frequencies that has disappeared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor

from synthtools.lm.torch.float32_product import float32_product, operands
from synthtools.training.frozen_model import FrozenModel
from synthtools.training.head import chunks_of
from synthtools.training.language_model_task import DeviceRows, ModelWithHead, on_device
from synthtools.training.packers import IGNORED, Rows, WholePacker
from synthtools.training.parallel import Ranks
from synthtools.training.unlearn_task import documents_of

# Quantiles of perplexity over documents.
_LEVELS = np.linspace(0.0, 1.0, 41)
_LISTED = 12
# A token is listed only if one of the models expects it at least this often [ours].
_OFTEN = 1e-4


class _TokenComparison(NamedTuple):
    """For n positions: −ln p and entropy of both models and KL, float64 [n] each; and the sums of their
    predictions, float64 [2, vocabulary]."""

    nll: np.ndarray
    entropy: np.ndarray
    kl: np.ndarray
    expected: np.ndarray


class BeforeAfter(TypedDict):
    before: float
    after: float


class TokenShift(BeforeAfter):
    """A token and its expected frequency under both models."""

    token: str
    id: int


class SetComparison(TypedDict):
    """Two models on a set of documents: perplexity of all tokens, entropy (nats), KL(original ‖ model) in nats
    per token, quantiles of the documents' perplexity at ``levels``, and the tokens whose expected frequency
    fell or rose most."""

    tokens: int
    documents: int
    perplexity: BeforeAfter
    entropy: BeforeAfter
    kl: float
    levels: list[float]
    document_perplexity: dict[str, list[float]]
    fallen: list[TokenShift]
    risen: list[TokenShift]


@torch.no_grad()
def compared(
    root: ModelWithHead,
    original: FrozenModel,
    packer: WholePacker,
    tokens: int,
    micro_rows: int,
    ranks: Ranks,
    surfaces: Sequence[bytes],
    moved: Callable[[int, float], None],
) -> SetComparison:
    """The two models on a set of documents (pieces of at most the context's length).

    Args:
        tokens: about how many to read, in evenly spread rows.
        surfaces: the bytes of each token.
        moved: called with the number of tokens read, and their share of all.
    """
    root.eval()
    length = packer.row(0)[0].shape[0]
    wanted = min(packer.rows, max(1, tokens // length))
    numbers = [number * packer.rows // wanted for number in range(wanted)]
    parts: list[_TokenComparison] = []
    means: list[np.ndarray] = []
    read = 0
    # Every rank reads everything: the sets are small, and results need not be gathered.
    for first in range(0, len(numbers), micro_rows):
        fields = zip(*(packer.row(n) for n in numbers[first : first + micro_rows]), strict=True)
        stacked, positions, labels = (np.stack(field) for field in fields)
        batch = Rows(stacked, positions, labels, np.zeros(len(stacked), np.int64))
        batch = batch.part(slice(0, micro_rows))
        data = on_device(batch, np.ones(len(batch.sources)), ranks.device, root.variable_length)
        if not len(data.places):
            continue
        seen = _compare_tokens(root, original, data)
        parts.append(seen)
        owner = documents_of(batch)[batch.labels != IGNORED]
        counts = np.bincount(owner)
        means.append(np.stack([np.bincount(owner, nll) / counts for nll in seen.nll]))
        read += len(owner)
        moved(read, min(1.0, (first + micro_rows) / len(numbers)))
    nll = np.concatenate([seen.nll for seen in parts], 1)
    entropy = np.concatenate([seen.entropy for seen in parts], 1)
    documents = np.exp(np.minimum(np.concatenate(means, 1), 700.0))
    quantiles = np.quantile(documents, _LEVELS, axis=1).T.tolist()
    expected = sum(seen.expected for seen in parts) / nll.shape[1]
    fallen, risen = _shifts(np.asarray(expected)[:, : len(surfaces)], surfaces)
    return {
        "tokens": nll.shape[1],
        "documents": documents.shape[1],
        "perplexity": _before_after([math.exp(min(700.0, row.mean())) for row in nll]),
        "entropy": _before_after(entropy.mean(1).tolist()),
        "kl": float(np.concatenate([seen.kl for seen in parts]).mean()),
        "levels": [round(level, 3) for level in _LEVELS.tolist()],
        "document_perplexity": {"before": quantiles[0], "after": quantiles[1]},
        "fallen": fallen,
        "risen": risen,
    }


def _before_after(values: Sequence[float]) -> BeforeAfter:
    return {"before": values[0], "after": values[1]}


def _shifts(
    expected: np.ndarray, surfaces: Sequence[bytes]
) -> tuple[list[TokenShift], list[TokenShift]]:
    """Tokens whose expected frequency fell or rose most, by their contribution to the Jensen–Shannon
    divergence of the two frequency distributions [2, vocabulary]."""
    before, after = expected
    often = np.maximum(before, after) >= _OFTEN
    middle = 0.5 * (before + after)
    # Each token's contribution to the divergence, with the sign of its change.
    part = 0.5 * (_entropy_part(before, middle) + _entropy_part(after, middle))
    signed = np.where(often, np.sign(after - before) * part, 0.0)

    def listed(numbers: np.ndarray) -> list[TokenShift]:
        return [
            {
                "token": surfaces[number].decode("utf-8", "replace"),
                "id": int(number),
                "before": float(before[number]),
                "after": float(after[number]),
            }
            for number in numbers[:_LISTED]
        ]

    order = np.argsort(signed, kind="stable")
    return listed(order[signed[order] < 0]), listed(order[::-1][signed[order[::-1]] > 0])


def _entropy_part(p: np.ndarray, middle: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log(p / middle), 0.0)


def _compare_tokens(
    root: ModelWithHead, original: FrozenModel, data: DeviceRows
) -> _TokenComparison:
    states, output = original(data)

    def head(own: Tensor, own_output: Tensor) -> list[Tensor]:
        rows = len(data.labels)
        nll, entropy = torch.empty(2, rows), torch.empty(2, rows)
        kl = torch.empty(rows)
        expected = torch.zeros(2, own_output.shape[0], dtype=torch.float64)
        # Two models and quantities of their logits: a quarter of the rows of training.
        for chunk in chunks_of(rows, 4 * own_output.shape[0]):
            label = data.labels[chunk, None]
            logs = [
                torch.log_softmax(float32_product(states_of[chunk], weight.T), 1)
                for states_of, weight in (operands(states, output), operands(own, own_output))
            ]
            for number, log_p in enumerate(logs):
                p = log_p.exp()
                nll[number, chunk] = -log_p.gather(1, label).squeeze(1).cpu()
                entropy[number, chunk] = -(p * log_p).sum(1).cpu()
                expected[number] += p.sum(0, dtype=torch.float64).cpu()
            kl[chunk] = (logs[0].exp() * (logs[0] - logs[1])).sum(1).cpu()
        return [nll, entropy, kl, expected]

    return _TokenComparison(*(value.double().numpy() for value in root(data, head)))
