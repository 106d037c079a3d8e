"""One data set under two models: how far the second is from the first on it.

For data that the first model wrote, the mean of ln P_1(x_t) − ln P_2(x_t) over its tokens estimates
KL(P_1 ‖ P_2) per token. For other data it is the difference of what the two models miss of it,
KL(data ‖ P_2) − KL(data ‖ P_1), and may be negative. Of a model that wrote the data and one of
human text this is the criterion of ToEdit, equation 9: purely synthetic where
KL(P_LM ‖ P_data) > ε, semi-synthetic where it is at most ε.

The first two hold for text that was drawn from P_1 itself, at temperature 1 and from all tokens. What was
drawn at another temperature, or from the most probable tokens alone, comes from another distribution,
and the mean estimates no divergence of P_1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from synthtools.measure.bootstrap import intervals, resampled

PURE, SEMI, UNDECIDED, WITHHELD = "pure", "semi-synthetic", "undecided", "withheld"


class Sampling(NamedTuple):
    """How a text was drawn from its model; all None where that is not known."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    @property
    def known(self) -> bool:
        return self.temperature is not None and self.top_p is not None

    @property
    def plain(self) -> bool:
        """Whether it is the model's own distribution that was drawn from."""
        return (self.temperature, self.top_p, self.top_k) == (1, 1, None)


def log_ratio(
    nats: tuple[np.ndarray, np.ndarray],
    tokens: tuple[np.ndarray, np.ndarray],
    scored_bytes: tuple[np.ndarray, np.ndarray],
    same_tokens: bool,
    epsilon: float,
    resamples: int,
    seed: int,
    sampled: Mapping[Sampling, int],
) -> dict[str, Any]:
    """The mean log-ratio with bootstrap intervals over documents [ours], and the criterion.

    Args:
        nats: negative log-likelihood of each document under each model, float64 [documents].
        tokens: how many tokens that is; scored_bytes: how many bytes of UTF-8 these tokens are.
        same_tokens: the models cut every text alike; else there is no ratio by token.
        epsilon: of the criterion, nats a token; the paper leaves it open [ours].
        sampled: documents by how they were sampled.

    Returns:
        ``kl_per_byte`` and ``kl_per_token`` (None where the tokens differ), ``intervals``;
        ``epsilon``; ``verdict``: pure, semi-synthetic, undecided where the interval holds ε or
        tokens differ, or withheld where documents are known to be drawn from another distribution
        than the model's own; ``sampling``, rows of how many documents were drawn how (null: not
        known); ``documents_above_epsilon``, a share.
    """
    apart = nats[1] - nats[0]
    count = tokens[0].astype(np.float64)
    table = np.empty((resamples, 2))

    def both(times: np.ndarray) -> tuple[float, float]:
        # Models that cut a text differently may leave first tokens of different lengths unscored.
        byte = [_ratio(*one, times) for one in zip(nats, scored_bytes, strict=True)]
        return byte[1] - byte[0], _ratio(apart, count, times)

    for row, (times,) in enumerate(resampled([len(apart)], resamples, seed)):
        table[row] = both(times)
    estimate = np.array(both(np.ones(len(apart))))
    reach = intervals(["kl_per_byte", "kl_per_token"], table, estimate)
    if not same_tokens and reach:
        reach["kl_per_token"] = None
    ends = reach.get("kl_per_token")
    verdict = UNDECIDED
    if any(one.known and not one.plain for one in sampled):
        verdict = WITHHELD
    elif ends is not None and (ends[0] > epsilon or ends[1] <= epsilon):
        verdict = PURE if ends[0] > epsilon else SEMI
    return {
        "kl_per_token": float(estimate[1]) if same_tokens else None,
        "kl_per_byte": float(estimate[0]),
        "intervals": reach,
        "epsilon": epsilon,
        "verdict": verdict,
        "sampling": [{**one._asdict(), "documents": n} for one, n in sampled.items()],
        "documents_above_epsilon": float((apart > epsilon * count).mean()) if same_tokens else None,
    }


def _ratio(values: np.ndarray, weights: np.ndarray, times: np.ndarray) -> float:
    total = float((weights * times).sum())
    return float((values * times).sum()) / total if total else float("nan")
