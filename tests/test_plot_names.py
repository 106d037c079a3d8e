"""Names that people give to their files, in every kind of drawing: literal, and in a font that has them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from synthtools import reports
from synthtools.reports.document import columns, wrapped
from synthtools.reports.figures import page, styles
from synthtools.reports.figures.chart import Figure, Panel, Series, bars, extremes, literal
from synthtools.reports.figures.render import render
from synthtools.reports.figures.text import lines_of

ODD = [
    *("_hidden", "__", "_nolegend_", "$x_1$", "a$\\frac$.jsonl", "$", "$$", "\\alpha", "x^2_{3}"),
    *("中文语料", "日本語テキスト", "한국어", "हिन्दी", "عربي", "עִברִית", "ไทย", "தமிழ்", "ελληνικά"),
    *("e\u0301cole", "İstanbul", "a\u200bb", "a\u00adb", "\ufeffbom", "👍🏽", "👩\u200d💻", "🇩🇪"),
    *("a\nb", "a\tb", "a\rb", "a\x00b", "a\x1b[31mb", "a\x85b", "a\u2028b", "\u202egnp.exe"),
    *("", " ", "  lead", "trail  ", "a" * 60, "b" * 300, "word " * 40, "-", "–", "…", ".", "/"),
    *("<b>x</b>", "&amp;", '"quoted"', "it's", "{name}", "%s", "%(a)s", "100 %", "#", "a;b", "a,b"),
    *("null", "nan", "0", "1e5", "C:\\x", "𝒜𝓑", "ﬁ", "½", "\ue000", "\U00020000", "\ud800"),
]


def pictures_of(names: list[str]) -> list[Figure]:
    """Every kind of drawing with these names wherever one can stand."""
    x = [1.0, 2.0, 3.0]
    first = names[0]
    panels = [
        *(
            Panel(first, first, first, [Series(n, x, x, f) for n in names])
            for f in ("line", "points")
        ),
        Panel(first, first, first, [Series(n, x, x[1:], "bars") for n in names], True, note=first),
        bars(first, first, names, [float(i) for i in range(len(names))]),
        bars(
            first, first, names, *(Series(n, [1.0] * len(names), form="named") for n in names[:3])
        ),
        Panel(first, first, first, [Series(n, [1.0], [1.0], "pies", weights=[2.0]) for n in names]),
        Panel(first, first, first, [Series(n, x, x, "points") for n in names], is_map=True),
    ]
    return [Figure(first, [panel], corpora=names, finding=first, source=first) for panel in panels]


@pytest.mark.parametrize("start", range(0, len(ODD), 12))
def test_odd_names_are_literal(start: int, capsys: Any, recwarn: Any) -> None:
    names = ODD[start : start + 12]
    for picture in pictures_of(names):
        for form in ("png", "svg"):
            assert render(picture, form)
        drawn = render(picture, "svg", inline=True).decode("utf-8")
        written = list(filter(None, map(str.strip, ElementTree.fromstring(drawn).itertext())))
        for name in names[: len(picture.panels[0].series)]:
            shown = literal(name).strip()
            assert any(
                shown[-50:] in " ".join(text.split()) or shown[-50:] in text for text in written
            )
        for width in (80, 120):
            assert all(columns(line) <= width for line in lines_of(picture, width))
    assert not list(recwarn)
    remarks = capsys.readouterr().err.splitlines()
    assert all("shown as boxes (Debian: apt install fonts-" in line for line in remarks)


def test_a_page_of_odd_names() -> None:
    source = {"share_asked": 0.5, "share": 0.5, "units": 3, "documents": 1, "units_there": 3}
    sources = [{"source": name, "epochs": 1.0, **source} for name in ODD]
    report = {"kind": "mix", "unit": "words", "documents": 9, "total": 9, "sources": sources}
    text = page.page([("mix.json", report)])
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_data = seen.append  # type: ignore[method-assign]
    parser.feed(text)
    for name in ODD:
        assert name in seen or name.strip() == ""
    assert text.count("<svg") == 1


def test_a_font_that_has_the_letters_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from matplotlib import font_manager

    pen = TTGlyphPen(None)
    for step, point in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    box = pen.glyph()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "sign"])
    builder.setupCharacterMap({0x12345: "sign"})
    builder.setupGlyf({".notdef": box, "sign": box})
    builder.setupHorizontalMetrics({".notdef": (800, 0), "sign": (800, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Signs of a Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "signs.ttf")

    manager = font_manager.fontManager
    own = [font for font in manager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    assert styles.families("a\U00012345")[1] == "\U00012345"
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "signs.ttf")])
    assert styles.families("a\U00012345") == (["DejaVu Sans", "Signs of a Test"], "")


NAMES = {
    "中文语料": "fonts-noto-cjk",
    "日本語テキスト": "fonts-noto-cjk",
    "한국어 말뭉치": "fonts-noto-cjk",
    "क्षेत्र": "fonts-noto-core",
    "ภาษาไทยน้ำ": "fonts-noto-core",
    "தமிழ்": "fonts-noto-core",
}


def glyphs_of(name: str) -> list[tuple[float, str]]:
    """(x, glyph) of what is drawn for a bar's name, from left to right."""
    drawn = render(Figure("t", [bars("p", "x", [name, "b"], [1.0, 2.0])]), "svg").decode()
    group = next(part for part in drawn.split("<!-- ") if name in part.split(" -->")[0])
    uses = re.findall(
        r'<use xlink:href="#([\w-]+-[0-9a-f]+)"(?: transform="translate\(([-\d.]+))?', group
    )
    return sorted((float(x or 0), glyph) for glyph, x in uses)


