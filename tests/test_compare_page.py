"""The page of ``synth compare``: small, safe, in a browser."""

import json
import shutil
from html.parser import HTMLParser
from importlib.util import find_spec

import numpy as np
import pytest

import synthtools
from compared_corpora import QUICK, differing, document
from synthtools import reports

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)> [x](javascript:y)"
)


@pytest.fixture(scope="module")
def report():
    return synthtools.compare(*differing(), **QUICK)


class Elements(HTMLParser):
    """The page's elements, and what would be loaded."""

    def __init__(self, page):
        super().__init__()
        self.names, self.loaded = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.loaded += [
            v for k, v in attrs if k in ("src", "srcset", "action") or (k == "href" and v[0] != "#")
        ]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page about records full of markup."""
    path = tmp_path_factory.mktemp("page")
    draw = np.random.default_rng(2)
    for name in ("a", "b<i>"):
        texts = [f"{HOSTILE} {document(draw, 'plain', 9)}" for _ in range(120)]
        (path / f"{name}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    page = path / "page.html"
    synthtools.compare(path / "a.jsonl", path / "b<i>.jsonl", sample=40, max_tokens=64, output=page)
    return page


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
def test_text_of_records_stays_text(hostile):
    page = hostile.read_text()
    found = Elements(page)
    assert found.names.count("script") == 1 and "img" not in found.names and "i" not in found.names
    assert all(one.startswith("data:text/csv;base64,") for one in found.loaded)
    assert len(page) < 1_500_000


@pytest.mark.skipif(not find_spec("playwright"), reason="needs playwright")
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_the_page_in_a_browser(hostile):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 400, "height": 800})
        told, asked = [], []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(hostile.as_uri())
        assert page.title() == "b<i> compared with a" and told == [] and len(asked) == 1
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        page.fill("#words", "onerror")
        shown = page.locator("article:visible").count()
        assert page.inner_text("#shown") == f"{shown} documents shown"
        page.fill("#words", "no such word in any of them")
        assert page.locator("article:visible").count() == 0
        table = page.locator("table.sorts").first
        before = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
        for mark in ("ascending", "descending"):
            table.locator("th button").nth(1).click()
            assert table.locator("th").nth(1).get_attribute("aria-sort") == mark
        after = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
        assert sorted(before) == sorted(after)
        assert [float(v) for v in after] == sorted(map(float, after), reverse=True)
        browser.close()


def test_a_notebook_shows_the_page(report):
    shown = report._repr_html_()
    assert shown.startswith("<iframe") and "&lt;!DOCTYPE html&gt;" in shown


def rubbish(draw):
    """A document that no page is made for."""
    word = "".join(draw.choice(list('<&"é漢'), 3000))
    return [
        " ".join([word] * 30),
        f"{'x' * 100_000} {word}",
        " ".join("".join(draw.choice(list("<&\"'"), 8)) for _ in range(400)),
        f"{'=' * 100_000}",
        "\x00\x1b[31m\u202e" * 300,
    ][int(draw.integers(0, 5))]


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
@pytest.mark.parametrize("corpora", [2, 20])
def test_a_page_of_rubbish_stays_small(corpora, tmp_path):
    draw = np.random.default_rng(8)
    field, names = "field" * 800, [f"{name:03d}{'&' * 150}" for name in range(corpora)]
    for name in names:
        lines = "".join(json.dumps({field: rubbish(draw)}) + "\n" for _ in range(30))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    page = tmp_path / "page.html"
    found = synthtools.compare(
        *(tmp_path / f"{name}.jsonl" for name in names), text_field=field, output=page, **QUICK
    )
    assert (
        len(page.read_bytes()) < 1_500_000 and Elements(page.read_text()).names.count("script") == 1
    )
    if corpora == 2:
        assert max(map(len, reports.lines(found))) <= 400


@pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
def test_what_a_page_leaves_out_is_said(report):
    from synthtools.reports.compare_page import page

    whole = page(dict(report))
    assert "Left out" not in whole and len(whole.encode()) < 1_500_000
    pair = report["pairs"][0]
    others = [f"other {n}" for n in range(200)]
    many = {
        **report,
        "corpora": [
            report["corpora"][0],
            *({**report["corpora"][1], "name": one} for one in others),
        ],
        "pairs": [{**pair, "other": one} for one in others],
        "histogram": {**report["histogram"], "shares": report["histogram"]["shares"][:1] * 201},
        "map": {**report["map"], "points": report["map"]["points"][:1] * 201},
        "examples": report["examples"] * 60,
        "made_by": {**report["made_by"], "inputs": [{"name": "n" * 1000}] * 2000},
    }
    shown = page(many)
    assert len(shown.encode()) < 1_500_000 and "other 48" in shown and "other 49" not in shown
    left_out = shown.partition("Left out to keep")[2].partition("</p>")[0]
    for what in ("151 corpora", "pictures of other 9,", "some of the documents", "inputs"):
        assert what in left_out
