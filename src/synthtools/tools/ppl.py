"""Perplexity of each record under a language model.

Adds ppl, nll (nats per token), n_tokens (the tokens that have a probability: all but the first,
which has one only after a begin-of-text token or a prompt) and bits_per_byte (over the bytes of
the scored tokens; comparable between tokenizers). They are null where no token could be scored.

--detector adds, from the same pass, numbers that differ between text of people and of models:
entropy, log_rank, top_1, fast_detect (Fast-DetectGPT's curvature), min_k and min_k_plus (Min-K%
and Min-K%++, k = 20), spread (of log-probabilities), entropy_spread; with --observer binoculars.
Null where a document is too short; from vLLM and servers, which give only ranks, entropy,
entropy_spread, fast_detect and min_k_plus are null too. None proves anything of a single text.

--summary reports the distribution instead: token-weighted perplexity, median, mean, the mean
without outliers (1.5 interquartile ranges), percentiles, a histogram, and the ten-bin histogram
of token probabilities (the U shape of ToEdit).

--compare compares distributions (coverage collapse): the share of each outside the range of the
other and above its 99th percentile, overlap, Jensen–Shannon, Wasserstein, Kolmogorov–Smirnov,
variance ratio, shifts, each with an interval. For one data set under several models it adds the
divergence per token.

\b
Examples:
  synth ppl human.jsonl -o scored.parquet
  synth edit human.jsonl.zst | synth ppl --summary
  synth ppl qa.jsonl --prompt-field question --text-field answer --summary
  synth ppl human.jsonl --candidates 8 -o scores.parquet
  synth ppl crawl.jsonl --detector --model smollm2 | jq '.fast_detect, .min_k, .entropy'
  synth ppl human.jsonl synthetic.jsonl --compare --plot ppl.png
  synth ppl held.jsonl --model synthlm/ --model unlearned/ --compare --json

Memory: the model, some MB of text ahead; with --summary 8 bytes a record, with --compare
about 100; the models of a comparison are loaded one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from synthtools.cli.kinds import FieldName, ModelId, Resamples
from synthtools.cli.model_options import Models
from synthtools.cli.options import Inputs, Json, Output, Picture, Seed, Workers
from synthtools.cli.parameters import option
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.lm.scorer import LanguageModel
    from synthtools.measure.perplexity_comparison import Side
    from synthtools.records.batch import Batch
    from synthtools.records.inputs import Shard
    from synthtools.records.rejects import Rejects


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Output, Json, Picture, Models, Seed, Workers):
    """Options of ``synth ppl``."""

    prompt_field: FieldName | None = option(
        help="Score the text given the prompt in this field (instruction data); the prompt itself "
        "is not scored."
    )
    tokens: bool = option(
        False, help="Add token_ids and token_logprobs (null for an unscored token)."
    )
    candidates: int = option(
        0,
        metavar="K",
        min=0,
        help="Add the K most probable tokens at every token, for synth edit --scores.",
    )
    detector: bool = option(
        False, help="Add the numbers of detectors of generated text (see above), in the same pass."
    )
    observer: ModelId | None = option(
        help="With --detector: a second model of the same tokens, whose distribution --model is "
        "held against; adds binoculars. --model is the performer. torch only."
    )
    summary: bool = option(False, help="Print the distribution as a report instead of records.")
    compare: bool = option(
        False,
        help="Report how the distributions of the inputs differ, pair by pair; or those of one "
        "input under several models. Records that have ppl or nll are not scored again, unless "
        "several models are named.",
    )
    linear: bool = option(
        False,
        help="With --compare: densities of the perplexity itself, not of its logarithm. Perplexity "
        "is skewed; a kernel of one width fits its logarithm.",
    )
    bootstrap: Resamples = option(
        200, help="With --compare: resamples behind the 95 % intervals [ours]; 0 for none."
    )
    epsilon: float = option(
        0.1,
        metavar="NATS",
        min=0.0,
        help="With --compare of two models: the divergence per token above which text of the first "
        "model is purely synthetic to the second (ToEdit, equation 9; the paper gives no value "
        "[ours]). Holds for text sampled at temperature 1 and top-p 1; withheld where the fields "
        "of generate say otherwise.",
    )

    def check(self) -> None:
        super().check()
        if self.summary and self.compare:
            raise UsageError("--summary and --compare are reports of their own; give one")
        if self.prints_report() and (self.tokens or self.candidates or self.detector):
            raise UsageError("--tokens, --candidates and --detector are for records, not reports")
        if self.observer is not None and not self.detector:
            raise UsageError("--observer belongs to --detector")
        if self.observer is not None and (self.server or self.backend in ("vllm", "server")):
            raise UsageError("--observer needs --backend torch")
        if self.plot is not None and not self.prints_report():
            raise UsageError("--plot belongs to --summary and --compare")
        models, inputs = self.names(), len(self.files or "-")
        if len(models) > 1 and not self.compare:
            raise UsageError("several models are for --compare; name one")
        if len(models) > 1 and inputs > 1:
            raise UsageError(
                "several models compare one data set: give one input (a directory counts as one)"
            )
        if self.compare and len(models) == inputs == 1:
            raise UsageError("--compare needs two inputs or more, or two models for one input")
        if len(set(models)) < len(models):
            raise UsageError("--compare: one model is named twice")
        for name in models:
            self.settings(name=name)

    def prints_report(self) -> bool:
        return self.summary or self.compare

    def detector_fields(self) -> tuple[str, ...]:
        """The fields that --detector adds."""
        from synthtools.measure.scored_records import DetectorScore

        fields = DetectorScore._fields if self.detector else ()
        return fields if self.observer is not None else fields[:-1]


def run(options: Options) -> dict[str, Any]:
    """Scores records; writes them, or reports their distribution."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark_unless
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.open_models import open_model
    from synthtools.lm.scores import ScoreRequest
    from synthtools.measure.perplexity import Summary
    from synthtools.measure.scored_records import scored, with_fields

    if options.compare:
        return _compare(options)
    prompt = options.prompt_field
    prompts = ((prompt, "--prompt-field"),) if prompt else ()
    output = None if options.summary else options
    with Run("ppl", options, output, options.text_field, prompts) as run:
        if run.done:
            return run.finish({"tokens": run.totals.get("tokens", 0)})
        request = ScoreRequest(options.candidates, distribution=options.detector)
        settings, fields = options.settings(), options.detector_fields()
        if options.observer is not None:
            observer = ModelName(options.observer)
            observer.refuse_absent()
            settings = replace(settings, backend="torch", observer=observer)
        tell = remark_unless(options.quiet)
        with open_model(settings, request, tell) as model:
            run.model, run.progress.scoring = model.description, model.progress
            if fields and model.description["backend"] != "torch":
                tell(
                    "only --backend torch has both of entropy, fast_detect and min_k_plus: they are null"
                )
            batches = run.batches(model.chunk_bytes)
            items = scored(batches, model, request, run.text_field, prompt, run.rejects)
            if not options.summary:
                run.write(
                    with_fields(i, options.tokens, options.candidates > 0, fields) for i in items
                )
                result: dict[str, Any] = {"tokens": run.totals.get("tokens", 0)}
            else:
                summary = Summary()
                for item in items:
                    logprobs = [scores.logprobs for scores in item.scores]
                    summary.add(item.documents, item.scored_bytes, logprobs)
                    run.count(len(item.batch))
                result = {"kind": "ppl-summary", **summary.result()}
            run.units["tokens"] = result["tokens"]
            return run.finish(result)


