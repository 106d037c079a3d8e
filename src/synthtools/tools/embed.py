"""Vectors of documents, and a map of several corpora.

Adds the field embedding: float32 lists of a fixed size in Parquet and Arrow, lists in JSON, null
for a text without tokens. Only --max-tokens truncates. A text longer than the context is processed
in overlapping windows: for mean each token counts once; for last one window ends with the text;
for cls the windows' vectors are averaged, weighted by their tokens [ours].

--map samples each input and reports coordinates of each document (t-SNE) and, for each pair of
inputs, numbers [ours]: energy distance, MMD (Gaussian kernel with the median distance as its
bandwidth), accuracy of a k-nearest-neighbour classifier, coverage and density of the first by
the second (Naeem et al. 2020), and the share of documents whose neighbours are all of their own
input (isolated). Each comes with its expected value under no difference and a permutation
p-value, not corrected for multiple comparisons. Topic, length and language separate corpora as
well as authorship does: compare like with like.

\b
Examples:
  synth embed human.jsonl -o embedded.parquet
  synth embed human.jsonl --vector-model ./all-MiniLM-L6-v2 | synth ngram-hash --density
  synth embed human.jsonl synthetic.jsonl --map --limit 2000 --plot map.png
  synth embed human.jsonl synthetic.jsonl --map --max-tokens 512 --plot map.png
  synth embed embedded.parquet --map --vector-field embedding --by model --json | jq '.pairs[0].coverage'

The time is the model's, over all sampled tokens: 2,000 encyclopedia articles and 2,000 answers,
23 MB, took the built-in model 22 minutes of one core; --max-tokens shortens it.

Memory: the model, some MB of text ahead. With --map the sampled records are kept in TMPDIR; for
the documents of all groups 30 bytes per vector component and 2,000 bytes per document, at most
500 MB of distances and neighbours, and t-SNE's own (about 3 kB per document); 8 to 16 bytes for
each record read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.kinds import FieldName, Positive, TopK
from synthtools.cli.model_options import VectorModel
from synthtools.cli.options import Inputs, Json, Output, Picture, Seed, Workers
from synthtools.cli.parameters import option
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import SynthError, UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.curate.sampled_records import GroupSamples
    from synthtools.measure.document_map import MapGroup
    from synthtools.records.batch import Batch

# Every pair is compared, and each group needs a distinguishable marker.
_MOST_GROUPS = 12
_FOR_MAPS = "vector_field limit by reference method neighbours permutations plot"


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Output, Json, Picture, Seed, VectorModel, Workers):
    """Options of ``synth embed``."""

    pooling: Literal["mean", "last", "cls"] | None = option(
        help="The mean of the last hidden states over the text [ours], the state of its last "
        "token, or (sentence encoders only) of the first special token. Default: as the encoder's "
        "own configuration says, else mean."
    )
    normalize: bool = option(
        False, help="Scale vectors to length 1: distances then rank like cosines."
    )
    max_tokens: Positive | None = option(
        help="Embed only the first N tokens of each text (default: all): inputs of different "
        "lengths are compared over equal lengths, and long texts take less time."
    )
    map: bool = option(
        False, help="Report a map and the distances between inputs instead of writing records."
    )
    vector_field: FieldName | None = option(
        help="With --map: take the vectors from this field, without a model."
    )
    limit: int | None = option(
        2000,
        metavar="N",
        parse=quantities.count_or_all,
        min=1,
        help="With --map: draw at most N documents from each group, or all.",
    )
    by: FieldName | None = option(
        help="With --map: group records by this field (default: by input)."
    )
    reference: str | None = option(
        metavar="GROUP",
        help="With --map: the group that comes first (default: the first input; with --by the "
        "first value in alphabetical order).",
    )
    method: Literal["tsne", "umap", "pca"] = option(
        "tsne",
        help="Projection of the vectors: t-SNE (needs [map]), UMAP (needs [umap]) or principal "
        "components.",
    )
    neighbours: TopK = option(
        5, help="Number of nearest neighbours for accuracy, coverage, density and isolation; odd."
    )
    permutations: int = option(
        999,
        metavar="P",
        min=0,
        help="Permutations for the p-values; the smallest possible one is 1/(P + 1).",
    )

    def check(self) -> None:
        super().check()
        for name in () if self.map else _FOR_MAPS.split():
            if getattr(self, name) != getattr(Options, name):
                raise UsageError(f"--{name.replace('_', '-')} goes with --map")
        if self.neighbours % 2 == 0:
            raise UsageError("--neighbours must be odd, so that there is a majority")
        if self.map and self.shard:
            raise UsageError("--shard takes a part of the inputs; a map needs the whole of each")
        self.settings()

    def prints_report(self) -> bool:
        return self.map

    def open(self) -> Any:
        """The model that gives vectors."""
        from synthtools.cli import terminal
        from synthtools.lm.embedding_model import open_embedding_model

        return open_embedding_model(
            self.settings(), self.pooling, self.normalize, self.max_tokens, terminal.remark
        )


def run(options: Options) -> dict[str, Any]:
    """The records with a field ``embedding``, or a map of groups of them."""
    if options.map:
        return _map(options)
    from synthtools.cli.run import Run
    from synthtools.measure.embedded_records import embedded, with_field

    with Run("embed", options, options, options.text_field) as run:
        if not run.done:
            with options.open() as model:
                run.model = model.description
                batches = run.batches(model.chunk_bytes)
                vectors = embedded(batches, model, run.text_field, run.rejects)
                run.write(with_field(*one) for one in vectors)
        return run.finish({"vectors": run.totals.get("vectors", 0)})


def _map(options: Options) -> dict[str, Any]:
    """Groups of documents on one map, and how far apart they are."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark_unless
    from synthtools.curate.sampled_records import GroupSamples
    from synthtools.measure.document_map import MapGroup, document_map
    from synthtools.measure.projection import require
    from synthtools.records.first_records import GroupingCheck, needs
    from synthtools.records.spool import Spool

    require(options.method)
    text_field = None if options.vector_field else options.text_field
    vectors = [(options.vector_field, "--vector-field")] if options.vector_field else []

    def needed(first: Batch) -> None:
        needs([(options.text_in(first), "--text-field")] if text_field else [], vectors)(first)

    check = GroupingCheck(needed, options.by, "--by")
    apart = options.by is None
    with Run("embed", options, None, text_field, apart=apart, check=check) as run:
        check.tell(remark_unless(options.quiet))
        with Spool() as spool:
            field = run.text_field or options.text_field
            samples = GroupSamples(options.limit, options.seed, field, spool)
            missing = _sample(run, samples, options)
            names = samples.names() if options.by is None else sorted(samples.names())
            first = options.reference
            if first is not None and first not in names:
                raise SynthError(f"--reference {first}: no such group (groups: {', '.join(names)})")
            names.sort(key=lambda name: name != first)  # the reference first
            groups = [MapGroup(name, missing.get(name, 0), *samples.drawn(name)) for name in names]
            _take_vectors(run, groups, options)
        own = {name: getattr(options, name) for name in ("neighbours", "permutations", "seed")}
        return run.finish(document_map(groups, options.method, **own, stage=run.progress.stage))


