"""Comparison of perplexities: of several corpora, or of one corpus under several models.

Both sides of a pair share one axis (``coverage``). For one corpus under two models there is also the log-ratio. If the
first model wrote the data, the mean of ln P_1(x_t) − ln P_2(x_t) over its tokens estimates KL(P_1 ‖ P_2) per token. For
other data it is the difference KL(data ‖ P_2) − KL(data ‖ P_1), and may be negative. With a model that wrote the data and
one of human text, it is the criterion of ToEdit, equation 9: purely synthetic if KL(P_LM ‖ P_data) > ε, semi-synthetic
otherwise. This is valid for text sampled from P_1 itself, at temperature 1 and from all tokens; other sampling changes
the distribution, and the mean does not estimate a divergence of P_1.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from synthtools.measure import coverage
from synthtools.measure.bootstrap import intervals, resampled
from synthtools.measure.perplexity import probability_counts, token_probability
from synthtools.measure.scored_records import ScoredBatch
from synthtools.records.batch import MISSING, Batch
from synthtools.records.record_faults import without
from synthtools.records.rejects import Rejects

PURE, SEMI, UNDECIDED, WITHHELD = "pure", "semi-synthetic", "undecided", "withheld"


class Sampling(NamedTuple):
    """How a text was sampled from its model; all None if unknown."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    @property
    def known(self) -> bool:
        return self.temperature is not None and self.top_p is not None

    @property
    def plain(self) -> bool:
        """Whether the text was sampled from the model's own distribution."""
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
        tokens: number of these tokens; scored_bytes: their UTF-8 bytes.
        same_tokens: the models tokenise every text alike; otherwise there is no ratio per token.
        epsilon: of the criterion, nats per token; the paper leaves it open [ours].
        sampled: numbers of documents by sampling.

    Returns:
        ``kl_per_byte`` and ``kl_per_token`` (None if the tokens differ), ``intervals``; ``epsilon``; ``verdict``:
        pure, semi-synthetic, undecided if the interval contains ε or tokens differ, or withheld if documents are
        known to be sampled from another distribution than the model's own; ``sampling``: numbers of documents by
        sampling (null: unknown); ``documents_above_epsilon``: a share.
    """
    apart = nats[1] - nats[0]
    count = tokens[0].astype(np.float64)
    table = np.empty((resamples, 2))

    def both(times: np.ndarray) -> tuple[float, float]:
        # With different tokenizers, unscored first tokens may differ in length.
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


STORED = "fields of the records"
_SCORES = ("ppl", "nll", "n_tokens")
# The fields in which ``generate`` stores its sampling settings.
SAMPLING_FIELDS = ("generate_temperature", "generate_top_p", "generate_top_k")


@dataclass
class Side:
    """The documents of one side, in input order; NaN for those that could not be scored.

    Attributes:
        name: of the corpus or the model.
        scored_by: a model's name, or ``STORED``.
        ppl, nll: of each document.
        tokens: number scored, −1 if the records do not have it.
        scored_bytes: of the scored tokens.
        sampled: numbers of documents by sampling.
        checksums: of each document's tokens; equal if tokenizers agree.
        probabilities: tokens by probability (see ``perplexity.probability_counts``); none if the records
            were scored before.
    """

    name: str
    scored_by: str = STORED
    ppl: list[float] = field(default_factory=list)
    nll: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    scored_bytes: list[int] = field(default_factory=list)
    sampled: Counter[Sampling] = field(default_factory=Counter)
    checksums: list[int] = field(default_factory=list)
    probabilities: np.ndarray = field(default_factory=lambda: probability_counts([]))

    def add(self, item: ScoredBatch) -> None:
        for document, scores in zip(item.documents, item.scores, strict=True):
            self.ppl.append(np.nan if document.ppl is None else document.ppl)
            self.nll.append(np.nan if document.nll is None else document.nll)
            self.tokens.append(document.n_tokens)
            self.checksums.append(zlib.crc32(scores.ids.tobytes()))
        self.scored_bytes += item.scored_bytes
        self.probabilities += probability_counts([scores.logprobs for scores in item.scores])
        for values in zip(*map(item.batch.column, SAMPLING_FIELDS), strict=True):
            sampling = Sampling(*(v if type(v) in (int, float) else None for v in values))
            self.sampled[sampling if sampling.known else Sampling()] += 1

    def add_stored(self, batch: Batch) -> None:
        """Adds documents with the scores stored in their records (see ``sound_scores``)."""
        for ppl, nll, tokens in zip(*map(batch.column, _SCORES), strict=True):
            p, n = (None if value is MISSING else value for value in (ppl, nll))
            if p is None and n is not None:
                p = np.exp(n) if n < 709 else np.inf
            elif n is None and p is not None:
                n = np.log(p)
            self.ppl.append(np.nan if p is None else float(p))
            self.nll.append(np.nan if n is None else float(n))
            self.tokens.append(-1 if tokens is MISSING else tokens)

    def counts(self) -> dict[str, Any]:
        """The side's counts and averages for the report."""
        ppl, tokens = np.array(self.ppl, np.float64), np.array(self.tokens, np.int64)
        scored = ~np.isnan(ppl)
        known = bool(scored.any()) and bool((tokens[scored] >= 0).all())
        total = int(tokens[scored].sum()) if known else None
        nll = None
        if total:
            nll = float(np.array(self.nll)[scored] @ tokens[scored]) / total
        # For records that were scored before, bytes are unknown.
        size = sum(self.scored_bytes)
        nats = float(np.nansum(np.array(self.nll) * tokens)) if size else 0.0
        return {
            "name": self.name,
            "scored_by": self.scored_by,
            "documents": len(ppl),
            "unscored": int((~scored).sum()),
            "infinite": int(np.isinf(ppl).sum()),
            "tokens": total,
            "perplexity": None if nll is None or nll > 709 else float(np.exp(nll)),
            "nll": nll,
            "bits_per_byte": nats / (math.log(2) * size) if size and math.isfinite(nats) else None,
            "token_probability": token_probability(self.probabilities),
        }


