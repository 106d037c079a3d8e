"""Find out whether a model has forgotten texts, or only hides them.

Each model is asked in several ways for texts that it is to have forgotten, and for others of the
same kind that it never saw (--holdout). One table has, with 95 % intervals: the probability of the
texts; how it continues their first half, or a prompt (ROUGE-L, share that is equal); attacks on
membership (AUC: 0.5 where nothing is left; loss, zlib, Min-K%, Min-K%++); the same with weights
rounded to 8 and 4 bits, as unlearning often changes less than rounding does; perplexity of
--retain and drift, the KL divergence from --base on --neutral. With --retrained, a model that never
saw the texts: privacy leakage (MUSE), the attack with it as reference, and the p of a
Kolmogorov-Smirnov test whether both see the texts alike; records with wrong texts (a field
perturbed, a list) give TOFU's forget quality. With --base, the model before: after how many steps
on a few of the texts their loss is back. Sentences say what is hidden. A prompt stands before its text as plain text, with an
empty line between, for chat models too. For utility on tasks: synth eval.

\b
Examples:
  synth audit unlearned/ --forget qa.jsonl --holdout other-qa.jsonl --base synthlm/
  synth audit npo/ rmu/ --forget qa.jsonl --holdout other-qa.jsonl --retain human.jsonl \\
      --base synthlm/ --retrained clean/ --paraphrases reworded.jsonl --report audit.json

Memory: a model at a time, two where drift is measured; four copies of it where it relearns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from synthtools.cli.model_options import Model
from synthtools.cli.options import BadRecords, Jobs, Picture, Report, Seed, TextField
from synthtools.cli.parameters import operand, option
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.evaluate.audit_figures import ModelProbes
    from synthtools.evaluate.memorised_text import AuditItem
    from synthtools.records.batch import Batch
    from synthtools.training.documents import DocumentFormat

_SETS = ("forget", "holdout", "retain", "neutral", "paraphrases")


@dataclass(frozen=True, kw_only=True)
class Options(Model, BadRecords, TextField, Report, Picture, Seed, Jobs):
    """Options of ``synth audit``."""

    model: list[str] | None = operand(  # type: ignore[assignment]
        None, metavar="MODEL", help="The models to audit: builtin, directories or Hub ids."
    )
    forget: str | None = option(
        None,
        metavar="PATH",
        help="What was to be forgotten: records with a text, or a prompt and a response.",
    )
    holdout: str | None = option(
        None, metavar="PATH", help="Records of the same kind that no model was trained on."
    )
    retain: str | None = option(
        None, metavar="PATH", help="Records that the model is to know still: their perplexity."
    )
    neutral: str | None = option(
        None, metavar="PATH", help="Records on which drift is measured (default: --retain)."
    )
    paraphrases: str | None = option(
        None,
        metavar="PATH",
        help="Records with the id of one to forget and another wording of its prompt.",
    )
    base: str | None = option(None, metavar="MODEL", help="The model before it was to forget.")
    retrained: str | None = option(
        None, metavar="MODEL", help="A model that was trained without the texts."
    )
    prompt_field: str = option("prompt", metavar="NAME", help="Field of the prompt.")
    response_field: str = option("response", metavar="NAME", help="Field of the response.")
    limit: int = option(200, metavar="N", min=2, help="Only the first N records of each file.")
    words: int = option(
        32, metavar="N", min=1, help="Words of a continuation that are compared [ours]."
    )
    bits: list[int] | None = option(
        None,
        metavar="B,B",
        commas=True,
        min=2,
        max=8,
        help="Widths that weights are rounded to (default: 8,4).",
    )
    relearn_texts: int = option(
        4, metavar="N", min=1, help="Texts that the model learns again [ours]."
    )
    relearn_steps: int = option(
        30, metavar="N", min=0, help="Most steps that it has for that [ours]; 0: leave it out."
    )
    relearn_lr: float = option(
        5e-5, metavar="RATE", min=1e-9, help="Learning rate of these [ours]."
    )
    bootstrap: int = option(
        1000, metavar="B", min=0, max=100_000, help="Resamples for the intervals; 0 for none."
    )

    def check(self) -> None:
        super().check()
        if not self.model:
            raise UsageError("name the models to audit: synth audit MODEL…")
        for name, why in (("forget", "what was to be forgotten"), ("holdout", "never seen texts")):
            if getattr(self, name) is None:
                raise UsageError(f"name {why}: --{name} PATH")
        for name in _SETS:
            if getattr(self, name) == "-":
                raise UsageError(f"--{name} -: is read for each model: name a file, not stdin")
        if self.neutral is not None and self.base is None:
            raise UsageError("--neutral: drift is that from --base MODEL")
        if self.server is not None or self.backend not in ("auto", "torch"):
            raise UsageError(
                "an audit reads whole distributions and changes weights: --backend torch"
            )

    def form(self) -> DocumentFormat:
        """What records are read as."""
        from synthtools.training.documents import DocumentFormat, Fields

        return DocumentFormat(
            "answered", self.text_field, Fields("messages", self.prompt_field, self.response_field)
        )


def run(options: Options) -> dict[str, Any]:
    """Probes one model after the other."""
    from synthtools.cli.options import Inputs
    from synthtools.cli.run import Run
    from synthtools.evaluate.audit_figures import audited

    form = options.form()
    names = list(dict.fromkeys(options.model or ()))
    reading = Inputs(on_error=options.on_error, rejects=options.rejects, quiet=options.quiet)
    paths = {name: path for name in _SETS if (path := getattr(options, name)) is not None}
    others = [name for name in (options.retrained, options.base) if name is not None]
    for name in [*names, *others]:
        options.settings(name)  # refused before the first is loaded

    def check(batch: Batch) -> None:
        from synthtools.records.inputs import find_shards

        reworded = (
            {s.name for s in find_shards([options.paraphrases])} if options.paraphrases else ()
        )
        if batch.source not in reworded:
            form.documents(batch)

    with Run(
        "audit", reading, beside=[*paths.values()], bar=False, inputs=False, plot=options.plot,
        check_beside=check,
    ) as run:  # fmt: skip
        sets = {
            name: _items(run, options, path)
            for name, path in paths.items()
            if name != "paraphrases"
        }
        for name in ("forget", "holdout"):
            if len(sets[name]) < 2:
                raise SynthError(f"{paths[name]}: an audit compares texts: at least 2 are needed")
        if options.paraphrases is not None:
            sets["paraphrases"] = _reworded(run, options, sets["forget"])
        run.count(sum(map(len, sets.values())))
        probes: dict[str, ModelProbes] = {}
        # The base first: the others are held against it.
        for name in dict.fromkeys([*reversed(others), *names]):
            probes[name] = _probed(run, options, name, sets, probes.get(options.base or ""))
        rows = [
            audited(
                name,
                probes[name],
                probes.get(options.retrained or ""),
                probes.get(options.base or ""),
                options.bootstrap,
                options.seed,
            )
            for name in dict.fromkeys([*names, *others])
        ]
        missing = [
            name
            for name in ("base", "retrained", "paraphrases", "retain")
            if not getattr(options, name)
        ]
        return run.finish(
            {
                "kind": "audit",
                "models": rows,
                "base": options.base,
                "retrained": options.retrained,
                "texts": {name: len(items) for name, items in sets.items()},
                "left_out": missing,
            }
        )


def _items(run: Run, options: Options, path: str) -> list[AuditItem]:
    """The sound records of a file, up to the limit."""
    from synthtools.evaluate.memorised_text import AuditItem
    from synthtools.records.batch import MISSING
    from synthtools.records.inputs import find_shards
    from synthtools.records.reader import read

    items: list[AuditItem] = []
    for batch in read(find_shards([path]), run.rejects):
        for sound, documents in options.form().documents(batch, run.rejects):
            ids, wrong = sound.column("id"), sound.column("perturbed")
            for number, document in enumerate(documents):
                own = ids[number] if ids[number] is not MISSING else int(sound.numbers[number])
                others = tuple(wrong[number]) if isinstance(wrong[number], list) else ()
                if document.text.strip():
                    items.append(AuditItem(str(own), document.prompt or "", document.text, others))
        if len(items) >= options.limit:
            break
    return items[: options.limit]


def _reworded(run: Run, options: Options, forget: list[AuditItem]) -> list[AuditItem]:
    """The texts to forget after other wordings of their prompts, paired by id."""
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
    return paired


def _probed(
    run: Run,
    options: Options,
    name: str,
    sets: dict[str, list[AuditItem]],
    base: ModelProbes | None,
) -> ModelProbes:
    """All that is asked of one model."""
    import numpy as np

    from synthtools.cli import terminal
    from synthtools.evaluate.audit_figures import ModelProbes
    from synthtools.evaluate.memorised_text import continuations, likelihoods, split
    from synthtools.lm.generation import SamplingSettings
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.open_models import open_generator, open_model
    from synthtools.lm.scores import ScoreRequest
    from synthtools.training.relearned_steps import relearned_steps

    tell = terminal.remark_unless(options.quiet)
    tell(f"{name}: asking for the texts")
    settings = replace(options.settings(name), backend="torch")
    request = ScoreRequest(distribution=True)
    forget, holdout = sets["forget"], sets["holdout"]
    neutral = sets.get("neutral", sets.get("retain")) if options.base is not None else None
    sampling = SamplingSettings(0.0, 1.0, None, 4 * options.words)

    def halves(items: list[AuditItem]) -> tuple[list[AuditItem], list[str]]:
        parts = [split(item.text) for item in items]
        heads = [item.head + part[0] for item, part in zip(items, parts, strict=True)]
        rest = [item._replace(text=part[1]) for item, part in zip(items, parts, strict=True)]
        return rest, heads

    with open_model(settings, request, tell) as model:
        found = {key: likelihoods(model, items) for key, items in sets.items()}
        wrong = None
        if all(item.wrong for item in forget):
            means = [
                likelihoods(model, [item._replace(text=text) for text in item.wrong]).loss.mean()
                for item in forget
            ]
            wrong = np.array(means)
        few = forget[: options.relearn_texts]
        tokens = model.tokenise([i.text for i in few], [i.head for i in few])
        begin = model.begin
    with open_generator(settings, sampling, options.seed, tell) as generator:
        continued, others = (
            continuations(generator, *halves(x), options.words) for x in (forget, holdout)
        )
        alone = [items for items in (forget, holdout) if all(item.prompt for item in items)]
        answered: list[Any] = [
            continuations(generator, items, [i.head for i in items], options.words)
            for items in (alone if len(alone) == 2 else [])
        ]
        reworded = None
        if "paraphrases" in sets:
            other = sets["paraphrases"]
            reworded = continuations(generator, other, [i.head for i in other], options.words)
    probes = ModelProbes(found["forget"], found["holdout"], continued, others)
    if answered:
        probes.answered, probes.answered_holdout = answered
    probes.retain, probes.paraphrased = found.get("retain"), found.get("paraphrases")
    probes.reworded, probes.wrong = reworded, wrong
    for bits in options.bits or (8, 4):
        tell(f"{name}: with weights of {bits} bits")
        coarse = replace(settings, bits=bits)
        with open_model(coarse, request, tell) as model:
            scores = likelihoods(model, forget)
        with open_generator(coarse, sampling, options.seed, tell) as generator:
            probes.rounded[bits] = scores, continuations(generator, *halves(forget), options.words)
    if neutral is not None and options.base is not None:
        observed = replace(settings, observer=ModelName(options.base))
        with open_model(observed, request, tell) as model:
            probes.neutral = likelihoods(model, neutral)
        probes.neutral_entropy = probes.neutral.entropy if base is None else base.neutral_entropy
    if options.base is not None and options.relearn_steps:
        before = probes.forget if base is None else base.forget
        loss, count = (v[: len(few)] for v in (before.loss, before.tokens))
        goal = float((loss * count).sum() / count.sum())
        tell(f"{name}: relearning {len(few)} texts")
        probes.relearn_steps = options.relearn_steps
        probes.relearned = relearned_steps(
            settings.model,
            tokens,
            begin,
            goal * 1.001,
            options.relearn_steps,
            options.relearn_lr,
            options.devices,
        )
    return probes