def _sample(run: Run, samples: GroupSamples, options: Options) -> dict[str, int]:
    """Draws from all records; returns how many of each group have null for a vector."""
    from synthtools.curate.sampled_records import by_stratum, strata_of
    from synthtools.measure.document_map import sound_vectors

    field = options.vector_field
    missing: dict[str, int] = {}
    dimensions: int | None = None
    for name, shards in _named(run) if options.by is None else [(None, run.shards)]:
        if name is not None:
            samples.start(name)
        for batch in run.records(shards=shards):
            run.count(len(batch))
            groups = strata_of(batch, options.by) if name is None else [name] * len(batch)
            for group, some in by_stratum(batch, groups):
                if field:
                    some, nulls, dimensions = sound_vectors(
                        some, field, "--vector-field", run.rejects, dimensions
                    )
                    missing[group] = missing.get(group, 0) + nulls
                if len(some):
                    samples.add(group, some)
                if len(samples.names()) > _MOST_GROUPS:
                    raise SynthError(
                        f"more than {_MOST_GROUPS} groups: all are compared with all; choose a "
                        "field of fewer values for --by, or fewer inputs"
                    )
    return missing


def _named(run: Run) -> list[tuple[str | None, list[Any]]]:
    """(group, its shards) of each input; one that is named again has its number in the name."""
    times: dict[str, int] = {}
    groups: list[tuple[str | None, list[Any]]] = []
    for name, shards in run.groups():
        times[name] = times.get(name, 0) + 1
        groups.append((name if times[name] == 1 else f"{name} ({times[name]})", shards))
    return groups


def _take_vectors(run: Run, groups: list[MapGroup], options: Options) -> None:
    from synthtools.measure.document_map import stored_vectors
    from synthtools.measure.embedded_records import embedded

    if options.vector_field:
        for group in groups:
            group.take(stored_vectors(group.batches, options.vector_field, options.normalize))
        return
    with options.open() as model:
        run.model = model.description
        run.progress.stage("documents embedded", sum(len(group.order) for group in groups))
        for group in groups:
            batches = embedded(group.batches, model, run.text_field, run.rejects, all_kept=True)
            group.take(batches, run.progress.advance)
