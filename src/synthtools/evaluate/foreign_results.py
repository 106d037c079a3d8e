"""Results of other programs, converted to a report of ``synth eval`` and the samples of its items.

Recognised by the content of a file: lm-evaluation-harness's results and samples (``--log_samples``), logs of
Inspect (JSON and ``.eval``), AlpacaEval's annotations and leaderboards, FastChat's judgments of MT-Bench,
and preferences in the format of ``synth eval --judgments``. A suite is a task; several models or judges in
a file are separate suites; filters and metrics are figures. Repeated values of an item (epochs, turns)
are averaged.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synthtools.errors import SynthError
from synthtools.evaluate import agreement
from synthtools.evaluate.paired_comparison import doc_hash
from synthtools.records.jsonl import parse_value
from synthtools.records.whole_file import is_zip, zip_members

READ = (
    "results and samples of lm-eval, logs of Inspect, annotations and leaderboards of alpaca_eval, "
    "FastChat's model_judgment"
)
_NORMAL = 1.959963984540054  # quantile for a 95 % interval
# Inspect's letter grades: correct, incorrect, partial, no answer.
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}

Record = dict[str, Any]


class ForeignResults(NamedTuple):
    """``report``: of kind eval; ``samples``: as those of ``synth eval``, empty if the file has no items."""

    report: dict[str, Any]
    samples: list[Record]


class _Value(NamedTuple):
    """A figure of an item; None if the program has no number. ``about`` is added to its sample."""

    suite: str
    item: str
    figure: str
    value: Any
    about: Mapping[str, Any] = {}


def of(data: bytes, name: str, content: Callable[[str], bytes]) -> ForeignResults | None:
    """The results in a file of another program; None if the format is not known.

    Args:
        data: the file's bytes, decompressed; name: its path.
        content: reads a file from the same directory; raises OSError if it is missing.

    Raises:
        SynthError: it begins like such a file but is invalid, or has no results.
    """
    if is_zip(data):
        log = _unzipped(data, name)
        return None if log is None else _inspect(log, name)
    try:
        whole = parse_value(data)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and "kind" not in whole:
        if isinstance(whole.get("results"), dict) and whole.keys() & {"configs", "versions"}:
            return _lm_eval(whole, name, content)
        if isinstance(whole.get("eval"), dict) and "status" in whole:
            return _inspect(whole, name)
    if whole is None and data.lstrip()[:1] not in (b"{", b"["):
        return _leaderboard(data)
    records = whole if isinstance(whole, list) else None
    lines = data.splitlines() if records is None else []
    first = records[0] if records else None
    if lines:
        try:
            first = parse_value(lines[0])
        except ValueError:
            return None
    form = next(
        (form for form in _RECORDS if isinstance(first, dict) and form[0] <= first.keys()), None
    )
    if form is None:
        return None
    needed, kind, values = form
    if records is None:
        records = _parsed(lines, name)
    for number, record in enumerate(records, 1):
        missing = ", ".join(sorted(needed - set(record if isinstance(record, dict) else ())))
        if missing:
            raise SynthError(
                f"{name}:{number}: no field {missing}, which the records before it have"
            )
    return _gathered(kind, values(records, name), {})


def _record(line: bytes, place: str) -> Any:
    try:
        return parse_value(line)
    except ValueError as error:
        raise SynthError(f"{place}: not JSON: {error}") from error


def _parsed(lines: list[bytes], name: str) -> list[Any]:
    numbered = enumerate(lines, 1)
    return [_record(line, f"{name}:{number}") for number, line in numbered if line.strip()]


def _gathered(
    kind: str, values: Iterable[_Value], sections: dict[str, dict[str, Any]]
) -> ForeignResults:
    """Values as a report and samples; ``sections``: filled in as far as known without them."""
    items: dict[tuple[str, str], Record] = {}
    by_item: dict[tuple[str, str], dict[str, list[float]]] = {}
    for one in values:
        section = sections.setdefault(one.suite, _section(kind))
        key = one.suite, one.item
        items.setdefault(key, {"suite": one.suite, "id": one.item, **one.about})
        if isinstance(one.value, int | float) and math.isfinite(one.value):
            by_item.setdefault(key, {}).setdefault(one.figure, []).append(float(one.value))
        else:
            left_out = section["left_out"]
            left_out[one.figure] = left_out.get(one.figure, 0) + 1
    means: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for (suite, item), figures in by_item.items():
        for figure, several in figures.items():
            mean = math.fsum(several) / len(several)
            items[suite, item][figure] = mean
            means[suite].setdefault(figure, []).append(mean)
    for suite, figures in means.items():
        section = sections[suite]
        section["n"] = sum(of_suite == suite for of_suite, _ in by_item)
        section["per_item"] = {figure: figure for figure in figures}
        for figure, numbers in figures.items():
            section["figures"].setdefault(figure, math.fsum(numbers) / len(numbers))
    return ForeignResults({"kind": "eval", "suites": sections, "groups": {}}, list(items.values()))


def _section(kind: str) -> dict[str, Any]:
    return {"kind": kind, "n": 0, "figures": {}, "intervals": {}, "left_out": {}}


def _interval(mean: float, error: float) -> list[float]:
    return [mean - _NORMAL * error, mean + _NORMAL * error]


def _labels(base: str, parts: Sequence[tuple[str, str]]) -> list[str]:
    """The suite of each (model, judge): the base alone, unless there are several."""
    several = [len({part[place] for part in parts}) > 1 for place in (0, 1)]
    return [
        base + (f": {model}" if several[0] else "") + (f" by {judge}" if several[1] else "")
        for model, judge in parts
    ]


# lm-evaluation-harness


def _figure(metric: str, filtered: str) -> str:
    return metric if filtered in ("", "none") else f"{metric} ({filtered})"


def _lm_eval(results: Record, name: str, content: Callable[[str], bytes]) -> ForeignResults:
    """``results_DATE.json``, with the samples ``samples_TASK_DATE.jsonl`` in the same directory."""
    sections: dict[str, dict[str, Any]] = {}
    values: list[_Value] = []
    date = Path(name).name.removeprefix("results").removesuffix(".json")
    for task, table in results["results"].items():
        section = sections[task] = _section("lm-eval")
        section["n"] = (results.get("n-samples", {}).get(task) or {}).get("effective", 0)
        better = results.get("higher_is_better", {}).get(task) or {}
        for key, value in table.items():
            metric, _, filtered = key.partition(",")
            if metric.endswith("_stderr") or type(value) not in (int, float):
                continue
            figure = _figure(metric, filtered)
            section["figures"][figure] = float(value)
            error = table.get(f"{metric}_stderr,{filtered}")
            if isinstance(error, int | float) and math.isfinite(error):
                section["intervals"][figure] = _interval(value, error)
            if type(better.get(metric)) is bool:
                section.setdefault("higher_is_better", {})[figure] = better[metric]
        path = str(Path(name).with_name(f"samples_{task}{date}.jsonl"))
        try:
            records = _parsed(content(path).splitlines(), path)
        except OSError:
            continue
        values += _lm_eval_samples(records, path, task)
    return _gathered("lm-eval", values, sections)


def _lm_eval_samples(records: list[Record], name: str, task: str = "lm-eval") -> Iterator[_Value]:
    seen: dict[tuple[str, str], Any] = {}
    for number, record in enumerate(records, 1):
        item, filtered = str(record.get("doc_id")), str(record.get("filter") or "none")
        text = record.get("doc_hash")
        if (item, filtered) in seen:
            why = "twice" if seen[item, filtered] == text else "with two texts"
            raise SynthError(
                f"{name}:{number}: doc_id {item} comes {why}: give the samples of one task and run"
            )
        seen[item, filtered] = text
        about = {key: record[key] for key in ("doc_hash", "prompt_hash") if record.get(key)}
        metrics = record.get("metrics")
        if not isinstance(metrics, list):  # before lm-eval 0.4.3
            metrics = [k for k, v in record.items() if type(v) in (int, float) and k != "doc_id"]
        for metric in metrics:
            yield _Value(task, item, _figure(metric, filtered), record.get(metric), about)


# Inspect


def _unzipped(data: bytes, name: str) -> Record | None:
    """The log in a ``.eval`` archive: its header, and one member per sample."""
    log: Record | None = None
    samples = []
    for member, content in zip_members(data, name):
        if member == "header.json":
            log = _record(content, f"{name}/{member}")
        elif member.startswith("samples/"):
            samples.append(_record(content, f"{name}/{member}"))
    if log is None and samples:
        raise SynthError(f"{name}: a log of Inspect without header.json: its run did not end")
    return log if log is None else {**log, "samples": samples}


def _inspect(log: Record, name: str) -> ForeignResults:
    task = str(log["eval"].get("task", "inspect"))
    section = _section("inspect") | {"status": log["status"], "model": log["eval"].get("model")}
    for score in (log.get("results") or {}).get("scores", []):
        metrics = {key: metric.get("value") for key, metric in score.get("metrics", {}).items()}
        for key, value in metrics.items():
            if type(value) in (int, float) and key != "stderr":
                section["figures"][f"{score['name']} {key}"] = float(value)
        mean, error = metrics.get("accuracy"), metrics.get("stderr")
        if isinstance(mean, int | float) and isinstance(error, int | float):
            section["intervals"][f"{score['name']} accuracy"] = _interval(mean, error)
    return _gathered("inspect", _inspect_values(log, task), {task: section})


def _inspect_values(log: Record, task: str) -> Iterator[_Value]:
    samples = log.get("samples") or []
    scorers = {scorer: None for sample in samples for scorer in sample.get("scores") or {}}
    for sample in samples:
        item = str(sample.get("id"))
        about = {"doc_hash": doc_hash(str(sample.get("input")), str(sample.get("target")))}
        for scorer in scorers:
            # A failed sample has none.
            value = ((sample.get("scores") or {}).get(scorer) or {}).get("value")
            parts = value if isinstance(value, dict) else {"": value}
            for key, one in parts.items():
                number = _GRADES.get(one) if isinstance(one, str) else one
                yield _Value(task, item, f"{scorer} {key}".rstrip(), number, about)


# AlpacaEval


def _preferences(records: list[Record], name: str) -> Iterator[_Value]:
    """Annotations, whose items are identified by their instruction, or judgments."""
    judgments = list(map(agreement.as_judgment, records))
    parts = [(str(one["model"]), str(one["judge"])) for one in judgments]
    suites = _labels("alpaca_eval", parts)
    for record, one, suite in zip(records, judgments, suites, strict=True):
        about = {"judge": one["judge"], "reference": one["reference"]}
        item = str(one["prompt_id"])
        item = doc_hash(item) if "generator_2" in record else item
        known = agreement.preference_fault(one["preference"]) is None
        value = agreement.share_of(one["preference"]) if known else None
        yield _Value(suite, item, "win_rate", value, about)


def _leaderboard(data: bytes) -> ForeignResults | None:
    """A table of models: one suite per model, with its numbers as figures."""
    try:
        rows = list(csv.reader(data.decode().splitlines()))
    except (ValueError, csv.Error):
        return None
    head = rows[0] if rows else []
    if not {"win_rate", "n_total"} <= set(head):
        return None
    sections = {}
    for row in rows[1:]:
        section = sections[f"alpaca_eval: {row[0]}"] = _section("alpaca_eval")
        for name, text in zip(head[1:], row[1:], strict=False):
            try:
                section["figures"][name] = float(text)
            except ValueError:
                continue  # such as its mode
        section["n"] = int(section["figures"].pop("n_total", 0))
    return _gathered("alpaca_eval", (), sections)


# FastChat


def _grades(records: list[Record], name: str) -> Iterator[_Value]:
    """Grades from 1 to 10, or −1 if unreadable."""
    parts = [(str(r["model"]), agreement.fastchat_judge(r)) for r in records]
    for record, suite, (_, judge) in zip(records, _labels("mt_bench", parts), parts, strict=True):
        score = record["score"]
        value = score if type(score) in (int, float) and score >= 0 else None
        for figure in ("score", f"turn_{record['turn']}"):
            yield _Value(suite, str(record["question_id"]), figure, value, {"judge": judge})


def _winners(records: list[Record], name: str) -> Iterator[_Value]:
    """The share of ``model_1``: 1 or 0 if both orders agree, else ½; None if one is an error."""
    parts = [(f"{r['model_1']} over {r['model_2']}", agreement.fastchat_judge(r)) for r in records]
    for record, suite, (_, judge) in zip(records, _labels("mt_bench", parts), parts, strict=True):
        first, second = record["g1_winner"], record["g2_winner"]
        share: float | None = {"model_1": 1.0, "model_2": 0.0}.get(first, 0.5)
        if first != second:
            share = 0.5
        if "error" in (first, second):
            share = None
        about = {"judge": judge, "reference": record["model_2"]}
        yield _Value(suite, str(record["question_id"]), "win_rate", share, about)


# For each program: fields of its records, the kind of its suite, the function that yields its values.
_RECORDS: tuple[tuple[set[str], str, Callable[[list[Record], str], Iterator[_Value]]], ...] = (
    ({"doc_id", "resps", "filtered_resps"}, "lm-eval", _lm_eval_samples),
    ({"question_id", "model_1", "model_2", "g1_winner", "g2_winner"}, "mt_bench", _winners),
    ({"question_id", "model", "score", "turn"}, "mt_bench", _grades),
    ({"instruction", "generator_1", "generator_2", "preference"}, "alpaca_eval", _preferences),
    ({"judge", "prompt_id", "model", "reference", "preference"}, "alpaca_eval", _preferences),
)
