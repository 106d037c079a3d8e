"""The run behind ``synth dsir``."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.cli import quantities
from synthtools.cli.options import Jobs, Reading, Text, Writing
from synthtools.cli.run import Run
from synthtools.errors import SynthError, UsageError
from synthtools.records.batch import Batch, Column
from synthtools.records.files import write_whole
from synthtools.records.identity import ID_FIELD, Hashes, Keys, hashes
from synthtools.records.inputs import Shard, find_shards


@dataclass(frozen=True)
class Selection:
    """Options of dsir, as given."""

    targets: tuple[str, ...]
    count: str | None
    weights: bool
    top_k: bool
    n: int
    buckets: int
    hash_name: str
    min_tokens: int
    smoothing: float
    fit_tokens: str
    target_text_field: str | None
    save_estimator: str | None
    estimator: str | None
    seed: int

    def check(self) -> None:
        """Raises UsageError where options do not go together."""
        if self.hash_name not in ("fast", "sha256"):
            raise UsageError(f"--hash {self.hash_name}: use fast or sha256")
        if self.estimator and (self.targets or self.save_estimator):
            raise UsageError("--estimator is fitted already: leave out --target, --save-estimator")
        if not self.estimator and not self.targets:
            raise UsageError("name what to move towards: --target PATH (or --estimator FILE)")
        if self.count is None and not self.weights and not self.save_estimator:
            raise UsageError("say how many records to select with -n, or ask for --weights")
        if not math.isfinite(self.smoothing):
            raise UsageError("--smoothing must be a number")


def run_dsir(
    reading: Reading,
    text: Text,
    writing: Writing,
    jobs: Jobs,
    options: Selection,
    plot: str | None,
) -> None:
    """Fits, weighs, selects."""
    options.check()
    from synthtools.curate.dsir import Estimator, Features, parts_of, target_of

    count = None if options.count is None else quantities.count(options.count, "-n")
    named = [target_of(name) for name in options.targets]
    given = [share for _, share in named if share is not None]
    if given and len(given) < len(named):
        raise UsageError("give every --target a share (PATH=SHARE), or none")
    writes = count is not None or options.weights
    if plot is not None and count is None:
        raise UsageError("--plot compares a selection with what it was drawn from: it needs -n")
    with Run(
        "dsir",
        reading,
        writing if writes else None,
        text.text_field,
        beside=[path for path, _ in named],
        plot=plot,
    ) as run:
        if run.done:
            run.finish()
            return
        if options.estimator:
            found = Estimator.load(Path(options.estimator))
        else:
            if writes:
                run.shards = run.twice(run.shards)
            features = Features(options.n, options.buckets, options.hash_name)
            found = _fitted(run, features, named, bool(given), text, jobs, options)
            if options.save_estimator:
                content = json.dumps(found.to_json()).encode()
                write_whole(Path(options.save_estimator), content)
        if len(found.targets) > 1 and options.weights and count is None:
            raise UsageError("--weights of every record need one target; with several give -n")
        report = _fit_report(found, options)
        again = not options.estimator
        if not writes:
            run.finish(report)
        elif count is None:
            weighed = _weighed(run, found, jobs, options, again)
            run.write(_with_weights(batch, logw[0]) for batch, logw, _, _ in weighed)
            run.finish(report)
        else:
            parts = parts_of(count, found.shares)
            run.finish(report | _select(run, found, parts, jobs, options, again))


def _fitted(
    run: Run,
    features: Any,
    named: list[tuple[str, float | None]],
    separate: bool,
    text: Text,
    jobs: Jobs,
    options: Selection,
) -> Any:
    """An estimator from one pass over the targets and one over the raw data."""
    from synthtools.curate.dsir import Estimator

    hasher = features.hasher()

    def counted(shards: list[Shard], raw: bool, most: float = math.inf) -> np.ndarray:
        counts = np.zeros(features.buckets, np.int64)
        fields: dict[str, Any] = {}
        if not raw and options.target_text_field:
            fields = {"text_field": options.target_text_field, "option": "--target-text-field"}
        for found in run.worked(
            lambda _, texts: hasher.counts(texts), jobs, shards=shards, records=False, **fields
        ):
            counts += found.result
            if int(features.tokens(counts.sum())) >= most:
                break
        return counts

    targets = [counted(find_shards([path]), raw=False) for path, _ in named]
    most = math.inf
    if options.fit_tokens != "all":
        most = quantities.count(options.fit_tokens, "--fit-tokens")
    if separate:
        shares = np.array([share for _, share in named], np.float64)
        names = tuple(path for path, _ in named)
    else:
        targets = [sum(targets[1:], start=targets[0])]
        shares = np.ones(1)
        names = (", ".join(path for path, _ in named),)
    return Estimator(
        features,
        names,
        tuple((shares / shares.sum()).tolist()),
        np.stack(targets),
        counted(run.shards, raw=True, most=most),
        options.smoothing,
    )


def _weighed(
    run: Run, estimator: Any, jobs: Jobs, options: Selection, again: bool, records: bool = True
) -> Iterator[tuple[Batch, np.ndarray, np.ndarray, Hashes]]:
    """Records, log-weights under each target (float64 [targets, records]), which are shorter than
    ``--min-tokens``, and what their keys come of."""
    ratios = estimator.log_ratios()
    features = estimator.features
    hasher = features.hasher()

    def work(batch: Batch, texts: Any) -> tuple[np.ndarray, np.ndarray, Hashes]:
        sums = []
        for ratio in ratios:
            weight, ngrams = hasher.weights(texts, ratio)
            sums.append(weight)
        short = features.tokens(ngrams) < options.min_tokens
        return np.stack(sums), short, hashes(batch.column(ID_FIELD), texts.views())

    for found in run.worked(work, jobs, again=again, fields=(ID_FIELD,), records=records):
        yield found.batch, *found.result


def _with_weights(batch: Batch, logw: np.ndarray) -> Batch:
    return batch.adding({"dsir_logw": Column("float", logw.tolist())})


def _select(
    run: Run, estimator: Any, parts: list[int], jobs: Jobs, options: Selection, again: bool
) -> dict[str, Any]:
    """Writes the selection; returns what the report says of it."""
    from synthtools.curate.selecting import Best
    from synthtools.draws import gumbel
    from synthtools.records.spool import Spool

    keys = Keys(apart=True)
    seen = eligible = 0
    with ExitStack() as stack:
        recalled = run.recalled(jobs)
        spools = [recalled or stack.enter_context(Spool()) for _ in parts]
        # A target may lose as many records to earlier ones as they take.
        bests = [Best(sum(parts[: lane + 1]), spool) for lane, spool in enumerate(spools)]
        whole = recalled is None
        for batch, logw, short, found in _weighed(run, estimator, jobs, options, again, whole):
            seen += len(batch)
            eligible += int((~short).sum())
            records = keys.of_hashes(found)
            for lane, best in enumerate(bests):
                noise = 0.0 if options.top_k else gumbel(options.seed, records, lane)
                scores = logw[lane] + noise
                best.add(np.where(short, -np.inf, scores), logw[lane], batch)
        chosen = _chosen(bests, spools, parts)
        if len(chosen.handles) < sum(parts):
            raise SynthError(
                f"-n {sum(parts):,}: only {eligible:,} of {seen:,} records have "
                f"{options.min_tokens} tokens or more; ask for fewer or lower --min-tokens"
            )
        counts = _written(run, spools, chosen, estimator, options)
    return {
        "records_seen": seen,
        "long_enough": eligible,
        "selected": len(chosen.handles),
        "selected_log_weight": _spread(chosen.logw),
        **_reduction(estimator, counts),
    }


@dataclass(frozen=True)
class _Chosen:
    """What was selected, in input order: of which target, where in its spool, its log-weight."""

    lanes: np.ndarray
    handles: np.ndarray
    logw: np.ndarray


def _chosen(bests: list[Any], spools: list[Any], parts: list[int]) -> _Chosen:
    """Each target in turn takes its best among the records that are left."""
    taken = np.zeros(0, np.int64)
    lanes, handles, weights = [], [], []
    for lane, (best, spool, part) in enumerate(zip(bests, spools, parts, strict=True)):
        scores, logw, held = best.result()
        ordinals = spool.ordinals(held)
        free = np.flatnonzero(~np.isin(ordinals, taken))
        picked = np.sort(free[np.lexsort((held[free], -scores[free]))[:part]])
        taken = np.concatenate([taken, ordinals[picked]])
        lanes.append(np.full(len(picked), lane))
        handles.append(held[picked])
        weights.append(logw[picked])
    order = np.argsort(taken, kind="stable")
    return _Chosen(*(np.concatenate(part)[order] for part in (lanes, handles, weights)))


def _written(
    run: Run, spools: list[Any], chosen: _Chosen, estimator: Any, options: Selection
) -> np.ndarray:
    """Writes the chosen records; returns their n-grams by bucket."""
    from synthtools.records.texts import Texts

    hasher = estimator.features.hasher()
    counts = np.zeros(estimator.features.buckets, np.int64)

    def batches() -> Iterator[Batch]:
        # Runs of records that are in one spool.
        turns = np.diff(np.array([id(spool) for spool in spools])[chosen.lanes])
        breaks = [0, *(np.flatnonzero(turns) + 1).tolist(), len(chosen.lanes)]
        for start, end in itertools.pairwise(breaks):
            if start == end:
                continue
            at = start
            for batch in spools[int(chosen.lanes[start])].batches(chosen.handles[start:end]):
                texts = Texts.of(batch.column(run.text_field))
                np.add(counts, hasher.counts(texts), out=counts)
                own = slice(at, at + len(batch))
                at += len(batch)
                if not options.weights:
                    yield batch
                    continue
                batch = _with_weights(batch, chosen.logw[own])
                if len(spools) > 1:
                    names = [estimator.targets[lane] for lane in chosen.lanes[own].tolist()]
                    batch = batch.adding({"dsir_target": Column("string", names)})
                yield batch

    run.write(batches())
    return counts


def _fit_report(estimator: Any, options: Selection) -> dict[str, Any]:
    features = estimator.features
    return {
        "n": features.n,
        "buckets": features.buckets,
        "hash": features.hash,
        "smoothing": estimator.smoothing,
        "min_tokens": options.min_tokens,
        "targets": [
            {"name": name, "share": share, "tokens": int(features.tokens(counts.sum()))}
            for name, share, counts in zip(
                estimator.targets, estimator.shares, estimator.target_counts, strict=True
            )
        ],
        "raw_tokens_fitted": int(features.tokens(estimator.raw_counts.sum())),
    }


def _spread(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
    return {"mean": float(values.mean()), "p5": low, "median": middle, "p95": high}


def _reduction(estimator: Any, counts: np.ndarray) -> dict[str, Any]:
    """How much nearer to the target the selection is than the raw data (KL reduction, nats)."""
    from synthtools.measure.response import divergence

    target = estimator.target_counts.sum(axis=0)
    before = divergence(target, estimator.raw_counts)["kl_left_right"]
    after = divergence(target, counts)["kl_left_right"]
    reduction = None if before is None or after is None else before - after
    return {"kl_target_raw": before, "kl_target_selected": after, "kl_reduction": reduction}
