"""A whole run of unlearning: both streams, the model, the original, the loop, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.errors import SynthError, UsageError
from synthtools.lm.loading import ModelName
from synthtools.lm.tokens import TextTokenizer
from synthtools.training import models
from synthtools.training.corpus import Corpus
from synthtools.training.data import (
    answered,
    blend_of,
    conversations,
    texts,
    tokens_of,
)
from synthtools.training.divergence import compared
from synthtools.training.fitting import built_for, fit, prepared, sizes_of, with_steps, work_folder
from synthtools.training.methods import Forgetting
from synthtools.training.modelling import Headed
from synthtools.training.models import Built
from synthtools.training.packing import Blend, Whole
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Outcome, Plan, Settings, Source, Watch
from synthtools.training.stopping import Rule, Rules
from synthtools.training.unlearning import (
    FORGET,
    REPLAY,
    FrozenModel,
    Stream,
    Unlearning,
    adapters_off,
)


@dataclass(frozen=True)
class Aim:
    """What is to be forgotten, how, and when it is enough.

    Attributes:
        how: the method.
        context: tokens of a row of what is forgotten.
        share: of a step's rows that are to be forgotten, where both streams are drawn from.
        conversations: what is forgotten are conversations, by the chat template.
        answers_only: of prompts with answers the answers alone are forgotten.
        original: the model that is compared with; None for the one that is begun with.
        rules: end the run.
        paired: compare replay with the original's loss on the same rows, each step.
        compared_tokens: of each set, read by both models at the end; 0 for none.
    """

    how: Forgetting
    context: int
    share: float
    conversations: bool
    answers_only: bool
    original: ModelName | None
    rules: tuple[Rule, ...]
    paired: bool
    compared_tokens: int


def run(
    forget: Sequence[Source],
    replay: Sequence[Source],
    valid: Sequence[Source],
    plan: Plan,
    aim: Aim,
    settings: Settings,
    output: Path,
    cache: Path | None,
    ranks: Ranks,
    *,
    job: dict[str, Any],
    load_tokenizer: Callable[[str, str | None], Any],
    watch: Watch,
) -> Outcome:
    """Unlearns, and saves the model as a directory of transformers.

    Args:
        plan: of the model and of replay; its tokens and epochs are those of what is forgotten, of
            replay where nothing is.
        settings: ``steps`` 0 means: from the plan's tokens or epochs.

    Raises:
        UsageError: the budget or the batch does not fit.
        SynthError: a stream is empty, or the directory cannot be written.
    """
    work = work_folder(output)
    assert plan.start.model is not None
    tokenizer = load_tokenizer(plan.tokenizer or plan.start.model, plan.start.revision)
    folder = cache or work / "tokens"
    encoding = (
        conversations(tokenizer, aim.context, not aim.answers_only, watch.tell)
        if aim.conversations
        else answered(tokenizer, aim.answers_only)
    )
    vocabulary = len(tokenizer)
    bad = tokens_of(forget, encoding, vocabulary, folder, watch.tell, ranks)
    plain = texts(tokenizer)  # sets the tokenizer to plain text
    good = tokens_of([*replay, *valid], plain, vocabulary, folder, watch.tell, ranks)
    kept, checks = good[: len(replay)], good[len(replay) :]
    shared = _shared(forget, bad, [*replay, *valid], good, watch.tell) if ranks.first else {}

    blends: dict[str, tuple[Blend, float]] = {}
    if forget:
        blends[FORGET] = _forgotten(forget, bad, aim.context, plan.seed)
    if replay:
        blend, shares = blend_of(replay, kept, plan)
        blends[REPLAY] = blend, blend.most_rows(shares)
    rows = rows_of(aim, settings, ranks.count)
    streams = [Stream(name, blends[name][0], count) for name, count in rows.items()]
    tokens = {
        FORGET: _mean_tokens(bad, blends.get(FORGET)),
        REPLAY: float(plan.context),
    }
    steps = settings.steps or _steps(plan, rows, blends, tokens)
    settings = with_steps(settings, steps, plan.seed)

    built = built_for(plan, tokenizer, settings, ranks)
    lengths = {FORGET: aim.context, REPLAY: plan.context}
    sizes = sizes_of(
        built.model.config,
        (built.parameters, built.trained),
        [(count, lengths[name]) for name, count in rows.items()],
        settings,
        ranks,
    )
    watch.on_sizes(sizes, settings)
    root = prepared(built.model, settings, ranks)
    original = _original(plan, aim, built, root, settings, ranks)
    task = Unlearning(
        root,
        original,
        aim.how,
        streams,
        settings.micro_rows,
        ranks,
        settings.bfloat16,
        aim.paired,
    )
    named = [(FORGET, forget, bad, aim.context), (REPLAY, replay, kept, plan.context)]
    sets = [(name, corpora, length) for name, some, corpora, length in named if some]
    sets += [(f"valid {s.name}", [c], plan.context) for s, c in zip(valid, checks, strict=True)]

    def both() -> dict[str, Any]:
        surfaces = TextTokenizer(tokenizer).surfaces
        found = {}
        for name, corpora, length in sets:
            watch.tell(f"comparing with the original: {name}")
            found[name] = compared(
                root,
                original,
                _whole(corpora, length, 0),
                aim.compared_tokens,
                settings.micro_rows,
                ranks,
                settings.bfloat16,
                surfaces,
            )
        return {"sets": found, "shared_documents": shared}

    data = {
        source.name: corpus
        for source, corpus in [*zip(forget, bad, strict=True), *zip(replay, kept, strict=True)]
    }
    return fit(
        task,
        built,
        tokenizer,
        plan,
        settings,
        sizes,
        data,
        {s.name: corpus for s, corpus in zip(valid, checks, strict=True)},
        output,
        ranks,
        job=job,
        watch=watch,
        rules=Rules(aim.rules),
        compared=both if aim.compared_tokens else lambda: {"shared_documents": shared},
    )


def _original(
    plan: Plan, aim: Aim, built: Built, root: Headed, settings: Settings, ranks: Ranks
) -> FrozenModel:
    """The frozen model: the trained one without its adapters, or a copy."""
    if built.adapters is not None and aim.original is None:
        return FrozenModel(root, lambda: adapters_off(root))
    assert plan.start.model is not None
    name = aim.original or ModelName(plan.start.model, plan.start.revision)
    model = models.frozen(name, settings.bfloat16)
    ours, theirs = (m.get_output_embeddings().weight.shape[0] for m in (built.model, model))
    if ours != theirs:
        raise SynthError(
            f"{name.name}: has {theirs:,} tokens, the model that is trained {ours:,}; the original "
            "must share its vocabulary"
        )
    return FrozenModel(prepared(model, settings, ranks, frozen=True))


def _forgotten(
    sources: Sequence[Source], corpora: Sequence[Corpus], length: int, seed: int
) -> tuple[Blend, float]:
    """Rows of whole documents, and how many one pass has."""
    packers = []
    for source, corpus in zip(sources, corpora, strict=True):
        if not corpus.facts["documents"]:
            raise SynthError(f"{source.name}: holds nothing to forget")
        packers.append(Whole(corpus.tokens, corpus.starts, length, seed, corpus.learned))
    total = sum(packer.rows for packer in packers)
    return Blend(packers, [packer.rows / total for packer in packers]), total


def _whole(corpora: Sequence[Corpus], length: int, seed: int) -> Whole:
    """The documents of several corpora as one."""
    if len(corpora) == 1:
        only = corpora[0]
        return Whole(only.tokens, only.starts, length, seed, only.learned)
    tokens = np.concatenate([corpus.tokens for corpus in corpora])
    ends = np.cumsum([0, *(len(corpus.tokens) for corpus in corpora)])
    starts = [c.starts[:-1] + before for c, before in zip(corpora, ends[:-1], strict=True)]
    learned = None
    if any(corpus.learned is not None for corpus in corpora):
        learned = np.concatenate(
            [np.ones(len(c.tokens), np.uint8) if c.learned is None else c.learned for c in corpora]
        )
    return Whole(tokens, np.append(np.concatenate(starts), ends[-1]), length, seed, learned)


def rows_of(aim: Aim, settings: Settings, processes: int) -> dict[str, int]:
    """Rows of a step by stream, what is forgotten first; a stream without weight gives none.

    Raises:
        UsageError: there are too few for both.
    """
    weights = aim.how.weights
    if not weights.forget:
        return {REPLAY: settings.rows}
    if not (weights.replay or weights.kl):
        return {FORGET: settings.rows}
    each = settings.rows // processes
    forget = round(each * aim.share)
    if not 0 < forget < each:
        raise UsageError(
            f"--batch {settings.rows}: too few rows for both streams on {processes} "
            f"process{'es' if processes > 1 else ''} at --forget-share {aim.share:g}"
        )
    return {FORGET: forget * processes, REPLAY: (each - forget) * processes}


def _mean_tokens(corpora: Sequence[Corpus], laid: tuple[Blend, float] | None) -> float:
    """Tokens of a row of whole documents, without padding."""
    if laid is None:
        return 0.0
    return sum(len(corpus.tokens) for corpus in corpora) / laid[1]


def _steps(
    plan: Plan,
    rows: dict[str, int],
    blends: dict[str, tuple[Blend, float]],
    tokens: dict[str, float],
) -> int:
    if plan.tokens:
        name = FORGET if FORGET in rows else REPLAY
        return max(1, round(plan.tokens / (rows[name] * tokens[name])))
    # One pass over the stream that ends first.
    passes = min(blends[name][1] / count for name, count in rows.items())
    return max(1, int(plan.epochs * passes))


def _shared(
    forget: Sequence[Source],
    bad: Sequence[Corpus],
    others: Sequence[Source],
    good: Sequence[Corpus],
    tell: Callable[[str], None],
) -> dict[str, int]:
    """Documents that are to be forgotten and stand in replay or validation too, by source."""
    known = {document for corpus in bad for document in _documents(corpus)}
    found = {}
    for source, corpus in zip(others, good, strict=True):
        count = sum(document in known for document in _documents(corpus)) if known else 0
        if count:
            found[source.name] = count
            names = ", ".join(s.name for s in forget)
            tell(f"{source.name}: {count:,} of its documents are also to be forgotten ({names})")
    return found


def _documents(corpus: Corpus) -> list[int]:
    """A hash of each document's tokens."""
    bounds = zip(corpus.starts[:-1], corpus.starts[1:], strict=True)
    return [hash(corpus.tokens[start:end].tobytes()) for start, end in bounds]
