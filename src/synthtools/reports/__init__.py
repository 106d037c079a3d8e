"""Reports: what they hold, and how a person reads them. No terminal, no options.

- ``document``: a report as JSON, read and written; what made it; tables and bars of characters
- ``figures``: figures as data, and what draws them: images, characters, points, pages
- one file a tool: of each kind of report its ``lines`` for a terminal, its ``figure`` and its ``story``
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

# Kind of a report → the module here that has its ``lines``, ``figure`` and ``story``, as far as it has
# them; where kinds share a module, with a colon and what the names of the functions begin with.
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


def function(kind: str, what: str) -> Callable[[dict[str, Any]], Any] | None:
    """What makes the ``lines``, the ``figure`` or the ``story`` of a kind; None where nothing does."""
    if kind not in KINDS:
        return None
    module, _, prefix = KINDS[kind].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), prefix + what, None)


def has_figure(kind: str) -> bool:
    return function(kind, "figure") is not None


def lines(report: dict[str, Any]) -> list[str]:
    """A report as a person reads it at a terminal."""
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
        SynthError: this kind has no figure, or the report lacks what its kind holds.
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
    """What made a report, in a line."""
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
    """The report in words; of a kind that has none, its numbers in a table.

    Raises:
        SynthError: the report lacks what its kind holds.
    """
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


_NOT_THERE = (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError)


@contextmanager
def whole(report: dict[str, Any], name: str) -> Iterator[None]:
    """Tells of a report that lacks what its kind holds, or holds something else there."""
    try:
        yield
    except _NOT_THERE as error:
        raise SynthError(
            f"{name}: is not a whole report of kind {report['kind']} ({type(error).__name__}: "
            f"{error}); make it again with this version"
        ) from error
