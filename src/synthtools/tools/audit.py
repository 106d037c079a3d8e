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

from typing import TYPE_CHECKING, Any

from synthtools.errors import SynthError, UsageError
from synthtools.tools.audit_options import SETS, Options

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.evaluate.audit_figures import ModelProbes
    from synthtools.evaluate.memorised_text import AuditItem, ItemRendering
    from synthtools.records.batch import Batch

__all__ = ["Options", "run"]


def run(options: Options) -> dict[str, Any]:
    """Probes one model after the other."""
    from synthtools.cli import terminal
    from synthtools.cli.options import Inputs
    from synthtools.cli.run import Run
    from synthtools.evaluate import audit_figures, suites
    from synthtools.evaluate.audit_figures import audited
    from synthtools.measure.significance import detectable_auc
    from synthtools.records.rejects import Rejects
    from synthtools.tools.audit_probes import ModelAudit

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
        audit = ModelAudit(options, sets, tasks, tell)
        probes: dict[str, ModelProbes] = {}
        for name in ordered:
            # What every model skips is counted once.
            rejects = Rejects(run.rejects.skip) if probes else run.rejects
            before = probes.get(options.base or "")
            probes[name] = audit.probed(name, renderings[name], before, rejects)
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
    from synthtools.evaluate.memorised_text import AuditItem
    from synthtools.records.batch import MISSING
    from synthtools.records.inputs import find_shards
    from synthtools.records.reader import read

    form = options.form()
    items: list[AuditItem] = []
    for batch in read(find_shards([path]), run.rejects):
        for sound, documents in form.documents(batch, run.rejects):
            ids, wrong = sound.column("id"), sound.column("perturbed")
            for number, document in enumerate(documents):
                own = ids[number] if ids[number] is not MISSING else int(sound.numbers[number])
                others = [] if wrong[number] in (MISSING, None) else wrong[number]
                if not isinstance(others, list) or not all(_says(text) for text in others):
                    reason = 'field "perturbed" is not a list of texts'
                    run.rejects.add(sound.fault(number, reason))
                    continue
                item = AuditItem.of(str(own), document, tuple(others))
                if _says(item.text):
                    items.append(item)
                else:
                    run.rejects.add(sound.fault(number, "the text is empty: nothing to ask for"))
        if len(items) >= options.limit:
            break
    return items[: options.limit]


def _says(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


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
