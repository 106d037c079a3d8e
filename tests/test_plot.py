"""Reports as pictures: every kind, in every form, from reports that the tools themselves made."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from types import UnionType
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
import pytest

import running
from synthtools import reports
from synthtools.curate import edited_records
from synthtools.curate.token_edit import Rules
from synthtools.errors import SynthError
from synthtools.reports import (
    document,
    dsir,
    edit,
    mix,
    ngram_hash,
    ppl,
    ppl_comparison,
    simulate,
    stats,
)
from synthtools.reports.figures.chart import Figure, Panel, Series
from synthtools.reports.figures.render import render
from synthtools.reports.figures.text import lines_of, to_csv

KINDS = ("ppl", "ngrams", "one", "mix", "dsir", "simulate")


run = partial(running.run, text=True)


def done(*words: object, **more: Any) -> str:
    result = run(*words, **more)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, paragraphs: list[str]) -> Path:
    """Reports of all tools that need no model."""
    path = tmp_path_factory.mktemp("plot")
    draw = np.random.default_rng(0)
    for name, middle, part in (
        ("human", 3.2, paragraphs[:60]),
        ("synthetic", 2.4, paragraphs[60:]),
    ):
        lines = [
            json.dumps({"text": text, "ppl": float(draw.lognormal(middle, 0.5)), "n_tokens": 9})
            for text in part
        ]
        (path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    two = (path / "human.jsonl", path / "synthetic.jsonl")
    (path / "ppl.json").write_text(done("ppl", *two, "--compare", "--bootstrap", 20))
    (path / "summary.json").write_text(done("ppl", two[0], "--summary"))
    (path / "stats.json").write_text(done("stats", *two, "--tests", "words"))
    (path / "ngrams.json").write_text(done("ngram-hash", *two, "--compare", "--top", 5))
    (path / "one.json").write_text(done("ngram-hash", two[0]))
    (path / "duplicates.json").write_text(done("ngram-hash", *two, "--duplicates"))
    mix = ["--unit", "words", "-o", path / "m.jsonl", "--report", path / "mix.json"]
    mix += ["--plot", path / "mix.png"]
    done("mix", *mix, "--", f"{two[0]}=0.5", f"{two[1]}=0.5")
    dsir = ["-n", 9, "--min-tokens", 0, "-o", path / "d.jsonl", "--report", path / "dsir.json"]
    dsir += ["--plot", path / "dsir.svg"]
    done("dsir", two[1], "--target", two[0], *dsir)
    weights = ["--weights", "-o", path / "w.jsonl", "--report", path / "weights.json"]
    done("dsir", two[1], "--target", two[0], *weights)
    done("simulate", "--repetitions", 20, "--generations", 4, "--report", path / "simulate.json")
    log = [
        {"step": n, "loss": 9 / n, "learning_rate": 1e-3, "gradient_norm": None, "kl": 0.1 * n}
        | ({"valid": {"held": 5.0 + n}} if n % 50 == 0 else {})
        for n in range(1, 201)
    ]
    # The last line is being written.
    (path / "log.jsonl").write_text("\n".join(map(json.dumps, log)) + '\n{"step": 2')
    return path


def others() -> dict[str, dict[str, Any]]:
    """Reports of tools that need a model."""
    rows = [
        {"generation": g, "tokens": 100, "flagged": 9 - g, "changed": 2, "dropped": 0, "held": 0}
        | {"flagged_share": (9 - g) / 100, "changed_share": 0.02}
        for g in (1, 2)
    ]
    groups = [{"name": "a", "points": 2}, {"name": "b", "points": 1}]
    points = [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}, {"x": 5.0, "y": 6.0}]
    ends = {"1": 2.0, "50": 3.0, "99": 8.0}
    pairs = [{"left": "a", "right": "a", "pairs": 3}, {"left": "a", "right": "b", "pairs": 1}]
    strata = {"x": {"records": 5, "drawn": 2}, "y": {"records": 4, "drawn": 2}}
    curve = {"steps": [1.0, 2.0], "loss": [3.0, 2.5]}
    return {
        "density": {"kind": "ngram-hash-density", "documents": 3, "percentiles": ends},
        "pairs": {"kind": "ngram-hash-duplicates", "threshold": 0.8, "by_input": pairs},
        "sample": {"kind": "sample", "records_seen": 9, "drawn": 4, "strata": strata},
        "train": {"kind": "train", "curve": curve, "valid": {"held": 90.0}, "steps": 2},
        "edit": {"kind": "edit", "generations": rows},
        "map": {"kind": "embed-map", "method": "tsne", "groups": groups, "points": points},
    }


def load(folder: Path, name: str) -> dict[str, Any]:
    return others().get(name) or document.load(str(folder / name))


ALL = (*(f"{kind}.json" for kind in KINDS), "log.jsonl", *others())


@pytest.mark.parametrize("name", ALL)
def test_every_kind_in_every_form(name: str, folder: Path) -> None:
    picture = reports.figure(load(folder, name), name)
    svg = render(picture, "svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert render(picture, "svg") == svg
    assert render(picture, "png").startswith(b"\x89PNG")
    lines = lines_of(picture)
    assert all(panel.title in lines for panel in picture.panels)
    rows = list(csv.DictReader(io.StringIO(to_csv([(name, picture)]))))
    for panel in picture.panels:
        assert panel.x_label and (panel.y_label or panel.names)
        for series in panel.series:
            found = [r for r in rows if (r["panel"], r["series"]) == (panel.title, series.name)]
            assert len(found) == len(series.y if series.form != "named" else series.x) > 0
            key = "x" if series.form == "named" else "y"
            values = series.x if series.form == "named" else series.y
            assert [float(r[key]) for r in found] == [float(v) for v in values]
    story = reports.story(load(folder, name), name)
    assert story.title and (story.lines or story.tables or name == "map")


def check(value: Any, kind: Any, place: str) -> None:
    """That a value is of a type of the reports: every key that must be there, none that is unknown."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        check(value, parts[0], place)
    elif origin in (Union, UnionType):
        named = [part for part in parts if part is not type(None)]
        assert value is not None or type(None) in parts, place
        if value is not None and len(named) == 1:
            check(value, named[0], place)
    elif is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        needed = {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}
        assert needed <= set(value) <= set(hints), (place, needed ^ set(value))
        for name, one in value.items():
            check(one, hints[name], f"{place}.{name}")
    elif origin is list:
        for one in value:
            check(one, parts[0], place)
    elif origin is dict:
        for one in value.values():
            check(one, parts[1], place)
    elif origin is tuple:
        assert len(value) == len(parts), place
    elif kind is float:
        assert type(value) in (int, float), (place, value)
    elif kind is not Any:
        assert type(value) is kind, (place, value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ppl", ppl_comparison.ComparisonReport),
        ("summary", ppl.PerplexityReport),
        ("ngrams", ngram_hash.ResponseComparison),
        ("one", ngram_hash.ResponseReport),
        ("duplicates", ngram_hash.Duplicates),
        ("mix", mix.MixReport),
        ("dsir", dsir.DsirReport),
        ("weights", dsir.DsirReport),
        ("simulate", simulate.SimulateReport),
        ("stats", stats.StatsReport),
    ],
)
def test_a_report_is_of_its_type(name: str, kind: Any, folder: Path) -> None:
    check(load(folder, f"{name}.json"), kind, name)


