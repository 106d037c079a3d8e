"""Reports as pictures.

``MAKERS`` says, for each kind of report, which function makes a ``chart.Picture`` of it: plain data,
which ``drawing`` makes a PNG or SVG of, ``text`` a picture at a terminal, ``points`` a CSV file and
``page`` a part of a page. ``STORIES`` says which function puts it into words. A new kind of report
gets a file here and a line in each.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synthtools.cli import terminal
from synthtools.cli.pictures.chart import Picture, Story, Table, check
from synthtools.errors import SynthError, UsageError
from synthtools.records.files import write_whole
from synthtools.redaction import hidden
from synthtools.reports.document import number

SUFFIXES = (".png", ".svg")

# Kind of a report → the module of this folder and its function: report → Picture.
MAKERS = {
    "diff": "changes:picture",
    "dsir": "mixing:selection",
    "edit": "editing:picture",
    "embed-map": "maps:picture",
    "eval": "evaluation:picture",
    "mix": "mixing:picture",
    "mixtures": "mixtures:picture",
    "ngram-hash": "responses:picture",
    "ngram-hash-compare": "responses:picture",
    "ngram-hash-density": "neighbours:density",
    "ngram-hash-duplicates": "neighbours:duplicates",
    "ppl-compare": "perplexity:comparison",
    "ppl-models": "perplexity:comparison",
    "ppl-summary": "perplexity:summary",
    "sample": "mixing:sample",
    "simulate": "simulation:picture",
    "stats": "diversity:picture",
    "table": "tables:picture",
    "train": "training:of_run",
    "train-log": "training:picture",
    "unlearn": "unlearning:picture",
}
# Kind of a report → report → Story, its findings and tables for the page. A kind that is not here
# has a table of its numbers there.
STORIES = {
    "diff": "changes:story",
    "dsir": "mixing:selection_story",
    "edit": "editing:story",
    "embed-map": "maps:story",
    "eval": "evaluation:story",
    "mix": "mixing:story",
    "mixtures": "mixtures:story",
    "ngram-hash": "responses:story",
    "ngram-hash-compare": "responses:story",
    "ppl-compare": "perplexity:comparison_story",
    "ppl-models": "perplexity:comparison_story",
    "ppl-summary": "perplexity:summary_story",
    "simulate": "simulation:story",
    "stats": "diversity:story",
    "table": "tables:story",
    "train-log": "training:story",
    "unlearn": "unlearning:story",
}


def check_name(path: str, option: str = "--plot") -> None:
    """Refuses, before any work, a name whose suffix tells no format, and a picture nobody can draw.

    Raises:
        UsageError
        SynthError: matplotlib is not installed, or there is no such directory.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(f"{option} {path}: name a .png or .svg file")
    if find_spec("matplotlib") is None:
        raise SynthError("pictures need matplotlib: pip install 'synthtools[plot]'")
    if not Path(path).absolute().parent.is_dir():
        raise SynthError(f"{option} {path}: there is no directory {Path(path).parent}")


def picture(report: dict[str, Any], name: str = "report") -> Picture:
    """The picture of a report.

    Args:
        name: of the report's file, for errors.

    Raises:
        SynthError: no picture is made of this kind, or the report lacks what its kind holds.
    """
    kind = report.get("kind")
    if kind not in MAKERS:
        known = ", ".join(sorted(MAKERS))
        raise SynthError(f"{name}: no picture of a report of kind {kind!r} (there are: {known})")
    found: Picture = _made(MAKERS[kind], report, name)
    if not found.panels:
        raise SynthError(f"{name}: holds nothing to plot")
    finding = found.finding or next(iter(story(report, name).lines), found.title).rstrip(".")
    source = origin(report.get("made_by") or {})
    found = replace(found, finding=finding, source=source)
    with whole(report, name):
        check(found)
    return found


def origin(made_by: dict[str, Any]) -> str:
    """What made a report, in a line."""
    words = []
    if made_by:
        words.append(f"synth {made_by.get('tool')} {made_by.get('version')}")
        model = made_by.get("model") or {}
        if model.get("name"):
            words.append(f"model {model['name']}")
        if made_by.get("seed") is not None:
            words.append(f"seed {made_by['seed']}")
        records = (made_by.get("counts") or {}).get("read")
        if records is not None:
            words.append(f"{number(records)} records")
        skipped = (made_by.get("counts") or {}).get("skipped")
        if skipped:
            words.append(f"{number(skipped)} skipped")
    return " · ".join(words)


def story(report: dict[str, Any], name: str = "report") -> Story:
    """The report in words.

    Raises:
        SynthError: the report lacks what its kind holds.
    """
    kind = report["kind"]
    if kind in STORIES:
        found: Story = _made(STORIES[kind], report, name)
        return found
    rows = [
        [key.replace("_", " "), value if isinstance(value, str) else number(value)]
        for key, value in report.items()
        if key != "kind" and type(value) in (str, int, float)
    ]
    return Story(f"synth {kind}", tables=[Table("Numbers", ["", ""], rows)] if rows else [])


def _made(maker: str, report: dict[str, Any], name: str) -> Any:
    module, _, function = maker.partition(":")
    make = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    with whole(report, name):
        return make(report)


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


def save(drawn: Picture, path: str, force: bool = True) -> None:
    """Draws a picture under a name, whole or not at all; its suffix tells the format."""
    from synthtools.cli.pictures.drawing import render

    write_whole(Path(path), render(drawn, Path(path).suffix.lower()[1:]), force)


def plot(report: dict[str, Any], path: str | None) -> None:
    """``--plot FILE`` of a tool: the picture of its report, where one was asked for.

    A report with nothing to plot is worth having all the same: that is a remark, no error.
    """
    if path is None:
        return
    try:
        drawn = picture(hidden(report), "the report")
    except SynthError as nothing:
        terminal.remark(f"{path}: not drawn: {nothing}")
        return
    save(drawn, path)
