"""The learning rate over steps, as a factor of its peak."""

from __future__ import annotations

import math


def factor(
    schedule: str, step: int, steps: int, warmup: float, decay: float, floor: float = 0.1
) -> float:
    """The learning rate at a step, as a share of its peak.

    Args:
        schedule: ``cosine`` (to ``floor``), ``wsd`` (warm-up, stable, then a linear fall to 0 over
            the last ``decay`` steps), ``linear`` (to 0) or ``constant``.
        step: from 0.
        steps: of the whole run.
        warmup: steps of linear rise from 0.
        decay: steps of the fall of ``wsd``.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = (steps - step) / max(1, steps - warmup)  # 1 after warm-up, 0 at the end
    if schedule == "cosine":
        return floor + (1 - floor) * 0.5 * (1 - math.cos(math.pi * left))
    if schedule == "linear":
        return left
    if schedule == "wsd":
        return min(1.0, (steps - step) / max(1, decay))
    return 1.0
