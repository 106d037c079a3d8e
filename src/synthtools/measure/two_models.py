"""One data set under two models: how far the second is from the first on it.

For data that the first model wrote, the mean of ln P_1(x_t) − ln P_2(x_t) over its tokens estimates
KL(P_1 ‖ P_2) per token. For other data it is the difference of what the two models miss of it,
KL(data ‖ P_2) − KL(data ‖ P_1), and may be negative. Of a model that wrote the data and one of
human text this is the criterion of ToEdit, equation 9: purely synthetic where
KL(P_LM ‖ P_data) > ε, semi-synthetic where it is at most ε.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synthtools.measure.bootstrap import intervals


def log_ratio(
    nats: tuple[np.ndarray, np.ndarray],
    tokens: tuple[np.ndarray, np.ndarray],
    utf8_bytes: np.ndarray,
    same_tokens: bool,
    epsilon: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The mean log-ratio with bootstrap intervals over documents [ours], and the criterion.

    Args:
        nats: negative log-likelihood of each document under each model, float64 [documents].
        tokens: how many tokens that is.
        same_tokens: the models cut every text alike; else there is no ratio by token.
        epsilon: of the criterion, nats a token; the paper leaves it open [ours].

    Returns:
        ``kl_per_byte`` and ``kl_per_token`` (None where the tokens differ), ``intervals``;
        ``epsilon``; ``verdict``: pure, semi-synthetic, or undecided where the interval holds ε or
        tokens differ; ``documents_above_epsilon``, a share.
    """
    apart = nats[1] - nats[0]
    count = tokens[0].astype(np.float64)
    draw = np.random.default_rng(np.random.SeedSequence(seed))
    table = np.empty((resamples, 2))
    for row in range(resamples):
        times = np.bincount(draw.integers(0, len(apart), len(apart)), minlength=len(apart))
        table[row] = _ratio(apart, utf8_bytes, times), _ratio(apart, count, times)
    once = np.ones(len(apart))
    estimate = np.array([_ratio(apart, utf8_bytes, once), _ratio(apart, count, once)])
    reach = intervals(["kl_per_byte", "kl_per_token"], table, estimate)
    if not same_tokens and reach:
        reach["kl_per_token"] = None
    ends = reach.get("kl_per_token")
    verdict = "undecided"
    if ends is not None and (ends[0] > epsilon or ends[1] <= epsilon):
        verdict = "pure" if ends[0] > epsilon else "semi-synthetic"
    return {
        "kl_per_token": float(estimate[1]) if same_tokens else None,
        "kl_per_byte": float(estimate[0]),
        "intervals": reach,
        "epsilon": epsilon,
        "verdict": verdict,
        "documents_above_epsilon": float((apart > epsilon * count).mean()) if same_tokens else None,
    }


def _ratio(values: np.ndarray, weights: np.ndarray, times: np.ndarray) -> float:
    total = float((weights * times).sum())
    return float((values * times).sum()) / total if total else float("nan")