@pytest.mark.parametrize("name", NAMES)
def test_fonts_of_the_world(name: str, capsys: Any, recwarn: Any) -> None:
    found, missing = styles.families(name + ".jsonl")
    if missing:
        pytest.skip(f"no font here has {missing} (Debian: apt install {NAMES[name]})")
    assert found[0] == "DejaVu Sans" and len(found) == 2  # a script comes out of one font
    glyphs = glyphs_of(name + ".jsonl")
    assert not [glyph for _, glyph in glyphs if glyph.endswith("-0")]  # .notdef
    if name == "क्षेत्र":  # क्ष, त्र and the vowel's sign over the first
        assert len(glyphs) - len(".jsonl") <= 4
    for form in ("png", "svg"):
        assert render(pictures_of([name])[0], form, remark=pytest.fail)
    assert not list(recwarn) and not capsys.readouterr().err


@pytest.mark.parametrize("name", ["العربية", "עברית"])
def test_arabic_and_hebrew_run_from_the_right_and_their_suffix_follows(name: str) -> None:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    font = FT2Font(font_manager.findfont("DejaVu Sans"))
    suffix = [f"DejaVuSans-{font.get_char_index(ord(c)):x}" for c in ".jsonl"]
    glyphs = [glyph for _, glyph in glyphs_of(name + ".jsonl")]
    assert glyphs[-len(suffix) :] == suffix
    alone = [f"DejaVuSans-{font.get_char_index(ord(c)):x}" for c in reversed(name)]
    letters = glyphs[-len(suffix) - len(name) : -len(suffix)]
    if name == "עברית":
        assert letters == alone
    else:  # letters are joined: other forms than those that stand alone
        assert not set(letters) & set(alone[1:-1])