def test_the_report_of_an_edit_is_of_its_type() -> None:
    counts = {"tokens": 9, "flagged": 4, "changed": 2, "dropped": 0, "held": 1}
    totals = {f"{name}/1": count for name, count in counts.items()}
    report = edited_records.report(totals, Rules(), 2)
    check({"kind": "edit", **report}, edit.EditReport, "edit")
    assert [row["flagged_share"] for row in report["generations"]] == [4 / 9, None]


def test_every_maker_is_there() -> None:
    for kind in reports.KINDS:
        assert any(reports.function(kind, what) for what in ("lines", "figure", "story")), kind
    assert not reports.has_figure("cat")


def test_what_is_plotted_is_what_the_report_says(folder: Path) -> None:
    report = load(folder, "simulate.json")
    for panel, found in zip(reports.figure(report).panels, report["workflows"], strict=True):
        assert list(panel.series[0].y) == found["simulated"] and panel.title == found["workflow"]
    report = load(folder, "ppl.json")
    histogram, density = reports.figure(report).panels
    for bars, curve, side in zip(histogram.series, density.series, report["inputs"], strict=True):
        counts = side["histogram"]["counts"]
        assert np.array(bars.y) * side["documents"] / 100 == pytest.approx(counts)
        assert set(curve.y) <= set(side["density"]) and max(curve.y) == max(side["density"])
    summary = {"kind": "ppl-summary", "token_probability": None, "median": 17.94}
    summary["histogram"] = {
        "edges": list(range(51)),
        "counts": [1] * 50,
        "below": 4,
        "above": 10,
    }
    (bars,) = reports.figure(summary).panels[0].series
    assert (bars.x[0], bars.x[-1], len(bars.x)) == (0, 50, 6)  # 2·64^(1/3) bins at most: 5
    assert sum(bars.y) == pytest.approx(100 * 50 / 64)
    drawn = reports.figure(summary)
    assert drawn.finding == "Median perplexity 17.9"
    assert drawn.panels[0].note == (
        "4 of 64 documents are below 0; 10 of 64 documents are above 50"
    )
    report = load(folder, "mix.json")
    shares = reports.figure(report).panels[0].series[0].x
    assert shares == [100 * source["share"] for source in report["sources"]]
    loss, *more = reports.figure(load(folder, "log.jsonl")).panels
    assert list(loss.series[0].x) == list(range(1, 201))
    assert loss.series[1].y[0] == pytest.approx(np.mean([9 / n for n in range(1, 51)]))
    assert [panel.title for panel in more] == ["Validation", "Learning rate", "Kl"]
    first, second = reports.figure(others()["map"]).panels[0].series
    assert (list(first.x), list(second.y)) == ([1, 3], [6])


