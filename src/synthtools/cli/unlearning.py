"""A run of ``synth unlearn`` at a terminal: checks, streams, the plan, the report."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli import quantities, recipe, standing
from synthtools.cli.options import Inputs, TextField
from synthtools.cli.planning import planned, surveyed
from synthtools.cli.publish import show
from synthtools.cli.recipe import Adapters, Compute, Conversations, Keeping, Recipe, Watching
from synthtools.cli.run import Run
from synthtools.cli.sources import (
    Form,
    Reader,
    documents_of,
    short_name,
    sources_of,
    validation_of,
)
from synthtools.cli.training import CONTINUED, job_of, own_context, result, show_numbers
from synthtools.errors import UsageError
from synthtools.machine import process
from synthtools.records.batch import Batch
from synthtools.records.inputs import Shard, find_shards
from synthtools.records.rejects import Rejects
from synthtools.reports import document

if TYPE_CHECKING:
    from synthtools.records.claim import Claim
    from synthtools.training.forgetting import Aim
    from synthtools.training.methods import Forgetting
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Outcome, Plan, Settings, Source, Watch

_UNTIL = {"forget-ppl": "forget_ppl", "kl": "kl", "drift": "drift"}


@dataclass(frozen=True)
class What:
    """Options of unlearn alone, as given."""

    forget: tuple[str, ...]
    replay: tuple[str, ...]
    model: str | None
    revision: str | None
    method: str
    weights: str | None
    beta: float | None
    margin: float
    kl_direction: str
    reference: str | None
    tokens: str | None
    epochs: float
    forget_share: float
    context: int | None
    forget_context: int | None
    sft: bool
    answers_only: bool
    until: tuple[str, ...]
    max_replay_rise: str | None
    norms_every: int
    compare_tokens: str


def run_unlearning(
    reading: Inputs,
    text: TextField,
    conversations: Conversations,
    seed: int,
    jobs: int | None,
    what: What,
    how: Recipe,
    compute: Compute,
    adapters: Adapters,
    keeping: Keeping,
    watching: Watching,
    output: str | None,
    report_file: str | None,
    plot: str | None,
) -> None:
    """Unlearns and saves a model directory; see ``synth unlearn --help``."""
    method = _method(what)
    _check(what, method, watching, output, plot)
    recipe.checked(how, compute, keeping, watching)
    replayed = sources_of(what.replay)
    valid = [validation_of(entry) for entry in watching.valid or []]
    rank, count = process()
    settings = replace(
        recipe.settings(how, compute, keeping, watching, learning_rate=CONTINUED, ranks=count),
        norms_every=what.norms_every,
    )
    plan = _plan(what, adapters, keeping, seed)
    aim = _aim(what, method)
    folder = Path(output or ".")
    place: AbstractContextManager[Claim | None] = nullcontext()
    if rank == 0 and not watching.dry_run:
        place = standing.prepared(folder, keeping.resume, keeping.force)
    quiet = reading.quiet or rank > 0
    named = [*what.forget, *(path for path, _ in replayed)]
    inputs = replace(reading, files=named, quiet=quiet)
    beside = [path for _, path in valid]
    kind = "conversation" if what.sft else "answered"
    asked_form = Form(kind, text.text_field, conversations)
    plain_form = Form("text", text.text_field)
    forgotten = {shard.name for shard in find_shards(what.forget)} if what.forget else set()

    def check(batch: Batch) -> None:
        form = asked_form if batch.source in forgotten else plain_form
        documents_of(batch, form, Rejects())

    run = Run(
        "unlearn",
        inputs,
        beside=beside,
        bar=False,
        plot=plot,
        check=check,
        check_beside=lambda batch: documents_of(batch, plain_form, Rejects()),
    )
    with place as claim, run:
        from synthtools.lm.loading import load_tokenizer
        from synthtools.training import parallel
        from synthtools.training.forgetting import run as unlearn

        parallel.use_cores(jobs)
        ranks = parallel.join(compute.device)
        assert what.model is not None
        plan = replace(plan, context=what.context or own_context(what.model, what.revision))
        aim = replace(aim, context=what.forget_context or plan.context)
        hashed = not watching.dry_run
        asked = Reader(run, asked_form, hashed)
        plain = Reader(run, plain_form, hashed)
        shards = [find_shards([path]) for path in named]
        split = len(what.forget)
        forget = [
            asked.source(short_name(path), some)
            for path, some in zip(what.forget, shards, strict=False)
        ]
        replay = [
            plain.source(short_name(path), some, share)
            for (path, share), some in zip(replayed, shards[split:], strict=True)
        ]
        sets = [plain.source(name, find_shards([path])) for name, path in valid]
        if watching.dry_run:
            both = list(zip([*forget, *replay], shards, strict=True))
            found = _planned(both[:split], both[split:], plan, aim, settings, ranks)
            if ranks.first:
                show_numbers(run.finish(found), report_file, watching.json_output, list(found))
            return
        job = job_of(run, [*forget, *replay, *sets])

        def fit(watch: Watch) -> Outcome:
            return unlearn(
                forget,
                replay,
                sets,
                plan,
                aim,
                settings,
                folder,
                None if keeping.cache is None else Path(keeping.cache),
                ranks,
                job=job,
                load_tokenizer=load_tokenizer,
                watch=watch,
            )

        def numbers(outcome: Outcome) -> dict[str, Any]:
            return {
                "method": what.method,
                "weights": method.weights._asdict(),
                **result(output, folder, outcome),
                "ended_by": outcome.ended_by,
                **(outcome.compared or {}),
            }

        report = standing.carried_out(run, folder, job, ranks, watching, plot, fit, numbers, claim)
        if ranks.first:
            if report_file is not None:
                document.save(report, report_file)
            show(report, watching.json_output, _table(report))
    ranks.leave()


def _method(what: What) -> Forgetting:
    from synthtools.training.methods import Weights, forgetting

    weights = None
    if what.weights is not None:
        try:
            weights = Weights(*(float(part) for part in what.weights.split(",")))
        except (TypeError, ValueError):
            weights = Weights(-1.0, -1.0, -1.0)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights):
            raise UsageError(
                f"--weights {what.weights}: write three numbers, none below 0: 0.01,1,1"
            )
    if what.kl_direction not in ("forward", "reverse"):
        raise UsageError(f"--kl-direction {what.kl_direction}: use forward or reverse")
    return forgetting(what.method, weights, what.beta, what.margin, what.kl_direction == "reverse")


def _check(
    what: What, method: Forgetting, watching: Watching, output: str | None, plot: str | None
) -> None:
    if what.model is None:
        raise UsageError("unlearn needs --model MODEL")
    if plot is not None and (watching.dry_run or what.compare_tokens == "0"):
        raise UsageError("--plot draws the comparison of both models; it needs a run that makes it")
    if output is None and not watching.dry_run:
        raise UsageError("unlearn needs -o DIR for the model")
    if "-" in (*what.forget, *what.replay):
        raise UsageError("unlearn reads its data more than once: name files, not stdin")
    if method.weights.forget and not what.forget:
        raise UsageError(f"--method {what.method} needs --forget PATH")
    if (method.weights.replay or method.weights.kl) and not what.replay:
        raise UsageError(f"--method {what.method} needs --replay PATH (or weights of 0 for it)")
    if what.max_replay_rise is not None and not (method.weights.replay or method.weights.kl):
        raise UsageError(f"--max-replay-rise: {what.method} replays nothing")
    names = [short_name(path) for path in what.forget]
    names += [short_name(path) for path, _ in sources_of(what.replay)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two sources are called {name}: rename one")


def _plan(what: What, adapters: Adapters, keeping: Keeping, seed: int) -> Plan:
    from synthtools.training.plan import Plan, Start

    return Plan(
        Start(None, what.model, what.revision),
        adapters.lora(),
        None,
        None,
        what.context or 0,
        None if what.tokens is None else quantities.count(what.tokens, "--tokens"),
        what.epochs,
        seed,
        save_dtype=keeping.save_dtype,
    )


def _aim(what: What, method: Forgetting) -> Aim:
    from synthtools.lm.loading import ModelName
    from synthtools.training.forgetting import Aim
    from synthtools.training.stopping import Rule

    rules = []
    for entry in what.until:
        name, _, value = entry.partition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = math.nan
        if name not in _UNTIL or not math.isfinite(limit):
            raise UsageError(f"--until {entry}: write NAME=VALUE, of {', '.join(_UNTIL)}")
        if name == "kl" and not method.weights.kl:
            raise UsageError(f"--until {entry}: {what.method} measures no KL while it runs")
        if name == "forget-ppl" and not method.weights.forget:
            raise UsageError(f"--until {entry}: {what.method} forgets nothing")
        rules.append(Rule(_UNTIL[name], limit))
    if what.max_replay_rise is not None:
        rules.append(Rule("replay_rise", _share(what.max_replay_rise)))
    return Aim(
        how=method,
        context=what.forget_context or 0,
        share=what.forget_share,
        conversations=what.sft,
        answers_only=what.answers_only,
        original=None if what.reference is None else ModelName(what.reference),
        rules=tuple(rules),
        paired=what.max_replay_rise is not None,
        compared_tokens=quantities.count(what.compare_tokens, "--compare-tokens")
        if what.compare_tokens != "0"
        else 0,
    )


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not (math.isfinite(share) and share >= 0):
        raise UsageError(f"--max-replay-rise {text}: write a share: 5% or 0.05")
    return share


def _planned(
    forget: list[tuple[Source, list[Shard]]],
    replay: list[tuple[Source, list[Shard]]],
    plan: Plan,
    aim: Aim,
    settings: Settings,
    ranks: Ranks,
) -> dict[str, Any]:
    """What the run would amount to."""
    from synthtools.lm.loading import load_tokenizer
    from synthtools.training import data, forgetting
    from synthtools.training.fitting import RowCounts
    from synthtools.training.objectives import DocumentObjective

    assert plan.start.model is not None
    tokenizer = load_tokenizer(plan.start.model, plan.start.revision)
    encoding = {
        "forget": forgetting.encoding_of(tokenizer, aim, lambda remark: None),
        "replay": data.texts(tokenizer),
    }
    lay = {
        "forget": lambda corpus: forgetting.packer_of(corpus, aim.context, plan.seed),
        "replay": lambda corpus: data.packer_of(corpus, plan),
    }
    sources = {"forget": forget, "replay": replay}
    lengths = {"forget": aim.context, "replay": plan.context}
    rows = forgetting.rows_of(aim, settings, ranks.count)
    found = {
        name: surveyed(sources[name], lengths[name], encoding[name], len(tokenizer), lay[name])
        for name in rows
    }
    blends = {name: counted.blend for name, counted in found.items()}
    _, ends = forgetting.ends_of(
        plan, rows, blends, found["forget"].tokens if "forget" in found else 0
    )
    counts = {name: RowCounts(rows[name], ends[name], lengths[name]) for name in rows}
    repeated = sum(g.repeated for name in rows for g in blends[name].given(ends[name]))
    # The share of the tokens that the original reads too.
    objective = aim.how.objective
    read = {
        "forget": isinstance(objective, DocumentObjective) and objective.compares,
        "replay": bool(aim.how.weights.kl or aim.paired),
    }
    total = sum(kind.run * kind.length for kind in counts.values())
    also = sum(kind.run * kind.length for name, kind in counts.items() if read[name])
    return planned(
        plan, settings, ranks, list(counts.values()), repeated, len(tokenizer), also / total
    )


def _table(report: dict[str, Any]) -> list[str]:
    names = ("method", "model", "steps", "skipped_steps", "final_loss", "ended_by")
    rows = [(n.replace("_", " "), _shown(report[n])) for n in names if report[n] is not None]
    sets = report.get("sets") or {}
    for name, found in sets.items():
        rows.append((f"{name}: perplexity", _change(found["perplexity"])))
        rows.append((f"{name}: entropy", _change(found["entropy"])))
        rows.append((f"{name}: KL", document.number(found["kl"])))
    for name, count in (report.get("shared_documents") or {}).items():
        rows.append((f"{name}: also to be forgotten", f"{count:,} documents"))
    for found in list(sets.values())[:1]:
        for word in ("fallen", "risen"):
            tokens = " ".join(repr(entry["token"]) for entry in found[word][:8])
            rows.append(
                (f"tokens expected {'less' if word == 'fallen' else 'more'}", tokens or "–")
            )
    return document.table(rows)


def _change(found: dict[str, float]) -> str:
    return f"{document.number(found['before'])} → {document.number(found['after'])}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else document.number(value)