def sound_scores(batch: Batch, rejects: Rejects) -> Batch:
    """The records with valid stored scores; the others go to ``rejects``."""
    bad: dict[int, str] = {}
    for index, (ppl, nll, tokens) in enumerate(zip(*map(batch.column, _SCORES), strict=True)):
        if ppl is MISSING and nll is MISSING:
            bad[index] = 'no field "ppl" or "nll", which earlier records of this input have'
        elif not (_is_score(ppl) and _is_score(nll)) or ppl == 0:
            bad[index] = 'field "ppl" or "nll" is not a perplexity'
        elif tokens is not MISSING and (type(tokens) is not int or tokens < 0):
            bad[index] = 'field "n_tokens" is not a count'
    return without(batch, bad, rejects)


def has_scores(batch: Batch) -> bool:
    """Whether the first record has a perplexity."""
    return any(batch.column(name)[0] is not MISSING for name in ("ppl", "nll"))


def _is_score(value: Any) -> bool:
    """None, missing, or a number that can be a perplexity (nll may be 0, ppl not)."""
    if value is MISSING or value is None:
        return True
    return type(value) in (int, float) and value >= 0


def caveats(sides: list[Side], paired: bool) -> Iterator[str]:
    """Caveats for readers of the comparison, one line each."""
    stored = [side.name for side in sides if side.scored_by == STORED]
    unknown = sides[0].sampled[Sampling()]
    if stored and len({side.scored_by for side in sides}) > 1:
        yield (
            f"{', '.join(stored)}: already scored; comparable with the others only if scored by the "
            "same model"
        )
    if paired and unknown:
        yield (
            f"{unknown:,} of {len(sides[0].ppl):,} records do not say how they were sampled "
            f"({', '.join(SAMPLING_FIELDS[:2])}); pure and semi-synthetic hold for text that the left "
            "model sampled at temperature 1 and top-p 1"
        )


def comparison(
    sides: list[Side], *, log: bool, resamples: int, seed: int, epsilon: float, paired: bool
) -> dict[str, Any]:
    """The report: each side, and each pair of sides.

    Args:
        log: densities are of the logarithm of the perplexity.
        resamples: for each interval; 0 for none.
        epsilon: of ``log_ratio``, nats per token.
        paired: the sides are one corpus under several models.
    """
    if paired:
        # The same documents on all sides, as the intervals are paired.
        whole = np.asarray(np.isfinite([side.ppl for side in sides]).all(axis=0))
        ppl = [np.array(side.ppl)[whole] for side in sides]
    else:
        ppl = [np.array([x for x in side.ppl if math.isfinite(x)], np.float64) for side in sides]
    ranked = [np.sort(one) for one in ppl]
    axis = coverage.common_axis(ranked, log)
    inputs = [
        side.counts() | coverage.side(one, axis, resamples, seed)
        for side, one in zip(sides, ranked, strict=True)
    ]
    pairs = []
    for i, j in itertools.combinations(range(len(sides)), 2):
        pair: dict[str, Any] = {"left": sides[i].name, "right": sides[j].name}
        if axis is not None and len(ppl[i]) and len(ppl[j]):
            two = (ppl[i], ppl[j]) if paired else (ranked[i], ranked[j])
            pair |= coverage.compare(*two, axis, resamples, seed, paired)
            if paired:
                pair["log_ratio"] = _log_ratio(sides[i], sides[j], whole, epsilon, resamples, seed)
        pairs.append(pair)
    return {
        "kind": "ppl-models" if paired else "ppl-compare",
        "scale": "log" if log else "linear",
        "bootstrap": resamples,
        "density_unit": "per nat of ln ppl" if log else "per unit of perplexity",
        "grid": None if axis is None else axis.ppl(axis.points),
        "edges": None if axis is None else axis.ppl(axis.edges),
        "inputs": inputs,
        "pairs": pairs,
    }


def _log_ratio(
    one: Side, other: Side, whole: np.ndarray, epsilon: float, resamples: int, seed: int
) -> dict[str, Any]:
    tokens = [np.array(side.tokens)[whole] for side in (one, other)]
    nats = [np.array(side.nll)[whole] * n for side, n in zip((one, other), tokens, strict=True)]
    same = one.checksums == other.checksums and bool((tokens[0] == tokens[1]).all())
    return log_ratio(
        (nats[0], nats[1]),
        (tokens[0], tokens[1]),
        (np.array(one.scored_bytes)[whole], np.array(other.scored_bytes)[whole]),
        same,
        epsilon,
        resamples,
        seed,
        one.sampled,
    )
