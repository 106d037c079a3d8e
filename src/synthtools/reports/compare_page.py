"""The page of ``synth compare``: one file that loads nothing, for a screen of any size and for paper."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from synthtools import __version__
from synthtools.reports import compare_figures as figures
from synthtools.reports import compare_sentences as words
from synthtools.reports import source_line
from synthtools.reports.document import number, percent
from synthtools.reports.figures.chart import Figure, Table
from synthtools.reports.figures.page import drawn

# Bytes after which further corpora have no pictures and few words, and tokens of all examples together.
_MOST, _FEW = 700_000, 20
_MOST_TOKENS = 6000

_STYLE = """
:root { color-scheme: light dark; --PAPER: #fff; --INK: #1b1b1b; --SOFT: #555; --LINE: #ccc; --BOX: #f4f4f2;
  --LINK: #0b57a4; --DIFFERS: #a33b00; --SAME: #1d6b35; --SHADE: 190, 60, 20; }
@media (prefers-color-scheme: dark) { :root { --PAPER: #16181b; --INK: #e6e6e3; --SOFT: #b0b0ab;
  --LINE: #44484d; --BOX: #22252a; --LINK: #8ec1ff; --DIFFERS: #ffb08a; --SAME: #8fdba6; --SHADE: 255, 140, 90; }
  figure svg { filter: invert(.91) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--INK); background: var(--PAPER); margin: 0; }
header, main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--LINE); }
h3 { font-size: 1.02rem; margin: 1.5rem 0 .3rem; }
a { color: var(--LINK); } p, li { overflow-wrap: anywhere; max-width: 46rem; }
.answer { font-size: 1.08rem; } .small, figcaption, details { font-size: .875rem; color: var(--SOFT); }
.mark { font-weight: 700; } .differs .mark { color: var(--DIFFERS); } .same .mark { color: var(--SAME); }
.warnings { background: var(--BOX); border-left: 4px solid var(--DIFFERS); padding: .5rem 1rem; }
.warnings ul { margin: 0; padding-left: 1.1rem; } .findings { list-style: none; padding: 0; }
.findings li { margin: .5rem 0; padding-left: 1.6rem; text-indent: -1.6rem; }
.findings .mark { display: inline-block; width: 1.6rem; text-indent: 0; }
.wide { overflow-x: auto; margin: .5rem 0 1rem; } table { border-collapse: collapse; font-size: .875rem;
  font-variant-numeric: tabular-nums; } caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--LINE); }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-align: left; } th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
