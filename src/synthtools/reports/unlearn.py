"""A report of unlearning: the perplexity of documents before and after, the tokens that went."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table


def figure(report: dict[str, Any]) -> Figure:
    """For each set, how many of its documents lie below a perplexity, under both models."""
    panels = []
    for name, found in (report.get("sets") or {}).items():
        shares = [100 * level for level in found["levels"]]
        panels.append(
            Panel(
                name.capitalize(),
                "perplexity of a document",
                "documents below (%)",
                [
                    Series(
                        "before", found["document_perplexity"]["before"], shares, reference=True
                    ),
                    Series("after", found["document_perplexity"]["after"], shares),
                ],
                x_log=True,
            )
        )
    return Figure(f"Unlearning ({report['method']})", panels)


def story(report: dict[str, Any]) -> Story:
    """What rose, what stayed, and what is expected no more."""
    words = [
        f"Method {report['method']}, {number(report['steps'])} steps"
        + (f"; ended early: {report['ended_by']}." if report.get("ended_by") else ".")
    ]
    rows = []
    sets = report.get("sets") or {}
    for name, found in sets.items():
        before, after = found["perplexity"]["before"], found["perplexity"]["after"]
        rows.append(
            [
                name,
                number(before),
                number(after),
                number(found["entropy"]["before"]),
                number(found["entropy"]["after"]),
                number(found["kl"]),
            ]
        )
        change = (
            f"by the factor {number(after / before)}"
            if before and after is not None
            else "beyond all"
        )
        words.append(f"Perplexity of {name} changed {change}.")
    for name, count in (report.get("shared_documents") or {}).items():
        words.append(f"{number(count)} documents of {name} were also to be forgotten.")
    tables = []
    if rows:
        head = ["set", "perplexity before", "after", "entropy before", "after", "KL (nats a token)"]
        tables.append(Table("Both models on the same documents", head, rows))
    for name, found in list(sets.items())[:1]:
        tables.append(
            Table(
                f"Tokens whose expected frequency fell most ({name})",
                ["token", "before", "after"],
                [
                    [repr(e["token"]), number(e["before"]), number(e["after"])]
                    for e in found["fallen"]
                ],
            )
        )
    return Story(f"Unlearning ({report['method']})", words, tables)
