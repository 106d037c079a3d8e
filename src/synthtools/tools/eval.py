"""``synth eval``: what a model became, measured."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.judging import Judging
from synthtools.cli.model_options import EvaluatedModel
from synthtools.cli.options import BadRecords, Jobs, Seed
from synthtools.cli.parameters import option


def eval(  # noqa: A001 (the tool's name)
    model: EvaluatedModel,
    jobs: Jobs,
    seed: Seed,
    bad: BadRecords,
    judging: Judging,
    suite: Annotated[
        list[str] | None,
        option(
            "--suite",
            "-s",
            metavar="NAME",
            help="A suite to run; several may be named. --list shows them.",
            show_default=False,
        ),
    ] = None,
    list_suites: Annotated[
        bool, option("--list", help="Show the suites, with what each needs, and stop.")
    ] = False,
    data: Annotated[
        str | None,
        option(
            "--data",
            metavar="DIR",
            help="Directory of the suites' data: DIR/SUITE/… or DIR/eval_SUITE/…, in any format of "
            "records; or the directory of one suite.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        option("--limit", metavar="N", min=1, help="Only the first N items of each suite."),
    ] = None,
    allow_code: Annotated[
        bool,
        option(
            "--allow-code-execution",
            help="Run the programs that the model writes in humaneval and mbpp, each in a process of "
            "its own with limits on time, memory and files, confined as --sandbox says.",
        ),
    ] = False,
    sandbox: Annotated[
        str,
        option(
            "--sandbox",
            metavar="WAY",
            help="What confines these programs: bubblewrap, or landlock (of the kernel, Linux 5.13 and later), each "
            "with seccomp: no network, no other processes, no writing outside an empty directory; auto takes the "
            "first that works here; with none they may do all that you may.",
        ),
    ] = "auto",
    task_files: Annotated[
        str | None,
        option(
            "--task-files",
            metavar="DIR",
            help="Task definitions of lm-evaluation-harness (YAML), for --suite lm-eval:TASK, in "
            "place of its own.",
        ),
    ] = None,
    shots: Annotated[
        int | None,
        option(
            "--shots",
            metavar="K",
            min=0,
            max=100,
            help="Examples before each question (default: as the task says; synth eval --list), from a "
            "train or dev split; where there is none, from the other items.",
        ),
    ] = None,
    samples: Annotated[
        str | None,
        option(
            "--samples",
            metavar="FILE",
            help="Write what the model did with each item here, as records (.jsonl, .jsonl.zst, "
            ".parquet, …); synth diff compares models by it item by item.",
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        option(
            "--pairs",
            metavar="FILE",
            help="Pairwise probabilities of a judge as records, for --suite self-preference.",
        ),
    ] = None,
    answers: Annotated[
        list[str] | None,
        option(
            "--answers",
            metavar="FILE",
            help="Answers of one or several models as records (prompt, response, model), "
            "to be evaluated instead of, or beside, a live model's; the formats of FastChat, FollowBench "
            "and AlpacaEval are read, too. With --suite self-preference the judge compares each two, "
            "in both orders. Several may be named.",
            show_default=False,
        ),
    ] = None,
    judgments: Annotated[
        str | None,
        option(
            "--judgments",
            metavar="FILE",
            help="Preferences of other judges as records (judge, prompt_id, model, reference, "
            "preference from 1 to 2), for --suite self-preference: a table of judges and families, "
            "and agreement with them; for --suite alpaca_eval: win rates without a judge. For "
            "--suite mt_bench: FastChat's judgments.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        option(
            "--target",
            metavar="NAME",
            help="The model whose texts are the judge's own in --suite self-preference (default: "
            "the one of the judge's name).",
        ),
    ] = None,
    human: Annotated[
        str, option("--human", metavar="NAME", help="What the records call human text.")
    ] = "human",
    valid: Annotated[
        list[str] | None,
        option(
            "--valid",
            metavar="NAME=PATH",
            help="A domain of the suite perplexity: a name and a file or directory of records with "
            "a field text; several may be named. Without --suite this asks for that suite.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        option(
            "--baseline",
            metavar="REPORT",
            help="A report of an earlier model on the same suites, to warn against where "
            "calibration got worse and accuracy did not (Ratios).",
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        option(
            "--bootstrap",
            metavar="B",
            min=0,
            max=100_000,
            help="Resamples behind the 95 % intervals [ours]; 0 for none.",
        ),
    ] = 1000,
    force: Annotated[bool, option("--force", help="Replace a file of samples that is there.")] = (
        False
    ),
    report: Annotated[
        str | None,
        option("--report", metavar="FILE", help="Keep the report here as well, as JSON."),
    ] = None,
    plot: Annotated[
        str | None,
        option(
            "--plot",
            metavar="FILE",
            help="Draw the report as PNG or SVG (needs [plot]).",
        ),
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Measure a model: suites of tasks, one report.

    One start of the model serves all suites. The report is a table at a terminal, else JSON; what
    the model did with each item goes to --samples, by which synth diff compares models item by item.

    Suites are tasks from local records (--list; --data holds them), groups of them as in the papers
    (bilingual, coding, math, general, biomed, finance), a task file of your own (FILE.json), a task
    of lm-evaluation-harness (lm-eval:TASK, needs the extra eval and its data), perplexity over
    domains, and self-preference of a judge. Multiple choice is scored as in the harness, and gives
    calibration from the same pass: expected calibration error in bins of equal width and mass,
    Brier score, a temperature fitted on one half and measured on the other.

    \b
    Examples:
      synth eval --list
      synth eval builtin --suite arc_easy --data DIR --limit 200 --json --samples samples.jsonl
      synth eval ./model --suite general --data DIR --baseline base.json
      synth eval ./model --valid novels=novels.jsonl --valid wiki=wiki/ --plot domains.png
      synth eval --suite self-preference --pairs probabilities.jsonl --json
      synth eval --judge ./model --suite self-preference --answers answers.jsonl --target NAME
      synth eval --suite ifeval --data DIR --answers answers.jsonl
      synth eval ./model --suite followbench --data DIR --judge JUDGE --judge-server URL

    Memory: the model, some MB of text ahead, about 1 kB an item of the suite at work; with
    --baseline the samples of both runs; in suites of answers the answers and the judge's replies.
    """
    from synthtools.cli import evaluating
    from synthtools.cli.judging import show_prompts
    from synthtools.evaluate.session import Wanted

    if list_suites:
        evaluating.show_suites(json_output)
        return
    if judging.show_prompts:
        show_prompts(suite or [], json_output)
        return
    wanted = Wanted(
        data=data,
        limit=limit,
        seed=seed.seed,
        resamples=bootstrap,
        pairs=pairs,
        answers=tuple(answers or ()),
        judgments=judgments,
        target=target,
        human=human,
        allow_code=allow_code,
        sandbox=sandbox,
        shots=shots,
        task_files=task_files,
        valid=evaluating.domains(valid or []),
        asking=judging.asking(force),
    )
    names = evaluating.chosen(suite or [], wanted)
    results = evaluating.Results(samples, force, report, plot, json_output)
    evaluating.run_evaluation(names, wanted, model, judging, jobs, bad, results, baseline)
