"""The report of ``synth stats`` as a person reads it at a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from synthtools.reports.document import number, table

_NAME = 30
_WORDS_SHOWN = 8
# A table has a line for each of so many groups; of more, for the first and the last of them.
_MOST = 200
_SHOWN = 25
# (heading, where the number stands in a group, what sorts the table if it is there)
_COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("documents", ("documents",)),
    ("words", ("lengths", "words", "percentiles", "50")),
    ("TTR", ("vocabulary", "ttr")),
    ("MTLD", ("vocabulary", "of_documents", "mtld", "percentiles", "50")),
    ("HD-D", ("vocabulary", "of_documents", "hdd", "percentiles", "50")),
    ("Heaps β", ("heaps", "beta")),
    ("distinct-2", ("ngrams", "2", "distinct_share")),
    ("zstd ratio", ("compression", "ratio")),
    ("100−BLEU", ("lexical_diversity", "within")),
    ("pooled", ("lexical_diversity", "pooled")),
    ("semantic", ("semantic_diversity", "value")),
    ("token entropy", ("tokens", "entropy")),
)
# By the first of these that is there, the most diverse group first.
_ORDER = (
    ("lexical_diversity", "pooled"),
    ("heaps", "beta"),
    ("vocabulary", "of_documents", "mtld", "percentiles", "50"),
    ("semantic_diversity", "value"),
)


def at(group: dict[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path of a group, None where there is none."""
    value: Any = group
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def by_diversity(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups, the most diverse first; those without a number last."""
    for path in _ORDER:
        if any(at(group, path) is not None for group in groups):
            key: Callable[[dict[str, Any]], tuple[bool, float]] = lambda group, path=path: (  # noqa: E731
                at(group, path) is None,
                -(at(group, path) or 0.0),
            )
            return sorted(groups, key=key)
    return groups


def ends(groups: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """The groups as far as there is room for a line each, None for those that are left out."""
    if len(groups) <= _MOST:
        return list(groups)
    return [*groups[:_SHOWN], None, *groups[-_SHOWN:]]


def lines(report: dict[str, Any]) -> list[str]:
    """A line a group, the most diverse first (of documents the medians); tests; what stands out."""
    groups = by_diversity(report["groups"])
    rates = dict.fromkeys(name for group in groups for name in group.get("rates") or {})
    columns = [*_COLUMNS, *((f"{name}/1,000", ("rates", name, "value")) for name in rates)]
    shown = [c for c in columns if any(at(group, c[1]) is not None for group in groups)]
    wide = min(_NAME, max((len(group["name"]) for group in groups), default=0))
    found = [f"{'':<{wide}}" + "".join(f"  {name:>{_width(name)}}" for name, _ in shown)]
    for group in ends(groups):
        if group is None:
            found.append(f"… {len(groups) - 2 * _SHOWN:,} more, all in the report (--json)")
            continue
        cells = (f"  {number(at(group, path)):>{_width(name)}}" for name, path in shown)
        found.append(f"{_short(group['name'], wide):<{wide}}" + "".join(cells))
    if len(groups) == 1:
        found += _only(groups[0])
    if report["tests"]:
        found += ["", *_tests(report["tests"])]
    for row in report.get("over_represented_tokens") or []:
        tokens = ", ".join(f"“{one['token']}”" for one in row["tokens"][:_WORDS_SHOWN])
        found += ["", f"tokens of {row['group']}: {tokens}"]
    return found


def _width(name: str) -> int:
    return max(9, len(name))


def _short(name: str, wide: int) -> str:
    return name if len(name) <= wide else "…" + name[1 - wide :]


def _only(group: dict[str, Any]) -> list[str]:
    rows = []
    for name, found in (group.get("lengths") or {}).items():
        middle = (found["percentiles"] or {}).get("50")
        rows.append((f"{name}: total, median", f"{number(found['total'])}, {number(middle)}"))
    heaps = group.get("heaps")
    if heaps and heaps["beta"] is not None:
        low, high = heaps["beta_interval"]
        rows.append(("Heaps K, β (95 %)", f"{number(heaps['k'])}, {number(low)} … {number(high)}"))
    for name, found in (group.get("rates") or {}).items():
        ends = found["interval"]
        reach = f"{number(ends[0])} … {number(ends[1])}" if ends else found["reason"]
        rows.append((f"{name} in 1,000 words (95 %)", f"{number(found['value'])}, {reach}"))
    for kind in ("openings", "templates"):
        for words, share in (group.get("openings") or {}).get(kind, [])[:3]:
            rows.append((kind, f"{100 * share:.1f} % “{words}”"))
    return ["", *table(rows)] if rows else []


def _tests(tests: dict[str, Any]) -> list[str]:
    rows = []
    for name, found in tests.items():
        if found["kruskal_wallis"] is None:
            rows.append((name, found["reason"]))
            continue
        text = f"Kruskal–Wallis p {number(found['kruskal_wallis']['p'], 3)}"
        if found["levene"]:
            text += f", Levene p {number(found['levene']['p'], 3)}"
        if found["pairs"]:
            apart = sum(pair["p_holm"] < 0.05 for pair in found["pairs"])
            text += f", {apart:,} of {len(found['pairs']):,} pairs differ (Holm, 5 %)"
        rows.append((name, text))
    return table(rows)
