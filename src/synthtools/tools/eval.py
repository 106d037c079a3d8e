"""Evaluate a model on suites of tasks, in one report.

The model is loaded once for all suites. The report is a table at a terminal, else JSON; the
results of each item go to --samples, from which synth diff compares models item by item.

Suites are tasks from local records (--list shows them, --data is their directory), groups of them
as in the papers (bilingual, coding, math, general, biomed, finance), your own task file
(FILE.json), a task of lm-evaluation-harness (lm-eval:TASK, needs the extra eval and its data),
perplexity over domains, and self-preference of a judge. Multiple choice is scored as in the
harness, and the same pass gives calibration: expected calibration error in bins of equal width and
mass, Brier score, a temperature fitted on one half and measured on the other.

\b
Examples:
  synth eval --list
  synth eval builtin --suite arc_easy --data DIR --limit 200 --json --samples samples.jsonl
  synth eval ./model --suite general --data DIR --baseline base.json
  synth eval ./model --suite math --data DIR --ray auto --samples samples.jsonl --resume
  synth eval ./model --valid novels=novels.jsonl --valid wiki=wiki/ --plot domains.png
  synth eval --suite self-preference --pairs probabilities.jsonl --json
  synth eval --judge ./model --suite self-preference --answers answers.jsonl --target NAME
  synth eval --suite ifeval --data DIR --answers answers.jsonl
  synth eval ./model --suite followbench --data DIR --judge J --judge-server URL --judge-guided

Memory: the model, some MB of text ahead, about 1 kB for each item of the current suite; with
--baseline the samples of both runs; in suites of answers the answers and the judge's replies.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import FolderName, InputShard, Positive, ReportName, Resamples
from synthtools.cli.model_options import Cached
from synthtools.cli.options import BadRecords, FileFormat, Inputs, Picture, Report, Seed, Workers
from synthtools.cli.parameters import option, output_file
from synthtools.errors import PartialReportError, SynthError, UsageError
from synthtools.tools.eval_options import AnswersAndJudge, EvaluatedModel, domain

if TYPE_CHECKING:
    from synthtools.evaluate.differences import CalibrationChange
    from synthtools.evaluate.evaluator import EvaluationOptions, SampleFile
    from synthtools.evaluate.paired_comparison import PairedDifference
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class Options(
    EvaluatedModel, AnswersAndJudge, Cached, BadRecords, FileFormat, Report, Picture, Seed, Workers
):
    """Options of ``synth eval``."""

    suite: list[str] | None = option(
        None,
        "-s",
        metavar="NAME",
        commas=True,
        help="A suite to run; repeatable. --list shows them.",
    )
    list_suites: bool = option(
        False, "--list", help="List the suites and what each needs, and exit."
    )
    data: FolderName | None = option(
        help="Directory of the suites' data: DIR/SUITE/… or DIR/eval_SUITE/…, in any record "
        "format; or the directory of one suite."
    )
    valid: list[tuple[str, str]] | None = option(
        metavar="NAME=PATH",
        parse=domain,
        help="A domain of the suite perplexity: a name and a file or directory of records with a "
        "field text; repeatable. Without --suite it selects that suite.",
    )
    limit: Positive | None = option(help="Only the first N items of each suite.")
    shots: int | None = option(
        metavar="K",
        min=0,
        max=100,
        help="Examples before each question (default: the task's own; synth eval --list), from a "
        "train or dev split; where there is none, from the other items.",
    )
    task_files: FolderName | None = option(
        help="Task definitions of lm-evaluation-harness (YAML) for --suite lm-eval:TASK, instead "
        "of those installed."
    )
    allow_code_execution: bool = option(
        False,
        help="Run the programs that the model writes for humaneval and mbpp, each in its own "
        "process with limits on time, memory and files, confined as --sandbox says.",
    )
    sandbox: Literal["auto", "bubblewrap", "landlock", "none"] = option(
        "auto",
        help="What confines these programs: bubblewrap, or landlock (of the kernel, Linux 5.13 and "
        "later), each with seccomp: no network, no other processes, no writing outside an empty "
        "directory; auto uses the first that works here; with none they have all your permissions.",
    )
    samples: str | None = output_file(
        help="Write the results of each item to this file, as records (.jsonl, .jsonl.zst, "
        ".parquet, …); synth diff compares models item by item from it."
    )
    resume: bool = option(
        False,
        help="Continue an unfinished run of the same arguments and data: what its models had answered is "
        "kept beside --samples FILE, in .FILE.answers.jsonl.",
    )
    shard: InputShard | None = option(
        help="Evaluate only the I-th of N parts of each suite's items. With a --cache that all parts "
        "share, a run without --shard then gives the whole report, of which nothing is asked again."
    )
    baseline: ReportName | None = option(
        help="Report of an earlier model on the same suites: warn where calibration got worse but "
        "accuracy did not (Ratios)."
    )
    bootstrap: Resamples = option(1000, help="Resamples for the 95 % intervals [ours]; 0 for none.")
    force: bool = option(False, help="Overwrite existing files of samples.")

    def check(self) -> None:
        from synthtools.evaluate import suites

        super().check()
        names = [name for name, _ in self.valid or ()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"--valid {twice[0]}: is named twice")
        if self.samples == "-":
            raise UsageError("--samples -: stdout has the report; name a file")
        if self.resume and (self.samples is None or self.force):
            raise UsageError(
                "--resume continues, --force starts over: give one of them"
                if self.samples
                else "--resume needs --samples FILE, beside which the results are kept"
            )
        if self.list_suites or self.show_prompts:
            return
        if not self.suites:
            raise UsageError("name a suite: --suite NAME (--list shows them)")
        if self.ray and not (self.model or (self.judge and not self.judge_server)):
            raise UsageError(
                "--ray needs a model that it places: synth eval MODEL, or --judge MODEL"
            )
        for suite in self.suites:
            for ways in suites.needs(suite):
                if not any(getattr(self, way) for way in ways):
                    named = " or ".join(_NAMES[way] for way in ways)
                    raise UsageError(f"--suite {suite} needs {named}")
        if self.length_controlled and self.judgments and not self.answers:
            raise UsageError(
                "--length-controlled with --judgments needs --answers FILE, for the lengths"
            )

    def judge_settings(self) -> list[ModelSettings]:
        """The settings of the judges; those of the model where they are one."""
        judges = self.judge or []
        servers: list[str | None] = list(self.judge_server or ())
        if len(servers) < 2:
            servers = (servers or [None]) * len(judges)
        settings = []
        for judge, server in zip(judges, servers, strict=True):
            # The model's revision and tokenizer are not the judge's.
            own = replace(self, revision=None, tokenizer=None)
            if server is not None:
                own = replace(own, server=server, backend="server", context=None, ray=None)
            elif judge == self.model:
                own = self
            settings.append(own.settings(name=judge))
        return settings

    @property
    def suites(self) -> list[str]:
        """The suites and groups to run, each once; perplexity where domains are named."""
        return list(dict.fromkeys([*(self.suite or ()), *(["perplexity"] if self.valid else ())]))


# What suites need, as the command line calls it.
_NAMES = {
    "model": "a model: synth eval MODEL",
    "judge": "--judge MODEL",
    "data": "--data DIR",
    "pairs": "--pairs FILE",
    "valid": "--valid NAME=PATH",
    "answers": "--answers FILE",
    "judgments": "--judgments FILE",
    "reference": "--reference FILE",
    "allow_code_execution": "--allow-code-execution: it runs programs that the model wrote",
}


def run(options: Options) -> dict[str, Any]:
    """Runs the suites; their sections are the report."""
    from synthtools.cli import terminal
    from synthtools.cli.run import Run
    from synthtools.cli.run_journal import answer_journal, answers_beside
    from synthtools.evaluate import suites
    from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator, SampleFile
    from synthtools.records.inputs import find_shards
    from synthtools.records.outputs import FileSink
    from synthtools.records.record_faults import require_text
    from synthtools.records.rejects import Rejects
    from synthtools.records.shapes import text_path
    from synthtools.records.value_journal import ValueJournal
    from synthtools.reports import document

    if options.list_suites:
        return {"kind": "eval-suites", "suites": suites.listed()}
    if options.show_prompts:
        return {"kind": "eval-prompts", "prompts": suites.prompts(options.suite)}
    before = None if options.baseline is None else document.load(options.baseline)
    if before is not None and before["kind"] != "eval":
        raise UsageError(
            f"--baseline {options.baseline}: a report of synth {before['kind']}, not of synth eval"
        )
    given = EvaluationOptions.of(options)
    names, groups = suites.expanded(options.suites, given)
    # Missing files are reported before a model is loaded.
    paths = suites.files(names, given)
    model = options.settings() if options.model else None
    judges = options.judge_settings()
    options.require_guidable(judges)
    cache = options.opened_cache()
    domains = {shard.name for _, path in options.valid or () for shard in find_shards([path])}

    check_items = suites.first_record_check(names, given)

    def check(batch: Batch) -> None:
        if batch.source in domains:
            require_text(batch, text_path(batch), Rejects())
        check_items(batch)

    reading = Inputs(on_error=options.on_error, rejects=options.rejects, quiet=options.quiet)
    tell = terminal.remark_unless(options.quiet)
    with Run("eval", reading, beside=paths, inputs=False, check_beside=check) as run:
        # A run whose model went away has left both samples and answers.
        force = options.force or (
            options.resume
            and ValueJournal.holds_values(answers_beside(Path(options.samples or "")))
        )
        with (
            SampleFile(options.samples, force, run.shards_beside, before is not None) as samples,
            ExitStack() as stack,
        ):
            file = samples.sink if isinstance(samples.sink, FileSink) else None
            if options.resume and file is None:
                raise UsageError(f"--resume needs a file: --samples {options.samples}")
            journal = answer_journal(file, run.job(), stack, resume=options.resume, force=force)
            evaluator = stack.enter_context(
                Evaluator(given, model, judges, samples.keep, journal, cache, run.rejects, tell)
            )
            sections: dict[str, Any] = {}
            run.progress.stage(lambda: f"{evaluator.tokens:,} tokens, suite", len(names))
            for name in names:
                sections[name] = suites.run(name, evaluator)
                run.progress.advance(1)
            opened = evaluator.opened
            if journal is not None:
                journal.unfinished = bool(evaluator.failures)
        run.model = opened[0] if opened else None
        for name, section in sections.items():
            if not section["n"]:
                tell(f"{name}: no item counts; the report says why")
        run.count(sum(section["n"] for section in sections.values()))
        result: dict[str, Any] = {
            "kind": "eval",
            "suites": sections,
            "groups": suites.averages(groups, sections),
            "samples": {"file": options.samples, "records": samples.count},
        }
        if len(opened) > 1:
            result["models"] = opened
        if cache is not None:
            result["cache"] = cache.account()
        if before is not None:
            result["baseline"] = _compared(str(options.baseline), before, result, samples, given)
        report = run.finish(result)
    if evaluator.failures:
        raise PartialReportError(
            f"a model went away; the report holds what came before: {evaluator.failures[0]}", report
        )
    return report


def _compared(
    name: str,
    before: dict[str, Any],
    report: dict[str, Any],
    samples: SampleFile,
    options: EvaluationOptions,
) -> list[CalibrationChange]:
    """Where calibration and accuracy went since the baseline, suite by suite."""
    from synthtools.cli import terminal
    from synthtools.evaluate import differences
    from synthtools.evaluate.evaluator import Evaluator, samples_beside
    from synthtools.evaluate.paired_comparison import by_suite, compared
    from synthtools.reports.document import number

    path = samples_beside(name, before, terminal.remark)
    paired: list[PairedDifference] = []
    if path is not None:
        fields = {n: s["per_item"] for n, s in report["suites"].items() if s.get("per_item")}
        try:
            first, other = by_suite(Evaluator().records(path)), by_suite(samples.rows)
            paired = compared(first, other, fields, options.bootstrap, options.seed)
        except SynthError as error:  # the evaluation is done: its report must not be lost
            terminal.remark(f"{path}: {error}")
    rows = differences.warnings(before, report, paired)
    for row in rows:
        if row["state"] == differences.EARLY:
            terminal.remark(
                f"early warning: {row['suite']}: calibration is worse than in {name} (ECE "
                f"{number(row['ece'][0])} → {number(row['ece'][1])}), accuracy not yet"
            )
    return rows
