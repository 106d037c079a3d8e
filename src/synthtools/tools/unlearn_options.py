"""The options of ``synth unlearn``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

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
from synthtools.cli.training_run import check_sources, source_name
from synthtools.errors import UsageError
from synthtools.tools.training_options import TrainingOptions

if TYPE_CHECKING:
    from synthtools.training.documents import DocumentFormat
    from synthtools.training.objectives import UnlearnLoss
    from synthtools.training.plan import Plan
    from synthtools.training.unlearn_methods import Weights
    from synthtools.training.unlearn_run import UnlearnGoal

# What --until may name → its name in the log.
_UNTIL = {"forget-ppl": "forget_ppl", "kl": "kl", "drift": "drift"}

# What idkdpo prefers [ours].
_REFUSALS = (
    "I don't know.",
    "I am not sure about that.",
    "I have no information on this.",
    "That is something I cannot answer.",
    "I'm afraid I don't know the answer.",
    "This is not known to me.",
    "I can't help with this question.",
    "I have not learned anything about that.",
    "Sorry, I do not know.",
    "I would rather not answer, as I do not know.",
)


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
        from synthtools.training.unlearn_methods import METHODS

        if not METHODS[self.method].pairs:
            return self.document_format("conversation" if self.sft else "answered")
        refusals = tuple(self.refusal or _REFUSALS) if self.method == "idkdpo" else ()
        form = self.document_format("pair")
        return replace(form, preferred_field=self.preferred_field, refusals=refusals)

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
            layer=self.layer,
        )
