"""The options of suites in which models answer and judges judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from synthtools.cli.model_options import Model
from synthtools.cli.options import Jobs
from synthtools.cli.parameters import option
from synthtools.cli.publish import show
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.evaluate.asking import Asking
    from synthtools.lm.settings import Settings


@dataclass(frozen=True)
class Judging:
    """How models answer, who judges, and what the answers are compared with."""

    judge: Annotated[
        str | None,
        option(
            "--judge",
            metavar="MODEL",
            help="The model that judges, in suites with a judge: builtin, a directory, a Hub id, or a "
            "name that --judge-server knows. It runs as the model does (--backend, --server), or "
            "on a server of its own.",
        ),
    ] = None
    judge_server: Annotated[
        str | None,
        option(
            "--judge-server",
            metavar="URL",
            help="An OpenAI-compatible server for the judge.",
        ),
    ] = None
    judge_tokens: Annotated[
        int,
        option("--judge-tokens", metavar="N", min=1, help="Tokens of a judge's reply at most."),
    ] = 512
    judge_retries: Annotated[
        int,
        option(
            "--judge-retries",
            metavar="N",
            min=0,
            max=100,
            help="How often a judge is asked again whose reply holds no verdict [ours]. What stays "
            "unreadable is left out for all models alike, and counted.",
        ),
    ] = 2
    show_prompts: Annotated[
        bool,
        option("--show-prompts", help="Show what the judges of the suites are asked, and stop."),
    ] = False
    max_new_tokens: Annotated[
        int,
        option("--max-new-tokens", metavar="N", min=1, help="Tokens of an answer at most."),
    ] = 1024
    temperature: Annotated[
        float,
        option(
            "--temperature",
            metavar="T",
            min=0,
            help="Of the answers; 0 takes the most probable token [ours].",
        ),
    ] = 0.0
    top_p: Annotated[
        float,
        option(
            "--top-p",
            metavar="P",
            help="Answers are drawn from the fewest tokens that together have this probability.",
        ),
    ] = 1.0
    reference: Annotated[
        str | None,
        option(
            "--reference",
            metavar="FILE",
            help="Answers of one model that others are compared with (--suite alpaca_eval), or "
            "reference answers of FastChat's format (--suite mt_bench).",
        ),
    ] = None
    length_controlled: Annotated[
        bool,
        option(
            "--length-controlled",
            help="Win rates of --suite alpaca_eval as if answers were equally long, too.",
        ),
    ] = False
    author_files: Annotated[
        str | None,
        option(
            "--author-files",
            metavar="DIR",
            help="Write answers and judgments here in the formats of the benchmarks' authors: "
            "FastChat's model_answer/ and model_judgment/, FollowBench's api_output/.",
        ),
    ] = None

    def asking(self, force: bool) -> Asking:
        """The options as the suites take them."""
        from synthtools.evaluate.asking import Asking

        return Asking(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            judge_tokens=self.judge_tokens,
            judge_retries=self.judge_retries,
            reference=self.reference,
            length_controlled=self.length_controlled,
            files=self.author_files,
            force=force,
        )

    def settings(self, model: Model, jobs: Jobs) -> Settings | None:
        """The judge's settings; those of the model where they are one.

        Raises:
            UsageError: a server without the name of what it serves.
        """
        if self.judge is None:
            if self.judge_server is not None:
                raise UsageError("--judge-server needs --judge NAME, the model that it serves")
            return None
        if self.judge == model.model and self.judge_server is None:
            return model.settings(jobs)
        # The model's revision and tokenizer are not the judge's.
        own = replace(model, revision=None, tokenizer=None)
        if self.judge_server is not None:
            own = replace(own, server=self.judge_server, backend="server", context=None)
        return own.settings(jobs, self.judge)


def show_prompts(names: list[str], json_output: bool) -> None:
    """What the judges of suites are asked; of suites without a judge, nothing.

    Args:
        names: of suites; none for all.
    """
    from synthtools.evaluate import suites

    prompts: dict[str, Any] = {}
    used: dict[str, list[str]] = {}
    for name in names or suites.SUITES:
        for prompt in suites.prompts(name):
            prompts[prompt.name] = prompt
            used.setdefault(prompt.name, []).append(name)
    rows = [
        {"name": one.name, "version": one.version, "suites": used[name], "words": one.words}
        for name, one in prompts.items()
    ]
    lines = []
    for row in rows:
        lines += [f"{row['name']}-{row['version']}  ({', '.join(row['suites'])})", ""]
        lines += [f"    {line}".rstrip() for line in row["words"].splitlines()] + [""]
    show({"kind": "eval-prompts", "prompts": rows}, json_output, lines[:-1])
