"""Estimate how much of a corpus was written by language models.

Labelled sources, --human NAME=PATH and --synthetic NAME=PATH, if possible several of each, by
domain or model, calibrate the numbers of one scoring pass (see ppl --detector). The report gives the
share of synthetic documents and of their tokens with a 95 % interval, which covers sampling, the
sources' documents, the choice of sources, and three methods of estimation. A corpus that cannot be a
mixture of the sources gets the verdict "not calibrated" instead of a share, and why says what would
help: with sources of another domain, length, language or model a share would be wrong.

The estimate proves nothing about a single text, and it misses paraphrased text and models unlike
those of the sources. Where no labelled synthetic text of the corpus's domain exists,
--assume-human takes human text of that domain as the baseline [ours].

--per-record writes the records with origin, the probability of being synthetic in this corpus; null
for a document too short or of a language that no source has, and for all where the verdict is "not
calibrated". synth sample --by origin draws by it.

\b
Examples:
  synth origin crawl.jsonl --human essays=human.jsonl --synthetic gpt=gpt.jsonl --synthetic llama=llama.jsonl --model smollm2 --json
  synth origin --human human/ --synthetic answers/ --model smollm2 --save cal.json
  synth origin crawl/ --calibration cal.json --model smollm2 --by source --plot origin.png
  synth origin crawl.jsonl --calibration cal.json --model smollm2 --per-record -o scored.parquet

Memory: the model, and a matrix of distances between all sampled documents, 8 bytes an entry (500
documents of each of 6 sources: 100 MB). Sampled records are kept in TMPDIR.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from synthtools.cli.kinds import Count, FieldName, ModelId, PathName, SourcePath
from synthtools.cli.model_options import LocalModel
from synthtools.cli.options import Inputs, Json, Output, Picture, Seed, Workers
from synthtools.cli.parameters import option, output_file
from synthtools.cli.quantities import NamedContent, NamedPath
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.scorer import LanguageModel
    from synthtools.measure.labelled_sources import Calibration, LabelledSource, MeasuredDocuments
    from synthtools.measure.origin_estimate import OriginEstimator
    from synthtools.records.batch import Batch

# Each is estimated for itself.
_MOST_GROUPS = 50


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Output, Json, Picture, Seed, LocalModel, Workers):
    """Options of ``synth origin``."""

    without_inputs: ClassVar[bool] = True

    model: ModelId | None = option(  # type: ignore[assignment]
        None,
        "-m",
        help="The language model: builtin (the default, or what --calibration was made with), smollm2, a "
        "directory, a Hub id, or a GGUF file. The built-in model distinguishes little.",
        show_default=False,
    )
    human: list[SourcePath] | None = option(
        help="Human text to calibrate with, a file or directory; repeatable."
    )
    synthetic: list[SourcePath] | None = option(
        help="Text of language models to calibrate with, one source a model or domain; repeatable."
    )
    calibration: str | None = option(
        metavar="FILE", parse=NamedContent, help="Use what --save wrote for the same model."
    )
    save: str | None = output_file(help="Write the calibration to this file (JSON).")
    assume_human: PathName | None = option(
        help="Text of the corpus's domain that is known to be human. It takes the place of the human "
        "sources, and the synthetic ones are moved along with it [ours]."
    )
    by: FieldName | None = option(
        help="Estimate each value of this field, too (default: each input)."
    )
    per_record: bool = option(
        False, help="Write the records with the field origin instead of the report."
    )
    tokens: int | None = option(
        metavar="N",
        min=16,
        help="Look at the first N tokens of each document; one of fewer than 5/8 N is left out "
        "(default: 160, or what --calibration has).",
        show_default=False,
    )
    limit: Count = option(500, help="Score at most N documents of each source and of each group.")
    bootstrap: int = option(200, metavar="B", min=20, max=10_000, help="Resamples [ours].")

    def check(self) -> None:
        super().check()
        if self.calibration is None and (self.human is None or self.synthetic is None):
            raise UsageError("give --human PATH and --synthetic PATH, or a --calibration FILE")
        if self.calibration is not None and (self.human or self.synthetic or self.save):
            raise UsageError(
                "--calibration has sources of its own: leave out --human, --synthetic, --save"
            )
        if self.calibration is not None and self.tokens is not None:
            raise UsageError("--tokens belongs to the calibration, and --calibration has it")
        names = [one.name for one in [*(self.human or ()), *(self.synthetic or ())]]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"two sources are called {twice[0]}: write NAME=PATH")
        if not self.estimates() and (self.by or self.assume_human or self.per_record):
            raise UsageError(
                "without FILE there is only a calibration: name the corpus (- for stdin)"
            )
        self.settings()

    def prints_report(self) -> bool:
        return not self.per_record

    def settings(self, name: str | None = None) -> ModelSettings:
        return super().settings(name or self.model or "builtin")

    def estimates(self) -> bool:
        """Whether there is a corpus, and not only a calibration to be saved."""
        return self.files is not None or self.save is None


def run(options: Options) -> dict[str, Any]:
    """Calibrates, estimates, and writes what was asked for."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark_unless
    from synthtools.lm.open_models import open_model
    from synthtools.measure.labelled_sources import REQUEST, Calibration
    from synthtools.records.first_records import GroupingCheck, needs

    given = [*(options.human or ()), *(options.synthetic or ())]
    beside = [one.path for one in given] + [options.assume_human] * bool(options.assume_human)
    loaded = None if options.calibration is None else Calibration.load(options.calibration)
    writes, tell = options if options.per_record else None, remark_unless(options.quiet)
    check = GroupingCheck(needs([], []), options.by, "--by")
    with Run(
        "origin", options, writes, options.text_field, beside=beside, inputs=options.estimates(),
        plot=options.plot if options.per_record else None, check=check,
    ) as run:  # fmt: skip
        check.tell(tell)
        if run.done:
            return run.finish()
        # A calibration knows its model; one that is named must be the same.
        name = options.model or (loaded.model["name"] if loaded is not None else None)
        settings = replace(options.settings(name), backend="torch")
        with open_model(settings, REQUEST, tell) as model:
            run.model = model.description
            if loaded is not None and options.calibration is not None:
                loaded.refuse_other_model(options.calibration, model.description)
            calibration = loaded or _calibrated(run, options, model)
            if options.save is not None:
                calibration.save(options.save)
            report = _described(calibration)
            if options.estimates():
                report |= _estimated(run, options, model, calibration)
            return run.finish(report)


