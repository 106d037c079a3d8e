"""Select the records that are most like a target (DSIR, Xie et al. 2023).

Documents are bags of hashed uni- and bigrams. The log importance weight of a record is
Σ counts · (ln(p + 1e-8) − ln(q + 1e-8)), with p the target's bucket shares and q those of the
raw data. N records are sampled without replacement in proportion to their weights (Gumbel top-k,
the noise by seed and record) and written in input order.

ToEdit selects synthetic text towards human text: raw = synthetic, target = human.

\b
Examples:
  synth dsir synthetic/ --target human.jsonl -n 10K -o selected.jsonl
  synth dsir raw.jsonl --target human.jsonl --weights --hash sha256 | jq .dsir_logw
  synth dsir raw/ --target wiki/=0.7 --target code/=0.3 -n 1M -o selected/
  synth dsir raw/ --target human/ --weights | synth sample -n 1000 --by dsir_logw

Memory: some MB a core, about 80 bytes for each record selected, and 8 to 16 bytes for each
distinct record. The raw data is read at most twice; candidates are kept in TMPDIR, about
n·(1 + ln(N/n)) of N records, and so is raw data from a pipe. With --ray, selected records are
read once more instead of kept.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.kinds import Buckets, Count, FieldName, FileContent, Positive, SharedPath
from synthtools.cli.options import Inputs, Output, Picture, Seed, Workers
from synthtools.cli.parameters import option, output_file
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.curate.dsir import Estimator, Features
    from synthtools.curate.weighted_draws import Chosen, TopRecords
    from synthtools.records.batch import Batch
    from synthtools.records.inputs import Shard
    from synthtools.records.record_keys import RecordHashes


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Output, Picture, Seed, Workers):
    """Options of ``synth dsir``."""

    target: list[SharedPath] | None = option(
        help="Records that the selection should resemble; repeatable. With shares each target gets "
        "its own part of the selection, and no record is selected twice."
    )
    count: Count | None = option(None, "-n", help="How many records to select (1000, 10M).")
    weights: bool = option(
        False,
        help="Add dsir_logw, the log importance weight. Without -n every record is written, in "
        "order, including those shorter than --min-tokens.",
    )
    top_k: bool = option(
        False, help="Take the records with the largest weights, without Gumbel noise."
    )
    n: Positive = option(2, max=20, help="Maximum length of n-grams, in tokens.")
    buckets: Buckets = option(10_000, help="Hash buckets.")
    hash: Literal["fast", "sha256"] = option(
        "fast",
        help="Hash of an n-gram. sha256 gives the numbers of the authors' package; fast gives "
        "nearly the same order.",
    )
    min_tokens: int = option(100, metavar="T", min=0, help="Never select records of fewer tokens.")
    smoothing: float = option(
        0.0,
        metavar="C",
        min=0,
        help="Pseudo-count added to each bucket of either corpus (Laplace; 0 in the paper).",
    )
    fit_tokens: int | None = option(
        metavar="COUNT|all",
        parse=quantities.count_or_all,
        min=1,
        help="Fit the raw side on the first COUNT tokens (default: all).",
    )
    target_text_field: FieldName | None = option(
        help="The field that holds the text of the targets (default: --text-field)."
    )
    save_estimator: str | None = output_file(help="Save the fitted estimator as JSON.")
    estimator: FileContent | None = option(
        help="Use an estimator from --save-estimator: the raw data is then read only once."
    )

    def check(self) -> None:
        super().check()
        if self.estimator and (self.target or self.save_estimator):
            raise UsageError("--estimator is fitted already: leave out --target, --save-estimator")
        if not self.estimator and not self.target:
            raise UsageError("name what to move towards: --target PATH (or --estimator FILE)")
        if self.count is None and not self.weights and not self.save_estimator:
            raise UsageError("say how many records to select with -n, or ask for --weights")
        if len({one.share is None for one in self.target or ()}) > 1:
            raise UsageError("give every --target a share (PATH=SHARE), or none")
        if any(one.share == 0 for one in self.target or ()):
            raise UsageError("--target: a share must be above 0")
        if self.plot is not None and self.count is None:
            raise UsageError("--plot compares a selection with what it was drawn from: it needs -n")

    def target_option(self) -> str:
        """The option that names the field of the targets' text."""
        return "--target-text-field" if self.target_text_field else "--text-field"


