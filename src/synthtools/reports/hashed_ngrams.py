"""The reports of ``synth ngram-hash``: responses, their comparison, near-duplicates, density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthtools.reports.document import number, table

_SHOWN = 10
_NAME = 20
_FIGURES = (
    ("documents", "documents"),
    ("n-grams", "ngrams"),
    ("entropy (nats)", "entropy"),
    ("effective buckets", "effective_buckets"),
    ("Gini", "gini"),
    ("share of the fullest 1 %", "top_1_percent"),
    ("share of the fullest 10 %", "top_10_percent"),
    ("empty buckets", "empty_buckets"),
)
_DIVERGENCES = (
    ("Jensen–Shannon (nats)", "js"),
    ("KL left‖right", "kl_left_right"),
    ("KL right‖left", "kl_right_left"),
    ("total variation", "total_variation"),
    ("cosine", "cosine"),
)
_DUPLICATES = (
    ("documents", "documents"),
    ("pairs", "pairs_found"),
    ("clusters", "clusters"),
    ("documents in clusters", "documents_in_clusters"),
    ("largest cluster", "largest_cluster"),
)


def lines(report: dict[str, Any]) -> list[str]:
    """The response of one corpus, and its most frequent n-grams."""
    lines = _table(report, _FIGURES)
    for n, top in report["top"].items():
        ngrams = ", ".join(f"“{ngram}” {count:,}" for ngram, count in top["ngrams"][:_SHOWN])
        lines += ["", f"{n}-grams: {ngrams}"]
    return lines


def comparison(report: dict[str, Any]) -> list[str]:
    """A column for each corpus, then each pair."""
    inputs = report["inputs"]
    wide = max(len(name) for name, _ in _FIGURES)
    lines = [" " * wide + "".join(f"  {_short(one['name']):>{_NAME}}" for one in inputs)]
    for name, key in _FIGURES:
        cells = (f"  {number(one[key]):>{_NAME}}" for one in inputs)
        lines.append(f"{name:<{wide}}" + "".join(cells))
    for pair in report["pairs"]:
        lines += ["", f"{pair['left']}  against  {pair['right']}", *_table(pair, _DIVERGENCES)]
        for n, sides in pair["over_represented"].items():
            for side in ("left", "right"):
                ngrams = ", ".join(f"“{row['ngram']}”" for row in sides[side][:_SHOWN])
                lines.append(f"{n}-grams of {pair[side]}: {ngrams}")
    return lines


def duplicates(report: dict[str, Any]) -> list[str]:
    """Counts of near-duplicate pairs and clusters, and of pairs by input."""
    pairs = [
        (f"pairs {_short(row['left'])} – {_short(row['right'])}", number(row["pairs"]))
        for row in report["by_input"]
    ]
    rows = [(name, number(report[key])) for name, key in _DUPLICATES]
    return table(rows + pairs)


def density(report: dict[str, Any]) -> list[str]:
    return _table(report, [(name, name) for name in ("documents", "mean", "median")])


def _table(report: dict[str, Any], figures: Sequence[tuple[str, str]]) -> list[str]:
    return table([(name, number(report[key])) for name, key in figures])


def _short(name: str) -> str:
    return name if len(name) <= _NAME else "…" + name[1 - _NAME :]
