"""The output layer and an objective in one step.

The logits of a batch, [rows × vocabulary], are the largest tensor of a training step. Here they
exist only for a chunk of rows at a time: the forward pass already computes the gradients of a chunk
and lets its logits go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from synthtools.training.objectives import Objective

# Logits kept at a time, in numbers (× 4 bytes).
_CHUNK_NUMBERS = 1 << 24


def head_loss(
    hidden: Tensor, weight: Tensor, labels: Tensor, weights: Tensor, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the objective over all rows.

    Args:
        hidden: last hidden states, [rows, width], any floating type.
        weight: the output layer, [vocabulary, width].
        labels: token ids, [rows], int64; rows whose label is −100 must have been left out.
        weights: float32 [rows], of each row in the sum.
        objective: function of the label's log-odds.

    Returns:
        The sum, a float32 scalar, differentiable in ``hidden`` and ``weight``; and the objective of
        each row without its weight, float32 [rows], not differentiable.
    """
    return _HeadLoss.apply(hidden, weight, labels, weights, objective)


@torch.no_grad()
def head_values(hidden: Tensor, weight: Tensor, labels: Tensor, objective: Objective) -> Tensor:
    """The objective of each row alone: float32 [rows]. Arguments as for ``head_loss``."""
    parts = [objective.value(odds) for _, _, odds, _, _ in _chunks(hidden, weight, labels)]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


def _chunks(
    hidden: Tensor, weight: Tensor, labels: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """Chunks of rows: (where, states, log-odds, the rivals' logits, their log mass)."""
    rows = max(1, _CHUNK_NUMBERS // weight.shape[0])
    for start in range(0, hidden.shape[0], rows):
        chunk = slice(start, start + rows)
        states, label = hidden[chunk], labels[chunk, None]
        logits = _product(states, weight.T)
        label_logit = logits.gather(1, label).squeeze(1)
        # The rivals' distribution: the label taken out, so that d stays exact as p → 1.
        rivals = logits.scatter_(1, label, -torch.inf)
        log_mass = torch.logsumexp(rivals, 1)
        yield chunk, states, label_logit - log_mass, rivals, log_mass


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in float32; of bfloat16 on a GPU the tensor cores sum in float32 and nothing is rounded."""
    if a.is_cuda and a.dtype == torch.bfloat16:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def _operands(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that they are multiplied in."""
    if hidden.is_cuda and hidden.dtype == torch.bfloat16:
        return hidden, weight.to(torch.bfloat16)
    return hidden.float(), weight.float()


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        weights: Tensor,
        objective: Objective,
    ) -> tuple[Tensor, Tensor]:
        states_all, full_weight = _operands(hidden, weight)
        grad_hidden = torch.empty_like(hidden)
        learns = weight.requires_grad
        grad_weight = torch.zeros(weight.shape if learns else (0,), device=hidden.device)
        values = torch.empty(len(labels), device=hidden.device)
        for chunk, states, odds, rivals, log_mass in _chunks(states_all, full_weight, labels):
            values[chunk] = objective.value(odds)
            # ∂d/∂z_y = 1 and ∂d/∂z_j = −p_j / (1 − p_y): the rivals' own softmax.
            slope = objective.slope(odds) * weights[chunk]
            grad_logits = rivals.sub_(log_mass[:, None]).exp_().mul_(-slope[:, None])
            grad_logits.scatter_(1, labels[chunk, None], slope[:, None])
            grad_logits = grad_logits.to(states.dtype)
            grad_hidden[chunk] = grad_logits @ full_weight
            if not learns:
                continue
            if states.dtype == torch.float32:
                grad_weight.addmm_(grad_logits.T, states)
            else:
                grad_weight += _product(grad_logits.T, states)
        context.save_for_backward(grad_hidden, grad_weight.to(weight.dtype))
        context.mark_non_differentiable(values)
        return (values * weights).sum(), values

    @staticmethod
    def backward(  # type: ignore[override]
        context: Any, grad: Tensor, _: Tensor
    ) -> tuple[Tensor, Tensor | None, None, None, None]:
        grad_hidden, grad_weight = context.saved_tensors
        of_weight = (
            grad_weight * grad.to(grad_weight.dtype) if context.needs_input_grad[1] else None
        )
        return grad_hidden * grad.to(grad_hidden.dtype), of_weight, None, None, None
