"""Make a model forget the patterns of some text while it keeps its other abilities.

Each step takes rows to forget and rows of human text to replay, and minimises
F · forgetting + R · cross entropy on replay + K · KL on replay to the original model, by default
0.01, 1, 1 (Unveiling the Flaws, arXiv 2406.12397). Documents are kept apart. Each step's log line
(training/log.jsonl) has every term, the perplexities, KL and the distance from the original; the
final report compares both models on all sets. Everything else is as in synth train:
adapters, processes, checkpoints, --resume. The model's forgotten.jsonl lists what it was made to
forget: a line for each request, those of the model before included.

\b
Methods, with their weights (F,R,K):
  bounded     -ln(1-p) per token: the first to try, as it cannot diverge   0.01,1,1   [Flaws]
  ga          ascent on ln p, no lower bound: a baseline that ruins models 1,0,0
  graddiff    ascent and replay: a baseline for few steps                  1,1,0
  kl          ascent and KL on replay: as graddiff, nearer to the original 1,0,1
  npo         negative preference, by document: few documents, many passes 1,1,0
  simnpo      npo by the token: documents of unequal length; no original   0.125,1,0
  dpo         prefers the records' other answer: where one is known        1,1,0
  idkdpo      prefers a refusal: questions that must be declined           1,1,0
  wga         ascent weighted by p^a: ascent that ends where p is small    1,1,0
  undial      distils the original without its label: forget data alone    1,0,0
  rmu         misdirects hidden states: knowledge rather than wording      1,0,1200
  taskvector  negates training on forget: forget data alone, one pass      1,0,0
  refine      continued training on replay alone: what forgetting adds     0,1,0      [Flaws]

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

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.kinds import (
    Context,
    Count,
    ModelId,
    Name,
    Natural,
    PathName,
    Revision,
    SharedPath,
    Steps,
)
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
    from synthtools.training.documents import DocumentFormat
    from synthtools.training.objectives import UnlearnLoss
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Outcome, Plan
    from synthtools.training.unlearn_methods import Weights
    from synthtools.training.unlearn_run import UnlearnGoal

# What --until may name → its name in the log.
_UNTIL = {"forget-ppl": "forget_ppl", "kl": "kl", "drift": "drift"}


@dataclass(frozen=True)
class UnlearnObjective(Group):
    """The method, the weights of its terms and its numbers."""

    group = "Method"
    method: Literal[
        "bounded", "ga", "graddiff", "kl", "npo", "simnpo", "dpo", "idkdpo", "wga", "undial",
        "rmu", "taskvector", "refine",
    ] = option("bounded", help="How to forget; see Methods above.")  # fmt: skip
    weights: list[float] | None = option(
        metavar="F,R,K",
        commas=True,
        min=0,
        help="Weights of forgetting, of cross entropy on replay, of KL on replay (default: the "
        "method's).",
    )
    beta: float | None = option(
        metavar="B",
        min=1e-6,
        help="β of npo, dpo, idkdpo (0.1) and simnpo (4.5), α of wga and taskvector (1), strength of "
        "undial (10), c of rmu (6.5).",
    )
    margin: float = option(0.0, metavar="G", min=0, help="γ of simnpo.")
    kl_direction: Literal["forward", "reverse"] = option(
        "forward", help="KL(original ‖ current), or KL(current ‖ original) [direction: ours]."
    )
    reference: ModelId | None = option(
        help="The original model for KL, the methods that compare with it, and the report (default: "
        "the model before unlearning)."
    )

    layer: Natural | None = option(
        help="Layer whose output rmu steers, from 0; it and the two before are trained (default: the "
        "last of the first quarter)."
    )
    preferred_field: Name = option("preferred", help="Field of the answer that dpo prefers.")
    refusal: list[str] | None = option(
        metavar="TEXT",
        help="What idkdpo prefers; repeatable: one of them for each prompt (default: ten sentences).",
    )

    def settled(self) -> Weights:
        """The weights of the terms. Raises UsageError: a number does not go with the method."""
        from synthtools.training.unlearn_methods import Weights, settled

        if self.weights is not None and len(self.weights) != 3:
            raise UsageError("--weights: write three numbers, none below 0: 0.01,1,1")
        given = None if self.weights is None else Weights(*self.weights)
        if self.layer is not None and self.method != "rmu":
            raise UsageError("--layer: only of rmu")
        if self.refusal is not None and (self.method != "idkdpo" or "" in self.refusal):
            raise UsageError("--refusal: a text that idkdpo prefers, not an empty one")
        return settled(self.method, given, self.beta, self.margin)[0]

    def loss(self) -> UnlearnLoss:
        """The method with its numbers settled."""
        from synthtools.training.objectives import unlearn_loss

        reverse = self.kl_direction == "reverse"
        return unlearn_loss(self.method, self.settled(), self.beta, self.margin, reverse)


@dataclass(frozen=True, kw_only=True)
class Options(UnlearnObjective, TrainingOptions):
    """Options of ``synth unlearn``."""

    model: ModelId | None = option(help="The model to change: builtin, a directory or a Hub id.")
    revision: Revision | None = option(help="Commit, tag or branch of a Hub model.")
    forget: list[PathName] | None = option(
        help="Records to forget: a text, or a prompt and a response (read as the prompt, an empty "
        "line, the response); repeatable."
    )
    replay: list[SharedPath] | None = option(
        help="Human text that the model should keep; repeatable, with or without shares."
    )
    tokens: Count | None = option(
        help="Tokens to forget (100K, 1B; of replay with refine), in as many passes as that takes; "
        "else --epochs."
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
    context: Context | None = option(
        help="Tokens of a row of replay (default: the model's own, at most 2048)."
    )
    forget_context: Context | None = option(
        help="Tokens of a row of forget (default: as --context); longer documents count as several."
    )
    sft: bool = option(
        False,
        help="The records to forget are conversations (messages, or prompt and response), rendered "
        "by the chat template; those longer than a row are truncated and counted.",
    )
    answers_only: bool = option(False, help="Forget only the answers, not the prompts before them.")
    until: list[NamedNumber] | None = option(
        metavar="NAME=VALUE",
        parse=quantities.named_number,
        help="Stop when forget-ppl, kl or drift has reached a value (mean of 10 steps); "
        "repeatable.",
    )
    max_replay_rise: float | None = option(
        metavar="SHARE",
        parse=quantities.proportion,
        min=0,
        help="Stop when perplexity on replay has risen this much (5%, 0.05) above the original's "
        "on the same rows (mean of 10 steps).",
    )
    norms_every: Steps = option(
        50,
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
        weights = self.settled()
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
            if name == "kl" and (not weights.kl or self.method == "rmu"):
                raise UsageError(f"--until {name}: {self.method} measures no KL while it runs")
            if name == "forget-ppl" and (not weights.forget or self.method == "taskvector"):
                raise UsageError(f"--until {name}: {self.method} forgets nothing while it runs")
        if self.method == "taskvector" and (self.patience or self.reference is not None):
            raise UsageError("--method taskvector goes with neither --patience nor --reference")
        if self.method == "rmu" and self.compile:
            raise UsageError(
                "--method rmu reads hidden states, which --compile hides: leave it out"
            )

    @property
    def sources(self) -> list[str]:
        return [*(self.forget or ()), *(path for path, _ in self.replay or ())]

    def forget_format(self) -> DocumentFormat:
        """What the records to forget are read as."""
        from synthtools.training.unlearn_methods import METHODS, REFUSALS

        if not METHODS[self.method].pairs:
            return self.document_format("conversation" if self.sft else "answered")
        refusals = tuple(self.refusal or REFUSALS) if self.method == "idkdpo" else ()
        form = self.document_format("pair")
        return replace(form, preferred_field=self.preferred_field, refusals=refusals)

    def plan(self) -> Plan:
        """Of the model and of replay; a context of 0 is the model's own."""
        from synthtools.training.plan import Plan, StartModel

        start = StartModel(None, self.model, self.revision)
        rows = self.context or 0, self.tokens, self.epochs, self.seed
        return Plan(start, self.lora(), None, None, *rows, save_dtype=self.save_dtype)

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
            layer=self.layer,
        )


def run(options: Options) -> dict[str, Any] | None:
    """Unlearns and saves a model directory."""
    from synthtools.records.inputs import find_shards

    settings = options.settings(CONTINUED, norms_every=options.norms_every)
    forget_form = options.forget_format()
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
