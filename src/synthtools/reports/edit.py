"""What an edit did, generation by generation."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table, bars

_SHOWN = ("flagged", "changed", "dropped", "held")


def figure(report: dict[str, Any]) -> Figure:
    """Of a report of ``edit``."""
    rows = report["generations"]
    generations = [row["generation"] for row in rows]
    series = []
    for name in _SHOWN:
        shares = [100 * row[name] / row["tokens"] if row["tokens"] else 0.0 for row in rows]
        if any(shares) or name in _SHOWN[:2]:
            series.append(Series(name, generations, shares))
    panel = Panel("Edited tokens", "generation", "tokens (%)", series, from_zero=True)
    if len(rows) == 1:
        names = [one.name for one in series]
        panel = bars("Edited tokens", "tokens (%)", names, [one.y[0] for one in series])
    return Figure(
        "Token-level editing",
        [panel],
        "Flagged tokens met the condition; changed ones became another token. A draw often returns "
        "the token that was there.",
    )


def story(report: dict[str, Any]) -> Story:
    """What was flagged and what became of it."""
    rows, lines = [], []
    for row in report["generations"]:
        flagged, changed = row["flagged_share"], row["changed_share"]
        rows.append(
            [
                str(row["generation"]),
                *(number(row[name]) for name in ("tokens", *_SHOWN)),
                _percent(flagged),
                _percent(changed),
            ]
        )
        lines.append(
            f"Generation {row['generation']}: {_percent(flagged)} of the tokens were flagged, "
            f"{_percent(changed)} changed."
        )
    head = ["generation", "tokens", *_SHOWN, "flagged %", "changed %"]
    return Story("Token-level editing", lines, [Table("By generation", head, rows)])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def lines(report: dict[str, Any]) -> list[str]:
    """What an edit did, a line a generation."""
    names = ("generation", "tokens", "flagged", "changed", "dropped", "held")
    lines = ["  ".join(f"{name:>10}" for name in (*names, "flagged %", "changed %"))]
    for row in report["generations"]:
        cells = [f"{row[name]:>10,}" for name in names]
        cells += [
            f"{100 * row[share]:>10.2f}" if row[share] is not None else f"{'–':>10}"
            for share in ("flagged_share", "changed_share")
        ]
        lines.append("  ".join(cells))
    return lines