def run(options: Options) -> dict[str, Any] | None:
    """Fits an estimator or loads one, weighs the records, selects."""
    from synthtools.cli import terminal
    from synthtools.cli.run import Run
    from synthtools.curate.dsir import Estimator, Features, parts_of
    from synthtools.records.first_records import needs
    from synthtools.records.inputs import find_shards
    from synthtools.records.same_file import refuse_repeated, repeated, same_file_message

    writes = options.count is not None or options.weights
    targets = [one.path for one in options.target or ()]

    def check_target(first: Batch) -> None:
        field = options.target_text_field or options.text_in(first)
        needs([(field, options.target_option())], [])(first)

    if targets:
        refuse_repeated(find_shards(targets))
    with Run(
        "dsir",
        options,
        options if writes else None,
        options.text_field,
        beside=targets,
        check_beside=check_target,
        plot=options.plot,
    ) as run:
        for pair in repeated([*run.shards_beside, *run.shards]):
            if not options.quiet:
                terminal.remark(f"{same_file_message(*pair)}: a target is selected from, too")
        if run.done:
            return run.finish()
        if options.estimator:
            estimator = Estimator.load(Path(options.estimator))
        else:
            if writes:
                run.shards = run.twice(run.shards)
            estimator = _fitted(run, Features(options.n, options.buckets, options.hash), options)
            if options.save_estimator:
                from synthtools.records.atomic_files import write_whole

                content = json.dumps(estimator.to_json()).encode()
                write_whole(Path(options.save_estimator), content)
        if len(estimator.targets) > 1 and options.weights and options.count is None:
            raise UsageError("--weights of every record need one target; with several give -n")
        report = {**estimator.summary(), "min_tokens": options.min_tokens}
        if options.count is not None:
            parts = parts_of(options.count, estimator.shares)
            report |= _select(run, estimator, parts, options)
        elif options.weights:
            weighed = _weighed(run, estimator, options)
            run.write(_with_weights(batch, logw[0]) for batch, logw, _, _ in weighed)
        return run.finish(report)


def _fitted(run: Run, features: Features, options: Options) -> Estimator:
    """An estimator from one pass over the targets and one over the raw data."""
    import numpy as np

    from synthtools.curate.dsir import Estimator
    from synthtools.records.inputs import find_shards

    hasher = features.hasher()

    def counted(shards: list[Shard], most: float = math.inf, **fields: Any) -> np.ndarray:
        counts = np.zeros(features.buckets, np.int64)
        for work in run.worked(
            lambda _, texts: hasher.counts(texts), options, shards=shards, records=False, **fields
        ):
            counts += work.result
            if int(features.tokens(counts.sum())) >= most:
                break
        return counts

    targets, counts = options.target or [], []
    for one in targets:
        shards = find_shards([one.path])
        field = options.target_text_field or options.text_of(shards, one.path)
        counts.append(counted(shards, text_field=field, option=options.target_option()))
    names: tuple[str, ...] = tuple(one.path for one in targets)
    shares = np.array([float(one.share or 1) for one in targets])
    if targets[0].share is None:  # they make one target together
        counts, names, shares = [np.sum(counts, axis=0)], (", ".join(names),), np.ones(1)
    return Estimator(
        features,
        names,
        tuple((shares / shares.sum()).tolist()),
        np.stack(counts),
        counted(run.shards, most=options.fit_tokens or math.inf),
        options.smoothing,
    )


