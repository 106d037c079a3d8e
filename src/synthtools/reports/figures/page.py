"""Several reports as one self-contained page, to send to colleagues."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from synthtools import __version__
from synthtools import reports as kinds
from synthtools.errors import SynthError
from synthtools.redaction import hidden
from synthtools.reports.document import encoded, number
from synthtools.reports.figures.chart import Figure, Story, Table
from synthtools.reports.figures.render import render
from synthtools.reports.figures.text import to_csv

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid #bbb;
  padding-top: 1rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
th { font-weight: 600; } .wide { overflow-x: auto; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
figcaption, .small { font-size: .87rem; color: #444; }
details { margin: .4rem 0; font-size: .87rem; } pre { overflow-x: auto; background: #f5f5f5;
  padding: .6rem; }
@media print { details { display: none; } h2 { break-before: auto; } figure { break-inside: avoid; } }
"""


def page(reports: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The page of reports, each with the name of its file; a single report may have a page of its kind. Raises
    SynthError: a report is incomplete, or matplotlib is not installed."""
    own = kinds.function(reports[0][1]["kind"], "page") if len(reports) == 1 else None
    if own is not None:
        with kinds.whole(*reversed(reports[0])):
            return str(own(hidden(reports[0][1])))
    sections, findings = [], []
    for index, (name, report) in enumerate(reports):
        story = kinds.story(report, name)
        findings += [(index, line) for line in story.lines]
        with kinds.whole(report, name):
            sections.append(_section(index, name, report, story))
    with kinds.whole({"kind": "any"}, ", ".join(name for name, _ in reports)):
        data = _data(reports)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<title>synth: report on data</title>",
            f"<style>{_STYLE}</style></head><body>",
            "<h1>Report on data</h1>",
            "<h3>Findings</h3>",
            _findings(findings),
            data,
            *sections,
            (
                f'<p class="small">Made by synth {__version__} from {len(reports)} reports. All numbers '
                "are in the sections above, with how they were made.</p>"
            ),
            "</body></html>\n",
        ]
    )


def _findings(lines: Sequence[tuple[int, str]]) -> str:
    if not lines:
        return "<p>The reports have numbers but no findings.</p>"
    items = "".join(f'<li><a href="#r{i}">{i + 1}</a>: {_text(line)}</li>' for i, line in lines)
    return f"<ul>{items}</ul>"


def _data(reports: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """The inputs, each once."""
    seen: dict[tuple[Any, ...], list[str]] = {}
    for _, report in reports:
        made_by = report.get("made_by") or {}
        for one in made_by.get("inputs") or []:
            key = (one.get("name"), one.get("bytes"), one.get("fingerprint"))
            tools = seen.setdefault(key, [])
            if made_by.get("tool") not in tools:
                tools.append(str(made_by.get("tool")))
    if not seen:
        return ""
    rows = [
        [str(name), "–" if size is None else number(size), str(mark or "–"), ", ".join(tools)]
        for (name, size, mark), tools in seen.items()
    ]
    return _table(Table("The data", ["input", "bytes", "fingerprint", "read by"], rows))


def _section(index: int, name: str, report: dict[str, Any], story: Story) -> str:
    made_by = report.get("made_by") or {}
    source = " · ".join(filter(None, [name, kinds.source_line(made_by)]))
    parts = [
        f'<section id="r{index}"><h2>{index + 1}. {_text(story.title)}</h2>',
        f'<p class="small">{_text(source)}</p>',
        *(f"<p>{_text(line)}</p>" for line in story.lines),
    ]
    if kinds.has_figure(report["kind"]):
        parts.append(_figure(index, name, report))
    parts += [_table(table) for table in story.tables]
    if made_by:
        text = _text(json.dumps(hidden(made_by), indent=2, ensure_ascii=False))
        summary = "<summary>Arguments, inputs, versions</summary>"
        parts.append(f"<details>{summary}<pre>{text}</pre></details>")
    return "\n".join([*parts, "</section>"])


def _figure(index: int, name: str, report: dict[str, Any]) -> str:
    try:
        figure = kinds.figure(report, name)
    except SynthError:
        return "<p>There is nothing to plot.</p>"
    return drawn(figure, name, f"{index + 1}")


def drawn(figure: Figure, name: str, label: str) -> str:
    """A figure as part of a page, with its points.

    Args:
        name: of the report; label: of the figure, for the file of its points.
    """
    svg = render(figure, "svg", inline=True, salt=f"synth-{label}").decode("utf-8")
    svg = svg[svg.index("<svg") :]
    before, _, after = svg.partition("<metadata>")
    svg = before + after.partition("</metadata>")[2]
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{_text(figure.title)}" ', 1)
    data = base64.b64encode(encoded(to_csv([(name, figure)], 6))).decode("ascii")
    return (
        f"<figure>{svg}<figcaption>{_text(figure.caption)} "
        f'<a download="figure-{label}.csv" href="data:text/csv;base64,{data}">Plotted points '
        "(CSV)</a></figcaption></figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    shown = f"<thead><tr>{head}</tr></thead>" if any(table.head) else ""
    return (
        f'<h3>{_text(table.title)}</h3><div class="wide"><table>{shown}<tbody>{rows}</tbody>'
        "</table></div>"
    )


def _text(words: str) -> str:
    return html.escape(words)
