"""A run of unlearning: both streams, the model, the original, the loop, and the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.model_name import ModelName
from synthtools.lm.pretrained import load_configuration, load_tokenizer
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.training import models
from synthtools.training.corpus import Corpus
from synthtools.training.divergence import compared
from synthtools.training.forgotten_ledger import LEDGER, extended
from synthtools.training.frozen_model import FrozenModel, adapters_off, negated
from synthtools.training.language_model_task import RowStream
from synthtools.training.objectives import SteeredStates, UnlearnLoss
from synthtools.training.packers import SECOND, Blend, WholePacker
from synthtools.training.plan import Outcome, Plan, RunContext, Settings, Source
from synthtools.training.steered_states import SteeredTask
from synthtools.training.stop_rules import StopRule, StopRules
from synthtools.training.tokenized_rows import (
    Encoding,
    answered,
    blend_of,
    conversations,
    pairs,
    texts,
    tokens_of,
)
from synthtools.training.trainer import PreparedRun, fit, on_ranks, prepare
from synthtools.training.unlearn_task import FORGET, REPLAY, UnlearnTask


@dataclass(frozen=True)
class UnlearnGoal:
    """What to forget, how, and when to stop.

    Attributes:
        how: the method.
        context: tokens of a row of the forget stream.
        share: of a step's rows from the forget stream, if both streams are used.
        conversations: whether the documents to forget are conversations, by the chat template.
        answers_only: forget only the answers of prompts with answers.
        layer: of the hidden states that rmu steers, from 0; None for the default.
        original: the model to compare with; None for the starting model.
        rules: end the run.
        paired: report each step the rise of the replay loss over the original's on the same rows.
        compared_tokens: number of tokens of each set for the final comparison; 0 for none.
    """

    how: UnlearnLoss
    context: int
    share: float
    conversations: bool
    answers_only: bool
    original: ModelName | None
    rules: tuple[StopRule, ...]
    paired: bool
    compared_tokens: int
    layer: int | None = None


def run(
    forget: Sequence[Source],
    replay: Sequence[Source],
    valid: Sequence[Source],
    plan: Plan,
    goal: UnlearnGoal,
    settings: Settings,
    context: RunContext,
) -> Outcome:
    """Unlearns, and saves the model as a directory of transformers.

    Args:
        plan: of the model and of replay; its tokens and epochs are of the forget stream, or of replay
            without one.
        settings: without ``steps``, which follow from the plan's tokens or epochs.

    Raises:
        UsageError: the budget or the batch does not fit the data.
        SynthError: a stream is empty, or the directory cannot be written.
    """
    ranks, callbacks = context.ranks, context.callbacks
    assert plan.start.model is not None
    tokenizer = load_tokenizer(plan.start.model, plan.start.revision)
    encoding = encoding_of(tokenizer, goal, callbacks.remark)
    bad = tokens_of(forget, encoding, len(tokenizer), context)
    good = tokens_of([*replay, *valid], texts(tokenizer), len(tokenizer), context)
    kept, checks = good[: len(replay)], good[len(replay) :]
    validation = {s.name: corpus for s, corpus in zip(valid, checks, strict=True)}
    alone = [first_texts(corpus) for corpus in bad] if goal.how.pairs else bad
    shared = (
        _shared(forget, alone, [*replay, *valid], good, callbacks.remark) if ranks.first else {}
    )

    blends: dict[str, Blend] = {}
    if forget:
        blends[FORGET] = forgotten(forget, bad, goal.context, plan.seed)
    if replay:
        blends[REPLAY], _ = blend_of(replay, kept, plan)
    names = {FORGET: [s.name for s in forget], REPLAY: [s.name for s in replay]}
    tokens = sum(len(corpus.tokens) for corpus in bad)
    streams = streams_of(plan, goal, rows_of(goal, settings, ranks.count), blends, names, tokens)
    frozen = frozen_bytes(plan, goal, settings)
    run = prepare(plan, tokenizer, settings, streams, context, frozen)
    original = _original(goal, run)
    common = (run.root, original, goal.how, streams, settings.micro_rows, ranks, goal.paired)
    if isinstance(goal.how.objective, SteeredStates):
        task: UnlearnTask = SteeredTask(*common, layer=goal.layer, seed=plan.seed)
    else:
        task = UnlearnTask(*common)

    def comparison() -> dict[str, Any]:
        sets = [(FORGET, alone, goal.context)] * bool(forget)
        sets += [(REPLAY, kept, plan.context)] * bool(replay)
        sets += [(f"valid {name}", [one], plan.context) for name, one in validation.items()]
        surfaces = TextTokenizer(tokenizer).surfaces
        results = {
            name: compared(
                run.root,
                original,
                _whole(corpora, length),
                goal.compared_tokens,
                settings.micro_rows,
                ranks,
                surfaces,
                partial(callbacks.on_phase, f"comparing with the original: {name}"),
            )
            for name, corpora, length in sets
        }
        return {"sets": results, "shared_documents": shared}

    trained = zip([*forget, *replay], [*bad, *kept], strict=True)
    return fit(
        task,
        run,
        {source.name: corpus for source, corpus in trained},
        validation,
        rules=StopRules(goal.rules),
        compared=comparison if goal.compared_tokens else lambda: {"shared_documents": shared},
        ending=partial(negated, run.root, original, goal.how.beta)
        if goal.how.method == "taskvector"
        else None,
        beside=lambda outcome: {
            LEDGER: extended(plan, goal.how.method, forget, replay, outcome, context.job)
        },
    )


def encoding_of(tokenizer: Any, goal: UnlearnGoal, remark: Callable[[str], None]) -> Encoding:
    """The encoding of the documents to forget."""
    alone = goal.answers_only or goal.how.pairs
    if goal.conversations:
        form = conversations(tokenizer, goal.context, not alone, remark)
    else:
        form = answered(tokenizer, alone)
    return pairs(tokenizer, goal.context, form) if goal.how.pairs else form


def _copied(plan: Plan, goal: UnlearnGoal) -> ModelName | None:
    """The model that is loaded as the original; None if it is the trained one without its adapters."""
    if plan.lora is not None and goal.original is None:
        return None
    assert plan.start.model is not None
    return goal.original or ModelName(plan.start.model, plan.start.revision)


def frozen_bytes(plan: Plan, goal: UnlearnGoal, settings: Settings) -> int:
    """Bytes of the weights of the original's copy; 0 without one."""
    name = _copied(plan, goal)
    if name is None:
        return 0
    parameters: int = models.on_meta(load_configuration(name)).num_parameters()
    each: int = models.frozen_dtype(name, settings.bfloat16).itemsize
    return parameters * each


