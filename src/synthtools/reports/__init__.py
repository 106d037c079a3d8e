"""Reports: their content and their presentation. No terminal, no options.

- ``document``: reading and writing reports as JSON; how they were made; text tables and bars
- ``figures``: figures as data, and their rendering as images, text, CSV, HTML pages
- one file per tool: for each kind of report its ``lines`` for a terminal, its ``figure`` and its ``story``
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from synthtools.errors import SynthError
from synthtools.reports.document import number
from synthtools.reports.figures.chart import Figure, Story, check, pairs, plain

# Kind of a report → the module with its ``lines``, ``figure`` and ``story`` (each optional); if kinds share a
# module, followed by a colon and the prefix of the functions' names.
KINDS = {
    **{
        kind: kind
        for kind in (
            *("audit", "classify", "compare", "decontaminate", "dedup", "diff", "dsir"),
            *("edit", "eval", "fit", "mix", "origin", "simulate", "stats", "table"),
            "train",
        )
    },
    "cat": "mix:cat_",
    "embed-map": "embed",
    "eval-prompts": "eval:prompt_",
    "eval-suites": "eval:suite_",
    "generate-batch": "generate:batch_",
    "generate-plan": "generate:plan_",
    "mixtures": "eval:mixtures_",
    "ngram-hash": "ngram_hash",
    "ngram-hash-compare": "ngram_hash:comparison_",
    "ngram-hash-density": "ngram_hash:density_",
    "ngram-hash-duplicates": "ngram_hash:duplicates_",
    "ppl-compare": "ppl_comparison",
    "ppl-models": "ppl_comparison",
    "ppl-summary": "ppl",
    "sample": "mix:sample_",
    "simulate-densities": "simulate:densities_",
    "train-log": "train:log_",
    "unlearn": "train:unlearn_",
}


def function(kind: str, name: str) -> Callable[[dict[str, Any]], Any] | None:
    """The function for the ``lines``, ``figure`` or ``story`` of a kind; None if there is none."""
    if kind not in KINDS:
        return None
    module, _, prefix = KINDS[kind].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), prefix + name, None)


def has_figure(kind: str) -> bool:
    return function(kind, "figure") is not None


def lines(report: dict[str, Any]) -> list[str]:
    """A report as text for a terminal."""
    make = function(report["kind"], "lines")
    if make is None:
        raise KeyError(report["kind"])
    result: list[str] = make(report)
    return result


def figure(report: dict[str, Any], name: str = "report") -> Figure:
    """The figure of a report.

    Args:
        name: of the report's file, for errors.

    Raises:
        SynthError: this kind has no figure, or the report is incomplete.
    """
    kind = report["kind"]
    make = function(kind, "figure")
    if make is None:
        known = ", ".join(sorted(filter(has_figure, KINDS)))
        raise SynthError(
            f"{name}: a report of kind {kind!r} has no figure (kinds that have one: {known})"
        )
    with whole(report, name):
        result: Figure = make(report)
    if not result.panels:
        raise SynthError(f"{name}: holds nothing to plot")
    finding = result.finding or next(iter(story(report, name).lines), result.title).rstrip(".")
    result = replace(result, finding=finding, source=source_line(report.get("made_by") or {}))
    with whole(report, name):
        check(result)
    return result


def source_line(made_by: dict[str, Any]) -> str:
    """How a report was made, in a line."""
    if not made_by:
        return ""
    model, counts = made_by.get("model") or {}, made_by.get("counts") or {}
    words = [f"synth {made_by.get('tool')} {made_by.get('version')}"]
    if model.get("name"):
        words.append(f"model {model['name']}")
    if made_by.get("seed") is not None:
        words.append(f"seed {made_by['seed']}")
    if counts.get("read") is not None:
        words.append(f"{number(counts['read'])} records")
    if counts.get("skipped"):
        words.append(f"{number(counts['skipped'])} skipped")
    return " · ".join(words)


def story(report: dict[str, Any], name: str = "report") -> Story:
    """The report in words; for a kind without a story, its numbers in a table. Raises SynthError: the report is
    incomplete."""
    kind = report["kind"]
    make = function(kind, "story")
    if make is not None:
        with whole(report, name):
            result: Story = make(report)
        return result
    rows = [
        (plain(key), value)
        for key, value in report.items()
        if key != "kind" and type(value) in (str, int, float)
    ]
    return Story(f"synth {kind}", tables=[pairs("Numbers", rows)] if rows else [])


_INVALID = (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError)


@contextmanager
def whole(report: dict[str, Any], name: str) -> Iterator[None]:
    """Raises SynthError if a report turns out to be incomplete or invalid within the context."""
    try:
        yield
    except _INVALID as error:
        raise SynthError(
            f"{name}: is not a whole report of kind {report['kind']} ({type(error).__name__}: "
            f"{error}); make it again with this version"
        ) from error
