"""What a mixture or a selection took from where."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Series, Story, Table, bars


def figure(report: dict[str, Any]) -> Figure:
    """Of a report of ``mix``: shares asked for and got, and how much of each source that is."""
    sources = report["sources"]
    names = [source["source"] for source in sources]
    asked = [100 * source["share_asked"] for source in sources]
    got = [100 * source["share"] for source in sources]
    unit = report["unit"]
    panels = [
        bars(
            "Shares",
            f"share of the mixture's {unit} (%)",
            names,
            Series("got", got, form="named"),
            Series("asked for", asked, form="named"),
        ),
        bars(
            "Use of the sources",
            "passes over the source",
            names,
            [source["epochs"] for source in sources],
        ),
    ]
    caption = "Above one pass, documents of the source come again."
    apart = max(abs(a - b) for a, b in zip(got, asked, strict=True))
    finding = (
        f"{number(report['documents'])} documents, {number(report['total'])} {unit}: shares at most "
        f"{number(apart, 2)} points from those asked for"
    )
    return Figure("Mixture", panels, caption, corpora=names, finding=finding)


def story(report: dict[str, Any]) -> Story:
    """What went into the mixture."""
    lines = [
        f"{number(report['documents'])} documents, {number(report['total'])} {report['unit']}: "
        + ", ".join(f"{100 * s['share']:.4g} % of {s['source']}" for s in report["sources"])
        + "."
    ]
    lines += [
        f"{s['source']} is used {s['epochs']:.2f} times over: its documents are repeated."
        for s in report["sources"]
        if s["epochs"] > 1
    ]
    rows = [
        [
            s["source"],
            f"{100 * s['share_asked']:.4g} %",
            f"{100 * s['share']:.4g} %",
            *(number(s[name]) for name in ("units", "documents", "units_there", "epochs")),
        ]
        for s in report["sources"]
    ]
    unit = report["unit"]
    head = ["source", "asked for", "got", unit, "documents", f"{unit} there", "passes"]
    return Story("Mixture", lines, [Table("Sources", head, rows)])
