"""The output layer and an objective in one step.

The logits of a batch, [rows × vocabulary], are the largest tensor of a training step. Here they
exist only for a chunk of rows at a time: the forward pass already computes the gradients of a chunk
and lets its logits go.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from synthtools.training.objectives import Objective

# Logits kept at a time, in numbers (× 4 bytes).
_CHUNK_NUMBERS = 1 << 24


def head_loss(hidden: Tensor, weight: Tensor, labels: Tensor, objective: Objective) -> Tensor:
    """Sum of the objective over all rows.

    Args:
        hidden: last hidden states, [rows, width], any floating type.
        weight: the output layer, [vocabulary, width].
        labels: token ids, [rows], int64; rows whose label is −100 must have been left out.
        objective: function of the label's log-odds.

    Returns:
        A float32 scalar, differentiable in ``hidden`` and ``weight``.
    """
    return _HeadLoss.apply(hidden, weight, labels, objective)


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, hidden: Tensor, weight: Tensor, labels: Tensor, objective: Objective
    ) -> Tensor:
        rows = max(1, _CHUNK_NUMBERS // weight.shape[0])
        full_weight = weight.float()
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(full_weight)
        total = torch.zeros((), device=hidden.device)
        for start in range(0, hidden.shape[0], rows):
            chunk = slice(start, start + rows)
            states, label = hidden[chunk].float(), labels[chunk, None]
            logits = states @ full_weight.T
            label_logit = logits.gather(1, label).squeeze(1)
            # The rivals' distribution: the label taken out, so that d stays exact as p → 1.
            rivals = logits.scatter_(1, label, -torch.inf)
            log_mass = torch.logsumexp(rivals, 1)
            log_odds = label_logit - log_mass
            total += objective.value(log_odds).sum()
            # ∂d/∂z_y = 1 and ∂d/∂z_j = −p_j / (1 − p_y): the rivals' own softmax.
            slope = objective.slope(log_odds)
            grad_logits = rivals.sub_(log_mass[:, None]).exp_().mul_(-slope[:, None])
            grad_logits.scatter_(1, label, slope[:, None])
            grad_hidden[chunk] = grad_logits @ full_weight
            grad_weight.addmm_(grad_logits.T, states)
        context.save_for_backward(grad_hidden, grad_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        grad_hidden, grad_weight = context.saved_tensors
        return grad_hidden * grad.to(grad_hidden.dtype), grad_weight * grad, None, None
