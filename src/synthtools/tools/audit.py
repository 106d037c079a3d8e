"""Find out whether a model has forgotten texts, or only hides them.

Each model is probed in several ways with texts that it should have forgotten, and with others of the
same kind that it never saw (--holdout). One table has, with 95 % intervals: the probability of the
texts; how the model continues their first half, or a prompt (ROUGE-L, share of exact matches);
membership inference attacks (AUC: 0.5 if nothing is left; loss, zlib, Min-K%, Min-K%++); the same
with weights rounded to 8 and 4 bits, because unlearning often changes weights less than rounding
does; perplexity of --retain; and drift, the KL divergence from --base on --neutral. With
--retrained, a model that never saw the texts: privacy leakage (MUSE), the attack with it as
reference, and a Kolmogorov-Smirnov test of both models' losses on the texts; records with wrong
texts (a field perturbed, a list) give TOFU's forget quality. With --base, the model before
unlearning: the number of training steps on a few of the texts after which their loss is back, and
whether they are learned faster than as many of the holdout. With --suite, accuracy on tasks as in
synth eval, and its paired difference from the base. Sentences summarise what is still there.

Prompts and responses have the format in which the models were made to forget them: plain text with
an empty line between, or (synth unlearn --sft) each model's own chat template (--chat-template).

\b
Examples:
  synth audit unlearned/ --forget qa.jsonl --holdout other-qa.jsonl --base synthlm/
  synth audit npo/ rmu/ --forget qa.jsonl --holdout other-qa.jsonl --retain human.jsonl \\
      --base synthlm/ --retrained clean/ --paraphrases reworded.jsonl --report audit.json
  synth audit npo/ --forget qa.jsonl --holdout other-qa.jsonl --base synthlm/ --suite general --data DIR

Memory: one model at a time, two for drift; four copies of it for relearning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import FolderName, ModelId, Natural, PathName, Positive, Resamples
from synthtools.cli.model_options import Model
from synthtools.cli.options import BadRecords, Jobs, Picture, Report, Seed, TextField
from synthtools.cli.parameters import operand, option
from synthtools.errors import SynthError, UsageError
from synthtools.tools.training_options import Conversations

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.evaluate.audit_figures import ModelProbes
    from synthtools.evaluate.evaluator import EvaluationOptions
    from synthtools.evaluate.memorised_text import AuditItem, ItemRendering
    from synthtools.evaluate.model_audit import Relearning
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.records.batch import Batch
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


def run(options: Options) -> dict[str, Any]:
    """Probes one model after the other."""
    from synthtools.cli import terminal
    from synthtools.cli.options import Inputs
    from synthtools.cli.run import Run
    from synthtools.evaluate import audit_figures, suites
    from synthtools.evaluate.audit_figures import audited
    from synthtools.evaluate.model_audit import ModelAudit
    from synthtools.measure.significance import detectable_auc
    from synthtools.records.rejects import Rejects

    form = options.form()
    names = list(dict.fromkeys(options.model or ()))
    reading = Inputs(on_error=options.on_error, rejects=options.rejects, quiet=options.quiet)
    paths = {name: path for name in SETS if (path := getattr(options, name)) is not None}
    others = [name for name in (options.retrained, options.base) if name is not None]
    for name in [*names, *others]:
        options.settings(name)  # refused before the first is loaded
    evaluation = options.evaluation()
    tasks, groups = suites.expanded(options.suite or (), evaluation)
    task_files = suites.files(tasks, evaluation)
    check_items = suites.first_record_check(tasks, evaluation)

    def check(batch: Batch) -> None:
        from synthtools.records.inputs import find_shards

        own = [*task_files, *([options.paraphrases] if options.paraphrases else ())]
        if batch.source not in {shard.name for path in own for shard in find_shards([path])}:
            form.documents(batch)
        check_items(batch)

    with Run(
        "audit", reading, beside=[*paths.values(), *task_files], bar=False, inputs=False,
        plot=options.plot, check_beside=check,
    ) as run:  # fmt: skip
        tell = terminal.remark_unless(options.quiet)
        read = (name for name in paths if name != "paraphrases")
        sets = {name: _items(run, options, paths[name]) for name in read}
        for name in ("forget", "holdout"):
            if len(sets[name]) < 2:
                raise SynthError(f"{paths[name]}: an audit compares texts: at least 2 are needed")
        if options.paraphrases is not None:
            sets["paraphrases"] = _reworded(run, options, sets["forget"])
        run.count(sum(map(len, sets.values())))
        # The base first: the others are held against it.
        ordered = list(dict.fromkeys([*reversed(others), *names]))
        renderings = _renderings(options, names, ordered, sets)
        for group, held in groups.items():
            for name, why in held["missing"].items():
                tell(f"{group}: without {name}: {why}")
        audit = ModelAudit(
            sets,
            options.words,
            options.bits or (8, 4),
            options.seed,
            options.base,
            _relearning(options) if options.base and options.relearn_steps else None,
            options.relearn_texts,
            tasks,
            evaluation,
            tell,
        )
        probes: dict[str, ModelProbes] = {}
        for name in ordered:
            # What every model skips is counted once.
            rejects = Rejects(run.rejects.skip) if probes else run.rejects
            before = probes.get(options.base or "")
            probes[name] = audit.probed(options.settings(name), renderings[name], before, rejects)
        retrained, base = probes.get(options.retrained or ""), probes.get(options.base or "")
        rows = [
            audited(name, probes[name], retrained, base, options.bootstrap, options.seed)
            for name in dict.fromkeys([*names, *others])
        ]
        optional = ("base", "retrained", "paraphrases", "retain", "suite")
        first = probes[ordered[-1]]
        return run.finish(
            {
                "kind": "audit",
                "models": rows,
                "base": options.base,
                "retrained": options.retrained,
                "texts": {name: len(items) for name, items in sets.items()},
                "detectable_auc": detectable_auc(len(sets["forget"]), len(sets["holdout"])),
                "chat_template": {
                    name: any(map(renderings[name].by_template, sets["forget"])) for name in ordered
                },
                "relearn_rate": first.relearn_rate,
                "suites": {
                    name: {"n": section["n"], "figure": audit_figures.head(section)}
                    for name, section in (first.tasks.sections if first.tasks else {}).items()
                },
                "left_out": [name for name in optional if not getattr(options, name)],
            }
        )


def _renderings(
    options: Options, names: list[str], ordered: list[str], sets: dict[str, list[AuditItem]]
) -> dict[str, ItemRendering]:
    """How each model is asked: all by their chat templates, or none, as those audited were made to forget.
    Raises SynthError: a template cannot render an item."""
    from synthtools.evaluate.memorised_text import ItemRendering
    from synthtools.lm.chat import ChatTokenizer
    from synthtools.lm.pretrained import load_tokenizer
    from synthtools.training.forgotten_ledger import by_template

    known = {by_template(name) for name in names} - {None}
    if options.chat_template == "auto" and len(known) == 2:
        raise UsageError(
            "some of the models were made to forget by the chat template, others plain text: audit "
            "them apart, or say --chat-template always or never"
        )
    renderings = {}
    base_tokens = None  # of the base, which comes before those that are held against it
    for name in ordered:
        loaded = load_tokenizer(*options.settings(name).model.of_tokenizer)
        if name == options.base and {"neutral", "retain"} & {*sets}:
            base_tokens = loaded.get_vocab()
        elif base_tokens not in (None, loaded.get_vocab()):
            raise UsageError(
                f"{name}: has other tokens than the base {options.base}, so that its drift from it "
                "cannot be measured; leave out --retain and --neutral, or audit it apart"
            )
        chat = ChatTokenizer(loaded)
        asked = options.chat_template == "always" or (
            options.chat_template == "auto" and (True in known if known else chat.has_template)
        )
        renderings[name] = ItemRendering(chat, asked)
        for items in sets.values():
            try:
                renderings[name].check(items)
            except SynthError as error:
                raise SynthError(f"{name}: {error}; --chat-template never asks plainly") from error
    return renderings


def _items(run: Run, options: Options, path: str) -> list[AuditItem]:
    """The sound records of a file, up to the limit."""
    from synthtools.evaluate.memorised_text import items_of
    from synthtools.records.inputs import find_shards
    from synthtools.records.reader import read

    form, batches = options.form(), read(find_shards([path]), run.rejects)
    documents = (form.documents(batch, run.rejects) for batch in batches)
    return items_of(documents, run.rejects, options.limit)


def _relearning(options: Options) -> Relearning:
    """How fast texts are learned again, at the rate that is named, or one that suits the base."""
    from synthtools.training.loss_curve import loss_curve, slow_rate

    def relearn(
        settings: ModelSettings, texts: Sequence[Any], begin: list[int], rate: float | None
    ) -> tuple[float, list[Any]]:
        model, device, steps = settings.model, settings.devices, options.relearn_steps
        rate = options.relearn_lr or rate
        if rate is None:
            rate = slow_rate(model, texts[1], begin, max(1, steps // 2), device)
        return rate, [loss_curve(model, some, begin, steps, rate, device) for some in texts]

    return relearn


def _reworded(run: Run, options: Options, forget: list[AuditItem]) -> list[AuditItem]:
    """The texts to forget after other wordings of their prompts, paired by id."""
    from synthtools.cli import terminal
    from synthtools.records.inputs import find_shards
    from synthtools.records.reader import read
    from synthtools.records.record_faults import require_text

    prompts: dict[str, str] = {}
    for batch in read(find_shards([options.paraphrases or ""]), run.rejects):
        sound = require_text(batch, options.prompt_field, run.rejects, "--prompt-field")
        ids = map(str, sound.column("id"))
        prompts |= dict(zip(ids, sound.column(options.prompt_field), strict=True))
    paired = [item._replace(prompt=prompts[item.id]) for item in forget if item.id in prompts]
    if not paired:
        raise SynthError(f"{options.paraphrases}: no record has the id of one to forget")
    if spare := len(prompts) - len({item.id for item in paired}):
        remark = terminal.remark_unless(options.quiet)
        remark(f"{options.paraphrases}: {spare:,} have the id of none that is to be forgotten")
    return paired