def _compare(options: Options) -> dict[str, Any]:
    """Scores what is not scored yet and compares the sides, pair by pair."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark
    from synthtools.lm.open_models import open_model
    from synthtools.lm.scores import ScoreRequest
    from synthtools.measure import perplexity_comparison as comparing
    from synthtools.records.rejects import Rejects

    names = options.names()
    paired = len(names) > 1
    descriptions: list[dict[str, Any]] = []

    run: Run

    def check(first: Batch) -> None:
        if paired or not comparing.has_scores(first):
            field = run.text_field if paired else options.text_in(first)
            _with_texts(field, first, options, Rejects())
        else:
            comparing.sound_scores(first, Rejects())

    def opened(name: str) -> AbstractContextManager[LanguageModel]:
        model = open_model(options.settings(name=name), ScoreRequest(), remark)
        descriptions.append(model.description)
        return model

    run = Run("ppl", options, text_field=options.text_field, apart=not paired, check=check)
    with run:
        if paired:
            sides = _under_models(options, run, opened)
        else:
            with ExitStack() as stack:
                model = cache(lambda: stack.enter_context(opened(names[0])))
                sides = [
                    _of_input(options, run, model, comparing.Side(name), shards)
                    for name, shards in run.groups()
                ]
        run.units["tokens"] = sum(t for side in sides for t in side.tokens if t > 0)
        if paired:
            run.model = {"name": " and ".join(names), "models": descriptions}
        elif descriptions:
            run.model = descriptions[0]
        if not options.quiet:
            for line in comparing.caveats(sides, paired):
                remark(line)
        return run.finish(
            comparing.comparison(
                sides,
                log=not options.linear,
                resamples=options.bootstrap,
                seed=options.seed,
                epsilon=options.epsilon,
                paired=paired,
            )
        )


def _under_models(
    options: Options, run: Run, opened: Callable[[str], AbstractContextManager[LanguageModel]]
) -> list[Side]:
    """The same records under each model; one model is open at a time."""
    from synthtools.measure.perplexity_comparison import Side
    from synthtools.records.map_threads import NotedRejects
    from synthtools.records.reader import read
    from synthtools.records.rejects import LateRejects

    shards = run.twice(run.shards)
    sides: list[Side] = []
    first: list[tuple[str, int]] = []
    for name in options.names():
        side = Side(name, name)
        with opened(name) as model:
            rejects = run.rejects_of(again=bool(sides))
            batches, field = run.counted(shards, read(shards, rejects), rejects), run.text_field
            batches = (_with_texts(field, batch, options, rejects) for batch in batches)
            refused = NotedRejects(skip=run.rejects.skip)
            _score(options, run, model, field, batches, side, refused, count=not sides)
            places = [(error.source, error.number) for error in refused.errors]
        if not sides:
            first = places
            for error in refused.errors:
                LateRejects(run.rejects).add(error)
        elif places != first:
            raise SynthError(
                f"{name}: its tokenizer fails at other texts than that of {options.names()[0]}, so "
                "that they cannot be compared text by text"
            )
        sides.append(side)
    return sides


def _of_input(
    options: Options, run: Run, model: Callable[[], LanguageModel], side: Side, shards: list[Shard]
) -> Side:
    """The records of an input; the first one shows whether they are scored already."""
    from itertools import chain

    from synthtools.measure.perplexity_comparison import has_scores, sound_scores
    from synthtools.records.reader import read

    batches = run.counted(shards, read(shards, run.rejects), run.rejects)
    first = next(batches, None)
    if first is None:
        return side
    batches = chain([first], batches)
    if has_scores(first):
        for batch in batches:
            batch = sound_scores(batch, run.rejects)
            side.add_stored(batch)
            run.count(len(batch))
        return side
    side.scored_by = options.names()[0]
    field = options.text_in(first, side.name, True)
    texts = (_with_texts(field, batch, options, run.rejects) for batch in batches)
    _score(options, run, model(), field, texts, side, run.rejects)
    return side


def _with_texts(field: str, batch: Batch, options: Options, rejects: Rejects) -> Batch:
    """The records that have what is scored."""
    from synthtools.records.record_faults import require_text

    batch = require_text(batch, field, rejects)
    if options.prompt_field is not None:
        batch = require_text(batch, options.prompt_field, rejects, "--prompt-field")
    return batch


def _score(
    options: Options,
    run: Run,
    model: LanguageModel,
    field: str,
    batches: Iterator[Batch],
    side: Side,
    rejects: Rejects,
    count: bool = True,
) -> None:
    from synthtools.lm.scores import ScoreRequest
    from synthtools.measure.scored_records import scored

    run.progress.scoring = model.progress
    for item in scored(batches, model, ScoreRequest(), field, options.prompt_field, rejects):
        side.add(item)
        if count:
            run.count(len(item.batch))
