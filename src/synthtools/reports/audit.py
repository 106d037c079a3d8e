"""The report of ``synth audit``: a column a model, what it hides in sentences, forgetting against utility."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table

# Figures that stand first, in words; the others follow under their names.
_NAMES = {
    "probability": "probability of the texts",
    "rouge_answered": "ROUGE-L after the prompt",
    "rouge_continued": "ROUGE-L after half of the text",
    "exact_continued": "share continued word for word",
    "paraphrase_probability": "probability after paraphrases",
    "rouge_reworded": "ROUGE-L after paraphrases",
    "auc_loss": "AUC of the loss",
    "retain_perplexity": "perplexity of retain",
    "drift": "drift (KL to the base, nats a token)",
    "relearn_steps": "steps to relearn",
}


def _table(report: dict[str, Any]) -> Table:
    models = report["models"]
    known = dict.fromkeys(name for model in models for name in model["figures"])
    rows = [
        [_NAMES.get(name, name.replace("_", " ")), *(_cell(model, name) for model in models)]
        for name in [*(n for n in _NAMES if n in known), *(n for n in known if n not in _NAMES)]
    ]
    return Table("Audit", ["", *(model["name"] for model in models)], rows)


def _cell(model: dict[str, Any], name: str) -> str:
    value = model["figures"].get(name)
    if value is None:
        return "not" if name == "relearn_steps" and name in model["figures"] else "–"
    ends = model["intervals"].get(name)
    return number(value) + (f" [{number(ends[0])}, {number(ends[1])}]" if ends else "")


def lines(report: dict[str, Any]) -> list[str]:
    table = _table(report)
    widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    told = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (table.head, *table.rows)
    ]
    return [*told, "", *story(report).lines]


def story(report: dict[str, Any]) -> Story:
    said = [
        f"{model['name']}: {'; '.join(model['findings']) or 'nothing that it hides was found'}."
        for model in report["models"]
    ]
    if report["left_out"]:
        said.append(f"Not measured, as nothing was named: {', '.join(report['left_out'])}.")
    return Story("Audit of unlearning", said, [_table(report)])


def figure(report: dict[str, Any]) -> Figure:
    """What is left of the texts against the perplexity of what was to be kept."""
    series = []
    for model in report["models"]:
        x, y = (model["figures"].get(name) for name in ("probability", "retain_perplexity"))
        if x is not None and y is not None:
            ends = model["intervals"].get("retain_perplexity", [y, y])
            series.append(
                Series(model["name"], [x], [y], form="points", low=ends[:1], high=ends[1:])
            )
    labels = ("Forgotten and kept", "probability of the texts to forget", "perplexity of retain")
    return Figure("Audit of unlearning", [Panel(*labels, series, y_log=True)] if series else [])
