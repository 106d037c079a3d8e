"""Reports as a person reads them at a terminal."""

from __future__ import annotations

from typing import Any

from synthtools.console.reports import number, table
from synthtools.console.terminal import bars

# The report keeps 50 bins; so many fit a screen.
_SHOWN_BINS = 20


def summary_lines(report: dict[str, Any]) -> list[str]:
    """The distribution of perplexity as a table and two histograms."""
    percentiles = report["percentiles"] or {}
    rows = [
        ("documents", number(report["documents"])),
        ("unscored", number(report["unscored"])),
        ("tokens", number(report["tokens"])),
        ("perplexity (token-weighted)", number(report["perplexity"])),
        ("bits per byte", number(report["bits_per_byte"])),
        ("median", number(report["median"])),
        ("mean", number(report["mean"])),
        (f"mean without {report['outliers']:,} outliers", number(report["mean_cleaned"])),
        ("range", f"{number(report['min'])} … {number(report['max'])}"),
        (
            "percentiles " + " ".join(percentiles),
            " ".join(number(value, 3) for value in percentiles.values()),
        ),
    ]
    lines = table(rows)
    if report["histogram"]:
        lines += ["", "documents by perplexity", *_perplexity_bars(report["histogram"])]
    if report["token_probability"]:
        found = report["token_probability"]
        labels = [f"{a:.1f}–{a + 0.1:.1f}" for a in found["edges"][:-1]]
        lines += ["", "tokens by probability", *bars(labels, found["shares"])]
    return lines


def _perplexity_bars(histogram: dict[str, Any]) -> list[str]:
    counts, edges = histogram["counts"], histogram["edges"]
    step = -(-len(counts) // _SHOWN_BINS)
    merged = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    total = sum(counts) + histogram["below"] + histogram["above"]
    labels = [number(edges[i], 3) for i in range(0, len(counts), step)]
    lines = bars(labels, [count / total for count in merged])
    if histogram["above"]:
        lines.append(f"{histogram['above']:,} above {number(edges[-1], 3)}")
    if histogram["below"]:
        lines.insert(0, f"{histogram['below']:,} below {number(edges[0], 3)}")
    return lines


def edit_lines(report: dict[str, Any]) -> list[str]:
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
