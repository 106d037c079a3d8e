"""Perplexity over domains, in the manner of Paloma (arXiv 2312.10523) and the Pile.

Macro averages weight every domain alike (the perplexity's is the exponential of the mean nll, which is
the geometric mean of perplexities); micro averages weight every token, or byte, alike.
"""

from __future__ import annotations

import math
from typing import Any

from synthtools.evaluate.pairing import doc_hash
from synthtools.evaluate.session import Session, Wanted
from synthtools.lm.scores import Request
from synthtools.measure.perplexity import Summary
from synthtools.measure.scoring import scored
from synthtools.records.batch import MISSING
from synthtools.records.identity import ID_FIELD
from synthtools.records.reading import require_text

_TEXT = "text"
_FIGURES = ("nll", "perplexity", "bits_per_byte")


def files(name: str, wanted: Wanted) -> list[str]:
    """The domains' files."""
    return [path for _, path in wanted.valid]


def run(name: str, session: Session) -> dict[str, Any]:
    """Scores the domains.

    Returns:
        ``domains`` (a row each: documents, tokens, bytes, nll in nats a token, perplexity,
        bits_per_byte) and as ``figures`` their macro and micro averages.
    """
    model = session.model()
    rows = []
    for domain, path in session.wanted.valid:
        summary = Summary()
        batches = (require_text(b, _TEXT, session.rejects) for b in session.batches(path))
        for item in scored(batches, model, Request(), _TEXT):
            summary.add(item.documents, item.utf8_bytes, [s.logprobs for s in item.scores])
            ids = item.batch.column(ID_FIELD)
            session.samples(
                name,
                (
                    {
                        "domain": domain,
                        "id": number if key is MISSING else key,
                        "doc_hash": doc_hash(text),
                        "nll": score.nll,
                        "n_tokens": score.n_tokens,
                        "bits_per_byte": score.bits_per_byte,
                    }
                    for key, number, text, score in zip(
                        ids,
                        item.batch.numbers.tolist(),
                        item.batch.column(_TEXT),
                        item.documents,
                        strict=True,
                    )
                ),
            )
        found = summary.result()
        keys = ("documents", "unscored", "tokens", "bytes", *_FIGURES, "median")
        rows.append({"domain": domain, **{key: found[key] for key in keys}})
    return {
        "kind": "perplexity",
        "n": sum(row["documents"] for row in rows),
        "figures": averages(rows),
        "domains": rows,
        "per_item": {"nll_macro": "nll", "nll_micro": "nll"},
    }


def averages(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Macro and micro averages of domains; None where nothing was scored.

    Args:
        rows: each with tokens, bytes, nll, bits_per_byte.
    """
    whole = [row for row in rows if row["tokens"]]
    figures: dict[str, float | None] = {}
    if not whole:
        return {f"{name}_{kind}": None for kind in ("macro", "micro") for name in _FIGURES}
    tokens = sum(row["tokens"] for row in whole)
    size = sum(row["bytes"] for row in whole)
    macro = math.fsum(row["nll"] for row in whole) / len(whole)
    nats = math.fsum(row["nll"] * row["tokens"] for row in whole)
    bits = math.fsum(row["bits_per_byte"] for row in whole) / len(whole)
    figures |= {"nll_macro": macro, "perplexity_macro": _exp(macro), "bits_per_byte_macro": bits}
    micro = nats / tokens
    figures |= {"nll_micro": micro, "perplexity_micro": _exp(micro)}
    return figures | {"bits_per_byte_micro": nats / (math.log(2) * size)}


def _exp(nll: float) -> float:
    return math.exp(nll) if nll < 709 else math.inf