def _weighed(
    run: Run, estimator: Estimator, options: Options, records: bool = True
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray, RecordHashes]]:
    """Records, log-weights under each target (float64 [targets, records]), which are shorter than
    ``min_tokens`` (bool [records]), and the hashes that their keys are made of."""
    from synthtools.records.record_keys import ID_FIELD, hashes

    ratios = estimator.log_ratios()
    features = estimator.features
    hasher = features.hasher()

    def work(batch: Batch, texts: Any) -> tuple[np.ndarray, np.ndarray, RecordHashes]:
        sums, ngrams = hasher.weights(texts, ratios)
        short = features.tokens(ngrams) < options.min_tokens
        return sums.T, short, hashes(batch.column(ID_FIELD), texts.views())

    again = not options.estimator
    for done in run.worked(work, options, again=again, fields=(ID_FIELD,), records=records):
        yield done.batch, *done.result


def _with_weights(batch: Batch, logw: np.ndarray) -> Batch:
    from synthtools.records.added_column import Column

    return batch.adding({"dsir_logw": Column("float", logw.tolist())})


def _select(run: Run, estimator: Estimator, parts: list[int], options: Options) -> dict[str, Any]:
    """Writes the selection; returns what the report says of it."""
    import numpy as np

    from synthtools.curate.dsir import spread
    from synthtools.curate.weighted_draws import TopRecords, choose
    from synthtools.draws import gumbel
    from synthtools.measure.response import kl_reduction
    from synthtools.records.record_keys import RecordKeys
    from synthtools.records.spool import Spool

    keys = RecordKeys(apart=True)
    seen = eligible = 0
    with ExitStack() as stack:
        recalled = run.recalled(options)
        tops = [
            TopRecords(count, recalled or stack.enter_context(Spool()))
            for count in itertools.accumulate(parts)
        ]
        for batch, logw, short, hashes in _weighed(run, estimator, options, recalled is None):
            seen += len(batch)
            eligible += int((~short).sum())
            records = keys.of_hashes(hashes)
            for lane, top in enumerate(tops):
                noise = 0.0 if options.top_k else gumbel(options.seed, records, lane)
                top.add(np.where(short, -np.inf, logw[lane] + noise), logw[lane], batch)
        chosen = choose(tops, parts)
        if len(chosen.handles) < sum(parts):
            raise SynthError(
                f"-n {sum(parts):,}: only {eligible:,} of {seen:,} records have "
                f"{options.min_tokens} tokens or more; ask for fewer or lower --min-tokens"
            )
        counts = np.zeros(estimator.features.buckets, np.int64)
        run.write(_selected(run, tops, chosen, estimator, options, counts))
    return {
        "records_seen": seen,
        "long_enough": eligible,
        "selected": len(chosen.handles),
        "selected_log_weight": spread(chosen.values),
        **kl_reduction(estimator.target_counts.sum(axis=0), estimator.raw_counts, counts),
    }


def _selected(
    run: Run,
    tops: list[TopRecords],
    chosen: Chosen,
    estimator: Estimator,
    options: Options,
    counts: np.ndarray,
) -> Iterator[Batch]:
    """The chosen records in input order; adds their n-grams to ``counts`` (int64 [buckets])."""
    import numpy as np

    from synthtools.records.added_column import Column
    from synthtools.records.text_buffer import TextBuffer

    hasher = estimator.features.hasher()
    # Runs of records that are in one spool.
    turns = np.diff(np.array([id(top.spool) for top in tops])[chosen.lanes])
    breaks = [0, *(np.flatnonzero(turns) + 1).tolist(), len(chosen.lanes)]
    for start, end in itertools.pairwise(breaks):
        if start == end:
            continue
        at = start
        for batch in tops[int(chosen.lanes[start])].spool.batches(chosen.handles[start:end]):
            np.add(counts, hasher.counts(TextBuffer.of(batch.column(run.text_field))), out=counts)
            own = slice(at, at + len(batch))
            at += len(batch)
            if options.weights:
                batch = _with_weights(batch, chosen.values[own])
                if len(tops) > 1:
                    names = [estimator.targets[lane] for lane in chosen.lanes[own].tolist()]
                    batch = batch.adding({"dsir_target": Column("string", names)})
            yield batch