td.context { min-width: 22rem; } td.context span { display: block; } code, pre { font: .85rem/1.5 ui-monospace, monospace; }
pre { background: var(--BOX); padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
.filters { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin: 1rem 0; align-items: end; }
.filters label { font-size: .875rem; } .filters input, .filters select { display: block; font: inherit;
  padding: .25rem .4rem; max-width: 100%; color: var(--INK); background: var(--PAPER); border: 1px solid var(--SOFT); }
article { border: 1px solid var(--LINE); padding: .6rem .9rem; margin: .8rem 0; }
article h3 { font-size: .95rem; margin: 0 0 .2rem; } .text { white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0 0; }
.text b { font-weight: 400; } .a { background: rgba(var(--SHADE), .42); } .b { background: rgba(var(--SHADE), .26); }
.c { background: rgba(var(--SHADE), .13); } .key { padding: 0 .35rem; }
@media print { .filters { display: none; } details { display: none; } figure, article { break-inside: avoid; }
  body { font-size: 11px; } header, main, footer { max-width: none; } .wide { overflow: visible; } }
"""
_SCRIPT = """
for (const table of document.querySelectorAll('table.sorts')) {
  table.querySelectorAll('th').forEach((head, column) => head.firstChild.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
    table.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', down > 0 ? 'ascending' : 'descending');
    const value = row => row.cells[column].textContent;
    const amount = text => parseFloat(text.replace(/,/g, '').replace('−', '-'));
    const body = table.tBodies[0], rows = [...body.rows];
    rows.sort((a, b) => { const [x, y] = [value(a), value(b)], [m, n] = [amount(x), amount(y)];
      return down * (isNaN(m) || isNaN(n) ? x.localeCompare(y) : m - n); });
    body.append(...rows);
  }));
}
const words = document.getElementById('words'), chosen = document.getElementById('chosen');
function filter() {
  let shown = 0;
  for (const one of document.querySelectorAll('article')) {
    const fits = (!chosen.value || one.dataset.of === chosen.value)
      && one.textContent.toLowerCase().includes(words.value.toLowerCase());
    one.hidden = !fits; shown += fits;
  }
  document.getElementById('shown').textContent = shown + ' documents shown';
}
if (words) { words.addEventListener('input', filter); chosen.addEventListener('change', filter); }
"""


def page(report: Any) -> str:
    """The page of a report of kind ``compare``.

    Raises:
        SynthError: matplotlib is not installed.
    """
    names = [one["name"] for one in report["corpora"]]
    title = f"{', '.join(names[1:])} compared with {names[0]}"
    parts = [_findings(report)]
    if len(report["pairs"]) > 1:
        parts.append(
            f'<section><h2 id="series">All corpora</h2>{table(figures.series_table(report))}</section>'
        )
    size = 0
    for index, pair in enumerate(report["pairs"]):
        section = _pair(report, pair, index, size < _MOST)
        size += len(section)
        parts.append(section)
    parts += [_examples(report), _remedies(report["pairs"])]
    made_by = report.get("made_by") or {}
    about = _text(json.dumps(made_by, indent=2, ensure_ascii=False))
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            (
                '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
                "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
            ),
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
            f"<header><h1>{_text(title)}</h1>{_sizes(report)}</header><main>",
            *parts,
            f'</main><footer><h2>About this page</h2><p class="small">{_text(source_line(made_by))}</p>',
            f"<details><summary>Arguments, inputs, versions</summary><pre>{about}</pre></details>",
            (
                f'<p class="small">Made by synth {__version__}. The page holds all that it shows; it loads '
                "nothing.</p></footer>"
            ),
            f"<script>{_SCRIPT}</script></body></html>\n",
        ]
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _sizes(report: Any) -> str:
    head = ["corpus", "documents", "words", "median words", "scored by the model"]
    rows = [
        [
            one["name"],
            *(number(one[key]) for key in ("documents", "words", "median_words", "scored")),
        ]
        for one in report["corpora"]
    ]
    return table(Table("The corpora", head, rows), sorts=False)


def _findings(report: Any) -> str:
    parts = []
    if report["warnings"]:
        items = "".join(f"<li>{_text(one)}</li>" for one in report["warnings"])
        parts.append(
            f'<section class="warnings" aria-label="Warnings"><h2 hidden>Warnings</h2><ul>{items}</ul></section>'
        )
    parts.append("<section><h2>Answers</h2>")
    for index, pair in enumerate(report["pairs"]):
        if len(report["pairs"]) > 1:
            parts.append(f"<h3>{_text(pair['other'])}</h3>")
        items = "".join(
            f'<li class="{_mark(one)[0]}"><span class="mark" aria-hidden="true">{_mark(one)[1]}</span>'
            f'<a href="#p{index}-{one["question"]}">{_text(words.TITLES[one["question"]])}</a> '
            f"{_text(one['sentence'])}</li>"
            for one in pair["answers"]
        )
        parts.append(f'<ul class="findings">{items}</ul>')
    parts.append(
        '<p class="small">≠ a difference; = none was found. A difference is claimed where an interval '
        f"excludes what no difference gives, at a level of {percent(report['level'], '.4g')} for each "
        "question (95 % for all questions and corpora together), shared by what the question tests.</p></section>"
    )
    return "".join(parts)


def _mark(answer: Any) -> tuple[str, str]:
    return ("differs", "≠") if answer["differs"] else ("same", "=")


def _pair(report: Any, pair: Any, index: int, with_pictures: bool) -> str:
    pictures: dict[str, Figure] = figures.pictures(report, pair) if with_pictures else {}
    of = f" ({pair['other']})" if len(report["pairs"]) > 1 else ""
    parts = []
    for answer in pair["answers"]:
        question = answer["question"]
        place, picture = f"p{index}-{question}", pictures.get(question)
        parts += [
            f'<section class="{_mark(answer)[0]}"><h2 id="{place}">{_text(words.TITLES[question] + of)}</h2>',
            (
                f'<p class="answer"><span class="mark" aria-hidden="true">{_mark(answer)[1]} </span>'
                f"{_text(answer['sentence'])}</p>"
            ),
            drawn(picture, pair["other"], place) if picture is not None else "",
            *_tables(pair, answer, with_pictures),
            f"<details><summary>How this was computed</summary><p>{_text(words.HOW[question])}</p></details>",
            "</section>",
        ]
    return "\n".join(parts)


def _tables(pair: Any, answer: Any, whole: bool) -> Iterable[str]:
    further = answer["further"]
    if answer["question"] == "keywords":
        rows = further["keywords"]
        yield _keywords(pair, rows if whole else [r for r in rows if r["differs"]][:_FEW])
        return
    yield table(figures.effects_table(pair, answer))
    if answer["question"] == "coverage" and whole:
        rows = [
            [
                ", ".join(one["words"][:6]),
                number(one["reference"]),
                number(one["other"]),
                "yes" if one["hardly_entered"] else "no",
                " … ".join(one["examples"]),
            ]
            for one in sorted(further["clusters"], key=lambda c: c["other"] - c["reference"])
        ]
        head = [
            "cluster",
            pair["reference"],
            pair["other"],
            "hardly entered",
            "documents in it begin",
        ]
        yield table(Table("Documents of each cluster", head, rows))


def _keywords(pair: Any, rows: Sequence[Any]) -> str:
    head = [
        *("words", "kind", "z", "z of documents", "differs"),
        *(f"{what} of {name}" for what in ("documents", "per million") for name in (pair["reference"], pair["other"])),
        "in context",
    ]  # fmt: skip
    body = []
    for row in rows:
        context = "".join(
            f"<span>{_text(before)}<strong>{_text(phrase)}</strong>{_text(after)}</span>"
            for before, phrase, after in row["examples"]
        )
        cells = [
            *(
                row["text"],
                words.KINDS[row["kind"]],
                f"{row['z']:+.1f}",
                f"{row['z_documents']:+.1f}",
            ),
            *("yes" if row["differs"] else "no", *map(number, row["documents"])),
            *(number(round(one) if one >= 100 else one, 3) for one in row["per_million"]),
        ]
        body.append([*map(_text, cells), f"\0{context}"])
    caption = f"More often in {pair['other']} (z above 0) or in {pair['reference']} (below 0)"
    return _table(caption, head, body, True)


def table(shown: Table, sorts: bool = True) -> str:
    return _table(
        shown.title, shown.head, [[_text(cell) for cell in row] for row in shown.rows], sorts
    )


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], sorts: bool) -> str:
    """A table of escaped cells; one that begins with NUL is a context."""
    wrap = ("<button type=button>", "</button>") if sorts else ("", "")
    top = "".join(
        f'<th scope="col">{wrap[0]}{_text(cell) or "what"}{wrap[1]}</th>' for cell in head
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="context">{cell[1:]}</td>' if cell[:1] == "\0" else f"<td>{cell}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{_text(title)}">'
        f"<table{' class=sorts' if sorts else ''}><caption>{_text(title)}</caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _examples(report: Any) -> str:
    examples = report["examples"]
    if not examples:
        return ""
    most = max(20, min(120, _MOST_TOKENS // len(examples)))
    options = dict.fromkeys(f"{one['kind']} of {one['corpus']}" for one in examples)
    choices = "".join(f"<option>{_text(one)}</option>" for one in options)
    return "\n".join(
        [
            (
                '<section><h2 id="examples">Which documents?</h2><p>Ten documents of each corpus nearest to its '
                "median perplexity, and ten farthest from it. The stronger a word is shaded, the less the model expected it: "
                '<span class="a key">below 1 %</span> <span class="b key">below 10 %</span> '
                '<span class="c key">below 50 %</span>.</p>'
            ),
            (
                '<div class="filters"><label>Words in it<input id="words" type="search"></label>'
                f'<label>Which<select id="chosen"><option value="">all</option>{choices}</select></label>'
                f'<span class="small" id="shown" role="status">{len(examples)} documents shown</span></div>'
            ),
            *(_example(one, most) for one in examples),
            "</section>",
        ]
    )


def _example(one: Any, most: int) -> str:
    easier = one["easier"]
    why = f"less predictable than {percent(easier, '.3g')} of the sample" if easier >= 0.5 else (
        f"more predictable than {percent(1 - easier, '.3g')} of the sample"
    )  # fmt: skip
    if one["kind"] == "typical":
        why = "near the median"
    text = "".join(_token(token, p) for token, p in one["tokens"][:most])
    more = " …" if one["cut"] or len(one["tokens"]) > most else ""
    of = f"{one['kind']} of {one['corpus']}"
    return (
        f'<article data-of="{_text(of)}"><h3>{_text(of)}</h3><p class="small">Perplexity '
        f"{number(one['perplexity'], 3)}, {why}; {_text(one['place'])}</p>"
        f'<p class="text">{text}{more}</p></article>'
    )


def _token(token: str, probability: float | None) -> str:
    bound = ((0.01, "a"), (0.1, "b"), (0.5, "c"))
    shade = next((c for least, c in bound if probability is not None and probability < least), None)
    return f"<b class={shade}>{_text(token)}</b>" if shade else _text(token)


def _remedies(pairs: Sequence[Any]) -> str:
    rows = [
        f"<h3>{_text(one['finding'])}</h3><pre>{_text(one['command'])}</pre>"
        for pair in pairs
        for one in pair.get("remedies", [])
    ]
    if not rows:
        return ""
    return f'<section><h2 id="remedies">What to do</h2>{"".join(rows)}</section>'
