"""Numbers of one scoring pass that tell text of people from text of models.

Of the scored tokens, with ℓ = ln P of the token, H = −Σ p ln p and V the variance of ln p under p:

    entropy      mean H                                       nats
    log_rank     mean ln rank, 1 for the most probable token  (Log-Rank, in DetectGPT, arXiv 2301.11305)
    top_1        share of the tokens that are the most probable
    fast_detect  (Σ ℓ + Σ H) / √Σ V     the analytic curvature of Fast-DetectGPT, arXiv 2310.05130
    min_k        mean of the lowest fifth of ℓ                (Min-K%, arXiv 2310.16789, k = 20)
    min_k_plus   mean of the lowest fifth of (ℓ + H) / √V     (Min-K%++, arXiv 2404.02936, k = 20)
    spread       standard deviation of ℓ
    entropy_spread  standard deviation of H: how evenly sure the model is [ours]
    binoculars   −Σ ℓ / Σ −Σ q ln p, q of the observer        (Binoculars, arXiv 2401.12070)

None of them says who wrote a single text.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from synthtools.lm.scores import Scores

# The share of tokens that Min-K% and Min-K%++ look at; the papers take 20 %, and so round down.
_LOWEST = 5


class DetectorScore(NamedTuple):
    """A document's numbers; None where it is too short, or the backend does not tell."""

    entropy: float | None = None
    log_rank: float | None = None
    top_1: float | None = None
    fast_detect: float | None = None
    min_k: float | None = None
    min_k_plus: float | None = None
    spread: float | None = None
    entropy_spread: float | None = None
    binoculars: float | None = None


def detector_score(scores: Scores) -> DetectorScore:
    """Numbers of a document that was scored with its distributions, in float64."""
    assert scores.distribution is not None
    scored = ~np.isnan(scores.logprobs)
    logprobs = scores.logprobs[scored].astype(np.float64)
    entropy, variance, rank, cross = (
        numbers[scored].astype(np.float64) for numbers in scores.distribution
    )
    lowest = len(logprobs) // _LOWEST
    if not len(logprobs):
        return DetectorScore()
    total = float(variance.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where a token is certain both are 0, up to rounding: it then stands where p says it should.
        normal = np.where(variance > 0, (logprobs + entropy) / np.sqrt(variance), 0.0)
    normal[np.isnan(variance)] = np.nan
    return DetectorScore(
        entropy=_known(entropy.mean()),
        log_rank=_known(np.log(rank).mean()),
        top_1=float((rank == 1).mean()) if not np.isnan(rank).any() else None,
        fast_detect=_known((logprobs + entropy).sum() / math.sqrt(total)) if total > 0 else None,
        min_k=_known(np.sort(logprobs)[:lowest].mean()) if lowest else None,
        min_k_plus=_known(np.sort(normal)[:lowest].mean()) if lowest else None,
        spread=_known(logprobs.std()) if len(logprobs) > 1 else None,
        entropy_spread=_known(entropy.std()) if len(logprobs) > 1 else None,
        binoculars=_known(-logprobs.sum() / cross.sum()) if cross.sum() != 0 else None,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
