"""The output layer and an objective in one step.

The logits of a batch, [rows × vocabulary], are the largest tensor of a training step. Here they exist only
for a chunk of rows at a time (with the original model's, if a divergence is needed): the forward pass computes
the gradients of a chunk and frees its logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from synthtools.lm.torch.float32_product import float32_product, operands
from synthtools.training.objectives import Objective

# Number of logits in memory at a time (× 4 bytes).
_CHUNK_NUMBERS = 1 << 24


class KLTarget(NamedTuple):
    """The frozen model's outputs at the same rows, for the KL term.

    Attributes:
        states: its last hidden states, [rows, its width].
        weight: its output layer, [vocabulary, its width].
        weights: float32 [rows], of each row's divergence in the sum.
        reverse: KL(trained ‖ original) instead of KL(original ‖ trained).
        lowered: subtracted from the label's logit of the original.
    """

    states: Tensor
    weight: Tensor
    weights: Tensor
    reverse: bool = False
    lowered: float = 0.0


class HeadLoss(NamedTuple):
    """The result of ``head_loss``.

    Attributes:
        total: weighted sum over all rows, a float32 scalar, differentiable in states and weight.
        odds: log-odds of the label, float32 [rows], not differentiable.
        divergence: KL of each row in nats; original_nll: −ln p of the label under the original;
            float32 [rows], or [0] without an original; not differentiable.
    """

    total: Tensor
    odds: Tensor
    divergence: Tensor
    original_nll: Tensor


def head_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    weights: Tensor,
    objective: Objective,
    original: KLTarget | None = None,
) -> HeadLoss:
    """Weighted sum of the objective over all rows, and of the divergence from an original.

    Args:
        hidden: last hidden states, [rows, width], any floating type.
        weight: the output layer, [vocabulary, width].
        labels: token ids, [rows], int64; rows whose label is −100 must have been left out.
        weights: float32 [rows], of each row's objective in the sum.
        objective: function of the label's log-odds.
        original: for the KL term; None without.
    """
    return HeadLoss(*_HeadLoss.apply(hidden, weight, labels, weights, objective, original))


@torch.no_grad()
def head_odds(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Only the label's log-odds of each row: float32 [rows]. Arguments as for ``head_loss``."""
    parts = [chunk.odds for chunk in _chunks(*operands(hidden, weight), labels)]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


class _Chunk(NamedTuple):
    """n rows: their range, states, labels [n, 1] and log-odds [n]; the logits [n, vocabulary] with −inf for
    the label, and their logsumexp [n]."""

    rows: slice
    states: Tensor
    label: Tensor
    odds: Tensor
    rivals: Tensor
    log_mass: Tensor


def _chunks(hidden: Tensor, weight: Tensor, labels: Tensor) -> Iterator[_Chunk]:
    for rows in chunks_of(hidden.shape[0], weight.shape[0]):
        states, label = hidden[rows], labels[rows, None]
        logits = float32_product(states, weight.T)
        label_logit = logits.gather(1, label).squeeze(1)
        # The distribution over the other tokens: without the label, so that d stays exact as p → 1.
        rivals = logits.scatter_(1, label, -torch.inf)
        log_mass = torch.logsumexp(rivals, 1)
        yield _Chunk(rows, states, label, label_logit - log_mass, rivals, log_mass)


def chunks_of(rows: int, vocabulary: int) -> Iterator[slice]:
    """Ranges of rows whose logits fit into memory together."""
    together = max(1, _CHUNK_NUMBERS // vocabulary)
    for start in range(0, rows, together):
        yield slice(start, start + together)


def _divergence(chunk: _Chunk, logits: Tensor, reverse: bool) -> tuple[Tensor, Tensor, Tensor]:
    """KL of each row [n], its gradient in the trained logits [n, vocabulary], and −ln p of the label
    under the original [n].

    Args:
        logits: of the original, [n, vocabulary]; overwritten.
    """
    # ln p of all tokens; the label's from its log-odds, which stay exact.
    log_p = chunk.rivals - (chunk.log_mass + softplus(chunk.odds))[:, None]
    log_p.scatter_(1, chunk.label, -softplus(-chunk.odds)[:, None])
    log_q = logits.sub_(torch.logsumexp(logits, 1, keepdim=True))
    nll = -log_q.gather(1, chunk.label).squeeze(1)
    if reverse:
        p = log_p.exp()
        apart = log_p.sub_(log_q)
        kl = (p * apart).sum(1)
        return kl, apart.sub_(kl[:, None]).mul_(p), nll
    p = log_p.exp()
    q = log_q.exp()
    kl = log_q.sub_(log_p).mul_(q).sum(1)
    return kl, p.sub_(q), nll


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        weights: Tensor,
        objective: Objective,
        original: KLTarget | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        states_all, full_weight = operands(hidden, weight)
        grad_hidden = torch.empty_like(hidden)
        learns = weight.requires_grad
        device = hidden.device
        grad_weight = torch.zeros(weight.shape if learns else (0,), device=device)
        odds = torch.empty(len(labels), device=device)
        divergence, original_nll = (
            torch.empty(0 if original is None else len(labels), device=device) for _ in range(2)
        )
        if original is not None:
            kept_states, kept_weight = operands(original.states, original.weight)
        for chunk in _chunks(states_all, full_weight, labels):
            rows = chunk.rows
            odds[rows] = chunk.odds
            apart = None
            if original is not None:
                logits = float32_product(kept_states[rows], kept_weight.T)
                if original.lowered:
                    lowered = torch.full_like(chunk.odds, -original.lowered)
                    logits.scatter_add_(1, chunk.label, lowered[:, None])
                divergence[rows], apart, original_nll[rows] = _divergence(
                    chunk, logits, original.reverse
                )
                apart.mul_(original.weights[rows, None])
            # ∂d/∂z_y = 1 and ∂d/∂z_j = −p_j / (1 − p_y): the softmax over the other tokens.
            slope = objective.slope(chunk.odds) * weights[rows]
            gradient = chunk.rivals.sub_(chunk.log_mass[:, None]).exp_().mul_(-slope[:, None])
            gradient.scatter_(1, chunk.label, slope[:, None])
            if apart is not None:
                gradient.add_(apart)
            gradient = gradient.to(chunk.states.dtype)
            grad_hidden[rows] = gradient @ full_weight
            if not learns:
                continue
            if gradient.dtype == torch.float32:
                grad_weight.addmm_(gradient.T, chunk.states)
            else:
                grad_weight += float32_product(gradient.T, chunk.states)
        total = (objective.value(odds) * weights).sum()
        if original is not None:
            total = total + (divergence * original.weights).sum()
        context.save_for_backward(grad_hidden, grad_weight.to(weight.dtype))
        context.mark_non_differentiable(odds, divergence, original_nll)
        return total, odds, divergence, original_nll

    @staticmethod
    def backward(
        context: Any, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, None, None, None, None]:
        grad_hidden, grad_weight = context.saved_tensors
        of_weight = (
            grad_weight * grad.to(grad_weight.dtype) if context.needs_input_grad[1] else None
        )
        return grad_hidden * grad.to(grad_hidden.dtype), of_weight, None, None, None, None
