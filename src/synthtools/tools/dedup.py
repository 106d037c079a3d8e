"""Remove or mark duplicates: equal texts, equal paragraphs or lines, near-duplicates.

--exact (the default) compares whole texts; with --normalize, only their words in lower case; with
--field, the values of a field. --unit paragraph or line removes paragraphs or lines that occurred
before, together with the white space behind them. --near compares sets of shingles (runs of
words): MinHash signatures find candidate pairs, and the share of equal signature entries decides,
or with --verify the true Jaccard index. Pairs that form a chain are one cluster, of which one
record is kept. Of chats and instructions the answers are compared; --field messages compares whole
chats.

--against names records that are only read: whatever repeats one of them is removed. --index keeps
fingerprints on disk, so that a later run recognises the texts of earlier ones.

\b
Examples:
  synth dedup human/ synthetic/ --near --removed removed.jsonl --report dedup.json -o clean/
  synth dedup new.jsonl --against clean/ | synth cat --count
  synth dedup crawl/ --unit line --min-length 40 -o crawl-lines/
  synth dedup scored.jsonl --near --keep max:quality -o best.jsonl
  synth dedup monday.jsonl --near --index seen/ -o new-on-monday.jsonl

Memory: about 110 MB per million texts, 130 MB with --near. On disk in TMPDIR: 16 MB per million
texts; with --near 4 bytes for each signature entry (512 MB per million), with --verify 8 more for
each shingle. The input is read twice; stdin is kept in TMPDIR.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import FieldName, Jaccard, Natural, PathName
from synthtools.cli.options import Inputs, Output, Picture, Workers
from synthtools.cli.parameters import option
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.curate.deduplicated_records import DeduplicatedRecords
    from synthtools.curate.fingerprint_store import FingerprintIndex, SharedIndex
    from synthtools.curate.known_texts import DuplicateClusters, KnownTexts
    from synthtools.curate.text_fingerprints import DocumentComparison
    from synthtools.records.batch import Batch

_EXAMPLES = 20


def _keep(text: str) -> str:
    """Raises ValueError where it is no way to choose."""
    order, colon, field = text.partition(":")
    if text not in ("first", "longest") and not (order in ("max", "min") and colon and field):
        raise ValueError("use first, longest, max:FIELD or min:FIELD")
    return text


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Output, Picture, Workers):
    """Options of ``synth dedup``."""

    exact: bool = option(False, help="Find equal texts (the default).")
    near: bool = option(False, help="Find near-duplicates (MinHash-LSH).")
    against: list[PathName] | None = option(
        help="Also remove records that repeat one of this file or directory, which is only read; "
        "repeatable."
    )
    keep: str = option(
        "first",
        metavar="first|longest|max:FIELD|min:FIELD",
        parse=_keep,
        help="Which record of a cluster is kept: the first, the longest in characters, or the one "
        "with the largest or smallest number in a field (records without a number last).",
    )
    mark: bool = option(
        False,
        help="Remove nothing; add to every record cluster (the number of its cluster's first text) "
        "and cluster_size.",
    )
    removed: PathName | None = option(
        help="Write the removed records to this file or directory, each with cluster, duplicate_of "
        "(file:line of the kept record), reason and, for near-duplicates, similarity to it."
    )
    index: str | None = option(
        metavar="DIR|URL",
        help="A directory of fingerprints: texts of earlier runs count as known, and this run's are "
        "added. With --near also redis://HOST:PORT/NAME, an index that several machines share "
        "(needs [redis]).",
    )
    unit: Literal["record", "paragraph", "line"] = option(
        "record", help="What is compared and removed: whole records, or their paragraphs or lines."
    )
    min_length: Natural | None = option(
        help="Ignore paragraphs or lines of fewer characters (default 0)."
    )
    normalize: bool = option(
        False,
        help="Compare only the words (letters, digits, _): case, spacing and punctuation do not "
        "matter.",
    )
    field: FieldName | None = option(
        help="Compare the values of this field, not the texts; records without it are kept."
    )
    similarity: Jaccard | None = option(
        help="Minimum Jaccard index of the shingles of near-duplicates (default 0.8)."
    )
    shingle: int | None = option(
        metavar="W", min=1, help="Length of a shingle, in words or characters (default 5)."
    )
    shingle_unit: Literal["words", "characters"] | None = option(
        help="What shingles are made of (default: words; both in lower case with single spaces)."
    )
    permutations: int | None = option(
        metavar="P", min=2, max=4096, help="Entries of a signature (default 128)."
    )
    hash: Literal["fast", "sha1"] | None = option(
        help="Hash of a shingle: fast (default), or sha1, which gives the signatures of datasketch "
        "2.0."
    )
    verify: bool = option(
        False, help="Compare the shingles of candidate pairs, not only their signatures."
    )

    def check(self) -> None:
        super().check()
        if self.exact and self.near:
            raise UsageError("--exact and --near are two ways: give one")
        of_near = ("similarity", "shingle", "shingle_unit", "permutations", "hash")
        given = [name for name in of_near if getattr(self, name) is not None]
        given += ["verify"] if self.verify else []
        if given and not self.near:
            raise UsageError(f"--{given[0].replace('_', '-')} goes with --near")
        if self.near and (self.unit != "record" or self.normalize or self.field):
            raise UsageError("--near compares whole texts: leave out --unit, --normalize, --field")
        if self.unit == "record" and self.min_length is not None:
            raise UsageError("--min-length goes with --unit paragraph or line")
        if self.unit != "record" and (self.mark or self.field or self.keep != "first"):
            raise UsageError("--unit paragraph and line go without --mark, --field and --keep")
        if self.field and self.normalize:
            raise UsageError("--field compares values as they are: leave out --normalize")
        if self.hash == "sha1" and (self.verify or self.shingle_unit == "characters"):
            raise UsageError("--hash sha1 goes without --verify and --shingle-unit characters")
        if self.mark and (self.removed or self.keep != "first"):
            raise UsageError("--mark removes nothing: leave out --removed and --keep")
        if self.verify and self.index:
            raise UsageError("--verify needs the texts, of which an --index has only signatures")
        if self.index and self.index.startswith("redis://") and not self.near:
            raise UsageError(f"--index {self.index} holds signatures: it goes with --near")

    def threshold(self) -> float:
        """The least similarity of near-duplicates."""
        return 0.8 if self.similarity is None else self.similarity

    def comparison(self) -> DocumentComparison:
        """What makes two texts duplicates."""
        from synthtools.curate.text_fingerprints import DocumentComparison

        order, _, field = self.keep.partition(":")
        return DocumentComparison(
            "near" if self.near else "exact",
            self.unit,
            self.min_length or 0,
            self.normalize,
            self.field,
            self.permutations or 128,
            self.shingle or 5,
            self.shingle_unit or "words",
            self.hash or "fast",
            self.verify,
            order,
            field or None,
        )


def run(options: Options) -> dict[str, Any]:
    """Reads all for fingerprints, decides, reads the inputs again and writes."""
    from synthtools.cli.run import Run
    from synthtools.cli.run_inputs import numbers_of
    from synthtools.curate.fingerprint_store import job_hash
    from synthtools.curate.known_texts import KnownTexts
    from synthtools.records.first_records import needs
    from synthtools.records.inputs import find_shards
    from synthtools.records.same_file import refuse_repeated

    comparison = options.comparison()
    fields = [(options.field, "--field")] if options.field else []
    keys = [(comparison.order_field, "--keep")] if comparison.order_field else []

    def needed(first: Batch, others: Sequence[tuple[str, str]] = fields) -> None:
        needs([(options.text_in(first), "--text-field")], others)(first)

    refuse_repeated(find_shards([*(options.files or ["-"]), *(options.against or ())]))
    with ExitStack() as stack:
        # First: the output of a run that adds to it may stand already.
        index = _index(options.index, comparison, options) if options.index is not None else None
        if index is not None:
            stack.enter_context(index)
        run = stack.enter_context(
            Run(
                "dedup",
                options,
                options,
                options.text_field,
                beside=options.against or (),
                plot=options.plot,
                further=None if options.removed is None else (options.removed, "--removed"),
                check=lambda first: needed(first, fields + keys),
                check_beside=needed,
            )
        )
        job = job_hash(run.job())
        if run.done and (index is None or index.ends_with(job)):
            return run.finish()
        run.shards = run.twice(run.shards)
        groups = run.groups()
        groups += [(name, find_shards([name])) for name in options.against or ()]
        names = [name for name, _ in groups]
        texts = stack.enter_context(KnownTexts(comparison, names, numbers_of(groups), index))
        for shards in (run.shards_beside, run.shards):
            if shards is run.shards:
                texts.begin_own()
            for work in run.worked(
                comparison, options, shards=shards, fields=comparison.fields, records=False
            ):
                texts.add(work.batch, work.result)
                run.count(len(work.batch))
        texts.settle()
        if run.done:  # what was killed between its output and its index
            report = run.finish()
        else:
            report = _written(run, texts, options)
        if index is not None:
            index.add(texts.own_rows(), job)
        return report


def _index(
    name: str, comparison: DocumentComparison, options: Options
) -> FingerprintIndex | SharedIndex:
    from synthtools.curate.fingerprint_store import SCHEME, FingerprintIndex, SharedIndex
    from synthtools.text.similar_clusters import shape

    if not name.startswith(SCHEME):
        return FingerprintIndex(name, comparison.settings)
    bands, rows = shape(options.threshold(), comparison.permutations)
    if bands < 2:  # datasketch has two or more
        bands, rows = 2, comparison.permutations // 2
    return SharedIndex(name, comparison.settings, bands, rows)


def _written(run: Run, texts: KnownTexts, options: Options) -> dict[str, Any]:
    from synthtools.curate.deduplicated_records import DeduplicatedRecords

    report, clusters = _clusters_of(run, texts, options)
    if not options.mark:
        report["keep"] = options.keep
    run.progress.stage("writing, record", texts.own_records)
    records = DeduplicatedRecords(texts, clusters, run.text_field, options.mark, _EXAMPLES)
    run.write(_kept(run, texts, records, options))
    if records.done != texts.own_records:
        raise SynthError("the input has changed while it was read; run it again")
    return run.finish({**report, **records.report(run.shards_beside)})


def _clusters_of(
    run: Run, texts: KnownTexts, options: Options
) -> tuple[dict[str, Any], DuplicateClusters]:
    """The duplicates, and how they were sought."""
    from synthtools.scale.threads import in_order
    from synthtools.text.similar_clusters import shape

    comparison = texts.comparison
    if not options.near:
        return comparison.settings, texts.equal()
    similarity = options.threshold()
    bands, rows = shape(similarity, comparison.permutations)
    run.progress.stage("comparing, band", bands)
    jobs = options.workers()
    clusters = texts.similar(
        similarity, lambda work, of: in_order(of, work, jobs), run.progress.advance
    )
    return {
        **comparison.settings,
        "similarity": similarity,
        "verified": options.verify,
        "bands": bands,
        "rows": rows,
        "compared_in_part": texts.partly,
    }, clusters


def _kept(
    run: Run, texts: KnownTexts, records: DeduplicatedRecords, options: Options
) -> Iterator[Batch]:
    """The second pass: what stays; what goes is written on the way."""
    from synthtools.cli.run_inputs import no_work

    for work in run.worked(no_work, options, again=True, texts=True):
        if records.done + len(work.batch) > texts.own_records:
            raise SynthError("the input has changed while it was read; run it again")
        kept, gone = records.parted(work.batch, work.texts)
        run.write_further(gone)
        run.progress.advance(len(work.batch))
        if len(kept):
            yield kept
