"""The page of ``synth compare``: one self-contained file, for screens of any size and for print."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from synthtools import __version__
from synthtools.reports import compare_figures as figures
from synthtools.reports import compare_sentences as words
from synthtools.reports import source_line
from synthtools.reports.compare_page_style import SCRIPT, STYLE
from synthtools.reports.document import number, percent
from synthtools.reports.figures.chart import Figure, Table, table_of
from synthtools.reports.figures.page import drawn

# Limits [ours]: bytes of the page; bytes after which corpora have no pictures and few words, and how few; corpora;
# tokens of all examples together; characters of a text and of a sentence.
_MOST, _PICTURES, _FEW = 1_500_000, 700_000, 20
_MOST_CORPORA, _MOST_TOKENS = 50, 6000
_TEXT, _SENTENCE = 300, 1500


class _Room:
    """The room left on the page."""

    def __init__(self, most: int) -> None:
        self.left, self.without = most, list[str]()

    def take(self, what: str, *versions: Callable[[], str]) -> str:
        """The first version that fits, or an empty text; notes what is left out."""
        for place, version in enumerate(versions):
            made = version()
            size = len(made.encode("utf-8", "replace"))
            if size <= self.left:
                self.left -= size
                if place:
                    self.without.append(f"parts of {what}")
                return made
        self.without.append(what)
        return ""


def page(report: Any) -> str:
    """The page of a report of kind ``compare``.

    Raises:
        SynthError: matplotlib is not installed.
    """
    names = [one["name"] for one in report["corpora"]]
    title = f"{', '.join(names[1:])} compared with {names[0]}"
    room = _Room(_MOST - 40_000)  # the rest is for fixed parts
    if len(names) > _MOST_CORPORA:
        room.without.append(f"{len(names) - _MOST_CORPORA} corpora")
        few = report["pairs"][: _MOST_CORPORA - 1]
        report = {**report, "pairs": few, "warnings": report["warnings"][:100]}
    pairs = report["pairs"]
    head = room.take("answers", lambda: _sizes(report) + _findings(report))
    series = ""
    if len(pairs) > 1:
        shown = table(figures.series_table(report))
        whole = f'<section><h2 id="series">All corpora</h2>{shown}</section>'
        series = room.take("the table of all corpora", lambda: whole)
    remedies = room.take("what to do", lambda: _remedies(pairs))
    chosen = report["examples"]
    if len(chosen) > _MOST_TOKENS // _FEW:
        chosen = chosen[: _MOST_TOKENS // _FEW]
        room.without.append("some of the documents")
    examples = room.take(
        "the documents", lambda: _examples(chosen), lambda: _examples(chosen[: 2 * _FEW])
    )
    sections = []
    pictures_until = room.left - _PICTURES
    for index, pair in enumerate(pairs):
        versions = [partial(_pair, report, pair, index, whole) for whole in (True, False)]
        if room.left < pictures_until:
            room.without.append(f"pictures of {pair['other']}")
            versions = versions[1:]
        sections.append(room.take(pair["other"], *versions))
    made_by = report.get("made_by") or {}
    about = room.take(
        "inputs",
        lambda: _about(made_by),
        lambda: _about({**made_by, "inputs": f"{len(made_by['inputs'])} files"}),
        lambda: "",
    )
    left_out = ""
    if room.without:
        missing = f"Left out to keep the page small: {', '.join(room.without)}."
        left_out = _text(f"{missing} The JSON report has everything.", _SENTENCE)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            (
                '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
                "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
            ),
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
            f'<header><h1>{_text(title)}</h1><p class="small">{left_out}</p></header><main>',
            *(head, series, *sections, examples, remedies),
            f'</main><footer><h2>About this page</h2><p class="small">{_text(source_line(made_by))}</p>',
            about,
            (
                f'<p class="small">Made by synth {__version__}. The page is self-contained and loads '
                "nothing.</p></footer>"
            ),
            f"<script>{SCRIPT}</script></body></html>\n",
        ]
    )


def _about(made_by: Any) -> str:
    shown = _text(json.dumps(made_by, indent=2, ensure_ascii=False), None)
    return f"<details><summary>Arguments, inputs, versions</summary><pre>{shown}</pre></details>"


def _text(value: Any, most: int | None = _TEXT) -> str:
    """A value as text of the page, truncated to ``most`` characters."""
    text = str(value)
    return html.escape(text if most is None or len(text) <= most else f"{text[:most]}…")


def _sizes(report: Any) -> str:
    counts = ("documents", "words", "median_words", ("scored by the model", "scored"))
    corpora = report["corpora"][:_MOST_CORPORA]
    return table(table_of("The corpora", corpora, (("corpus", "name"), *counts)), sorts=False)


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
            f"{_text(one['sentence'], _SENTENCE)}</li>"
            for one in pair["answers"]
        )
        parts.append(f'<ul class="findings">{items}</ul>')
    parts.append(
        '<p class="small">≠ a difference; = no difference was found. A difference is claimed if an interval '
        f"excludes the value for no difference, at a level of {percent(report['level'], '.4g')} for each "
        "question (95 % for all questions and corpora together), divided among the question's tests.</p></section>"
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
                f"{_text(answer['sentence'], _SENTENCE)}</p>"
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
        clusters = sorted(further["clusters"], key=lambda one: one["other"] - one["reference"])
        columns = (
            ("cluster", lambda one: ", ".join(one["words"][:6])),
            *((pair[side], side) for side in ("reference", "other")),
            ("hardly entered", lambda one: "yes" if one["hardly_entered"] else "no"),
            ("documents in it begin", lambda one: " … ".join(one["examples"])),
        )
        yield table(table_of("Documents of each cluster", clusters, columns))


def _keywords(pair: Any, rows: Sequence[Any]) -> str:
    head = [
        *("words", "in context"),
        *(f"{count} of {name}" for count in ("documents", "per million") for name in (pair["reference"], pair["other"])),
        *("kind", "z", "z of documents", "differs"),
    ]  # fmt: skip
    body = []
    for row in rows:
        context = "".join(
            f"<span>{_text(before)}<strong>{_text(phrase)}</strong>{_text(after)}</span>"
            for before, phrase, after in row["examples"]
        )
        cells = [
            *map(number, row["documents"]),
            *(number(round(one) if one >= 100 else one, 3) for one in row["per_million"]),
            *(words.KINDS[row["kind"]], f"{row['z']:+.1f}", f"{row['z_documents']:+.1f}"),
            "yes" if row["differs"] else "no",
        ]
        phrase, *others = (f"<td>{_text(cell)}</td>" for cell in (row["text"], *cells))
        body.append([phrase, f'<td class="context">{context}</td>', *others])
    caption = f"More often in {pair['other']} (z above 0) or in {pair['reference']} (below 0)"
    return _table(caption, head, body, True)


def table(shown: Table, sorts: bool = True) -> str:
    rows = [[f"<td>{_text(cell)}</td>" for cell in row] for row in shown.rows]
    return _table(shown.title, shown.head, rows, sorts)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], sorts: bool) -> str:
    """A table of cells that are HTML."""
    wrap = ("<button type=button>", "</button>") if sorts else ("", "")
    top = "".join(
        f'<th scope="col">{wrap[0]}{_text(cell) or "what"}{wrap[1]}</th>' for cell in head
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{_text(title)}">'
        f"<table{' class=sorts' if sorts else ''}><caption>{_text(title)}</caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _examples(examples: Sequence[Any]) -> str:
    if not examples:
        return ""
    most = min(120, _MOST_TOKENS // len(examples))
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
    easier, why = one["easier"], "near the median"
    if one["kind"] != "typical":
        how, share = ("less", easier) if easier >= 0.5 else ("more", 1 - easier)
        why = f"{how} predictable than {percent(share, '.3g')} of the sample"
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
        f"<h3>{_text(one['finding'])}</h3><pre>{_text(one['command'], None)}</pre>"
        for pair in pairs
        for one in pair.get("remedies", [])
    ]
    if not rows:
        return ""
    return f'<section><h2 id="remedies">What to do</h2>{"".join(rows)}</section>'
