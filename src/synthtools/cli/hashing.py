"""The runs behind ``synth ngram-hash``: counts, signatures, near-duplicates, density."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthtools.cli import pictures, terminal
from synthtools.cli.options import Inputs, Jobs, Output, TextField
from synthtools.cli.publish import show
from synthtools.cli.run import Run
from synthtools.errors import UsageError
from synthtools.records.batch import Batch, Column
from synthtools.reports import document
from synthtools.reports.document import number, table

_SHOWN = 10
_PAIRS_REPORTED = 1000


def check(
    modes: list[str],
    per_record: str | None,
    hash_name: str,
    writing: Output,
    plot: str | None,
    json_output: bool,
) -> None:
    """Refuses options that do not go together.

    Raises:
        UsageError
    """
    if len(modes) > 1:
        named = ", ".join(f"--{mode}" for mode in modes)
        raise UsageError(f"{named}: each is a report of its own; give one")
    if per_record not in (None, "minhash", "density"):
        raise UsageError(f"--per-record {per_record}: use minhash or density")
    if hash_name not in ("fast", "sha256"):
        raise UsageError(f"--hash {hash_name}: use fast or sha256")
    writes = per_record is not None or modes == ["duplicates"]
    if not writes and (writing.output or writing.format or writing.resume):
        raise UsageError(
            "a report goes to stdout (--report FILE keeps it); -o, --format and --resume go with "
            "--per-record and --duplicates"
        )
    if json_output and per_record is not None:
        raise UsageError("--json belongs to reports; records are JSON already")
    if plot is not None and per_record is not None:
        raise UsageError("--plot draws reports: it does not go with --per-record")
    if plot is not None:
        pictures.check_name(plot)


# ---------------------------------------------------------------- counts


@dataclass(frozen=True)
class Counting:
    """Options of counting, as given."""

    n: str
    buckets: int
    hash_name: str
    top: int
    exact: bool

    def orders(self) -> tuple[int, ...]:
        try:
            orders = tuple(sorted({int(part) for part in self.n.split(",")}))
        except ValueError:
            orders = ()
        if not orders or orders[0] < 1 or orders[-1] > 100:
            raise UsageError(f"--n {self.n}: give lengths from 1 to 100 separated by commas")
        return orders


def run_counts(
    reading: Inputs,
    text: TextField,
    writing: Output,
    jobs: Jobs,
    counting: Counting,
    compare: bool,
    plot: str | None,
    json_output: bool,
) -> None:
    """Responses of the inputs, together or each against each."""
    orders = counting.orders()
    with Run("ngram-hash", reading, None, text.text_field, apart=compare) as run:
        groups = run.groups() if compare else [("all", run.shards)]
        if compare and len(groups) < 2:
            raise UsageError("--compare needs two inputs or more")
        from synthtools.measure.ngrams import Counter, comparisons
        from synthtools.text.ngrams import NgramHasher

        hasher = NgramHasher(orders, counting.buckets, counting.hash_name)  # type: ignore[arg-type]
        counter = Counter(hasher, counting.top > 0, counting.exact)
        corpora = [
            counter.corpus(
                name, run.worked(counter.work, jobs, shards=shards, records=False), run.count
            )
            for name, shards in groups
        ]
        run.units["bytes"] = sum(corpus.utf8_bytes for corpus in corpora)
        head = {"n": list(orders), "buckets": counting.buckets, "hash": counting.hash_name}
        if compare:
            inputs = [corpus.report(counting.top) for corpus in corpora]
            result = {
                "kind": "ngram-hash-compare",
                **head,
                "inputs": inputs,
                "pairs": comparisons(corpora, counting.top),
            }
        else:
            found = corpora[0].report(counting.top)
            del found["name"]
            result = {"kind": "ngram-hash", **head, **found}
        report = run.finish(result)
    pictures.plot(report, plot)
    _out(report, writing, json_output, _count_lines(report))


def _out(report: dict[str, Any], writing: Output, json_output: bool, lines: list[str]) -> None:
    if writing.report:
        document.save(report, writing.report)
    show(report, json_output, lines)


_FIGURES = (
    ("documents", "documents"),
    ("n-grams", "ngrams"),
    ("entropy (nats)", "entropy"),
    ("effective buckets", "effective_buckets"),
    ("Gini", "gini"),
    ("share of the fullest 1 %", "top_1_percent"),
    ("share of the fullest 10 %", "top_10_percent"),
    ("empty buckets", "empty_buckets"),
)


def _count_lines(report: dict[str, Any]) -> list[str]:
    if report["kind"] == "ngram-hash":
        lines = table([(name, number(report[key])) for name, key in _FIGURES])
        return lines + _top_lines(report["top"])
    inputs = report["inputs"]
    wide = max(len(name) for name, _ in _FIGURES)
    lines = [" " * wide + "".join(f"  {_short(found['name']):>20}" for found in inputs)]
    for name, key in _FIGURES:
        lines.append(f"{name:<{wide}}" + "".join(f"  {number(f[key]):>20}" for f in inputs))
    for pair in report["pairs"]:
        lines += ["", f"{pair['left']}  against  {pair['right']}"]
        names = {
            "Jensen–Shannon (nats)": "js",
            "KL left‖right": "kl_left_right",
            "KL right‖left": "kl_right_left",
            "total variation": "total_variation",
            "cosine": "cosine",
        }
        lines += table([(name, number(pair[key])) for name, key in names.items()])
        for n, sides in pair["over_represented"].items():
            for side in ("left", "right"):
                grams = ", ".join(f"“{row['ngram']}”" for row in sides[side][:_SHOWN])
                lines.append(f"{n}-grams of {pair[side]}: {grams}")
    return lines


def _short(name: str) -> str:
    return name if len(name) <= 20 else "…" + name[-19:]


def _top_lines(top: dict[str, Any]) -> list[str]:
    lines = []
    for n, found in top.items():
        grams = ", ".join(f"“{gram}” {count:,}" for gram, count in found["ngrams"][:_SHOWN])
        lines += ["", f"{n}-grams: {grams}"]
    return lines


# ---------------------------------------------------------------- MinHash


def run_signatures(
    reading: Inputs, text: TextField, writing: Output, jobs: Jobs, permutations: int, shingle: int
) -> None:
    """The records with their signatures."""
    with Run("ngram-hash", reading, writing, text.text_field) as run:
        if run.done:
            run.finish()
            return
        from synthtools.text.minhash import signatures

        found = run.worked(lambda _, texts: signatures(texts, permutations, shingle), jobs)
        run.write(f.batch.adding({"minhash": Column("hashes", list(f.result))}) for f in found)
        run.finish()


def run_duplicates(
    reading: Inputs,
    text: TextField,
    writing: Output,
    jobs: Jobs,
    permutations: int,
    shingle: int,
    threshold: float,
    plot: str | None,
    json_output: bool,
) -> None:
    """Near-duplicate pairs and clusters within and across the inputs."""
    wanted = writing if writing.output or writing.format else None
    with Run("ngram-hash", reading, wanted, text.text_field, plot=plot) as run:
        if run.done:
            run.finish()
            return
        from synthtools.measure.duplicates import Documents, pair_batches, summary
        from synthtools.text.minhash import signatures
        from synthtools.text.near_duplicates import near_duplicates

        documents = Documents([name for name, _ in run.groups()])
        for index, (_, shards) in enumerate(run.groups()):
            for found in run.worked(
                lambda _, texts: signatures(texts, permutations, shingle),
                jobs,
                shards=shards,
                fields=("id",),
                records=False,
            ):
                documents.add(index, found.batch, found.result)
                run.count(len(found.batch))
        pairs = near_duplicates(documents.signatures(), threshold)
        if wanted is not None:
            run.write(pair_batches(documents, pairs))
        report = run.finish(
            {
                "kind": "ngram-hash-duplicates",
                "threshold": threshold,
                "permutations": permutations,
                "shingle": shingle,
                **summary(documents, pairs, _PAIRS_REPORTED),
            }
        )
    if wanted is not None and writing.output is None:
        return  # the pairs went to stdout
    _out(report, writing, json_output, _duplicate_lines(report))


def _duplicate_lines(report: dict[str, Any]) -> list[str]:
    rows = [
        ("documents", number(report["documents"])),
        ("pairs", number(report["pairs_found"])),
        ("clusters", number(report["clusters"])),
        ("documents in clusters", number(report["documents_in_clusters"])),
        ("largest cluster", number(report["largest_cluster"])),
    ]
    rows += [
        (f"pairs {_short(row['left'])} – {_short(row['right'])}", number(row["pairs"]))
        for row in report["by_input"]
    ]
    return table(rows)


# ---------------------------------------------------------------- density


@dataclass(frozen=True)
class Vectors:
    """Options of density, as given."""

    field: str
    model: str | None
    rows: int
    buckets: int
    width: float | None
    seed: int


Embedded = Callable[[bool], Iterator[tuple[Batch, np.ndarray]]]


@contextmanager
def _embedded(
    run: Run, options: Vectors, text_field: str, jobs: Jobs
) -> Iterator[tuple[Embedded, bool]]:
    """The records with their vectors, and whether they have been read once by then.

    The vectors of a model are made in one pass and kept on disk; those of a field are read again.
    """
    from synthtools.measure.density import with_vectors

    # Records that a resumed run has written count in the sketch as well.
    if options.model is None:

        def from_field(again: bool) -> Iterator[tuple[Batch, np.ndarray]]:
            return with_vectors(
                run.records(again=again), options.field, "--vector-field", run.rejects_of(again)
            )

        yield from_field, False
        return
    from synthtools.lm.loading import ModelName
    from synthtools.lm.settings import Settings
    from synthtools.lm.vectors import open_vector_model
    from synthtools.records.vectors import VectorFile

    settings = Settings(ModelName(options.model), cores=jobs.jobs, ray=jobs.ray)
    with VectorFile() as kept:
        with open_vector_model(settings, tell=terminal.remark) as model:
            run.model = model.description
            for batch in run.records(model.chunk_bytes):
                kept.append(model.embed(model.tokenise(batch.column(text_field))))

        def from_model(again: bool) -> Iterator[tuple[Batch, np.ndarray]]:
            at = 0
            for batch in run.records(again=again):
                yield batch, kept.read(at, len(batch))
                at += len(batch)

        yield from_model, True


def run_density(
    reading: Inputs,
    text: TextField,
    writing: Output,
    jobs: Jobs,
    options: Vectors,
    per_record: bool,
    plot: str | None,
    json_output: bool,
) -> None:
    """How densely vectors lie: a pass that counts, a pass that looks up."""
    if options.width == 0:
        raise UsageError("--width must be above 0")
    text_field = text.text_field if options.model else None
    with Run("ngram-hash", reading, writing if per_record else None, text_field, plot=plot) as run:
        if run.done:
            run.finish()
            return
        from synthtools.measure.density import distribution, sketched, width_of

        run.shards = run.twice(run.shards)
        with _embedded(run, options, text.text_field, jobs) as (embedded, read):
            width = options.width or width_of(embedded(True))
            sketch = sketched(
                (vectors for _, vectors in embedded(read)),
                options.rows,
                options.buckets,
                width,
                options.seed,
            )
            sizes = {"rows": options.rows, "buckets": options.buckets, "width": width}
            if per_record:
                if sketch is not None:
                    run.write(
                        batch.adding({"density": Column("float", sketch.density(vectors).tolist())})
                        for batch, vectors in embedded(True)
                    )
                run.finish(sizes)
                return
            found: list[np.ndarray] = []
            if sketch is not None:
                for batch, vectors in embedded(True):
                    found.append(sketch.density(vectors))
                    run.count(len(batch))
        report = run.finish({"kind": "ngram-hash-density", **sizes, **distribution(found)})
    lines = table([(name, number(report[name])) for name in ("documents", "mean", "median")])
    _out(report, writing, json_output, lines)
