"""Losses as functions of the label's log-odds.

For logits z and label y let d = z_y − logsumexp_{j≠y} z_j, so that p_y = sigmoid(d). Every
objective here is a function f(d) with its derivative f'(d), both exact where p_y → 0 and where
p_y → 1 (from the negative log-likelihood neither is: in float32 it rounds to 0 as p_y → 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus


class Objective(NamedTuple):
    """A loss per token: ``value`` and ``slope`` map log-odds [n] to f(d) and f'(d) [n]."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


# −ln p = softplus(−d)
CROSS_ENTROPY = Objective(lambda d: softplus(-d), lambda d: -torch.sigmoid(-d))
