"""The report of ``synth edit``: edited tokens by generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from synthtools.reports import document
from synthtools.reports.document import percent
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, bars, table_of

_OUTCOMES = ("flagged", "changed", "dropped", "held")


class Generation(TypedDict):
    """Counts and shares of tokens; shares are None without tokens."""

    generation: int
    tokens: int
    flagged: int
    changed: int
    dropped: int
    held: int
    flagged_share: float | None
    changed_share: float | None
    changed_of_flagged: float | None


class EditReport(document.BaseReport):
    rules: dict[str, Any]
    generations: list[Generation]


def lines(report: EditReport) -> list[str]:
    names = ("generation", "tokens", "flagged", "changed", "dropped", "held")
    lines = ["  ".join(f"{name:>10}" for name in (*names, "flagged %", "changed %"))]
    rows: Sequence[Mapping[str, Any]] = report["generations"]
    for row in rows:
        cells = [f"{row[name]:>10,}" for name in names]
        cells += [
            f"{100 * row[share]:>10.2f}" if row[share] is not None else f"{'–':>10}"
            for share in ("flagged_share", "changed_share")
        ]
        lines.append("  ".join(cells))
    return lines


def figure(report: EditReport) -> Figure:
    """A line for each outcome of a token; bars for a single generation."""
    rows: Sequence[Mapping[str, Any]] = report["generations"]
    generations = [row["generation"] for row in rows]
    series = []
    for name in _OUTCOMES:
        shares = [100 * row[name] / row["tokens"] if row["tokens"] else 0.0 for row in rows]
        if any(shares) or name in _OUTCOMES[:2]:
            series.append(Series(name, generations, shares))
    panel = Panel("Edited tokens", "generation", "tokens (%)", series, from_zero=True)
    if len(rows) == 1:
        names = [one.name for one in series]
        panel = bars("Edited tokens", "tokens (%)", names, [one.y[0] for one in series])
    return Figure(
        "Token-level editing",
        [panel],
        "Flagged tokens met the condition; changed ones became another token. A draw often returns "
        "the original token.",
    )


def story(report: EditReport) -> Story:
    rows = report["generations"]
    lines = [
        f"Generation {row['generation']}: {percent(row['flagged_share'], '.2f')} of the tokens were "
        f"flagged, {percent(row['changed_share'], '.2f')} changed."
        for row in rows
    ]
    columns = (
        ("generation", lambda row: str(row["generation"])),
        "tokens",
        *_OUTCOMES,
        ("flagged %", lambda row: percent(row["flagged_share"], ".2f")),
        ("changed %", lambda row: percent(row["changed_share"], ".2f")),
    )
    return Story("Token-level editing", lines, [table_of("By generation", rows, columns)])
