"""Hashed n-grams of records: how broad a corpus is, and how two differ.

A token is a lower-cased run of letters, digits and underscores, or of other characters except
spaces. Each n-gram is hashed into one of the buckets; the counts are the response (ToEdit): broad
for human text, concentrated for synthetic text. The report adds entropy, Gini and the share of the
fullest buckets [ours], and on request the most frequent n-grams.

--compare does this for each input and compares every pair. --duplicates finds pairs and clusters
of near-duplicates by MinHash signatures, by default those of datasketch. --density estimates the density of
the records' vectors; --per-record writes signatures or densities into the records instead.

\b
Examples:
  synth ngram-hash human.jsonl.zst
  synth ngram-hash human.jsonl.zst synthetic.jsonl.zst --compare --json | jq '.pairs[0].js'
  synth ngram-hash train.jsonl eval.jsonl --duplicates -o pairs.jsonl
  synth ngram-hash embedded.parquet --per-record density | synth sample -n 1000 --by density --inverse

Memory: about 150 MB a core, and with --exact 100 bytes for each distinct n-gram; with
--duplicates 4 bytes for each value of every record's signature; with density rows × buckets × 8
bytes. Density reads the input twice; vectors of a model are kept in TMPDIR meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import Buckets, FieldName, Jaccard, Name, NgramLength
from synthtools.cli.options import Inputs, Json, Output, Picture, Seed, TextField, Workers
from synthtools.cli.parameters import option
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.records.batch import Batch
    from synthtools.records.text_buffer import TextBuffer

    # Records with their vectors, float32 [records, dimensions]; True where they are read again.
    Embedded = Callable[[bool], Iterator[tuple[Batch, np.ndarray]]]


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, TextField, Output, Json, Picture, Seed, Workers):
    """Options of ``synth ngram-hash``."""

    n: list[NgramLength] | None = option(
        commas=True, help="Lengths of the n-grams, in tokens (default: 1,2)."
    )
    buckets: Buckets | None = option(
        help="Hash buckets (default 10,000; 20,000 a row for density)."
    )
    hash: Literal["fast", "sha1", "sha256"] | None = option(
        help="Hash of an n-gram: fast (the default), a 64-bit one, or sha256, that of the DSIR package. Of "
        "signatures: sha1 (the default), that of datasketch, or fast, which takes two thirds of the time."
    )
    top: int = option(
        0,
        metavar="K",
        min=0,
        help="Report the K most frequent n-grams of each length (several times slower); with "
        "--compare also those over-represented on either side.",
    )
    exact: bool = option(
        False,
        help="Count every n-gram for --top, at a cost in time and memory. Else each batch of 4 MB "
        "counts those that are at least 1 in 8,192 of it, and the report bounds the error.",
    )
    compare: bool = option(
        False,
        help="Compare every pair of inputs: divergences, the buckets that differ most, "
        "over-represented n-grams.",
    )
    duplicates: bool = option(
        False,
        help="Find near-duplicates within and across inputs (MinHash-LSH); -o writes the pairs.",
    )
    threshold: Jaccard = option(
        0.8, help="Minimum estimated Jaccard similarity of near-duplicates."
    )
    permutations: int = option(128, metavar="P", min=2, max=4096, help="Values of a signature.")
    shingle: int = option(5, metavar="W", min=1, help="Tokens per shingle.")
    density: bool = option(
        False, help="Report the density of the records' vectors (the sketch of Sachdeva et al.)."
    )
    per_record: Literal["minhash", "density"] | None = option(
        help="Write the records with a field minhash (the signature) or density."
    )
    vector_field: FieldName = option("embedding", help="Field of the vectors, for density.")
    vector_model: Name | None = option(
        help="Take these vectors from a model instead, as synth embed does: builtin, a directory "
        "or a Hub id."
    )
    rows: int = option(1000, metavar="R", min=1, help="Number of hash rows in the density sketch.")
    width: float | None = option(
        metavar="W",
        min=0,
        help="Bucket width of the sketch (default: the mean distance between the first 1,000 "
        "vectors).",
    )

    def check(self) -> None:
        super().check()
        modes = {
            "--compare": self.compare,
            "--duplicates": self.duplicates,
            "--density": self.density,
            "--per-record": self.per_record is not None,
        }
        chosen = [flag for flag, given in modes.items() if given]
        if len(chosen) > 1:
            raise UsageError(f"{', '.join(chosen)}: each is a report of its own; give one")
        if self.plot is not None and self.per_record is not None:
            raise UsageError("--plot draws reports: it does not go with --per-record")
        if self.compare and len(self.files or ()) < 2:
            raise UsageError("--compare needs two inputs or more")
        signs = self.duplicates or self.per_record == "minhash"
        if self.hash == ("sha256" if signs else "sha1"):
            what = "signatures" if signs else "n-grams"
            other = "sha1" if signs else "sha256"
            raise UsageError(f"--hash {self.hash}: {what} are hashed by fast or {other}")
        if self.width == 0:
            raise UsageError("--width must be above 0")

    def takes_output(self) -> bool:
        return self.per_record is not None or self.duplicates

    def prints_report(self) -> bool:
        pairs_on_stdout = self.duplicates and self.format is not None and self.output is None
        return self.per_record is None and not pairs_on_stdout


def run(options: Options) -> dict[str, Any] | None:
    """One of the reports, or records with signatures or densities."""
    if options.density or options.per_record == "density":
        return _density(options)
    if options.per_record == "minhash":
        return _signatures(options)
    if options.duplicates:
        return _duplicates(options)
    return _counts(options)


def _counts(options: Options) -> dict[str, Any]:
    """Responses of the inputs, together or each against each."""
    from synthtools.cli.run import Run
    from synthtools.measure.ngram_counts import NgramCounter, comparisons
    from synthtools.text.ngram_buckets import NgramHasher

    orders = tuple(sorted(set(options.n or (1, 2))))
    by_sha = options.hash == "sha256"
    hasher = NgramHasher(orders, options.buckets or 10_000, "sha256" if by_sha else "fast")
    counter = NgramCounter(hasher, options.top > 0, options.exact)
    with Run("ngram-hash", options, None, options.text_field, apart=options.compare) as run:
        groups = run.groups() if options.compare else [("all", run.shards)]
        corpora = [
            counter.corpus(
                name, run.worked(counter.work, options, shards=shards, records=False), run.count
            )
            for name, shards in groups
        ]
        run.units["bytes"] = sum(corpus.utf8_bytes for corpus in corpora)
        inputs = [corpus.report(options.top) for corpus in corpora]
        report = {"n": list(hasher.orders), "buckets": hasher.buckets, "hash": hasher.hash}
        if options.compare:
            pairs = comparisons(corpora, options.top)
            report |= {"kind": "ngram-hash-compare", "inputs": inputs, "pairs": pairs}
        else:
            del inputs[0]["name"]
            report |= inputs[0]
        return run.finish(report)


def _signatures(options: Options) -> dict[str, Any]:
    """The records with their MinHash signatures."""
    from synthtools.cli.run import Run
    from synthtools.records.added_column import Column

    with Run("ngram-hash", options, options, options.text_field) as run:
        if not run.done:
            signed = run.worked(_signer(options), options)
            run.write(
                one.batch.adding({"minhash": Column("hashes", list(one.result))}) for one in signed
            )
        return run.finish()


def _signer(options: Options) -> Callable[[Batch, TextBuffer], np.ndarray]:
    """Makes the signatures of texts, uint32 [texts, permutations]."""
    from synthtools.text.minhash import signatures
    from synthtools.text.shingles import shingles

    size, permutations = options.shingle, options.permutations
    if options.hash == "fast":
        return lambda _, texts: shingles(texts, size).signatures(permutations)
    return lambda _, texts: signatures(texts, permutations, size)


def _duplicates(options: Options) -> dict[str, Any] | None:
    """Near-duplicate pairs and clusters within and across the inputs."""
    from synthtools.cli.run import Run
    from synthtools.measure.duplicates import DocumentSignatures, pair_batches, summary
    from synthtools.text.near_duplicates import near_duplicates

    output = options if options.output or options.format else None
    plot = options.plot if output else None  # else the report is drawn when it is printed
    with Run("ngram-hash", options, output, options.text_field, plot=plot) as run:
        if run.done:
            run.finish()
            return None
        documents = DocumentSignatures([name for name, _ in run.groups()])
        for index, (_, shards) in enumerate(run.groups()):
            for one in run.worked(
                _signer(options), options, shards=shards, fields=("id",), records=False
            ):
                documents.add(index, one.batch, one.result)
                run.count(len(one.batch))
        pairs = near_duplicates(documents.signatures(), options.threshold)
        if output is not None:
            run.write(pair_batches(documents, pairs))
        return run.finish(
            {
                "kind": "ngram-hash-duplicates",
                "threshold": options.threshold,
                "permutations": options.permutations,
                "shingle": options.shingle,
                **summary(documents, pairs),
            }
        )


def _density(options: Options) -> dict[str, Any]:
    """Densities of the records' vectors: one pass fills the sketch, another looks up."""
    from synthtools.cli.run import Run
    from synthtools.measure.embedded_records import distribution, sketched, width_of, with_density
    from synthtools.records.added_column import Column
    from synthtools.records.first_records import needs

    output = options if options.per_record else None
    text_field = options.text_field if options.vector_model else None
    check = None
    if options.vector_model is None:
        check = needs([], [(options.vector_field, "--vector-field")])
    with Run("ngram-hash", options, output, text_field, check=check) as run:
        if run.done:
            return run.finish()
        run.shards = run.twice(run.shards)
        with _embedded(run, options) as (embedded, read):
            width = options.width or width_of(embedded(True))
            if not width:
                raise SynthError("the first vectors are all equal: set --width, that of a bucket")
            sizes: dict[str, Any] = {"rows": options.rows, "buckets": options.buckets or 20_000}
            sizes["width"] = width
            sketch = sketched((rows for _, rows in embedded(read)), seed=options.seed, **sizes)
            dense = with_density(embedded(True), sketch)
            if output is not None:
                run.write(
                    batch.adding({"density": Column("float", d.tolist())}) for batch, d in dense
                )
                return run.finish(sizes)
            kept: list[np.ndarray] = []
            for batch, densities in dense:
                kept.append(densities)
                run.count(len(batch))
        return run.finish({"kind": "ngram-hash-density", **sizes, **distribution(kept)})


@contextmanager
def _embedded(run: Run, options: Options) -> Iterator[tuple[Embedded, bool]]:
    """The records with their vectors, and whether they have been read once by then. The vectors of a model are
    made in one pass and kept on disk; those of a field are read again."""
    from synthtools.measure.embedded_records import with_vectors

    # Records that a resumed run has written count in the sketch as well.
    if options.vector_model is None:

        def from_field(again: bool) -> Iterator[tuple[Batch, np.ndarray]]:
            records, rejects = run.records(again=again), run.rejects_of(again)
            return with_vectors(records, options.vector_field, "--vector-field", rejects)

        yield from_field, False
        return
    from synthtools.cli import terminal
    from synthtools.lm.embedding_model import open_embedding_model
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.measure.embedded_records import keep_vectors
    from synthtools.records.vector_file import VectorFile

    settings = ModelSettings(ModelName(options.vector_model), cores=options.jobs, ray=options.ray)
    with VectorFile() as vectors:
        with open_embedding_model(settings, remark=terminal.remark) as model:
            run.model = model.description
            records = run.records(model.chunk_bytes)
            keep_vectors(records, model, options.text_field, run.rejects, vectors)
        yield lambda again: vectors.beside(run.records(again=again)), True
