"""The reports of ``synth mix``, ``sample`` and ``cat --count``."""

from __future__ import annotations

from typing import Any, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, percent, table
from synthtools.reports.figures.chart import Figure, Story, bars, named, table_of


class MixedSource(TypedDict):
    source: str
    share_asked: float
    share: float
    units: int
    documents: int
    units_there: int
    documents_there: int
    epochs: float


class MixReport(document.BaseReport):
    unit: str
    total: int
    documents: int
    sources: list[MixedSource]


def lines(report: MixReport) -> list[str]:
    unit = report["unit"]
    rows = [("total", f"{report['total']:,} {unit}"), ("documents", number(report["documents"]))]
    return table(rows) + [
        f"{100 * row['share']:7.3f} %  {row['units']:>14,} of {row['units_there']:,} {unit}, "
        f"{row['documents']:,} documents, {row['epochs']:.2f} epochs  {row['source']}"
        for row in report["sources"]
    ]


def figure(report: MixReport) -> Figure:
    """Requested and resulting shares, and how often each source is used."""
    sources, unit = report["sources"], report["unit"]
    names = [source["source"] for source in sources]
    requested = [100 * source["share_asked"] for source in sources]
    shares = [100 * source["share"] for source in sources]
    label = f"share of the mixture's {unit} (%)"
    passes = [source["epochs"] for source in sources]
    apart = max(abs(a - b) for a, b in zip(shares, requested, strict=True))
    return Figure(
        "Mixture",
        [
            bars("Shares", label, names, named("result", shares), named("requested", requested)),
            bars("Use of the sources", "passes over the source", names, passes),
        ],
        "Above one pass, documents of the source are repeated.",
        corpora=names,
        finding=f"{_total(report)}: shares at most {number(apart, 2)} points from those requested",
    )


def story(report: MixReport) -> Story:
    sources, unit = report["sources"], report["unit"]
    parts = ", ".join(f"{percent(s['share'], '.4g')} of {s['source']}" for s in sources)
    lines = [f"{_total(report)}: {parts}."] + [
        f"{s['source']} is used {s['epochs']:.2f} times: its documents are repeated."
        for s in sources
        if s["epochs"] > 1
    ]
    columns = (
        "source",
        ("requested", lambda s: percent(s["share_asked"], ".4g")),
        ("result", lambda s: percent(s["share"], ".4g")),
        (unit, "units"),
        "documents",
        (f"{unit} available", "units_there"),
        ("passes", "epochs"),
    )
    return Story("Mixture", lines, [table_of("Sources", sources, columns)])


def _total(report: MixReport) -> str:
    return f"{number(report['documents'])} documents, {number(report['total'])} {report['unit']}"


def cat_lines(report: dict[str, Any]) -> list[str]:
    """The number alone, for scripts."""
    return [str(report["count"])]


def sample_figure(report: dict[str, Any]) -> Figure:
    """Records by stratum, if there are strata."""
    every = {"all records": {"records": report["records_seen"], "drawn": report["drawn"]}}
    strata = report.get("strata") or every
    series = [
        named(word, [stratum[key] for stratum in strata.values()])
        for word, key in (("available", "records"), ("drawn", "drawn"))
    ]
    return Figure(
        "Sample",
        [bars("Records", "records", list(strata), *series)],
        "Records in the input and records drawn.",
        finding=f"{number(report['drawn'])} of {number(report['records_seen'])} records drawn",
    )
