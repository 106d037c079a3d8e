"""Mix sources in exact shares of tokens, words, bytes or documents.

Each source is within one document of its share. Documents are sampled by seed and document and
interleaved evenly, so that every source stays near its share from the first document on and keeps
its own order, or all are shuffled. Neither depends on --jobs. Records are not changed.

Shares sum to 1. Without --total the mixture is as large as possible without repeats. A source that
is too small is an error that says what total it is enough for.

\b
Examples:
  synth mix human/=0.75 cosmopedia/=0.25 --total 8.4B --tokenizer builtin -o mix25/
  synth mix 'human/*.zst=75%' synthetic.parquet=25% --unit words --label source | synth ppl
  synth mix --workflow accumulate --generation real/ --generation g1/ -o train/

Memory: about 70 bytes per document (--shuffle: 170); sources of JSONL that take up to 256 MB
together, uncompressed; of others some MB, and they are read twice; with --shuffle a few times 64 MB
or a 128th of the mixture. Input from a pipe (/dev/stdin=0.25) and, with --shuffle, the mixture are
kept in TMPDIR.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.kinds import FieldName, Name, PathName
from synthtools.cli.options import BadRecords, Inputs, Json, Output, Picture, Seed, Workers
from synthtools.cli.parameters import operand, option
from synthtools.cli.quantities import PathShare
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.curate.mixture_parts import MeasuredSource, MixturePart
    from synthtools.curate.source_survey import Sizes, SourceSurvey
    from synthtools.records.batch import Batch
    from synthtools.records.inputs import Shard
    from synthtools.records.text_buffer import TextBuffer


# Sources that are read at once [ours].
_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class _Sources(Inputs, ShapedText):
    """The files of all sources."""


@dataclass(frozen=True, kw_only=True)
class Options(BadRecords, ShapedText, Output, Json, Picture, Seed, Workers):
    """Options of ``synth mix``."""

    sources: list[PathShare] | None = operand(
        metavar="SOURCE=SHARE",
        parse=quantities.path_share,
        help="A file, a directory or a quoted glob, and its share: 0.75, 75% or 3/4.",
    )
    unit: Literal["tokens", "words", "bytes", "documents"] | None = option(
        help="Unit of shares and --total (default: tokens with --tokenizer, else bytes of text). "
        "Words are those of synth stats."
    )
    tokenizer: Name | None = option(
        help="Tokenizer that counts tokens: builtin, a directory or a Hub id. A record with its "
        "number in --tokens-field is not counted again."
    )
    cache: bool = option(
        True,
        "--cache/--no-cache",
        help="Keep the numbers of tokens in ~/.cache/synthtools/token-counts (or in XDG_CACHE_HOME; at most "
        "1 GB; rm -r empties it), so that another mixture of the same files counts none again.",
    )
    tokens_field: FieldName = option(
        "tokens", help="Field that may hold a record's number of tokens."
    )
    total: int | None = option(
        metavar="COUNT",
        parse=quantities.count,
        min=1,
        help="Size of the mixture in units (8.4B). Default: the largest that repeats no document "
        "(or none more than --epochs times).",
    )
    epochs: int = option(
        1, metavar="E", min=1, help="Use documents of a source that is too small up to E times."
    )
    shuffle: bool = option(
        False, help="Shuffle the whole mixture (in TMPDIR) instead of interleaving."
    )
    label: FieldName | None = option(help="Write each record's source into this field.")
    workflow: Literal["replace", "accumulate", "accumulate-subsample"] | None = option(
        help="Training sets of iterated generations instead of shares: the last generation, all of "
        "them, or a sample of --total from all (default: the size of the first)."
    )
    generation: list[PathName] | None = option(
        help="Records of a generation, the real data first; repeatable."
    )
    dry_run: bool = option(
        False, help="Print what would be taken from each source, and write nothing."
    )

    def prints_report(self) -> bool:
        return self.dry_run

    def takes_output(self) -> bool:
        return True  # what a dry run would write

    def check(self) -> None:
        super().check()
        if self.tokenizer and self.counted_in() != "tokens":
            raise UsageError(f"--tokenizer goes with --unit tokens, not {self.unit}")
        if self.label == "":
            raise UsageError("--label was given an empty name")
        if self.workflow is None:
            if self.generation:
                raise UsageError("--generation needs --workflow")
            self._check_shares()
        elif self.sources or not self.generation:
            raise UsageError("--workflow takes --generation PATH for each, and no SOURCE=SHARE")
        elif self.epochs > 1:
            raise UsageError("--epochs does not go with --workflow")
        elif self.total and self.workflow != "accumulate-subsample":
            raise UsageError("--total goes with --workflow accumulate-subsample")
        names = self.generation or [one.path for one in self.sources or ()]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"{name}: is named twice")

    def _check_shares(self) -> None:
        if not self.sources:
            raise UsageError("name the sources: SOURCE=SHARE …")
        for one in self.sources:
            if not isinstance(one, PathShare) or not one.path or one.share is None:
                raise UsageError(f"{one}: write SOURCE=SHARE, such as human/=0.75 or human/=75%")
        total = sum((one.share or Fraction(0) for one in self.sources), Fraction(0))
        if abs(total - 1) > Fraction(1, 10**6):
            raise UsageError(f"the shares sum to {float(total):.7g}, not to 1")

    def counted_in(self) -> str:
        """The unit."""
        return self.unit or ("tokens" if self.tokenizer else "bytes")

    def shares(self) -> dict[str, Fraction]:
        """The share of each source or generation by its name."""
        if self.workflow is None:
            return {one.path: one.share or Fraction(0) for one in self.sources or ()}
        taken = (self.generation or [])[-1 if self.workflow == "replace" else 0 :]
        return {name: Fraction(1, len(taken)) for name in taken}


def run(options: Options) -> dict[str, Any]:
    """Measures the sources, plans, writes."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark
    from synthtools.curate.mixture_parts import manifest
    from synthtools.curate.source_survey import Room, SourceSurvey

    shares = options.shares()
    files = {name: _files(name) for name, share in shares.items() if share}
    every = [file for group in files.values() for file in group]
    inputs = _Sources(
        on_error=options.on_error,
        rejects=options.rejects,
        quiet=options.quiet,
        files=every,
        text_field=options.text_field,
        shape=options.shape,
    )
    writes = not options.dry_run
    with Run(
        "mix",
        inputs,
        options if writes else None,
        options.text_field,
        plot=options.plot if writes else None,
    ) as run:
        if run.done:
            return run.finish()
        for name, share in shares.items():
            if not share and not options.quiet:
                remark(f"{name}: has a share of 0 and is left out")
        groups = _grouped(run, files)
        room = Room()
        surveys = [SourceSurvey(name, groups.get(name, []), room) for name in shares]
        with _tokenizer_threads(options.workers()):
            _measure(run, surveys, groups, options)
        parts = _planned([survey.measured() for survey in surveys], options)
        if writes:
            run.write(_blended(surveys, parts, options))
        return run.finish(
            {
                "unit": options.counted_in(),
                "total": sum(part.units for part in parts),
                "documents": sum(part.documents for part in parts),
                "sources": manifest(parts),
            }
        )


