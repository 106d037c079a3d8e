"""Reports as a person reads them at a terminal."""

from __future__ import annotations

from typing import Any

from synthtools.measure.two_models import WITHHELD
from synthtools.reports.document import number, shares_in_bars, table

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
        lines += ["", "tokens by probability", *shares_in_bars(labels, found["shares"])]
    return lines


def _perplexity_bars(histogram: dict[str, Any]) -> list[str]:
    counts, edges = histogram["counts"], histogram["edges"]
    step = -(-len(counts) // _SHOWN_BINS)
    merged = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    total = sum(counts) + histogram["below"] + histogram["above"]
    labels = [number(edges[i], 3) for i in range(0, len(counts), step)]
    lines = shares_in_bars(labels, [count / total for count in merged])
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


SIDE_FIGURES = (
    ("documents", "documents"),
    ("unscored", "unscored"),
    ("perplexity (token-weighted)", "perplexity"),
    ("bits per byte", "bits_per_byte"),
    ("median", "median"),
    ("mean", "mean"),
    ("mean without outliers", "mean_cleaned"),
    ("standard deviation", "standard_deviation"),
    ("smallest", "min"),
    ("largest", "max"),
)
PAIR_FIGURES = (
    ("left outside the right's range", "left_outside"),
    ("left above the right's maximum", "left_above_maximum"),
    ("left above the right's 99th percentile", "left_above_p99"),
    ("right outside the left's range", "right_outside"),
    ("right above the left's maximum", "right_above_maximum"),
    ("right above the left's 99th percentile", "right_above_p99"),
    ("of left's 1–99 % range covered by right's", "range_covered"),
    ("overlap ∫min(f, g)", "overlap"),
    ("Jensen–Shannon (nats)", "js"),
    ("Wasserstein-1 (perplexity)", "wasserstein"),
    ("Wasserstein-1 of ln ppl (nats a token)", "wasserstein_log"),
    ("Kolmogorov–Smirnov", "ks"),
    ("variance ratio right/left", "variance_ratio"),
    ("variance ratio without outliers", "variance_ratio_cleaned"),
    ("mean shift right − left", "mean_shift"),
    ("mean shift without outliers", "mean_shift_cleaned"),
    ("median shift", "median_shift"),
)
_RATIO = (
    ("KL estimate (nats a token)", "kl_per_token"),
    ("KL estimate (nats a byte)", "kl_per_byte"),
)


def with_interval(found: dict[str, Any], key: str) -> str:
    """A figure with its interval, for a table."""
    ends = found.get("intervals", {}).get(key)
    more = f"  [{number(ends[0], 3)}, {number(ends[1], 3)}]" if ends else ""
    return number(found.get(key)) + more


def criterion(ratio: dict[str, Any], left: str, right: str) -> str:
    """What ToEdit's equation 9 says of data under two models, in words."""
    if ratio["verdict"] == WITHHELD:
        drawn = "; ".join(
            f"{one['documents']:,} at temperature {one['temperature']:g} and top-p {one['top_p']:g}"
            + (f" from the {one['top_k']} most probable" if one["top_k"] else "")
            for one in ratio["sampling"]
            if one["temperature"] is not None
        )
        return (
            "pure or semi-synthetic: withheld, the criterion is for text sampled at temperature 1 and "
            f"top-p 1 (documents: {drawn})"
        )
    return (
        f"if {left} wrote the data, it is {ratio['verdict']} to {right} (ε = {ratio['epsilon']:g} "
        "nats a token)"
    )


def comparison_lines(report: dict[str, Any]) -> list[str]:
    """What ``ppl --compare`` found: each side, then each pair."""
    lines = []
    for side in report["inputs"]:
        lines += [f"{side['name']}  (scored by {side['scored_by']})"]
        lines += [*table([(name, with_interval(side, key)) for name, key in SIDE_FIGURES]), ""]
    for pair in report["pairs"]:
        lines += [f"left {pair['left']}, right {pair['right']}"]
        lines += table([(name, with_interval(pair, key)) for name, key in PAIR_FIGURES])
        if "log_ratio" in pair:
            ratio = pair["log_ratio"]
            rows = [(name, with_interval(ratio, key)) for name, key in _RATIO]
            lines += [*table(rows), criterion(ratio, "left", "right")]
        lines += [""]
    return lines[:-1]
