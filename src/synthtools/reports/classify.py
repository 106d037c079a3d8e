"""The report of ``synth classify``: how well a classifier separates classes, and its labels."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from synthtools.reports import document
from synthtools.reports.document import number, percent, table
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, pairs, table_of


class ClassTest(TypedDict):
    held_out: int
    accuracy: NotRequired[float]
    majority: NotRequired[float]
    classes: NotRequired[list[dict[str, Any]]]
    auc: NotRequired[float | None]
    calibration_error: NotRequired[float]
    reliability: NotRequired[list[dict[str, float]]]
    roc: NotRequired[list[list[float]]]


class ClassifyReport(document.BaseReport):
    """``texts``: training texts of each class; ``labels``: records labelled with each."""

    classes: list[str]
    score_of: str
    n: NotRequired[list[int]]
    buckets: NotRequired[int]
    texts: NotRequired[dict[str, int]]
    trained_on: NotRequired[int]
    test: NotRequired[ClassTest]
    labels: NotRequired[dict[str, int]]


def lines(report: ClassifyReport) -> list[str]:
    """The classes, the tests, the labels."""
    return table(_rows(report))


def _rows(report: ClassifyReport) -> list[tuple[str, str]]:
    rows = [(f"texts of {name}", number(n)) for name, n in report.get("texts", {}).items()]
    test = report.get("test")
    if test is not None:
        rows.append(("trained on", number(report["trained_on"])))
        rows.append(("held out", number(test["held_out"])))
        if "accuracy" in test:
            rows += [
                ("accuracy", percent(test["accuracy"], ".4g")),
                ("the most frequent class", percent(test["majority"], ".4g")),
                (f"AUC of {report['score_of']}", number(test["auc"])),
                ("calibration error", number(test["calibration_error"])),
            ]
    rows += [(f"labelled {name}", number(n)) for name, n in report.get("labels", {}).items()]
    return rows


def figure(report: ClassifyReport) -> Figure:
    """The ROC curve and the reliability of the score."""
    test = report.get("test")
    if test is None or "roc" not in test:
        return Figure("Classifier")
    false, right = zip(*test["roc"], strict=True)
    bins, of, ends = test["reliability"], report["score_of"], [0.0, 1.0]
    roc = Series("held out", false, right), Series("chance", ends, ends, reference=True)
    scores = Series("held out", [b["score"] for b in bins], [b["share"] for b in bins])
    calibrated = Series("calibrated", ends, ends, reference=True)
    labels = ("ROC", "share of the others (false positives)", f"share of {of} (true positives)")
    return Figure(
        "Classifier",
        [
            Panel(*labels, [*roc]),
            Panel("Reliability", f"mean score ({of})", f"share of {of}", [scores, calibrated]),
        ],
        "Left: the nearer to the upper left corner, the better. Right: on the diagonal a score of 0.8 "
        "is right in 80 % of the cases.",
    )


def story(report: ClassifyReport) -> Story:
    """How well the classes are separated."""
    test = report.get("test")
    line = f"A classifier of {', '.join(report['classes'])}."
    if test is not None and "accuracy" in test:
        line = (
            f"{percent(test['accuracy'], '.4g')} of {number(test['held_out'])} held-out texts are "
            f"labelled right ({percent(test['majority'], '.4g')} are of the most frequent class); AUC "
            f"{number(test['auc'])}, calibration error {number(test['calibration_error'])}."
        )
    tables = [pairs("Classifier", _rows(report))]
    if test is not None and "classes" in test:
        columns = ("class", "held_out", "recall", "precision")
        tables.append(table_of("Classes", test["classes"], columns))
    return Story("Classifier", [line], tables)
