"""Make a model forget the patterns of some text while it keeps its other abilities.

Each step takes rows to forget and rows of human text to replay, and minimises
F · forgetting + R · cross entropy on replay + K · KL on replay to the original model, by default
0.01, 1, 1 (Unveiling the Flaws, arXiv 2406.12397). Documents are kept apart. Each step's log line
(training/log.jsonl) has every term, the perplexities, KL and the distance from the original; the
final report compares both models on all sets. Everything else is as in synth train:
adapters, processes, checkpoints, --resume.

\b
Methods, with their weights:
  bounded   -ln(1-p) per token, bounded below      0.01,1,1    [Flaws; token mean: ours]
  ga        gradient ascent, ln p, no lower bound  1,0,0
  graddiff  gradient ascent and replay             1,1,0
  kl        gradient ascent and KL on replay       1,0,1
  npo       negative preference, by document       1,1,0       (arXiv 2404.05868)
  simnpo    npo by the token, without the original 0.125,1,0   (arXiv 2410.07163)
  wga       ascent weighted by p^alpha             1,1,0       (arXiv 2502.19301)
  refine    continued training on replay alone     0,1,0       (RefineLM) [Flaws]

\b
Examples:
  synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --tokens 100K -o unlearned/
  synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --tokens 100K \\
      --method npo --lora-rank 8 -o npo/
  synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --epochs 3 \\
      --max-replay-rise 2% --valid wiki=held.jsonl --plot shift.png -o careful/
  synth ppl held.jsonl --model synthlm/ --model unlearned/ --compare

Memory: as synth train, plus the original model (not with adapters, whose original is the same
weights without them); of each model the logits of a few rows at a time; one number per document to
forget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.parameters import Group, option
from synthtools.cli.quantities import NamedNumber, PathShare
from synthtools.cli.training_run import (
    CONTINUED,
    Work,
    check_sources,
    source_name,
    training_run,
    with_context,
)
from synthtools.errors import UsageError
from synthtools.tools.training_options import TrainingOptions

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.records.batch import Batch
    from synthtools.training.objectives import UnlearnLoss
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Outcome, Plan
    from synthtools.training.unlearn_run import UnlearnGoal

# What --until may name → its name in the log.
_UNTIL = {"forget-ppl": "forget_ppl", "kl": "kl", "drift": "drift"}


@dataclass(frozen=True)
class UnlearnObjective(Group):
    """The method, the weights of its terms and its numbers."""

    group = "Method"
    method: Literal["bounded", "ga", "graddiff", "kl", "npo", "simnpo", "wga", "refine"] = option(
        "bounded", help="How to forget; see Methods above."
    )
    weights: list[float] | None = option(
        None,
        metavar="F,R,K",
        commas=True,
        min=0,
        help="Weights of forgetting, of cross entropy on replay, of KL on replay (default: the "
        "method's).",
    )
    beta: float | None = option(
        None, metavar="B", min=1e-6, help="β of npo (0.1) and simnpo (4.5), α of wga (1)."
    )
    margin: float = option(0.0, metavar="G", min=0, help="γ of simnpo.")
    kl_direction: Literal["forward", "reverse"] = option(
        "forward", help="KL(original ‖ current), or KL(current ‖ original) [direction: ours]."
    )
    reference: str | None = option(
        None,
        metavar="MODEL",
        help="The original model for KL, npo and the report (default: the model before "
        "unlearning).",
    )

    def loss(self) -> UnlearnLoss:
        """The method with its numbers settled.

        Raises:
            UsageError: a number does not go with it.
        """
        from synthtools.training.objectives import Weights, unlearn_loss

        if self.weights is not None and len(self.weights) != 3:
            raise UsageError("--weights: write three numbers, none below 0: 0.01,1,1")
        weights = None if self.weights is None else Weights(*self.weights)
        reverse = self.kl_direction == "reverse"
        return unlearn_loss(self.method, weights, self.beta, self.margin, reverse)


@dataclass(frozen=True, kw_only=True)
class Options(UnlearnObjective, TrainingOptions):
    """Options of ``synth unlearn``."""

    model: str | None = option(
        None, metavar="MODEL", help="The model to change: builtin, a directory or a Hub id."
    )
    revision: str | None = option(None, metavar="REV", help="Commit, tag or branch of a Hub model.")
    forget: list[str] | None = option(
        None,
        metavar="PATH",
        help="Records to forget: a text, or a prompt and a response (read as the prompt, an empty "
        "line, the response); repeatable.",
    )
    replay: list[PathShare] | None = option(
        None,
        metavar="PATH[=SHARE]",
        parse=quantities.path_share,
        help="Human text that the model should keep; repeatable, with or without shares.",
    )
    tokens: int | None = option(
        None,
        metavar="N",
        parse=quantities.count,
        min=1,
        help="Tokens to forget (100K, 1B; of replay with refine), in as many passes as that takes; "
        "else --epochs.",
    )
    epochs: float = option(
        1.0, metavar="N", min=0, help="Passes over whichever of forget and replay ends first."
    )
    forget_share: float = option(
        0.5,
        metavar="SHARE",
        min=0,
        max=1,
        help="Share of each step's rows that come from --forget, if there is replay [ours].",
    )
    context: int | None = option(
        None,
        metavar="TOKENS",
        min=2,
        help="Tokens of a row of replay (default: the model's own, at most 2048).",
    )
    forget_context: int | None = option(
        None,
        metavar="TOKENS",
        min=2,
        help="Tokens of a row of forget (default: as --context); longer documents count as "
        "several.",
    )
    sft: bool = option(
        False,
        help="The records to forget are conversations (messages, or prompt and response), rendered "
        "by the chat template; those longer than a row are truncated and counted.",
    )
    answers_only: bool = option(False, help="Forget only the answers, not the prompts before them.")
    until: list[NamedNumber] | None = option(
        None,
        metavar="NAME=VALUE",
        parse=quantities.named_number,
        help="Stop when forget-ppl, kl or drift has reached a value (mean of 10 steps); "
        "repeatable.",
    )
    max_replay_rise: float | None = option(
        None,
        metavar="SHARE",
        parse=quantities.proportion,
        min=0,
        help="Stop when perplexity on replay has risen this much (5%, 0.05) above the original's "
        "on the same rows (mean of 10 steps).",
    )
    norms_every: int = option(
        50,
        metavar="STEPS",
        min=0,
        help="Steps between measurements of each term's gradient norm, each as costly as a step; "
        "0: never.",
    )
    compare_tokens: int = option(
        50_000,
        metavar="N",
        parse=quantities.count_or_zero,
        min=0,
        help="Tokens of forget, replay and each --valid set that both models read at the end, for "
        "the report; 0: no such report.",
    )

    def check(self) -> None:
        super().check()
        if self.model is None:
            raise UsageError("name the model to change: --model MODEL")
        if self.plot is not None and not self.compare_tokens:
            raise UsageError("--plot draws the comparison of both models: leave --compare-tokens")
        weights = self.loss().weights
        if weights.forget and not self.forget:
            raise UsageError(f"--method {self.method} needs --forget PATH")
        replays = bool(weights.replay or weights.kl)
        if replays and not self.replay:
            raise UsageError(f"--method {self.method} needs --replay PATH (or weights of 0 for it)")
        if self.max_replay_rise is not None:
            if not replays:
                raise UsageError(f"--max-replay-rise: {self.method} replays nothing")
            if self.max_replay_rise < 0:
                raise UsageError("--max-replay-rise: give a share of at least 0")
        check_sources([*(PathShare(path, None) for path in self.forget or ())])
        check_sources(self.replay or [])
        names = [source_name(path) for path in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two sources are called {name}: rename one")
        for name, value in self.until or ():
            if name not in _UNTIL:
                raise UsageError(f"--until {name}={value:g}: use one of {', '.join(_UNTIL)}")
            if name == "kl" and not weights.kl:
                raise UsageError(f"--until {name}: {self.method} measures no KL while it runs")
            if name == "forget-ppl" and not weights.forget:
                raise UsageError(f"--until {name}: {self.method} forgets nothing")

    @property
    def sources(self) -> list[str]:
        return [*(self.forget or ()), *(path for path, _ in self.replay or ())]

    def plan(self) -> Plan:
        """Of the model and of replay; a context of 0 is the model's own."""
        from synthtools.training.plan import Plan, StartModel

        start = StartModel(None, self.model, self.revision)
        return Plan(
            start,
            self.lora(),
            None,
            None,
            self.context or 0,
            self.tokens,
            self.epochs,
            self.seed,
            save_dtype=self.save_dtype,
        )

    def goal(self, context: int) -> UnlearnGoal:
        """What is forgotten, in rows of ``context`` tokens unless the user names another number."""
        from synthtools.lm.model_name import ModelName
        from synthtools.training.stop_rules import StopRule
        from synthtools.training.unlearn_run import UnlearnGoal

        rules = [StopRule(_UNTIL[name], value) for name, value in self.until or ()]
        if self.max_replay_rise is not None:
            rules.append(StopRule("replay_rise", float(self.max_replay_rise)))
        return UnlearnGoal(
            how=self.loss(),
            context=self.forget_context or context,
            share=self.forget_share,
            conversations=self.sft,
            answers_only=self.answers_only,
            original=None if self.reference is None else ModelName(self.reference),
            rules=tuple(rules),
            paired=self.max_replay_rise is not None,
            compared_tokens=self.compare_tokens,
        )