def _files(name: str) -> list[str]:
    """The files of a source's name: itself, or those that match a glob."""
    if name == "-" or os.path.exists(name) or not glob.has_magic(name):
        return [name]
    files = sorted(glob.glob(name))
    if not files:
        raise SynthError(f"{name}: no such file")
    return files


def _grouped(run: Run, files: dict[str, list[str]]) -> dict[str, list[Shard]]:
    """The shards of each source, ready to be read twice."""
    left = iter(run.groups())
    return {
        name: run.twice([shard for _ in names for shard in next(left)[1]])
        for name, names in files.items()
    }


@contextmanager
def _tokenizer_threads(count: int) -> Iterator[None]:
    """Tokenizers that are first used meanwhile take so many cores; else they take all."""
    name = "RAYON_NUM_THREADS"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(count)
    try:
        yield
    finally:
        del os.environ[name]


def _measure(
    run: Run, surveys: list[SourceSurvey], groups: dict[str, list[Shard]], options: Options
) -> None:
    """The first pass: sizes and keys of all documents."""
    from synthtools.records.record_keys import ID_FIELD, hashes
    from synthtools.scale.prefetch import prefetched

    sizes = _sizes(options)

    def work(batch: Batch, texts: TextBuffer) -> tuple[np.ndarray, Any]:
        return sizes(batch, texts), hashes(batch.column(ID_FIELD), texts.views())

    tokens = [options.tokens_field] if options.counted_in() == "tokens" else []
    # Bad records are set aside in the order of the sources, and a cluster works on one at a time.
    at_once = 1 if options.ray or options.on_error != "fail" else _AT_ONCE
    for start in range(0, len(surveys), at_once):
        with ExitStack() as stack:
            passes = []
            for survey in surveys[start : start + at_once]:
                done = run.worked(
                    work,
                    options,
                    shards=groups.get(survey.name, []),
                    fields=[ID_FIELD, *tokens],
                    records=False,
                )
                if options.workers() > 1:
                    done = stack.enter_context(closing(prefetched(done, 1)))
                passes.append((survey, done))
            while passes:
                for one in list(passes):
                    survey, results = one
                    if (block := next(results, None)) is None:
                        passes.remove(one)
                    else:
                        survey.add(block.batch, *block.result, block.text_bytes)


def _sizes(options: Options) -> Sizes:
    from synthtools.curate.source_survey import sizes_in

    if not options.tokenizer:
        return sizes_in(options.counted_in(), options.tokens_field)
    from synthtools.cli.terminal import remark
    from synthtools.curate.kept_token_counts import KeptTokenCounts
    from synthtools.environment import user_cache
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.text_tokenizer import open_tokenizer

    tokenizer = open_tokenizer(ModelName(options.tokenizer))
    counts: Callable[[list[str]], np.ndarray] = tokenizer.counts
    if options.cache:
        counts = KeptTokenCounts(tokenizer, user_cache("token-counts"), remark)
    return sizes_in("tokens", options.tokens_field, counts)


def _planned(measured: list[MeasuredSource], options: Options) -> list[MixturePart]:
    """What is taken from where."""
    from synthtools.curate import mixture_parts

    if options.workflow == "accumulate-subsample":
        return mixture_parts.subsample(measured, options.total or measured[0].total, options.seed)
    if options.workflow is not None:
        return mixture_parts.everything(measured)
    return mixture_parts.by_shares(
        measured,
        list(options.shares().values()),
        options.total,
        options.epochs,
        options.seed,
        options.counted_in() == "documents",
    )


def _blended(
    surveys: list[SourceSurvey], parts: list[MixturePart], options: Options
) -> Iterator[Batch]:
    """The mixture, each record labelled, and in its place for a resumed run."""
    import numpy as np

    from synthtools.curate.mixed_records import mixed
    from synthtools.records.added_column import Column

    start = 0
    seed = options.seed if options.shuffle else None
    for batch, owners in mixed(surveys, parts, seed, options.workers() > 1):
        batch.ordinals = np.arange(start, start + len(batch), dtype=np.int64)
        start += len(batch)
        if options.label is not None:
            names = [parts[owner].source.name for owner in owners.tolist()]
            batch = batch.adding({options.label: Column("string", names)})
        yield batch
