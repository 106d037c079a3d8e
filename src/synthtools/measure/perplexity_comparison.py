"""Perplexities of documents compared: of several corpora, or of one corpus under several models.

Both sides of a pair are put on one axis (``coverage``); one corpus under two models also gives the
log-ratio of the two (``two_models``).
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthtools.measure import coverage
from synthtools.measure.perplexity import probability_counts, token_probability
from synthtools.measure.scored_records import ScoredBatch
from synthtools.measure.two_models import Sampling, log_ratio
from synthtools.records.batch import MISSING, Batch
from synthtools.records.record_faults import without
from synthtools.records.rejects import Rejects

STORED = "fields of the records"
_SCORES = ("ppl", "nll", "n_tokens")
# The fields in which ``generate`` keeps how it sampled an answer.
SAMPLING_FIELDS = ("generate_temperature", "generate_top_p", "generate_top_k")


@dataclass
class Side:
    """The documents of one side, in input order; NaN where one could not be scored.

    Attributes:
        name: of the corpus or the model.
        scored_by: a model's name, or ``STORED``.
        ppl, nll: of each document.
        tokens: scored ones, −1 where the records do not say.
        scored_bytes: of the scored tokens.
        sampled: documents by how they were sampled from a model.
        checksums: of each document's tokens; equal where tokenizers agree.
        probabilities: tokens by their probability (see ``perplexity.probability_counts``); none
            where the records were scored before.
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
        self.sampled.update(_sampling(item.batch))

    def add_stored(self, batch: Batch) -> None:
        """Adds documents by the scores that their records hold (see ``sound_scores``)."""
        for ppl, nll, tokens in zip(*map(batch.column, _SCORES), strict=True):
            p = ppl if ppl is not MISSING else None
            n = nll if nll is not MISSING else None
            if p is None and n is not None:
                p = np.exp(n) if n < 709 else np.inf
            elif n is None and p is not None:
                n = np.log(p)
            self.ppl.append(np.nan if p is None else float(p))
            self.nll.append(np.nan if n is None else float(n))
            self.tokens.append(-1 if tokens is MISSING else tokens)

    def finite(self) -> np.ndarray:
        """Perplexities that are numbers."""
        return np.array([ppl for ppl in self.ppl if math.isfinite(ppl)], np.float64)

    def counts(self) -> dict[str, Any]:
        """The report's head of the side."""
        ppl, tokens = np.array(self.ppl, np.float64), np.array(self.tokens, np.int64)
        scored = ~np.isnan(ppl)
        known = bool(scored.any()) and bool((tokens[scored] >= 0).all())
        total = int(tokens[scored].sum()) if known else None
        nll = None
        if total:
            nll = float(np.array(self.nll)[scored] @ tokens[scored]) / total
        return {
            "name": self.name,
            "scored_by": self.scored_by,
            "documents": len(ppl),
            "unscored": int((~scored).sum()),
            "infinite": int(np.isinf(ppl).sum()),
            "tokens": total,
            "perplexity": None if nll is None or nll > 709 else float(np.exp(nll)),
            "nll": nll,
            "bits_per_byte": self._bits_per_byte(),
            "token_probability": token_probability(self.probabilities),
        }

    def _bits_per_byte(self) -> float | None:
        """Of the scored tokens; None where the records were scored before."""
        scored = sum(self.scored_bytes)
        if not scored:
            return None
        nats = float(np.nansum(np.array(self.nll) * np.array(self.tokens)))
        return nats / (math.log(2) * scored) if math.isfinite(nats) else None


def sound_scores(batch: Batch, rejects: Rejects) -> Batch:
    """The records whose stored scores are perplexities; the others go to ``rejects``."""
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
    """Whether the first record holds a perplexity."""
    return any(batch.column(name)[0] is not MISSING for name in ("ppl", "nll"))


def _sampling(batch: Batch) -> Iterator[Sampling]:
    """How each text was sampled, as far as its record says."""
    for values in zip(*map(batch.column, SAMPLING_FIELDS), strict=True):
        numbers = [value if type(value) in (int, float) else None for value in values]
        sampling = Sampling(*numbers)
        yield sampling if sampling.known else Sampling()


def _is_score(value: Any) -> bool:
    """None, missing, or a number that can be a perplexity (nll may be 0, ppl not)."""
    if value is MISSING or value is None:
        return True
    return type(value) in (int, float) and value >= 0


def caveats(sides: list[Side], paired: bool) -> Iterator[str]:
    """What a reader of the comparison has to know, a line each."""
    stored = [side.name for side in sides if side.scored_by == STORED]
    unknown = sides[0].sampled[Sampling()]
    if stored and len({side.scored_by for side in sides}) > 1:
        yield (
            f"{', '.join(stored)}: scored already; compares with the others only if the model was "
            "the same"
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
        resamples: behind each interval; 0 for none.
        epsilon: of ``two_models.log_ratio``, nats a token.
        paired: the sides are one corpus under several models.
    """
    if paired:
        # The same documents on all sides, or their intervals would not be those of pairs.
        whole = np.asarray(np.isfinite([side.ppl for side in sides]).all(axis=0))
        ppl = [np.array(side.ppl)[whole] for side in sides]
    else:
        ppl = [side.finite() for side in sides]
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
