"""The run behind ``synth mix``."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.cli import quantities
from synthtools.cli.options import BadRecords, Inputs, Jobs, Output, TextField
from synthtools.cli.publish import show
from synthtools.cli.run import Run
from synthtools.cli.terminal import remark
from synthtools.errors import RecordError, SynthError, UsageError
from synthtools.records.batch import Batch, Column
from synthtools.records.identity import ID_FIELD, hashes
from synthtools.records.inputs import Shard
from synthtools.reports import document
from synthtools.reports.document import number, table

if TYPE_CHECKING:
    from synthtools.curate.mixing import Part
    from synthtools.curate.surveying import Survey
    from synthtools.records.texts import Texts

_WORKFLOWS = ("replace", "accumulate", "accumulate-subsample")
_UNITS = ("tokens", "words", "bytes", "documents")
# Texts that are tokenised at once.
_TOKENISED = 256
# No document has more tokens; a larger number is no number of tokens.
_MOST_TOKENS = 1 << 40


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

    def checked(self) -> tuple[list[tuple[str, Fraction]], str]:
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
        return [(name, Fraction(1, len(taken))) for name in taken], unit


def _shares(sources: tuple[str, ...]) -> list[tuple[str, Fraction]]:
    if not sources:
        raise UsageError("name the sources: SOURCE=SHARE …")
    found = []
    for text in sources:
        name, _, share = text.rpartition("=")
        try:
            value = Fraction(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
        except (ValueError, ZeroDivisionError):
            value = None
        if not name or value is None:
            raise UsageError(f"{text}: write SOURCE=SHARE, such as human/=0.75 or human/=75%")
        if value < 0:
            raise UsageError(f"{text}: a share cannot be negative")
        found.append((name, value))
    _refuse_twice([name for name, _ in found])
    total = sum(share for _, share in found)
    if abs(total - 1) > Fraction(1, 10**6):
        raise UsageError(f"the shares sum to {_decimal(total)}, not to 1")
    return found


def _decimal(share: Fraction) -> str:
    return f"{float(share):.7g}" if share < 1e300 else "more than 1e300"


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
    text: TextField,
    writing: Output,
    jobs: Jobs,
    options: Options,
    dry_run: bool,
    json_output: bool,
    plot: str | None,
) -> None:
    """Measures the sources, plans, writes."""
    named, unit = options.checked()
    total = None if options.total is None else quantities.count(options.total, "--total")
    files = {name: _files(name) for name, share in named if share > 0}
    reading = Inputs(
        bad.on_error, bad.rejects, bad.quiet, [file for group in files.values() for file in group]
    )
    with Run("mix", reading, None if dry_run else writing, text.text_field, plot=plot) as run:
        if run.done:
            run.finish()
            return
        from synthtools.curate import mixing

        for name, share in named:
            if not share and not bad.quiet:
                remark(f"{name}: has a share of 0 and is left out")
        groups = _grouped(run, files)
        count = _counter(options, unit, jobs)
        surveys = [
            _surveyed(run, name, groups.get(name, []), count, unit, options.tokens_field, jobs)
            for name, _ in named
        ]
        measured = [survey.measured() for survey in surveys]
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
            run.write(_blended(surveys, parts, options, jobs))
            run.finish(result)
            return
        report = run.finish(result)
    if writing.report:
        document.save(report, writing.report)
    show(report, json_output, _plan_lines(report))


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


def _counter(options: Options, unit: str, jobs: Jobs) -> Callable[[Batch, Texts], np.ndarray]:
    """Counts the units of each text."""
    if unit == "documents":
        return lambda batch, texts: np.ones(len(texts), np.int64)
    if unit == "bytes":
        return lambda batch, texts: texts.lengths()
    if unit == "words":
        from synthtools.text.words import word_counts

        return lambda batch, texts: word_counts(texts)
    counts = None
    if options.tokenizer:
        # Tokenizers read this when they are first used; else they take all cores.
        os.environ.setdefault("RAYON_NUM_THREADS", str(jobs.workers()))
        from synthtools.lm.loading import ModelName
        from synthtools.lm.scorer import open_tokenizer

        counts = open_tokenizer(ModelName(options.tokenizer)).counts

    def tokens(batch: Batch, texts: Texts) -> np.ndarray:
        sizes = np.array([_said(value) for value in batch.column(options.tokens_field)], np.int64)
        unsaid = np.flatnonzero(sizes < 0)
        if len(unsaid) and counts is None:
            number = int(batch.numbers[unsaid[0]])
            reason = f'no number of tokens in field "{options.tokens_field}"; count them with --tokenizer NAME'
            raise RecordError(batch.source, number, reason)
        for start in range(0, len(unsaid), _TOKENISED):
            some = unsaid[start : start + _TOKENISED]
            sizes[some] = counts([texts[i] for i in some.tolist()])
        return sizes

    return tokens


def _said(value: Any) -> int:
    """The number of tokens that a record says it has; -1 where it says none."""
    if type(value) is float and value.is_integer():
        value = int(value)  # a column with nulls may have become one of doubles
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else -1


def _surveyed(
    run: Run,
    name: str,
    shards: list[Shard],
    count: Callable[[Batch, Texts], np.ndarray],
    unit: str,
    tokens_field: str,
    jobs: Jobs,
) -> Survey:
    from synthtools.curate.surveying import Survey

    survey = Survey(name, shards)

    def work(batch: Batch, texts: Texts) -> Any:
        return count(batch, texts), hashes(batch.column(ID_FIELD), texts.views())

    fields = (ID_FIELD, tokens_field) if unit == "tokens" else (ID_FIELD,)
    for found in run.worked(work, jobs, shards=shards, fields=fields, records=False):
        survey.add(found.batch, *found.result, found.text_bytes)
    return survey


def _blended(
    surveys: list[Survey], parts: list[Part], options: Options, jobs: Jobs
) -> Iterator[Batch]:
    """The mixture, each record labelled, and in its place for a resumed run."""
    from synthtools.curate import blending
    from synthtools.curate.surveying import of_one_form
    from synthtools.lm.ahead import ahead
    from synthtools.records.merging import as_lines

    # What becomes JSON must not depend on which documents happen to be neighbours.
    same = of_one_form(surveys)
    streams: list[Iterator[Batch]] = []
    for survey, part in zip(surveys, parts, strict=True):
        stream = survey.taken(part)
        stream = stream if same else map(as_lines, stream)
        streams.append(ahead(stream, 2) if jobs.workers() > 1 else stream)
    if options.shuffle:
        size = sum(
            survey.record_bytes * part.documents // max(1, len(part.source.sizes))
            for survey, part in zip(surveys, parts, strict=True)
        )
        blend = blending.shuffle(parts, streams, options.seed, size)
    else:
        blend = blending.interleave(parts, streams)
    at = 0
    for batch, owners in blend:
        batch.ordinals = np.arange(at, at + len(batch), dtype=np.int64)
        at += len(batch)
        if options.label is not None:
            names = [parts[owner].source.name for owner in owners.tolist()]
            batch = batch.adding({options.label: Column("string", names)})
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