def _original(goal: UnlearnGoal, run: PreparedRun) -> FrozenModel:
    """The frozen original: the trained model without its adapters, or a copy."""
    built, root, settings = run.built, run.root, run.settings
    name = _copied(run.plan, goal)
    if name is None:
        return FrozenModel(root, lambda: adapters_off(root))
    ranks = run.context.ranks
    model = models.frozen(name, settings.bfloat16, ranks)
    ours, theirs = (m.get_output_embeddings().weight.shape[0] for m in (built.model, model))
    if ours != theirs:
        raise SynthError(
            f"{name.name}: has {theirs:,} tokens, the model that is trained {ours:,}; the original "
            "must share its vocabulary"
        )
    dtype = models.frozen_dtype(name, settings.bfloat16)
    return FrozenModel(on_ranks(model, settings, ranks, name.name, dtype, frozen=True))


def forgotten(
    sources: Sequence[Source], corpora: Sequence[Corpus], length: int, seed: int
) -> Blend:
    """Rows of uncut documents.

    Raises:
        SynthError: a source has none.
    """
    packers = []
    for source, corpus in zip(sources, corpora, strict=True):
        if not corpus.facts["documents"]:
            raise SynthError(f"{source.name}: has nothing to forget")
        packers.append(packer_of(corpus, length, seed))
    return Blend(packers)


def packer_of(corpus: Corpus, length: int, seed: int) -> WholePacker:
    """Rows of a corpus to forget.

    Raises:
        ValueError: it has no documents.
    """
    return WholePacker(corpus.tokens, corpus.starts, length, seed, corpus.learned)


