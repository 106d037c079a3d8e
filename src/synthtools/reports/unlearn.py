"""The report of ``synth unlearn``: perplexity of documents before and after, the tokens that went."""

from __future__ import annotations

from typing import Any

from synthtools.reports import document, train
from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, table_of

_NUMBERS = ("method", "model", "steps", "skipped_steps", "final_loss", "ended_by")


def lines(report: dict[str, Any]) -> list[str]:
    if "method" not in report:
        return train.lines(report)  # a plan
    rows = train.rows(report, _NUMBERS)
    sets = report.get("sets") or {}
    for name, result in sets.items():
        rows.append((f"{name}: perplexity", _change(result["perplexity"])))
        rows.append((f"{name}: entropy", _change(result["entropy"])))
        rows.append((f"{name}: KL", number(result["kl"])))
    for name, count in (report.get("shared_documents") or {}).items():
        rows.append((f"{name}: also to be forgotten", f"{count:,} documents"))
    for result in list(sets.values())[:1]:
        for key, word in (("fallen", "less"), ("risen", "more")):
            tokens = " ".join(repr(entry["token"]) for entry in result[key][:8])
            rows.append((f"tokens expected {word}", tokens or "–"))
    return document.table(rows)


def _change(value: dict[str, float]) -> str:
    return f"{number(value['before'])} → {number(value['after'])}"


def figure(report: dict[str, Any]) -> Figure:
    """For each set, how many of its documents are below a perplexity, under both models."""
    panels = []
    for name, result in (report.get("sets") or {}).items():
        shares = [100 * level for level in result["levels"]]
        documents = result["document_perplexity"]
        series = [
            Series("before", documents["before"], shares, reference=True),
            Series("after", documents["after"], shares),
        ]
        labels = (name.capitalize(), "perplexity of a document", "documents below (%)")
        panels.append(Panel(*labels, series, x_log=True))
    return Figure(f"Unlearning ({report['method']})", panels)


def story(report: dict[str, Any]) -> Story:
    sets = report.get("sets") or {}
    early = f"; ended early: {report['ended_by']}" if report.get("ended_by") else ""
    lines = [f"Method {report['method']}, {number(report['steps'])} steps{early}."]
    for name, result in sets.items():
        before, after = result["perplexity"]["before"], result["perplexity"]["after"]
        known = before and after is not None
        change = f"by the factor {number(after / before)}" if known else "beyond all"
        lines.append(f"Perplexity of {name} changed {change}.")
    for name, count in (report.get("shared_documents") or {}).items():
        lines.append(f"{number(count)} documents of {name} were also to be forgotten.")
    columns = (
        ("set", lambda row: row[0]),
        ("perplexity before", lambda row: row[1]["perplexity"]["before"]),
        ("after", lambda row: row[1]["perplexity"]["after"]),
        ("entropy before", lambda row: row[1]["entropy"]["before"]),
        ("after", lambda row: row[1]["entropy"]["after"]),
        ("KL (nats a token)", lambda row: row[1]["kl"]),
    )
    tables = []
    if sets:
        tables.append(table_of("Both models on the same documents", sets.items(), columns))
    for name, result in list(sets.items())[:1]:
        title = f"Tokens whose expected frequency fell most ({name})"
        token = ("token", lambda row: repr(row["token"]))
        tables.append(table_of(title, result["fallen"], (token, "before", "after")))
    return Story(f"Unlearning ({report['method']})", lines, tables)
