"""``synth origin`` from files to verdicts."""

from __future__ import annotations

import json
import random
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

import running
from synthtools.reports import figure, lines

TOKENS = ("--tokens", 32)
QUICK = (*TOKENS, "--bootstrap", 20)


def pieces() -> list[str]:
    """Some hundred English texts of 30 words."""
    words = " ".join(topics[name] for name in sorted(topics)).split()
    return [" ".join(words[i : i + 30]) for i in range(0, 30 * 600, 30)]


def salad(text: str) -> str:
    """What no one would write: the words in an order of chance."""
    words = text.split()
    random.Random(text).shuffle(words)
    return " ".join(words)


def save(path: Path, texts: list[str], **more: Any) -> Path:
    rows = [{"id": f"{path.stem}-{i}", "text": text, **more} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, texts = tmp_path_factory.mktemp("origin"), pieces()
    random.Random(0).shuffle(texts)
    save(folder / "one.jsonl", texts[:80])
    save(folder / "two.jsonl", texts[80:160])
    save(folder / "salad.jsonl", [salad(text) for text in texts[160:240]])
    save(folder / "more.jsonl", [salad(text) for text in texts[240:320]])
    human, made = texts[320:440], [salad(text) for text in texts[440:480]]
    rows = [{"id": i, "text": t, "of": "people"} for i, t in enumerate(human)]
    rows += [{"id": 1000 + i, "text": t, "of": "machines"} for i, t in enumerate(made)]
    rows += [{"id": "short", "text": "Too short.", "of": "people"}]
    random.Random(1).shuffle(rows)
    (folder / "crawl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    digits = random.Random(2)
    numbers = [" ".join(str(digits.randrange(10**6)) for _ in range(35)) for _ in range(80)]
    save(folder / "other.jsonl", numbers)
    return folder


SOURCES = ("--human", "one.jsonl", "--human", "b=two.jsonl", "--synthetic", "salad.jsonl", "--synthetic", "more.jsonl")  # fmt: skip


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """Of the corpus, a quarter of it made, by the sources themselves."""
    found = running.synth("origin", "crawl.jsonl", *SOURCES, *QUICK, "--save", "cal.json", "--by", "of", "--json", cwd=folder)  # fmt: skip
    return json.loads(found)


def test_the_share_and_its_interval(report: dict[str, Any]) -> None:
    assert report["verdict"] == "estimated"
    assert report["why"] is None
    low, high = report["interval"]
    assert low <= report["share"] <= high
    assert report["share"] == pytest.approx(0.25, abs=0.06)
    assert low <= 0.25 <= high
    assert report["token_interval"][0] <= report["token_share"] <= report["token_interval"][1]
    assert (report["documents"], report["too_short"]) == (160, 1)
    assert [(s["name"], s["label"], s["documents"]) for s in report["sources"]] == [
        ("one", "human", 80), ("b", "human", 80), ("salad", "synthetic", 80), ("more", "synthetic", 80),
    ]  # fmt: skip
    assert set(report["methods"]) == {"em", "adjusted", "matching"}
    assert set(report["errors"]) == {"sampling", "methods", "sources"}
    groups = report["by"]
    assert groups["people"]["share"] < 0.1
    # Forty documents are fewer than are judged.
    assert (groups["machines"]["verdict"], groups["machines"]["share"]) == ("not calibrated", None)
    assert "40 documents are too few" in groups["machines"]["why"]


def test_a_saved_calibration_says_the_same(folder: Path, report: dict[str, Any]) -> None:
    more = ("--calibration", "cal.json", "--bootstrap", 20, "--by", "of", "--json")
    found = json.loads(running.synth("origin", "crawl.jsonl", *more, cwd=folder))
    for name in ("verdict", "share", "interval", "token_share", "by", "sources", "scores", "auc"):
        assert found[name] == report[name]
    alone = json.loads(running.synth("origin", *SOURCES, *TOKENS, "--save", "again.json", "--json", cwd=folder))  # fmt: skip
    assert "verdict" not in alone
    assert (folder / "again.json").read_bytes() == (folder / "cal.json").read_bytes()


def test_text_unlike_all_sources_gets_no_share(folder: Path, report: dict[str, Any]) -> None:
    more = ("--calibration", "cal.json", "--bootstrap", 20, "--json")
    found = json.loads(running.synth("origin", "other.jsonl", *more, cwd=folder))
    assert (found["verdict"], found["share"], found["interval"]) == ("not calibrated", None, None)
    assert found["token_share"] is None
    assert "--assume-human" in found["why"]
    assert found["misfit"]["p_value"] <= 0.05
    short = json.loads(running.synth("origin", "crawl.jsonl", *SOURCES[:2], *SOURCES[4:6], "--tokens", 64, "--json", cwd=folder))  # fmt: skip
    assert short["verdict"] == "not calibrated" or short["documents"] > 100


GERMAN = """der die das und ist nicht ein eine auf mit für sich auch von dem den des im zu wir sie er es war
hatte wenn aber noch nur wie nach über bei aus durch Haus Hund Wald Kind Stadt Fluss Brücke Abend Morgen Wetter Garten
Straße Fenster Schule läuft steht singt wartet schreibt kauft sucht findet öffnet schließt"""
FRENCH = """le la les et est pas un une sur avec pour se aussi de du des dans nous elle il ce était avait si mais encore
que comme après chez par maison chien bois enfant ville fleuve pont soir matin temps jardin rue fenêtre école court reste
chante attend écrit achète cherche trouve ouvre ferme lumière pierre montagne"""


@pytest.mark.parametrize("words", [GERMAN, FRENCH])
def test_text_of_another_language_gets_no_share(
    folder: Path, report: dict[str, Any], tmp_path: Path, words: str
) -> None:
    draw = random.Random(3)
    texts = [" ".join(draw.sample(words.split(), 55)) for _ in range(80)]
    english = pieces()[:80]
    more = ("--calibration", folder / "cal.json", "--bootstrap", 20)

    def judged(*parts: list[str]) -> dict[str, Any]:
        save(tmp_path / "in.jsonl", [text for part in parts for text in part])
        return json.loads(running.synth("origin", "in.jsonl", *more, "--json", cwd=tmp_path))

    whole, half, tenth = judged(texts), judged(texts, english), judged(texts[:8], english)
    assert (whole["verdict"], whole["share"], whole["documents"]) == ("not calibrated", None, 0)
    assert "80 of 80 documents share hardly a frequent word with the sources" in whole["why"]
    assert (half["share"], half["documents"], half["other_language"]) == (None, 80, 80)
    assert "80 of 160 documents share hardly a frequent word" in half["why"]
    assert (tenth["documents"], tenth["other_language"]) == (80, 8)
    assert "frequent word" not in (tenth["why"] or "")
    told = "\n".join(lines(tenth))
    assert "of another language" in told
    records = running.synth("origin", "in.jsonl", *more, "--per-record", cwd=tmp_path)
    unknown = [json.loads(line)["origin"] is None for line in records.splitlines()]
    assert all(unknown[:8])
    # Of one language each, the classes would be told apart by that alone.
    save(tmp_path / "human.jsonl", texts)
    save(tmp_path / "made.jsonl", [f"{a} {b}" for a, b in zip(pieces()[:160:2], pieces()[1:160:2], strict=True)])  # fmt: skip
    apart = running.synth("origin", "in.jsonl", "--human", "human.jsonl", "--synthetic", "made.jsonl", *QUICK, "--json", cwd=tmp_path)  # fmt: skip
    assert "sources share hardly a frequent word" in json.loads(apart)["why"]


def test_what_a_person_reads(folder: Path, report: dict[str, Any]) -> None:
    share, low, high = (f"{100 * x:.1f}" for x in (report["share"], *report["interval"]))
    told = "\n".join(lines(report))
    assert f"{share} % ({low} … {high})" in told
    assert "source: the interval does not" not in told
    fewer = lines(report | {"sources": report["sources"][:3]})
    assert fewer[-1].startswith("One synthetic source: the interval does not cover")
    drawn = figure(report)
    assert [panel.title for panel in drawn.panels] == ["Share", "Scores"]
    assert drawn.panels[0].names == ["corpus", "people"]
    assert drawn.finding.startswith(f"{share} % ({low} … {high}) of the documents")
    unfit = report | {"verdict": "not calibrated", "share": None, "interval": None, "why": "of another kind"}  # fmt: skip
    unfit["by"] = {}
    assert lines(unfit)[-1] == "not calibrated for this corpus: of another kind"
    assert [panel.title for panel in figure(unfit).panels] == ["Scores"]
    assert figure(unfit).finding == "Not calibrated for this corpus: of another kind"


def test_an_anchor_takes_the_place_of_the_human_sources(
    folder: Path, report: dict[str, Any]
) -> None:
    more = ("--calibration", "cal.json", "--assume-human", "two.jsonl", "--bootstrap", 20, "--json")
    found = json.loads(running.synth("origin", "crawl.jsonl", *more, cwd=folder))
    assert found["verdict"] == "estimated"
    assert found["share"] == pytest.approx(0.25, abs=0.1)


def test_records_with_their_probability(folder: Path, report: dict[str, Any]) -> None:
    more = ("--calibration", "cal.json", "--bootstrap", 20, "--per-record")
    found = running.synth("origin", "crawl.jsonl", *more, "--report", "r.json", cwd=folder)
    records = [json.loads(line) for line in found.splitlines()]
    given = [json.loads(line) for line in (folder / "crawl.jsonl").read_text().splitlines()]
    assert [{**r, "origin": 0} for r in records] == [{**g, "origin": 0} for g in given]
    by_label: dict[str, list[float]] = {"people": [], "machines": []}
    for record in records:
        if record["id"] == "short":
            assert record["origin"] is None
        else:
            assert 0 <= record["origin"] <= 1
            by_label[record["of"]].append(record["origin"])
    # Calibrated: the probabilities add to about as many documents as were made.
    assert sum(map(sum, by_label.values())) == pytest.approx(40, abs=10)
    means = {name: sum(values) / len(values) for name, values in by_label.items()}
    assert means["people"] < 0.15 < 0.75 < means["machines"]
    assert json.loads((folder / "r.json").read_text())["share"] == report["share"]
    unfit = running.run("origin", "other.jsonl", *more, cwd=folder)
    assert {json.loads(line)["origin"] for line in unfit.stdout.splitlines()} == {None}
    assert b"origin is null in every record: not calibrated" in unfit.stderr
    empty = json.loads(running.synth("origin", *more[:-1], cwd=folder))
    assert (empty["verdict"], empty["documents"]) == ("not calibrated", 0)
    piped = running.synth("origin", *more, cwd=folder, stdin=open(folder / "crawl.jsonl", "rb"))
    assert piped == found


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["crawl.jsonl", "--human", "one.jsonl"], 2, "--synthetic PATH, or a --calibration FILE"),
        (["crawl.jsonl", *SOURCES, "--calibration", "cal.json"], 2, "has sources of its own"),
        (["crawl.jsonl", "--human", "one.jsonl", "--synthetic", "one.jsonl"], 2, "called one: write NAME=PATH"),
        (["crawl.jsonl", "--calibration", "cal.json", "--tokens", 50], 2, "--tokens belongs to"),
        ([*SOURCES, "--save", "x.json", "--by", "of"], 2, "name the corpus (- for stdin)"),
        (["crawl.jsonl", "--calibration", "crawl.jsonl"], 1, "crawl.jsonl: cannot be read as a calibration"),
        (["crawl.jsonl", "--calibration", "old.json"], 1, "of another version (9); make it again"),
        (["crawl.jsonl", "--calibration", "broken.json"], 1, "broken.json: a damaged calibration"),
        (["crawl.jsonl", "--calibration", "cal.json", "--model", "other"], 1, "was made with"),
        (["crawl.jsonl", *SOURCES, "--tokens", 500], 1, "one.jsonl: 0 of its documents are long enough"),
        (["crawl.jsonl", "--human", "no.jsonl", "--synthetic", "one.jsonl"], 1, "no.jsonl"),
    ],
)  # fmt: skip
def test_what_is_refused(
    folder: Path, report: dict[str, Any], llama: Path, words: list[Any], code: int, told: str
) -> None:
    held = json.loads((folder / "cal.json").read_text())
    (folder / "old.json").write_text(json.dumps({**held, "version": 9}))
    (folder / "broken.json").write_text(json.dumps({**held, "sources": [{"name": "a"}]}))
    words = [llama if word == "other" else word for word in words]
    assert told in running.synth("origin", *words, code=code, cwd=folder)
