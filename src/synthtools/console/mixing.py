"""The run behind ``synth mix``."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.console import quantities, reports
from synthtools.console.options import BadRecords, Jobs, Reading, Text, Writing
from synthtools.console.reports import number, table
from synthtools.console.run import Run
from synthtools.errors import SynthError, UsageError
from synthtools.records.batch import Batch, Column
from synthtools.records.identity import ID_FIELD, Keys, hashes
from synthtools.records.inputs import Shard

if TYPE_CHECKING:
    from synthtools.curation.mixing import Measured, Part
    from synthtools.records.texts import Texts

_WORKFLOWS = ("replace", "accumulate", "accumulate-subsample")
_UNITS = ("tokens", "words", "bytes", "documents")
# Documents that are put in order at once.
_GROUP = 2048
# About as many bytes are shuffled in memory at once.
_BUCKET_BYTES = 256 << 20


@dataclass(frozen=True)
class Options:
    """Options of mix, as given."""

    sources: tuple[str, ...]
    unit: str | None
    tokenizer: str | None
    tokens_field: str
    total: str | None
    epochs: int
    shuffle: bool
    label: str | None
    workflow: str | None
    generations: tuple[str, ...]
    seed: int

    def checked(self) -> tuple[list[tuple[str, float]], str]:
        """Names of the sources with their shares, and the unit.

        Raises:
            UsageError: options that do not go together, shares that make no whole.
        """
        unit = self.unit or ("tokens" if self.tokenizer else "bytes")
        if unit not in _UNITS:
            raise UsageError(f"--unit {unit}: use one of {', '.join(_UNITS)}")
        if self.tokenizer and unit != "tokens":
            raise UsageError(f"--tokenizer goes with --unit tokens, not {unit}")
        if self.label == "":
            raise UsageError("--label was given an empty name")
        if self.workflow is None:
            if self.generations:
                raise UsageError("--generation needs --workflow")
            return _shares(self.sources), unit
        if self.workflow not in _WORKFLOWS:
            raise UsageError(f"--workflow {self.workflow}: use one of {', '.join(_WORKFLOWS)}")
        if self.sources or not self.generations:
            raise UsageError("--workflow takes --generation PATH for each, and no SOURCE=SHARE")
        if self.epochs > 1:
            raise UsageError("--epochs does not go with --workflow")
        if self.total and self.workflow != "accumulate-subsample":
            raise UsageError("--total goes with --workflow accumulate-subsample")
        _refuse_twice(self.generations)
        taken = self.generations[-1:] if self.workflow == "replace" else self.generations
        return [(name, 1 / len(taken)) for name in taken], unit


def _shares(sources: tuple[str, ...]) -> list[tuple[str, float]]:
    if not sources:
        raise UsageError("name the sources: SOURCE=SHARE …")
    found = []
    for text in sources:
        name, equals, share = text.rpartition("=")
        try:
            value = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
        except ValueError:
            value = math.nan
        if not equals or not name or not math.isfinite(value):
            raise UsageError(f"{text}: write SOURCE=SHARE, such as human/=0.75 or human/=75%")
        if value < 0:
            raise UsageError(f"{text}: a share cannot be negative")
        found.append((name, value))
    _refuse_twice([name for name, _ in found])
    total = math.fsum(share for _, share in found)
    if abs(total - 1) > 1e-6:
        raise UsageError(f"the shares sum to {total:.6g}, not to 1")
    return found


def _refuse_twice(names: Any) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise UsageError(f"{name}: is named twice")


def _files(name: str) -> list[str]:
    """What a source's name stands for: itself, or what a glob finds."""
    if name == "-" or os.path.exists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(glob.glob(name))
    if not found:
        raise SynthError(f"{name}: no file has such a name")
    return found