def test_without_a_font_one_line_names_the_packages(monkeypatch: Any, recwarn: Any) -> None:
    from matplotlib import font_manager

    own = [font for font in font_manager.fontManager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    for form in ("png", "svg"):
        told: list[str] = []
        assert render(pictures_of(list(NAMES))[0], form, remark=told.append)
        assert len(told) == 1
        assert told[0].endswith(
            "shown as boxes (Debian: apt install fonts-noto-cjk fonts-noto-core)"
        )
    told = []
    render(pictures_of(["a\ue000"])[0], "png", remark=told.append)
    assert told == ["no font on this machine has \ue000: shown as boxes"]
    assert not list(recwarn)


def test_wide_letters_take_the_room_of_two() -> None:
    name = "中文语料很长的名字用来检查图例和标题是否会超出边界" * 3
    for line in wrapped(f"Median 7.2 ({name}) against 3", 40):
        assert columns(line) <= 40
    assert wrapped("ab 中文 cd", 5) == ["ab", "中文", "cd"]
    assert "".join(wrapped(name, 7)) == name


def test_which_package_has_the_letters() -> None:
    assert styles.packages("中か한") == "fonts-noto-cjk"
    assert styles.packages("हไ中") == "fonts-noto-cjk fonts-noto-core"
    assert styles.packages("👍🏽") == "fonts-symbola"


def test_a_corpus_has_one_colour_in_all_figures() -> None:
    """The colour goes by the order of naming, whatever the order of drawing."""
    colours = []
    for order in (["a", "b", "c"], ["c", "a"], ["b"]):
        panel = Panel("p", "x", "y", [Series(name, [1, 2], [1, 2]) for name in order])
        drawn = render(Figure("t", [panel], corpora=["a", "b", "c"]), "svg").decode()
        colours.append(
            {c for c in ("#0072b2", "#e69f00", "#000000") if f"stroke: {c}; stroke-w" in drawn}
        )
    assert "#0072b2" in colours[1] and "#e69f00" not in colours[1]
    assert "#e69f00" in colours[2] and "#0072b2" not in colours[2]


def test_findings() -> None:
    assert extremes("Median", {"a": 17.94, "b": 6.5}) == "Median 17.9 (a) against 6.5 (b)"
    assert extremes("Median", {"a": 2.0, "b": 1.0, "c": 1234.5}) == "Median from 1 (b) to 1,234 (c)"
    assert extremes("Median", {"a": None, "b": 12345.0}) == "Median 12,345"
    assert extremes("Median", {}) == ""


def test_clusters_of_near_duplicates_are_drawn_by_size() -> None:
    report = {"kind": "ngram-hash-duplicates", "threshold": 0.8, "documents": 20, "by_input": []}
    report |= {"documents_in_clusters": 0, "clusters": 0, "largest_cluster": 0, "cluster_sizes": []}
    alone = reports.figure(report)
    assert alone.finding == "No near-duplicates among 20 documents"
    assert alone.panels[0].series[0].x == [20]
    sizes = [[2, 1], [3, 1], [5, 1], [6, 1]]
    report |= {"documents_in_clusters": 16, "clusters": 4, "cluster_sizes": sizes}
    (panel,) = reports.figure(report | {"largest_cluster": 6}).panels
    assert panel.names == ["alone", "2", "3", "4 to 7"]
    assert panel.series[0].x == [4, 2, 3, 11]


def test_the_response_as_a_density_leaves_nothing_out() -> None:
    even, uneven = [1] * 10, [0, 0, 0, 0, 0, 0, 1, 2, 30, 67]
    inputs = [
        {"name": name, "response": response, "effective_buckets": 1.0, "ngrams": 1, "documents": 1}
        | {"entropy": 0.0, "gini": 0.0, "top_1_percent": 0.0}
        for name, response in (("even", even), ("uneven", uneven))
    ]
    report = {"kind": "ngram-hash-compare", "buckets": 10, "inputs": inputs}
    density, ranked = reports.figure(report).panels
    assert [sum(series.y) for series in density.series] == pytest.approx([100, 100])
    assert max(density.series[0].y) == 100  # all of the even one's buckets are in one bin
    assert density.series[1].x[0] <= 0.1 and density.series[1].x[-1] >= 6.7
    assert density.note == "empty of 10 buckets: uneven 6"
    assert list(ranked.series[1].y) == [0.67, 0.3, 0.02, 0.01]
