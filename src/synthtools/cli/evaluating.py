"""The run behind ``synth eval``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.cli import terminal
from synthtools.cli.judging import Judging
from synthtools.cli.model_options import Model
from synthtools.cli.options import BadRecords, Inputs, Jobs
from synthtools.cli.preferences import preference_lines
from synthtools.cli.publish import check_plot, draw, show
from synthtools.cli.quantities import shard_size
from synthtools.cli.run import Run
from synthtools.errors import SynthError, UsageError
from synthtools.evaluate import pairing, suites, warning
from synthtools.evaluate.session import Session, Wanted
from synthtools.records.batch import Batch, JsonBatch
from synthtools.records.inputs import find_shards
from synthtools.records.jsonl import json_bytes
from synthtools.records.outputs import open_sink
from synthtools.records.reading import require_text
from synthtools.records.rejects import Rejects
from synthtools.records.sink import Sink
from synthtools.reports import document
from synthtools.reports.document import number


@dataclass(frozen=True)
class Results:
    """Where the results go."""

    samples: str | None
    force: bool
    report: str | None
    plot: str | None
    json_output: bool


def domains(named: list[str]) -> tuple[tuple[str, str], ...]:
    """``name=path`` of the options, each name once.

    Raises:
        UsageError
    """
    found: dict[str, str] = {}
    for one in named:
        name, equals, path = one.partition("=")
        if not equals:
            name, path = one, one
        if not name or not path:
            raise UsageError(f"--valid {one}: give NAME=PATH")
        if name in found:
            raise UsageError(f"--valid {name}: is named twice")
        found[name] = path
    return tuple(found.items())


def chosen(named: list[str], wanted: Wanted) -> list[str]:
    """The suites that the options ask for, each once: those named, several or comma lists, and
    perplexity where domains are.

    Raises:
        UsageError: none is.
    """
    names = dict.fromkeys(part.strip() for one in named for part in one.split(","))
    if wanted.valid:
        names |= {"perplexity": None}
    if not names:
        raise UsageError("name a suite: --suite NAME (--list shows them)")
    return list(names)


def show_suites(json_output: bool) -> None:
    """The suites, with what each needs."""
    rows = [
        {"suite": name, "needs": list(suite.needs), "about": suite.about}
        for name, suite in suites.every().items()
    ]
    rows.append(
        {"suite": "lm-eval:TASK", "needs": ["model"], "about": suites.find("lm-eval:").about}
    )
    found = [(r["suite"], f"{r['about']}; needs {', '.join(r['needs'])}") for r in rows]
    show({"kind": "eval-suites", "suites": rows}, json_output, document.table(found))


class _Samples:
    """The samples' file.

    Args:
        kept: hold them in memory as well.
    """

    def __init__(self, path: str | None, force: bool, run: Run, kept: bool) -> None:
        self._sink: Sink | None = None
        self.count = 0
        self.rows: list[dict[str, Any]] | None = [] if kept else None
        if path is not None:
            self._sink = open_sink(
                path,
                None,
                shards=run.shards_beside,
                force=force,
                resume=False,
                shard_size=shard_size("32MB"),
                job={},
            )

    def keep(self, rows: list[dict[str, Any]]) -> None:
        if self._sink is not None and rows:
            places = np.arange(self.count, self.count + len(rows), dtype=np.int64)
            lines = [json_bytes(row) for row in rows]
            self._sink.write(JsonBatch("<samples>", places + 1, places, lines=lines))
        if self.rows is not None:
            self.rows += rows
        self.count += len(rows)

    def finish(self) -> None:
        if self._sink is not None:
            self._sink.finish()

    def abort(self) -> None:
        if self._sink is not None:
            self._sink.abort()


def run_evaluation(
    names: list[str],
    wanted: Wanted,
    model: Model,
    judging: Judging,
    jobs: Jobs,
    bad: BadRecords,
    results: Results,
    baseline: str | None = None,
) -> None:
    """Runs the suites and prints the report.

    Args:
        names: of suites and groups, in the order of the report.
        model: its ``model`` is empty where no suite needs one.
        judging: who judges.
        baseline: a report to warn against.
    """
    before = None if baseline is None else document.load(baseline)
    if before is not None and before["kind"] != "eval":
        raise UsageError(
            f"--baseline {baseline}: is a report of synth {before['kind']}, not of eval"
        )
    if results.plot is not None:
        check_plot(results.plot)
    if results.samples == "-":
        raise UsageError("--samples -: stdout has the report; name a file")
    given = {
        *(["model"] if model.model else []),
        *(["judge"] if judging.judge else []),
        *(
            name
            for name in ("data", "pairs", "valid", "answers", "judgments")
            if getattr(wanted, name)
        ),
    }
    names, groups = suites.expanded(names, wanted)
    suites.refuse_missing(names, given)
    # What is not there is told before a model is loaded.
    paths = suites.files(names, wanted)
    reading = Inputs(on_error=bad.on_error, rejects=bad.rejects, quiet=bad.quiet)
    settings = model.settings(jobs) if model.model else None
    judge = judging.settings(model, jobs)
    of_domains = {shard.name for _, path in wanted.valid for shard in find_shards([path])}

    def check(batch: Batch) -> None:
        if batch.source in of_domains:
            require_text(batch, "text", Rejects())

    with Run(
        "eval",
        reading,
        beside=paths,
        bar=False,
        inputs=False,
        check_beside=check,
    ) as run:
        samples = _Samples(results.samples, results.force, run, before is not None)
        try:
            session = Session(
                wanted,
                settings,
                judge,
                samples.keep,
                run.rejects,
                (lambda _: None) if bad.quiet else terminal.remark,
            )
            with session:
                sections = {name: suites.run(name, session) for name in names}
                opened = session.opened
                run.model = opened[0] if opened else None
        except BaseException:  # Ctrl-C too must leave no half of a file
            samples.abort()
            raise
        samples.finish()
        for name, section in sections.items():
            if not section["n"] and not bad.quiet:
                terminal.remark(f"{name}: nothing counts; the report says what became of the items")
        run.count(sum(section["n"] for section in sections.values()))
        result: dict[str, Any] = {
            "kind": "eval",
            "suites": sections,
            "groups": suites.averages(groups, sections),
            "samples": {"file": results.samples, "records": samples.count},
        }
        if len(opened) > 1:
            result["models"] = opened
        if before is not None:
            result["baseline"] = _warnings(str(baseline), before, result, samples, wanted)
        report = run.finish(result)
    draw(report, results.plot)
    if results.report:
        document.save(report, results.report)
    show(report, results.json_output, lines(report))
    if session.troubles:
        # The report says what was there; the run did not do what it was asked for.
        raise SynthError(
            f"a model went away; the report holds what came before: {session.troubles[0]}"
        )


def _warnings(
    name: str,
    before: dict[str, Any],
    report: dict[str, Any],
    samples: _Samples,
    wanted: Wanted,
) -> list[dict[str, Any]]:
    """Where calibration and accuracy went since the baseline, suite by suite."""
    path = samples_file(name, before)
    paired: list[dict[str, Any]] = []
    if path is not None:
        fields = {n: s["per_item"] for n, s in report["suites"].items() if s.get("per_item")}
        try:
            paired = pairing.compared(
                pairing.by_suite(Session(Wanted()).records(path)),
                pairing.by_suite(samples.rows or []),
                fields,
                wanted.resamples,
                wanted.seed,
            )
        except SynthError as error:  # the evaluation is done: its report must not be lost
            terminal.remark(f"{path}: {error}")
    found = warning.warnings(before, report, paired)
    for row in found:
        if row["state"] == warning.EARLY:
            terminal.remark(
                f"early warning: {row['suite']}: calibration is worse than in {name} (ECE "
                f"{number(row['ece'][0])} → {number(row['ece'][1])}), accuracy not yet"
            )
    return found


def samples_file(name: str, report: dict[str, Any]) -> str | None:
    """Where the samples of a report lie: as it says, or beside it; None where they are not."""
    stated = (report.get("samples") or {}).get("file")
    if not stated:
        return None
    for path in (Path(stated), Path(name).parent / Path(stated).name):
        if path.exists():
            return str(path)
    terminal.remark(f"{name}: its samples {stated} are not there; compared without them")
    return None


def lines(report: dict[str, Any]) -> list[str]:
    """The report as tables: a line a figure, with its interval."""
    found = []
    for name, section in report["suites"].items():
        found += [f"{name}  ({section['n']:,} items)"]
        wide = max((len(key) for key in section["figures"]), default=0)
        for key, value in section["figures"].items():
            ends = (section.get("intervals") or {}).get(key)
            more = f"  [{number(ends[0], 3)}, {number(ends[1], 3)}]" if ends else ""
            found.append(f"  {key:<{wide}}  {number(value)}{more}")
        found += [f"    {line}" for line in accounts(section)]
        for row in section.get("domains", []):
            found.append(
                f"    {row['domain']:<24} ppl {number(row['perplexity']):>10}  "
                f"{number(row['bits_per_byte'])} bits/byte  {row['tokens']:,} tokens"
            )
        found += preference_lines(section)
        found.append("")
    for name, group in report["groups"].items():
        left_out = f"; not there: {', '.join(group['missing'])}" if group["missing"] else ""
        of = ", ".join(group["suites"])
        found += [f"{name}: {number(group['average'])}, the mean of {of}{left_out}", ""]
    for row in report.get("baseline", []):
        ece, accuracy = row["ece"], row["accuracy"]
        found.append(
            f"{row['suite']} against the baseline: {row['state']} (ECE {number(ece[0])} → "
            f"{number(ece[1])}, accuracy {number(accuracy[0])} → {number(accuracy[1])})"
        )
    return found if report.get("baseline") else found[:-1]


def accounts(section: dict[str, Any]) -> list[str]:
    """What became of answers and verdicts, a line for each model that they are missing of."""
    found = []
    for model in section.get("models") or []:
        if not isinstance(model, dict):
            continue
        missing = sum((model.get("missing") or {}).values())
        told = [
            f"{count:,} {what}"
            for count, what in (
                (missing, "without an answer"),
                (model.get("empty"), "empty"),
                (model.get("cut"), "cut at the limit of tokens"),
            )
            if count
        ]
        if told:
            found.append(f"answers of {model['model']}: {', '.join(told)}")
    judge = section.get("judge")
    if isinstance(judge, dict) and "questions" in judge:
        found.append(
            f"judge {judge['model']}: {judge['questions']:,} questions, {judge['asked_again']:,} asked "
            f"again, {judge['unreadable']:,} unreadable, {judge['failed']:,} failed"
        )
        found += [f"  {count:,} × {reason}" for reason, count in judge["reasons"].items()]
    if section.get("dropped"):
        found.append(f"{section['dropped']:,} items left out for all models")
    return found
