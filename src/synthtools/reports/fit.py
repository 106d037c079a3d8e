"""The report of ``synth fit``: a law's parameters, its error on held-out runs, the optimum."""

from __future__ import annotations

from typing import Any, TypedDict

from synthtools.reports import document
from synthtools.reports.document import percent
from synthtools.reports.figures.chart import Figure, Panel, Series, Story, pairs

Interval = list[float] | None


class Estimates(TypedDict):
    """Figures by name, and their 95 % intervals."""

    figures: dict[str, float]
    intervals: dict[str, Interval]


class Prediction(Estimates):
    """The losses of a run made ``at`` these values."""

    at: dict[str, float]


class LawErrors(TypedDict):
    """Mean and maximum of |predicted/observed − 1|, and the signed mean."""

    mean_relative_error: float
    largest_relative_error: float
    bias: float


class HeldOut(LawErrors):
    """Rows held out from a second fit, with these parameters; ``from_size``: the smallest size of the rows (the
    product of the law's size variables), null if they were drawn at random."""

    rows: int
    from_size: float | None
    parameters: dict[str, float]


class LawCurve(TypedDict):
    x: list[float]
    predicted: list[float]
    low: list[float] | None
    high: list[float] | None


class LossFit(Estimates):
    """The law of one loss; ``points``: the rows with their fields, ``observed``, ``predicted``, and ``held_out``:
    the second fit's prediction for held-out rows."""

    y: str
    error: LawErrors
    held_out: HeldOut | None
    points: list[dict[str, Any]]
    curve: LawCurve | None


class FitReport(document.BaseReport):
    law: str
    formula: str
    variables: dict[str, str]
    fixed: dict[str, float]
    rows: int
    fits: list[LossFit]
    optimum: Estimates | None
    prediction: Prediction | None
    notes: list[str]


def _rows(estimates: Estimates) -> list[tuple[str, str]]:
    return [
        (name, f"{value:.4g}" + _within(estimates["intervals"].get(name)))
        for name, value in estimates["figures"].items()
    ]


def _table(title: str, estimates: Estimates) -> list[str]:
    return ["", title, *(f"  {line}" for line in document.table(_rows(estimates)))]


def _at(prediction: Prediction) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in prediction["at"].items())


def _within(interval: Interval) -> str:
    return f" [{interval[0]:.4g}, {interval[1]:.4g}]" if interval else ""


def _held_out(fit: LossFit) -> str:
    held = fit["held_out"]
    if held is None:
        return "no rows held out"
    which = "random" if held["from_size"] is None else "largest"
    rows = f"{which} row" if held["rows"] == 1 else f"{held['rows']:,} {which} rows"
    return (
        f"the {rows}, predicted by a fit of the others: error "
        f"{percent(held['mean_relative_error'], '.2g')} on average, "
        f"{percent(held['largest_relative_error'], '.2g')} at most, bias {percent(held['bias'], '+.2g')}"
    )


def lines(report: FitReport) -> list[str]:
    where = ", ".join(f"{v} = {field}" for v, field in report["variables"].items() if v != field)
    lines = [report["formula"], f"{where}{'; ' if where else ''}{report['rows']:,} rows"]
    for fit in report["fits"]:
        error = fit["error"]
        lines += _table(fit["y"], fit)
        lines.append(
            f"  rows fitted: error {percent(error['mean_relative_error'], '.2g')} on average, "
            f"{percent(error['largest_relative_error'], '.2g')} at most"
        )
        lines.append(f"  {_held_out(fit)}")
    if report["optimum"]:
        lines += _table("least loss at", report["optimum"])
    if report["prediction"]:
        lines += _table(f"at {_at(report['prediction'])}", report["prediction"])
    return lines + [""] * bool(report["notes"]) + report["notes"]


def figure(report: FitReport) -> Figure:
    """For each loss, the curve over the only variable with the runs, otherwise predicted against observed values;
    held-out runs as predicted without them."""
    panels, variable = [], next(iter(report["variables"].values()))
    for fit in report["fits"]:
        points, curve, name = fit["points"], fit["curve"], fit["y"]
        seen = [one for one in points if one["held_out"] is None]
        unseen = [one for one in points if one["held_out"] is not None]
        if curve is not None:
            x, low, high = curve["x"], curve["low"], curve["high"]
            law = Series("law, 95 %", x, curve["predicted"], low=low, high=high)
            series, labels = [law], (variable, name)
            shown = [("runs", seen, "observed"), ("held-out runs", unseen, "observed")]
            shown.append(("predicted without them", unseen, "held_out"))
            log = "alpha" in fit["figures"] and min(x) > 0
        else:
            observed = [one["observed"] for one in points]
            ends = [min(observed), max(observed)]
            series = [Series("equal", ends, ends, reference=True)]
            labels = ("observed", "predicted")
            shown = [("runs", seen, "predicted"), ("held-out runs", unseen, "held_out")]
            log = False
        for label, some, key in shown:
            if some:
                places = [one["x"][variable] if curve else one["observed"] for one in some]
                series.append(Series(label, places, [one[key] for one in some], form="points"))
        panels.append(Panel(name, *labels, series, x_log=log))
    return Figure(f"Fit of {report['law']}", panels, report["formula"])


def story(report: FitReport) -> Story:
    sentences = [f"{fit['y']}: {_held_out(fit)}." for fit in report["fits"]]
    tables = []
    if report["optimum"]:
        best = "; ".join(f"{name} {value}" for name, value in _rows(report["optimum"]))
        sentences.insert(0, f"Least loss at {best}.")
    for fit in report["fits"]:
        if fit["figures"]:
            tables.append(pairs(f"{fit['y']}: {report['formula']}", _rows(fit)))
    if report["prediction"]:
        title = f"At {_at(report['prediction'])}"
        tables.append(pairs(title, _rows(report["prediction"])))
    return Story(f"Fit of {report['law']}", [*sentences, *report["notes"]], tables)
