"""The report of ``synth decontaminate``: benchmark items in the records, with the passages."""

from __future__ import annotations

from typing import Any, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, percent, table
from synthtools.reports.figures.chart import Figure, Story, bars, named, table_of

_SHOWN = 200


class BenchmarkHits(TypedDict):
    """A benchmark: items contained in some record, and items contained in all records together."""

    benchmark: str
    items: int
    unchecked: int
    contaminated: int
    together: int


class InputHits(TypedDict):
    input: str
    records: int
    contaminated: int


class Hit(TypedDict):
    """A record that contains an item; ``words``: of the longest common run."""

    file: str
    line: int
    benchmark: str
    item: str
    item_id: Any
    score: float
    words: int
    record_passage: str
    item_passage: str


class DecontaminateReport(document.BaseReport):
    ngram: int
    min_score: float
    min_run: int
    remove: str
    records: int
    contaminated: int
    boilerplate: int
    benchmarks: list[BenchmarkHits]
    inputs: list[InputHits]
    hits_found: int
    hits: list[Hit]


def _share(part: int, whole: int) -> str:
    return percent(part / whole if whole else None, ".3g")


def _part(part: int, whole: int, what: str) -> str:
    return f"{number(part)} of {number(whole)} {what} ({_share(part, whole)}"


def lines(report: DecontaminateReport) -> list[str]:
    """Records, then each benchmark and each input."""
    whole, bad = report["records"], report["contaminated"]
    rows = [
        ("records", number(whole)),
        ("contain an item", f"{number(bad)} ({_share(bad, whole)})"),
    ]
    for one in report["benchmarks"]:
        items = _part(one["contaminated"], one["items"], "items")
        rows.append((one["benchmark"], f"{items}; {number(one['unchecked'])} unchecked)"))
    for source in report["inputs"]:
        records = _part(source["contaminated"], source["records"], "records")
        rows.append((source["input"], f"{records})"))
    return table(rows)


def figure(report: DecontaminateReport) -> Figure:
    """Shares of each benchmark and of each input."""
    benchmarks, inputs = report["benchmarks"], report["inputs"]
    single = [100 * one["contaminated"] / max(1, one["items"]) for one in benchmarks]
    together = [100 * one["together"] / max(1, one["items"]) for one in benchmarks]
    parts = [100 * one["contaminated"] / max(1, one["records"]) for one in inputs]
    of_benchmarks = named("in one record", single), named("in all records together", together)
    names = [one["benchmark"] for one in benchmarks], [one["input"] for one in inputs]
    return Figure(
        "Contamination",
        [
            bars("Benchmarks", "items found (%)", names[0], *of_benchmarks),
            bars("Inputs", "records that contain an item (%)", names[1], parts),
        ],
        "Items whose n-grams are in one record, or in all records together.",
    )


def story(report: DecontaminateReport) -> Story:
    """What is contaminated, and the passages side by side."""
    whole, bad = report["records"], report["contaminated"]
    lines = [f"{number(bad)} of {number(whole)} records ({_share(bad, whole)}) contain an item."]
    lines += [
        f"{_share(one['contaminated'], one['items'])} of the {number(one['items'])} items of "
        f"{one['benchmark']} are in some record; {number(one['unchecked'])} have no specific run "
        f"of {report['ngram']} words."
        for one in report["benchmarks"]
    ]
    counts = ("benchmark", "items", "contaminated", "together", "unchecked")
    tables = [
        table_of("Benchmarks", report["benchmarks"], counts),
        table_of("Inputs", report["inputs"], ("input", "records", "contaminated")),
    ]
    if report["hits"]:
        columns = (
            ("record", lambda hit: f"{hit['file']}:{hit['line']}"),
            *("item", "score", ("words in a run", "words")),
            *(("record's passage", "record_passage"), ("item's passage", "item_passage")),
        )
        title = f"Hits ({number(report['hits_found'])})"
        tables.append(table_of(title, report["hits"][:_SHOWN], columns))
    return Story("Contamination", lines, tables)
