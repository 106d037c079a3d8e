"""The options of ``synth audit``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from synthtools.cli.kinds import FolderName, ModelId, Natural, PathName, Positive, Resamples
from synthtools.cli.model_options import Model
from synthtools.cli.options import BadRecords, Jobs, Picture, Report, Seed, TextField
from synthtools.cli.parameters import operand, option
from synthtools.errors import UsageError
from synthtools.tools.training_options import Conversations

if TYPE_CHECKING:
    from synthtools.evaluate.evaluator import EvaluationOptions
    from synthtools.training.documents import DocumentFormat

SETS = ("forget", "holdout", "retain", "neutral", "paraphrases")


@dataclass(frozen=True, kw_only=True)
class Options(Model, BadRecords, TextField, Conversations, Report, Picture, Seed, Jobs):
    """Options of ``synth audit``."""

    model: list[ModelId] | None = operand(  # type: ignore[assignment]
        help="The models to audit: builtin, directories or Hub ids."
    )
    forget: PathName | None = option(
        help="The texts to forget: records with a text, a prompt and a response, or messages, of which "
        "the last answer counts."
    )
    holdout: PathName | None = option(help="Records of the same kind that no model was trained on.")
    retain: PathName | None = option(
        help="Records that the model should still know, for their perplexity."
    )
    neutral: PathName | None = option(
        help="Records on which drift is measured (default: --retain)."
    )
    paraphrases: PathName | None = option(
        help="Records with the id of a text to forget and another wording of its prompt."
    )
    base: ModelId | None = option(help="The model before unlearning.")
    retrained: ModelId | None = option(help="A model that was trained without the texts.")
    chat_template: Literal["auto", "always", "never"] = option(
        "auto",
        help="Put a prompt and a response by each model's chat template, as synth train --sft does; "
        "auto: as forgotten.jsonl of the models says, else where a model has one; never: as plain text, "
        "and messages are refused.",
    )
    suite: list[str] | None = option(
        None,
        "-s",
        metavar="NAME",
        commas=True,
        help="Utility on tasks: a suite of synth eval that needs no judge (synth eval --list), or a "
        "group of them; repeatable.",
    )
    data: FolderName | None = option(help="Directory of the suites' data, as in synth eval.")
    limit: int = option(
        200, metavar="N", min=2, help="Only the first N records of each file, items of each suite."
    )
    words: Positive = option(32, help="Words of a continuation that are compared [ours].")
    bits: list[int] | None = option(
        metavar="B,B",
        commas=True,
        min=2,
        max=8,
        help="Widths that weights are rounded to (default: 8,4).",
    )
    relearn_texts: Positive = option(
        8, help="Texts that the model learns again, and as many of the holdout [ours]."
    )
    relearn_steps: Natural = option(16, help="Steps that it has for that [ours]; 0: leave it out.")
    relearn_lr: float | None = option(
        metavar="RATE",
        min=1e-9,
        help="Learning rate of these (default: the highest of 1e-3, 5e-4, 2e-4, … 1e-5 at which half "
        "the steps do not halve the base's loss on the holdout) [ours].",
    )
    bootstrap: Resamples = option(1000, help="Resamples for the intervals; 0 for none.")

    def check(self) -> None:
        super().check()
        if not self.model:
            raise UsageError("name the models to audit: synth audit MODEL…")
        for name, why in (("forget", "what was to be forgotten"), ("holdout", "never seen texts")):
            if getattr(self, name) is None:
                raise UsageError(f"name {why}: --{name} PATH")
        for name in SETS:
            if getattr(self, name) == "-":
                raise UsageError(f"--{name} -: is read for each model: name a file, not stdin")
        for name in self.suite or ():
            self._check_suite(name)
        if self.neutral is not None and self.base is None:
            raise UsageError("--neutral: drift is that from --base MODEL")
        if self.server is not None or self.backend not in ("auto", "torch"):
            raise UsageError(
                "an audit reads whole distributions and changes weights: --backend torch"
            )

    def _check_suite(self, name: str) -> None:
        from synthtools.evaluate import suites

        for ways in suites.needs(name):
            if not {"model", "data"} & {*ways}:
                raise UsageError(
                    f"--suite {name}: needs more than a model and data: use synth eval"
                )
            if "data" in ways and self.data is None:
                raise UsageError(f"--suite {name} needs --data DIR")

    def form(self) -> DocumentFormat:
        """What records are read as."""
        from synthtools.training.documents import DocumentFormat, Fields

        fields = Fields(self.messages_field, self.prompt_field, self.response_field)
        kind: Literal["asked", "answered"] = (
            "answered" if self.chat_template == "never" else "asked"
        )
        return DocumentFormat(kind, self.text_field, fields)

    def evaluation(self) -> EvaluationOptions:
        """How the suites are run."""
        from synthtools.evaluate.evaluator import EvaluationOptions

        return EvaluationOptions(
            data=self.data, limit=self.limit, seed=self.seed, bootstrap=self.bootstrap
        )