def run(
    bad: BadRecords,
    text: Text,
    writing: Writing,
    jobs: Jobs,
    options: Options,
    dry_run: bool,
    json_output: bool,
) -> None:
    """Measures the sources, plans, writes."""
    named, unit = options.checked()
    total = None if options.total is None else quantities.count(options.total, "--total")
    files = {name: _files(name) for name, share in named if share > 0}
    reading = Reading(
        bad.on_error, bad.rejects, bad.quiet, [file for group in files.values() for file in group]
    )
    with Run("mix", reading, None if dry_run else writing, text.text_field) as run:
        if run.done:
            run.finish()
            return
        from synthtools.curation import mixing

        groups = _grouped(run, files)
        count = _counter(options, unit)
        measured = [
            _measured(run, name, groups.get(name, []), count, options, jobs) for name, _ in named
        ]
        if options.workflow == "accumulate-subsample":
            parts = mixing.subsample(measured, total or measured[0].total, options.seed)
        elif options.workflow is not None:
            parts = mixing.everything(measured)
        else:
            shares = [share for _, share in named]
            parts = mixing.by_shares(
                measured, shares, total, options.epochs, options.seed, unit == "documents"
            )
        result = {
            "unit": unit,
            "total": sum(part.units for part in parts),
            "documents": sum(part.documents for part in parts),
            "sources": mixing.manifest(parts),
        }
        if not dry_run:
            streams = [_taken(run, groups.get(part.source.name, []), part, jobs) for part in parts]
            mixture = _shuffled if options.shuffle else _interleaved
            run.write(_placed(mixture(parts, streams, options)))
            run.finish(result)
            return
        report = run.finish(result)
    if writing.report:
        reports.save(report, writing.report)
    reports.show(report, json_output, _plan_lines(report))


def _grouped(run: Run, files: dict[str, list[str]]) -> dict[str, list[Shard]]:
    """The shards of each source, ready to be read twice."""
    found = run.groups()
    groups: dict[str, list[Shard]] = {}
    at = 0
    for name, names in files.items():
        shards = [shard for _, some in found[at : at + len(names)] for shard in some]
        groups[name] = run.twice(shards)
        at += len(names)
    return groups


# ---------------------------------------------------------------- measuring


def _counter(options: Options, unit: str) -> Callable[[Batch, Texts], np.ndarray]:
    """Counts the units of each text."""
    if unit == "documents":
        return lambda batch, texts: np.ones(len(texts), np.int64)
    if unit == "bytes":
        return lambda batch, texts: texts.lengths()
    if unit == "words":
        from synthtools.text.ngrams import word_counts

        return lambda batch, texts: word_counts(texts)
    counts = None
    if options.tokenizer:
        from synthtools.lm.loading import ModelName
        from synthtools.lm.scorer import open_tokenizer

        counts = open_tokenizer(ModelName(options.tokenizer)).counts

    def tokens(batch: Batch, texts: Texts) -> np.ndarray:
        said = batch.column(options.tokens_field)
        sizes = np.array([v if type(v) is int and v >= 0 else -1 for v in said], np.int64)
        unsaid = np.flatnonzero(sizes < 0)
        if len(unsaid):
            if counts is None:
                number = int(batch.numbers[unsaid[0]])
                raise SynthError(
                    f'{batch.source}:{number}: no number of tokens in field "{options.tokens_field}"; '
                    "count them with --tokenizer NAME"
                )
            sizes[unsaid] = counts([texts[i] for i in unsaid.tolist()])
        return sizes

    return tokens


def _measured(
    run: Run,
    name: str,
    shards: list[Shard],
    count: Callable[[Batch, Texts], np.ndarray],
    options: Options,
    jobs: Jobs,
) -> Measured:
    from synthtools.curation.mixing import Measured

    keys = Keys()
    sizes, found_keys = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]

    def work(batch: Batch, texts: Texts) -> Any:
        return count(batch, texts), hashes(batch.column(ID_FIELD), texts.views())

    for found in run.worked(work, jobs, shards=shards, fields=(ID_FIELD, options.tokens_field)):
        sizes.append(found.result[0])
        found_keys.append(keys.of_hashes(found.result[1]))
    return Measured(name, np.concatenate(sizes), np.concatenate(found_keys))


# ---------------------------------------------------------------- putting in order


def _taken(run: Run, shards: list[Shard], part: Part, jobs: Jobs) -> Iterator[Batch]:
    """The documents of a part, in its order."""
    for taken in part.passes:
        wanted = np.zeros(len(part.source.sizes), bool)
        wanted[taken] = True
        at = 0
        for found in run.worked(lambda batch, texts: None, jobs, shards=shards, again=True):
            chosen = np.flatnonzero(wanted[at : at + len(found.batch)])
            at += len(found.batch)
            if len(chosen):
                yield found.batch if len(chosen) == len(found.batch) else found.batch.take(chosen)


