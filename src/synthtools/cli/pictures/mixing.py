"""What a mixture or a selection took from where."""

from __future__ import annotations

from typing import Any

from synthtools.cli.pictures.chart import Picture, Series, Story, Table, bars
from synthtools.reports.document import number


def picture(report: dict[str, Any]) -> Picture:
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
    return Picture("Mixture", panels, caption, corpora=names, finding=finding)


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


def sample(report: dict[str, Any]) -> Picture:
    """Of a report of ``sample``: what was there and what was drawn, by stratum where there are."""
    strata = report.get("strata") or {
        "all records": {"records": report["records_seen"], "drawn": report["drawn"]}
    }
    series = [
        Series(word, [stratum[key] for stratum in strata.values()], form="named")
        for word, key in (("there", "records"), ("drawn", "drawn"))
    ]
    return Picture(
        "Sample",
        [bars("Records", "records", list(strata), *series)],
        "Records that were there and records that were drawn.",
        finding=f"{number(report['drawn'])} of {number(report['records_seen'])} records drawn",
    )


def selection(report: dict[str, Any]) -> Picture:
    """Of a report of ``dsir`` that selected: divergence from the target before and after."""
    if report.get("kl_target_selected") is None:
        return Picture("Importance resampling")
    names = ["all raw records", "the selection"]
    values = [report["kl_target_raw"], report["kl_target_selected"]]
    label = "KL(target ‖ ·) of hashed n-grams (nats)"
    panel = bars("Distance from the target", label, names, values)
    return Picture(
        "Importance resampling",
        [panel],
        "The selection should be nearer to the target than what it was drawn from; a small one has "
        "few n-grams and lies apart for that alone.",
    )


def selection_story(report: dict[str, Any]) -> Story:
    """What the selection came to."""
    before, after = report.get("kl_target_raw"), report.get("kl_target_selected")
    if after is None or before is None:
        lines = ["Nothing was selected; the records have weights."]
    else:
        nearer = "nearer to" if after < before else "farther from"
        lines = [
            (
                f"{number(report['selected'])} of {number(report['records_seen'])} records were "
                f"selected; they are {nearer} the target than the whole "
                f"(KL {number(after)} against {number(before)} nats)."
            )
        ]
    rows = [
        [name.replace("_", " "), number(report[name])]
        for name in ("records_seen", "long_enough", "selected", "kl_target_raw")
        if name in report
    ]
    for name, value in (report.get("selected_log_weight") or {}).items():
        rows.append([f"log-weight of the selected, {name}", number(value)])
    rows += [[f"share of target {t['name']}", number(t["share"])] for t in report["targets"]]
    return Story("Importance resampling", lines, [Table("Selection", ["", ""], rows)])
