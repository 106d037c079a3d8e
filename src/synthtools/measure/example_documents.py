"""Documents of a sample that are typical of their corpus, and extreme ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.measure.compared_corpus import SampledDocument
from synthtools.measure.scored_sample import ScoredSample, shaded

EACH = 10
_SHOWN_TOKENS = 120


def examples(
    corpus: str,
    documents: Sequence[SampledDocument],
    scored: ScoredSample,
    tokenizer: TextTokenizer,
) -> list[dict[str, Any]]:
    """Ten typical and ten extreme documents: those nearest to the median of ln perplexity, and those
    farthest from it, of at least ten scored tokens."""
    nats = scored.mean(None)
    known = np.flatnonzero(np.isfinite(nats) & (scored.lengths() >= EACH))
    if not len(known):
        return []
    middle = float(np.median(nats[known]))
    order = known[np.argsort(np.abs(nats[known] - middle), kind="stable")]
    typical = order[:EACH]
    extreme = [row for row in order[::-1][:EACH] if row not in typical]
    ranked = np.sort(nats[known])
    chosen = []
    for kind, rows in (("typical", typical), ("extreme", extreme)):
        for row in rows:
            below = int(np.searchsorted(ranked, nats[row]))
            chosen.append(
                {
                    "corpus": corpus,
                    "kind": kind,
                    "place": documents[row].place,
                    "perplexity": float(np.exp(nats[row])),
                    "easier": below / len(ranked),
                    "tokens": shaded(
                        tokenizer, scored.ids[row], scored.logprobs[row], _SHOWN_TOKENS
                    ),
                    "cut": len(scored.ids[row]) > _SHOWN_TOKENS or len(documents[row].text) > 4000,
                }
            )
    return chosen