class Page(HTMLParser):
    """Whether tags close, what is loaded from elsewhere, and what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action"):
                self.loaded.append(value)
        assert tag not in ("script", "link", "iframe", "img")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_needs_nothing_else(folder: Path) -> None:
    names = [folder / f"{kind}.json" for kind in (*KINDS, "duplicates", "weights")]
    out = folder / "page.html"
    assert done("plot", *names, folder / "log.jsonl", "-o", out) == ""
    text = out.read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(x.startswith(("#", "data:")) for x in page.loaded)
    assert text.count("<section") == 9 and text.count("<svg") == 8
    assert not re.search(r"url\((?!['\"]?#)|@import", text)
    assert set(re.findall(r"https?://[\w.]+", text)) == {"http://www.w3.org"}
    # What the data is, findings, what made them.
    report = load(folder, "ppl.json")
    assert report["made_by"]["inputs"][0]["fingerprint"] in page.text
    for line in reports.story(report).lines:
        assert page.text.count(line) == 2
    assert "cross term" in page.text and '"bootstrap": 20' in page.text
    assert "synth ppl" in page.text
    # Names inside the figures do not collide.
    ids = re.findall(r"<svg.*?</svg>", text, re.S)
    clips = [set(re.findall(r'<clipPath id="([^"]+)"', svg)) for svg in ids]
    assert sum(map(len, clips)) == len(set().union(*clips))
    # The same page again.
    done("plot", *names, folder / "log.jsonl", "-o", out, "--force")
    assert out.read_text() == text


BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt install chromium")
def test_a_page_opens_in_a_browser(folder: Path, tmp_path: Path) -> None:
    names = [folder / f"{kind}.json" for kind in KINDS]
    out, shot = tmp_path / "page.html", tmp_path / "page.png"
    assert done("plot", *names, "-o", out) == ""
    browser = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
    ]
    found = subprocess.run(
        [*browser, "--window-size=900,3000", f"--screenshot={shot}", "--dump-dom", out.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("<svg") == len(KINDS) and "<h1" in found.stdout
    from matplotlib.image import imread

    pixels = imread(shot)[:, :, :3].mean(2)
    # Something is drawn over the whole height, in more than black and white.
    assert all((part < 0.9).any() for part in np.array_split(pixels[:2500], 10))
    assert len(np.unique(pixels.round(2))) > 20


def test_a_page_is_no_place_for_markup(folder: Path, tmp_path: Path) -> None:
    report = load(folder, "mix.json")
    report["sources"][0]["source"] = "<script>alert(1)</script>"
    (tmp_path / "r.json").write_text(json.dumps(report))
    done("plot", tmp_path / "r.json", "-o", tmp_path / "p.html")
    assert "<script" not in (tmp_path / "p.html").read_text()


def test_the_tool(folder: Path, tmp_path: Path) -> None:
    report = folder / "simulate.json"
    figure, data = tmp_path / "a.svg", tmp_path / "a.csv"
    done("plot", report, "-o", figure, "--data", data)
    assert figure.read_bytes() == render(reports.figure(load(folder, "simulate.json")), "svg")
    assert data.read_text().startswith("report,panel,series,name,x,x_end,y,low,high,weight\n")
    refused = run("plot", report, "-o", figure)
    assert refused.returncode == 1 and "--force" in refused.stderr
    done("plot", report, "-o", figure, "--force")
    # A pipe from a tool, and --plot of the tool itself, draw the same.
    words = ("simulate", "--repetitions", 20, "--generations", 4)
    out = done(*words, "--json", "--plot", tmp_path / "own.svg")
    assert (tmp_path / "own.svg").read_bytes() == figure.read_bytes()
    shown = done("plot", "-", input=out)
    assert "replace" in shown and "│" in shown and shown == done("plot", report)


@pytest.mark.parametrize(
    "content, words, code",
    [
        ("", "empty", 1),
        ("{", "not JSON", 1),
        ("[1]", "not a synth report", 1),
        ('{"a": 1}', "not a synth report", 1),
        ('{"kind": 3}', "not a synth report", 1),
        ('{"kind": "cat"}', "has no figure", 1),
        ('{"kind": "simulate"}', "not a whole report", 1),
        ('{"kind": "simulate", "generations": 1, "base": 1, "workflows": [{}]}', "whole", 1),
        ('{"kind": "ppl-summary", "histogram": null, "token_probability": null}', "nothing", 1),
        ('{"step": 1}\n{"stop": 2}\n{"step": 3}', ":2: ", 1),
        ('{"step": 1}\nstep 2\n{"step": 3}', ":2: ", 1),
        ("\udcff", "UTF-8", 1),
    ],
)
def test_what_is_no_report_is_one_line(content: str, words: str, code: int, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SynthError, match=re.escape(words)) as stopped:
        reports.figure(document.load(str(path)), str(path))
    assert len(str(stopped.value).splitlines()) == 1 and str(path) in str(stopped.value)
    assert stopped.value.exit_code == code


@pytest.mark.parametrize(
    "words, message, code",
    [
        (["r.json", "-o", "a.pdf"], ".png, .svg or .html", 2),
        (["r.json", "-o", "a"], ".png, .svg or .html", 2),
        (["r.json", "r.json", "-o", "a.png"], ".html", 2),
        (["-", "-"], "one report", 2),
        ([], "REPORT", 2),
        (["nowhere.json"], "nowhere.json", 1),
        (["."], "cannot be read", 1),
        (["r.json", "-o", "nowhere/a.png"], "nowhere", 1),
    ],
)
def test_wrong_usage_is_one_line(
    words: list[str], message: str, code: int, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_bytes((folder / "mix.json").read_bytes())
    result = run("plot", *words, cwd=tmp_path)
    assert result.returncode == code and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and message in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json"]


def test_a_tool_with_nothing_to_plot_keeps_its_report(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"text": "a"}\n')
    words = ("stats", tmp_path / "one.jsonl", "--measures", "lengths", "--plot")
    result = run(*words, tmp_path / "a.png")
    assert result.returncode == 0 and json.loads(result.stdout)["kind"] == "stats"
    assert "a.png: not drawn" in result.stderr and not (tmp_path / "a.png").exists()
    refused = run(*words, tmp_path / "nowhere" / "a.png")
    assert refused.returncode == 1 and "does not exist" in refused.stderr


def test_odd_numbers_are_drawn() -> None:
    series = [Series("a", [1, 2, 3], [np.nan, 0, 5]), Series("b", [2], [7], reference=True)]
    panels = [
        Panel("logs", "x (m)", "y (s)", series, x_log=True, y_log=True),
        Panel("alone", "x (m)", "y (s)", [Series("c", [1], [1])]),
        Panel("none", "x (m)", "y (s)", [Series("d", [], [])]),
    ]
    picture = Figure("Odd", panels)
    assert render(picture, "png").startswith(b"\x89PNG")
    assert "nothing to plot" in lines_of(picture)
