"""The report of ``synth audit``: a column per model, findings in sentences, forgetting against utility."""

from __future__ import annotations

from typing import Any

from synthtools.reports import diff
from synthtools.reports.document import aligned, number
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, Table, bars, named

# Figures that come first, with their labels; the others follow under their names.
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
    "relearn_steps_holdout": "steps to learn as many of the holdout",
    "relearn_lead": "lead over the holdout while relearning (nats)",
}
# There is a remark if only AUCs above this can be distinguished from 0.5 [ours].
_COARSE_AUC = 0.6


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
        return "not" if name.startswith("relearn_steps") and name in model["figures"] else "–"
    ends = model["intervals"].get(name)
    return number(value) + (f" [{number(ends[0])}, {number(ends[1])}]" if ends else "")


def lines(report: dict[str, Any]) -> list[str]:
    table = _table(report)
    return [*aligned([table.head, *table.rows]), "", *story(report).lines]


def story(report: dict[str, Any]) -> Story:
    sentences = [
        f"{model['name']}: {'; '.join(model['findings']) or 'no sign that it hides anything'}."
        for model in report["models"]
    ]
    changes = [
        f"{model['name']}: {diff.sentence(row, {'suites': {row['suite']: {}}})}"
        for model in report["models"]
        for row in model["utility"]
    ]
    sentences += [*changes, *_auc_remark(report)]
    if report["left_out"]:
        sentences.append(f"Not measured, as nothing was named: {', '.join(report['left_out'])}.")
    return Story("Audit of unlearning", sentences, [_table(report)])


def _auc_remark(report: dict[str, Any]) -> list[str]:
    least, texts = report["detectable_auc"], report["texts"]
    if least is not None and least <= _COARSE_AUC:
        return []
    seen = "no AUC can be distinguished from 0.5"
    if least is not None:
        seen = f"an AUC between {number(1 - least, 2)} and {number(least, 2)} cannot be distinguished from 0.5"
    return [f"With {texts['forget']:,} and {texts['holdout']:,} texts {seen} (80 % power)."]


def figure(report: dict[str, Any]) -> Figure:
    """Probability of the texts to forget against the perplexity of the texts to keep; losses while relearning;
    right answers on tasks."""
    series = []
    for model in report["models"]:
        x, y = (model["figures"].get(name) for name in ("probability", "retain_perplexity"))
        if x is not None and y is not None:
            ends = model["intervals"].get("retain_perplexity", [y, y])
            series.append(Series(model["name"], [x], [y], "points", low=ends[:1], high=ends[1:]))
    labels = ("Forgotten and kept", "probability of the texts to forget", "perplexity of retain")
    panels = [Panel(*labels, series, y_log=True)] if series else []
    curves = [(m["name"], m["relearned"]["forget"]) for m in report["models"] if m["relearned"]]
    if curves:
        lines = [Series(name, list(range(len(curve))), curve) for name, curve in curves]
        panels.append(Panel("Learned again", "steps", "loss of the texts (nats a token)", lines))
    suites = {name: f"{name}_{suite['figure']}" for name, suite in report["suites"].items()}
    if suites:
        right = []
        for model in report["models"]:
            values = [model["figures"][key] for key in suites.values()]
            known = zip(suites.values(), values, strict=True)
            intervals = [model["intervals"].get(key, [value] * 2) for key, value in known]
            right.append(named(model["name"], values, intervals))
        panels.append(bars("Tasks", "right answers, 95 %", [*suites], *right))
    return Figure("Audit of unlearning", panels)
