"""The report of ``synth decontaminate``: which benchmarks are in the records, with the passages."""

from __future__ import annotations

from typing import Any, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, percent, table
from synthtools.reports.figures.chart import Figure, Story, Table, bars, named, table_of

_SHOWN = 200


class BenchmarkHits(TypedDict):
    """A benchmark: items that some record holds, and items that all records together hold."""

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
    """A record that holds an item; ``words`` are those of the longest common run."""

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


def lines(report: DecontaminateReport) -> list[str]:
    """Records, then each benchmark and each input."""
    whole, held = report["records"], report["contaminated"]
    rows = [("records", number(whole)), ("hold an item", f"{number(held)} ({_share(held, whole)})")]
    for one in report["benchmarks"]:
        part = f"{number(one['contaminated'])} of {number(one['items'])}"
        shares = (
            f"{_share(one['contaminated'], one['items'])}; {number(one['unchecked'])} unchecked"
        )
        rows.append((one["benchmark"], f"{part} items ({shares})"))
    for source in report["inputs"]:
        part = f"{number(source['contaminated'])} of {number(source['records'])}"
        rows.append(
            (
                source["input"],
                f"{part} records ({_share(source['contaminated'], source['records'])})",
            )
        )
    return table(rows)


def figure(report: DecontaminateReport) -> Figure:
    """Shares of each benchmark and of each input."""
    benchmarks, inputs = report["benchmarks"], report["inputs"]
    single = [100 * one["contaminated"] / max(1, one["items"]) for one in benchmarks]
    together = [100 * one["together"] / max(1, one["items"]) for one in benchmarks]
    parts = [100 * one["contaminated"] / max(1, one["records"]) for one in inputs]
    return Figure(
        "Contamination",
        [
            bars(
                "Benchmarks",
                "items found (%)",
                [one["benchmark"] for one in benchmarks],
                named("in one record", single),
                named("in all records together", together),
            ),
            bars(
                "Inputs", "records that hold an item (%)", [one["input"] for one in inputs], parts
            ),
        ],
        "Items of which a record, or all records together, have the n-grams.",
        finding=story(report).lines[0].rstrip("."),
    )


def story(report: DecontaminateReport) -> Story:
    """What is contaminated, and the passages side by side."""
    whole, held = report["records"], report["contaminated"]
    lines = [f"{number(held)} of {number(whole)} records ({_share(held, whole)}) hold an item."]
    lines += [
        f"{_share(one['contaminated'], one['items'])} of the {number(one['items'])} items of "
        f"{one['benchmark']} are in some record; {number(one['unchecked'])} have no run of "
        f"{report['ngram']} words of their own."
        for one in report["benchmarks"]
    ]
    rows = [
        [
            f"{hit['file']}:{hit['line']}",
            hit["item"],
            number(hit["score"]),
            number(hit["words"]),
            hit["record_passage"],
            hit["item_passage"],
        ]
        for hit in report["hits"][:_SHOWN]
    ]
    tables = [
        table_of(
            "Benchmarks",
            report["benchmarks"],
            ("benchmark", "items", "contaminated", "together", "unchecked"),
        ),
        table_of("Inputs", report["inputs"], ("input", "records", "contaminated")),
    ]
    if rows:
        head = ["record", "item", "score", "words in a run", "record's passage", "item's passage"]
        tables.append(Table(f"Hits ({number(report['hits_found'])})", head, rows))
    return Story("Contamination", lines, tables)
