"""The report of ``synth dedup``: clusters of duplicates, and which input repeats which."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, percent, table
from synthtools.reports.figures.chart import Figure, Story, bars, named, table_of

_SHOWN = 10


class DedupInput(TypedDict):
    input: str
    texts: int
    removed: int


class RemovedPair(TypedDict):
    """Texts of one input that repeat kept texts of another; their share of the first."""

    removed_from: str
    kept_in: str
    removed: int
    share: float


class DedupReport(document.BaseReport):
    """Texts are records, or their paragraphs or lines; ``known``: those that others are compared with."""

    method: str
    unit: str
    keep: NotRequired[str]
    similarity: NotRequired[float]
    compared_in_part: NotRequired[int]
    texts: int
    known: int
    removed: int
    records_changed: NotRequired[int]
    records_emptied: NotRequired[int]
    clusters: int
    largest_cluster: int
    cluster_sizes: list[tuple[int, int]]
    by_input: list[DedupInput]
    by_pair: list[RemovedPair]
    examples: list[dict[str, Any]]


def lines(report: DedupReport) -> list[str]:
    """Counts, then which input repeats which."""
    rows = [
        (f"{report['unit']}s", number(report["texts"])),
        ("known before", number(report["known"])),
        (_verb(report), f"{number(report['removed'])} ({_share(report)})"),
        ("clusters", number(report["clusters"])),
        ("largest cluster", number(report["largest_cluster"])),
    ]
    if "records_changed" in report:
        rows.append(("records changed", number(report["records_changed"])))
        rows.append(("records emptied", number(report["records_emptied"])))
    for one in report["by_pair"]:
        rows.append((_pair(one), f"{number(one['removed'])} ({percent(one['share'], '.3g')})"))
    return table(rows)


def _verb(report: DedupReport) -> str:
    return "removed" if "keep" in report else "beyond the first"


def _share(report: DedupReport) -> str:
    return percent(report["removed"] / report["texts"] if report["texts"] else None, ".3g")


def _pair(one: RemovedPair) -> str:
    return f"{one['removed_from']} repeats {one['kept_in']}"


def _sizes(report: DedupReport) -> dict[str, int]:
    """Texts by size of their cluster, in powers of two."""
    sizes: dict[str, int] = {}
    for size, clusters in report["cluster_sizes"]:
        least = 1 << size.bit_length() - 1
        name = f"{least} to {2 * least - 1}"
        sizes[name] = sizes.get(name, 0) + size * clusters
    return sizes


def figure(report: DedupReport) -> Figure:
    """Kept texts of each input, clusters by size, and which input repeats which."""
    inputs, unit, pairs = report["by_input"], f"{report['unit']}s", report["by_pair"]
    names = [one["input"] for one in inputs]
    stays = [one["texts"] - one["removed"] for one in inputs]
    gone = [one["removed"] for one in inputs]
    panels = [bars("By input", unit, names, named("kept", stays), named(_verb(report), gone))]
    sizes = _sizes(report)
    if sizes:
        panels.append(bars("By size of cluster", unit, list(sizes), list(sizes.values())))
    if pairs:
        label = f"share of the input's {unit} (%)"
        shares = [100 * one["share"] for one in pairs]
        panels.append(bars("What repeats what", label, [_pair(one) for one in pairs], shares))
    return Figure(
        "Duplicates",
        panels,
        "Left: texts before deduplication. The size of a cluster is the number of its texts.",
        corpora=names,
    )


def story(report: DedupReport) -> Story:
    """How much repeats what, with examples side by side."""
    unit, verb = report["unit"], "removed" if "keep" in report else "found"
    first = (
        f"{number(report['removed'])} of {number(report['texts'])} {unit}s ({_share(report)}) repeat "
        f"another and were {verb}, in {number(report['clusters'])} clusters, the largest of "
        f"{number(report['largest_cluster'])}."
    )
    more = [
        f"{percent(one['share'], '.3g')} of the {unit}s of {one['removed_from']} repeat {one['kept_in']}."
        for one in report["by_pair"]
        if one["removed_from"] != one["kept_in"]
    ]
    part = report.get("compared_in_part")
    if part:
        more.append(
            f"{number(part)} {unit}s were compared with only a part of those that share a band with them."
        )
    tables = [table_of("Inputs", report["by_input"], ("input", (f"{unit}s", "texts"), "removed"))]
    if report["examples"]:
        columns = (
            "similarity",
            ("removed", lambda one: one["removed"]["text"] or "–"),
            ("kept", lambda one: one["kept"]["text"] or "–"),
        )
        tables.append(table_of("Examples", report["examples"][:_SHOWN], columns))
    return Story("Duplicates", [first, *more], tables)