def _described(calibration: Calibration) -> dict[str, Any]:
    sources = []
    for one in calibration.sources:
        label = "synthetic" if one.synthetic else "human"
        sources.append({"name": one.name, "label": label, "documents": len(one.features)})
    return {"tokens_looked_at": calibration.tokens, "sources": sources}


def _calibrated(run: Run, options: Options, model: LanguageModel) -> Calibration:
    from synthtools.measure.labelled_sources import Calibration

    tokens = options.tokens or min(160, model.capacity)
    sources = [
        _source(run, options, model, tokens, one, synthetic)
        for synthetic, named in ((False, options.human), (True, options.synthetic))
        for one in named or ()
    ]
    return Calibration(sources, tokens, model.description)


def _source(
    run: Run, options: Options, model: LanguageModel, tokens: int, one: NamedPath, synthetic: bool
) -> LabelledSource:
    """A source as numbers. Raises SynthError: it has too few documents."""
    from synthtools.measure.labelled_sources import source_of
    from synthtools.measure.origin_estimate import FEWEST
    from synthtools.records.inputs import find_shards
    from synthtools.records.reader import read
    from synthtools.records.record_faults import require_text

    shards = find_shards([one.path])
    field = options.text_of(shards)
    batches = (require_text(batch, field, run.rejects) for batch in read(shards, run.rejects))
    measured = _measured(run, options, model, tokens, field, ((one.name, b) for b in batches))
    documents = measured[one.name][1] if measured else None
    if documents is None or documents.long_enough.sum() < FEWEST:
        there = 0 if documents is None else int(documents.long_enough.sum())
        raise SynthError(
            f"{one.path}: {there} of its documents are long enough, {FEWEST} are needed: give more, or "
            f"fewer --tokens than {tokens}"
        )
    return source_of(one.name, synthetic, documents)