def run(options: Options) -> dict[str, Any] | None:
    """Unlearns and saves a model directory."""
    from synthtools.records.inputs import find_shards

    settings = options.settings(CONTINUED, norms_every=options.norms_every)
    forget_form = options.document_format("conversation" if options.sft else "answered")
    text_form = options.document_format("text")
    forgotten = {s.name for s in find_shards(options.forget)} if options.forget else set()

    def check(batch: Batch) -> None:
        (forget_form if batch.source in forgotten else text_form).documents(batch)

    def work(run: Run, ranks: Ranks) -> Work:
        from synthtools.training import dry_run
        from synthtools.training.documents import SourceReader
        from synthtools.training.journal import numbers
        from synthtools.training.unlearn_run import run as unlearn

        plan = with_context(options.plan())
        goal = options.goal(plan.context)
        hashed = not options.dry_run
        forget_reader = SourceReader(forget_form, run.rejects_of, hashed)
        reader = SourceReader(text_form, run.rejects_of, hashed)
        forget = [
            forget_reader.source(source_name(path), find_shards([path]))
            for path in options.forget or ()
        ]
        replay = [
            reader.source(source_name(path), find_shards([path]), share)
            for path, share in options.replay or ()
        ]
        valid = [reader.source(name, find_shards([path])) for name, path in options.valid or ()]

        def results(outcome: Outcome) -> dict[str, Any]:
            return {
                "method": options.method,
                "weights": goal.how.weights._asdict(),
                **numbers(outcome, options.output),
                "ended_by": outcome.ended_by,
                **(outcome.compared or {}),
            }

        return Work(
            [*forget, *replay, *valid],
            lambda: dry_run.of_unlearning(forget, replay, plan, goal, settings, ranks),
            lambda context: unlearn(forget, replay, valid, plan, goal, settings, context),
            results,
        )

    return training_run("unlearn", options, options.sources, check, text_form.documents, work)
