"""Perplexity over domains, as in Paloma (arXiv 2312.10523) and the Pile.

Macro averages give every domain the same weight; micro averages every token, or byte. The perplexity
has two macro averages: the arithmetic mean, as in the averages of ToEdit's tables, which one hard domain
can dominate, and the geometric mean, exp of the mean nll.
"""

from __future__ import annotations

import math
from typing import Any

from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.paired_comparison import doc_hash
from synthtools.lm.scores import ScoreRequest
from synthtools.measure.perplexity import Summary
from synthtools.measure.scored_records import scored
from synthtools.records.batch import MISSING
from synthtools.records.first_records import first_record
from synthtools.records.inputs import find_shards
from synthtools.records.record_faults import require_text
from synthtools.records.record_keys import ID_FIELD
from synthtools.records.shapes import text_path

_FIGURES = ("nll", "perplexity", "bits_per_byte")
_AVERAGES = (
    "nll_macro",
    "perplexity_macro_arithmetic",
    "perplexity_macro_geometric",
    "bits_per_byte_macro",
    "nll_micro",
    "perplexity_micro",
    "bits_per_byte_micro",
)


def files(name: str, options: EvaluationOptions) -> list[str]:
    """The domains' files."""
    return [path for _, path in options.valid]


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Scores the domains.

    Returns:
        ``domains`` (one row each: documents, tokens, bytes, nll in nats per token, perplexity,
        bits_per_byte); as ``figures``, their macro and micro averages and the mean nll of documents.
    """
    model = evaluator.model()
    rows: list[dict[str, Any]] = []
    nll: list[float] = []
    for domain, path in evaluator.options.valid:
        summary, rejects = Summary(), evaluator.rejects
        text = text_path(first_record(find_shards([path])))
        if text != "text":
            evaluator.remark(f"{path}: the text is {text}")
        batches = (require_text(batch, text, rejects) for batch in evaluator.batches(path))
        for item in scored(batches, model, ScoreRequest(), text, rejects=rejects):
            nll += [score.nll for score in item.documents if score.nll is not None]
            summary.add(item.documents, item.scored_bytes, [s.logprobs for s in item.scores])
            columns = item.batch.column(ID_FIELD), item.batch.column(text), item.documents
            each = zip(item.batch.numbers.tolist(), *columns, strict=True)
            evaluator.samples(
                name,
                (
                    {
                        "domain": domain,
                        "id": number if key is MISSING else key,
                        "doc_hash": doc_hash(content),
                        "nll": score.nll,
                        "n_tokens": score.n_tokens,
                        "bits_per_byte": score.bits_per_byte,
                    }
                    for number, key, content, score in each
                ),
            )
        numbers = summary.result()
        keys = ("documents", "unscored", "tokens", "bytes", *_FIGURES, "median")
        rows.append({"domain": domain, **{key: numbers[key] for key in keys}})
    return {
        "kind": "perplexity",
        "n": sum(row["documents"] for row in rows),
        "figures": averages(rows) | {"nll_document": _mean(nll) if nll else None},
        "domains": rows,
        "per_item": {"nll_document": "nll"},
    }


def averages(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Macro and micro averages of domains; None if nothing was scored. ``rows``: each with tokens, bytes,
    nll, perplexity, bits_per_byte."""
    whole = [row for row in rows if row["tokens"]]
    if not whole:
        return dict.fromkeys(_AVERAGES)
    bits = [row["bits_per_byte"] for row in whole if row["bits_per_byte"] is not None]
    size = sum(row["bytes"] for row in whole)
    nats = math.fsum(row["nll"] * row["tokens"] for row in whole)
    macro = _mean([row["nll"] for row in whole])
    micro = nats / sum(row["tokens"] for row in whole)
    arithmetic = _mean([row["perplexity"] for row in whole])
    macros = macro, arithmetic, _exp(macro), _mean(bits) if bits else None
    micros = micro, _exp(micro), nats / (math.log(2) * size) if size else None
    return dict(zip(_AVERAGES, (*macros, *micros), strict=True))


def _mean(values: list[float]) -> float:
    return math.fsum(value / len(values) for value in values)


def _exp(nll: float) -> float:
    return math.exp(nll) if nll < 709 else math.inf