def first_texts(corpus: Corpus) -> Corpus:
    """The first text of each pair of a corpus."""
    assert corpus.learned is not None
    second = np.zeros(len(corpus.tokens) + 1, np.int64)
    second[np.flatnonzero(corpus.learned == SECOND)] = 1
    second[corpus.starts[1:]] -= 1
    first = np.cumsum(second)[:-1] == 0
    starts = np.append(0, np.cumsum(first))[corpus.starts]
    return corpus._replace(
        tokens=corpus.tokens[first], starts=starts, learned=corpus.learned[first]
    )


def _whole(corpora: Sequence[Corpus], length: int) -> WholePacker:
    """The documents of several corpora as one."""
    if len(corpora) == 1:
        return packer_of(corpora[0], length, 0)
    tokens = np.concatenate([corpus.tokens for corpus in corpora])
    ends = np.cumsum([0, *(len(corpus.tokens) for corpus in corpora)])
    starts = [c.starts[:-1] + before for c, before in zip(corpora, ends[:-1], strict=True)]
    learned = None
    if any(corpus.learned is not None for corpus in corpora):
        learned = np.concatenate(
            [np.ones(len(c.tokens), np.uint8) if c.learned is None else c.learned for c in corpora]
        )
    return WholePacker(tokens, np.append(np.concatenate(starts), ends[-1]), length, 0, learned)


def rows_of(goal: UnlearnGoal, settings: Settings, processes: int) -> dict[str, int]:
    """Rows of a step by stream, forget first; without streams of weight 0.

    Raises:
        UsageError: too few rows for both streams.
    """
    weights = goal.how.weights
    if not weights.forget:
        return {REPLAY: settings.rows}
    if not (weights.replay or weights.kl):
        return {FORGET: settings.rows}
    each = settings.rows // processes
    forget = round(each * goal.share)
    if not 0 < forget < each:
        raise UsageError(
            f"{parameter('batch', settings.rows)}: too few rows for both streams on {processes} "
            f"process{'es' if processes > 1 else ''} at {parameter('forget_share')} {goal.share:g}"
        )
    return {FORGET: forget * processes, REPLAY: (each - forget) * processes}


def streams_of(
    plan: Plan,
    goal: UnlearnGoal,
    rows: dict[str, int],
    blends: dict[str, Blend],
    names: dict[str, list[str]],
    tokens: int,
) -> list[RowStream]:
    """The streams of a run.

    A budget of tokens counts the forget stream (replay without one); otherwise the run ends with the passes
    over the stream that ends first. The last step may be smaller.

    Args:
        rows: of a step by stream; names: of each stream's sources; tokens: of one pass over the forget
            stream.
    """
    lengths = {FORGET: goal.context, REPLAY: plan.context}
    if plan.tokens:
        first = next(iter(rows))  # forget comes first
        length = tokens / blends[FORGET].rows_of(1) if first == FORGET else plan.context
        limits = {first: max(1, round(plan.tokens / length))}
    else:
        limits = {name: blends[name].rows_of(plan.epochs) for name in rows}
    steps = min(-(-limit // rows[name]) for name, limit in limits.items())
    ends = {name: min(limits.get(name, steps * n), steps * n) for name, n in rows.items()}
    return [
        RowStream(name, blends[name], count, ends[name], lengths[name], names[name])
        for name, count in rows.items()
    ]


def _shared(
    forget: Sequence[Source],
    bad: Sequence[Corpus],
    others: Sequence[Source],
    good: Sequence[Corpus],
    remark: Callable[[str], None],
) -> dict[str, int]:
    """Counts documents to forget that are also in replay or validation, by source."""
    known = {document for corpus in bad for document in _documents(corpus)}
    shared = {}
    for source, corpus in zip(others, good, strict=True):
        count = sum(document in known for document in _documents(corpus)) if known else 0
        if count:
            shared[source.name] = count
            names = ", ".join(s.name for s in forget)
            remark(f"{source.name}: {count:,} of its documents are also to be forgotten ({names})")
    return shared


def _documents(corpus: Corpus) -> list[int]:
    """A hash of each document's tokens."""
    bounds = zip(corpus.starts[:-1], corpus.starts[1:], strict=True)
    return [hash(corpus.tokens[start:end].tobytes()) for start, end in bounds]