class _Cursor:
    """Takes documents from a stream of batches, a few at a time."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._batch: Batch | None = None
        self._at = 0

    def take(self, count: int) -> list[Batch]:
        found = []
        while count:
            if self._batch is None or self._at == len(self._batch):
                self._batch, self._at = next(self._batches, None), 0
                if self._batch is None:
                    raise SynthError("an input has become shorter while it was read")
            end = min(len(self._batch), self._at + count)
            found.append(self._batch.take(range(self._at, end)))
            count -= end - self._at
            self._at = end
        return found


def _interleaved(
    parts: list[Part], streams: list[Iterator[Batch]], options: Options
) -> Iterator[Batch]:
    from synthtools.curation.mixing import interleaved
    from synthtools.records.merging import merged

    owners = interleaved(parts)
    cursors = [_Cursor(stream) for stream in streams]
    for start in range(0, len(owners), _GROUP):
        group = owners[start : start + _GROUP]
        batches: list[Batch] = []
        for index, count in enumerate(np.bincount(group, minlength=len(parts)).tolist()):
            batches += cursors[index].take(count)
        # The batches hold part after part: the place of each document's part says where it stands.
        order = np.empty(len(group), np.int64)
        order[np.argsort(group, kind="stable")] = np.arange(len(group))
        yield _labelled(
            merged(batches, order, "mixture"), [parts[i].source.name for i in group], options
        )


def _shuffled(
    parts: list[Part], streams: list[Iterator[Batch]], options: Options
) -> Iterator[Batch]:
    from synthtools.curation.mixing import shuffled
    from synthtools.records.merging import merged
    from synthtools.records.spool import Spool

    ranks = shuffled(parts, options.seed)
    documents = sum(map(len, ranks))
    text_bytes = sum(stream_bytes(part) for part in parts)
    buckets = max(1, min(documents, math.ceil(text_bytes / _BUCKET_BYTES)))
    limits = [documents * (i + 1) // buckets for i in range(buckets)]
    with ExitStack() as stack:
        spools = [stack.enter_context(Spool()) for _ in limits]
        kept: list[list[tuple[np.ndarray, np.ndarray, int]]] = [[] for _ in limits]
        for index, (stream, places) in enumerate(zip(streams, ranks, strict=True)):
            at = 0
            for batch in stream:
                own = places[at : at + len(batch)]
                at += len(batch)
                bucket = np.searchsorted(limits, own, side="right")
                for which in np.unique(bucket).tolist():
                    members = np.flatnonzero(bucket == which)
                    handles = spools[which].add(batch.take(members))
                    kept[which].append((own[members], handles, index))
        for spool, held in zip(spools, kept, strict=True):
            if not held:
                continue
            order = np.argsort(np.concatenate([own for own, _, _ in held]))
            batches = list(spool.batches(np.concatenate([handles for _, handles, _ in held])))
            names = [parts[i].source.name for own, _, i in held for _ in own]
            whole = merged(batches, order, "mixture")
            yield _labelled(whole, [names[i] for i in order], options)


def stream_bytes(part: Part) -> int:
    """About how many bytes a part's documents have (tokens and words are some bytes each)."""
    return 8 * part.units + 256 * part.documents


def _labelled(batch: Batch, names: list[str], options: Options) -> Batch:
    if options.label is None:
        return batch
    return batch.adding({options.label: Column("string", names)})


def _placed(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Batches that know their place in the mixture, for a resumed run."""
    at = 0
    for batch in batches:
        batch.ordinals = np.arange(at, at + len(batch), dtype=np.int64)
        at += len(batch)
        yield batch


def _plan_lines(report: dict[str, Any]) -> list[str]:
    lines = table(
        [
            ("total", f"{report['total']:,} {report['unit']}"),
            ("documents", number(report["documents"])),
        ]
    )
    for row in report["sources"]:
        lines.append(
            f"{100 * row['share']:7.3f} %  {row['units']:>14,} of {row['units_there']:,} "
            f"{report['unit']}, {row['documents']:,} documents, {row['epochs']:.2f} epochs  "
            f"{row['source']}"
        )
    return lines
