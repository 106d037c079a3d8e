"""Readers of reports."""

from __future__ import annotations

from functools import cache

from faults.cases import model, run, sound
from faults.readers.reader import Reader, file, place


@cache
def _reports() -> list[bytes]:
    """Reports of many kinds, made by the tools."""
    from faults.cases import human

    folder = place() / "reports"
    folder.mkdir()
    data = human(folder, 12)
    other = human(folder, 20, "other.jsonl", 200)
    lines: list[list[object]] = [
        ["stats", data, other],
        ["ngram-hash", data, other],
        ["simulate", "-T", 60, "-d", 5, "--generations", 3, "--repetitions", 2],
        ["ppl", "--model", model(), "--summary", data],
        ["ppl", "--model", model(), "--compare", data, other],
        ["embed", "--model", model(), "--map", "--method", "pca", data, other],
    ]
    found = []
    for words in lines:
        done = run(*words)
        sound(done.returncode == 0, f"{words[0]}: {done.stderr.decode()[-200:]}")
        found.append(done.stdout)
    for words in (
        ["edit", "--model", model(), data, "-o", folder / "e.jsonl"],
        ["mix", "-o", folder / "m.jsonl", "--", f"{data}=0.5", f"{other}=0.5"],
        ["dsir", "--target", data, "-n", 5, "--min-tokens", 0, other, "-o", folder / "d.jsonl"],
    ):
        at = words.index("--") if "--" in words else len(words)
        done = run(*words[:at], "--report", folder / "r.json", *words[at:])
        sound(done.returncode == 0, f"{words[0]}: {done.stderr.decode()[-200:]}")
        found.append((folder / "r.json").read_bytes())
    found.append((model() / "training" / "log.jsonl").read_bytes())
    return found


def _plot(data: bytes) -> None:
    from synthtools import reports
    from synthtools.reports import document
    from synthtools.reports.figures.page import page
    from synthtools.reports.figures.text import lines_of, to_csv

    report = document.load(str(file(data, "report.json")))
    page([("report.json", report)])  # has tables for what has no picture
    drawn = reports.figure(report, "report.json")
    lines_of(drawn)
    to_csv([("report.json", drawn)])


def _diff(data: bytes) -> None:
    from synthtools.reports import document

    path = file(data, "report.json")
    report = document.load(str(path))
    for seed in _reports():
        whole = file(seed, "whole.json")
        if document.load(str(whole))["kind"] == report["kind"]:
            _compared([str(whole), str(path)])
            return


def _compared(names: list[str]) -> None:
    import synthtools
    from synthtools import reports
    from synthtools.reports import document

    report = synthtools.diff(*names, bootstrap=10, all=True)
    document.to_json(report)
    reports.lines(report)


READERS: dict[str, Reader] = {
    "plot": Reader(_plot, _reports, True),
    "diff": Reader(_diff, _reports, True),
}