def _measured(
    run: Run,
    options: Options,
    model: LanguageModel,
    tokens: int,
    field: str,
    batches: Iterable[tuple[str, Batch]],
) -> dict[str, tuple[int, MeasuredDocuments]]:
    """Of each group its number of documents, and a sample of them as numbers. ``batches``: with the group that
    their records are of."""
    import numpy as np

    from synthtools.curate.sampled_records import GroupSamples
    from synthtools.measure.labelled_sources import MeasuredDocuments, measured
    from synthtools.records.spool import Spool

    by_source = {}
    with Spool() as spool:
        samples = GroupSamples(options.limit, options.seed, field, spool)
        for name, batch in batches:
            samples.add(name, batch)
            if len(samples.names()) > _MOST_GROUPS:
                raise SynthError(
                    f"more than {_MOST_GROUPS} groups: each is estimated for itself; choose a field of "
                    "fewer values for --by, or fewer inputs"
                )
        for name in samples.names():
            seen, drawn, order = samples.drawn(name)
            run.progress.stage(f"documents of {name}", len(order))
            parts = [MeasuredDocuments.none()]
            for batch, documents in measured(drawn, model, field, tokens, run.rejects):
                parts.append(documents)
                run.progress.advance(len(batch))
            columns = map(np.concatenate, zip(*parts, strict=True))
            by_source[name] = seen, MeasuredDocuments(*columns)
    return by_source


def _groups(run: Run, options: Options) -> Iterator[tuple[str, Batch]]:
    """The records of the corpus with the group that they are of: a value of --by, or an input."""
    from synthtools.curate.sampled_records import by_stratum, strata_of

    input_of = {shard.name: name for name, shards in run.groups() for shard in shards}
    for batch in run.records():
        run.count(len(batch))
        if options.by is None:
            yield input_of[batch.source], batch
            continue
        yield from by_stratum(batch, strata_of(batch, options.by))


def _estimated(
    run: Run, options: Options, model: LanguageModel, calibration: Calibration
) -> dict[str, Any]:
    """What the corpus is judged to be, as one and by group; writes the records where asked for."""
    import numpy as np

    from synthtools.cli.terminal import remark_unless
    from synthtools.measure.labelled_sources import MeasuredDocuments
    from synthtools.measure.origin_estimate import OriginEstimator, anchored

    sources = calibration.sources
    if options.assume_human is not None:
        given = NamedPath("assumed human", options.assume_human)
        sources = anchored(sources, _source(run, options, model, calibration.tokens, given, False))
    if options.per_record:
        run.shards = run.twice(run.shards)
    by_source = _measured(
        run, options, model, calibration.tokens, run.text_field, _groups(run, options)
    )
    run.progress.stage("estimating")
    estimator = OriginEstimator(
        sources, options.bootstrap, options.seed, options.assume_human is not None
    )
    by = {
        name: estimator.judge(documents, np.ones(len(documents.tokens)))
        for name, (_, documents) in (by_source.items() if options.by or len(by_source) > 1 else ())
    }
    nothing = MeasuredDocuments.none()
    parts = [nothing, *(documents for _, documents in by_source.values())]
    whole = MeasuredDocuments(*map(np.concatenate, zip(*parts, strict=True)))
    each = [np.full(len(d.tokens), seen / len(d.tokens)) for seen, d in by_source.values()]
    verdict = estimator.judge(whole, np.concatenate([nothing.tokens, *each]))
    if options.per_record:
        if verdict["why"] is not None:
            remark_unless(options.quiet)(
                f"origin is null in every record: not calibrated for this corpus: {verdict['why']}"
            )
        run.write(_with_origin(run, model, calibration.tokens, estimator, verdict["share"]))
    return {**verdict, "by": by, "auc": estimator.auc, "scores": estimator.histograms(whole)}


def _with_origin(
    run: Run, model: LanguageModel, tokens: int, estimator: OriginEstimator, share: float | None
) -> Iterator[Batch]:
    from synthtools.measure.labelled_sources import measured
    from synthtools.records.added_column import Column

    records = run.batches(model.chunk_bytes)
    for batch, documents in measured(records, model, run.text_field, tokens, run.rejects):
        values: list[float | None] = [None] * len(batch)
        if share is not None:
            values = estimator.probabilities(documents, share)
        yield batch.adding({"origin": Column("float", values)})
