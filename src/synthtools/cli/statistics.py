"""The run behind ``synth stats``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthtools.cli import terminal
from synthtools.cli.options import Inputs, Jobs
from synthtools.cli.publish import check_plot, draw, show
from synthtools.cli.run import Run
from synthtools.errors import RecordError, UsageError
from synthtools.reports import document

if TYPE_CHECKING:
    import numpy as np

    from synthtools.lm.tokens import TextTokenizer
    from synthtools.measure.grouping import Groups
    from synthtools.measure.looking import Plan
    from synthtools.records.batch import Batch
    from synthtools.records.inputs import Shard

# Numbers that each document has, by which groups are tested, and the measure they belong to.
TESTED = {
    "words": "lengths",
    "ttr": "vocabulary",
    "mtld": "vocabulary",
    "hdd": "vocabulary",
    "entropy": "vocabulary",
    "lexical_diversity": "self-bleu",
}

# Texts that are embedded at a time.
_EMBEDDED = 256

_TESTED_UNASKED = ("words", "mtld", "lexical_diversity")


@dataclass(frozen=True)
class Options:
    """Options of the tool, as given."""

    by: str | None
    measures: str | None
    tests: str | None
    tokenizer: str | None
    vector_field: str | None
    vector_model: str | None
    sample: int
    pooled: int
    vectors: int
    words: int
    match_words: str | None
    rates: tuple[str, ...]
    seed: int
    report: str | None
    plot: str | None
    json: bool

    def plan(self) -> Plan:
        """Raises UsageError where options do not go together."""
        from synthtools.measure.looking import FREE, MEASURES, Plan
        from synthtools.measure.rates import patterns_of

        if self.vector_field and self.vector_model:
            raise UsageError("--vector-field and --vector-model: give one")
        vectors = bool(self.vector_field or self.vector_model)
        if self.measures is None:
            named = {*FREE, *(["tokens"] if self.tokenizer else []), *(["semantic"] * vectors)}
            named |= {"rates"} if self.rates else set()
        else:
            named = set(_listed(self.measures, MEASURES, "--measures"))
        if "tokens" in named and not self.tokenizer:
            raise UsageError("--measures tokens needs --tokenizer NAME (builtin is one)")
        if "semantic" in named and not vectors:
            raise UsageError("--measures semantic needs --vector-field or --vector-model")
        if vectors and "semantic" not in named:
            raise UsageError("vectors are for semantic diversity: add it to --measures")
        if ("rates" in named) != bool(self.rates):
            raise UsageError("rates are of patterns: give --rate NAME=REGEX and --measures rates")
        if self.plot is not None:
            check_plot(self.plot)
        return Plan(
            frozenset(named),
            self.sample,
            min(self.pooled, self.sample),
            self.vectors,
            self.words,
            self.vector_model is not None,
            self._match(),
            patterns_of(self.rates, "--rate"),
            self.seed,
        )

    def _match(self) -> int | None:
        """Words of each group that are matched, 0 for those of the smallest."""
        from synthtools.cli.quantities import count
        from synthtools.measure.vocabulary import FEWEST_WORDS, STEP

        if self.match_words is None or self.match_words == "min":
            return None if self.match_words is None else 0
        words = count(self.match_words, "--match-words")
        if words < FEWEST_WORDS or words % STEP:
            raise UsageError(
                f"--match-words {self.match_words}: min, or thousands from {FEWEST_WORDS:,} on"
            )
        return words

    def tested(self, plan: Plan) -> list[str]:
        if self.tests == "none":
            return []
        if self.tests is None:
            return [name for name in _TESTED_UNASKED if TESTED[name] in plan.measures]
        if self.tests == "all":
            return [name for name, measure in TESTED.items() if measure in plan.measures]
        named = _listed(self.tests, tuple(TESTED), "--tests")
        for name in named:
            if TESTED[name] not in plan.measures:
                raise UsageError(f"--tests {name} needs the measure {TESTED[name]}")
        return named


def _listed(given: str, known: tuple[str, ...], option: str) -> list[str]:
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {name}: use {', '.join(known)}, separated by commas")
    return list(dict.fromkeys(names))


def run(reading: Inputs, text_field: str, jobs: Jobs, options: Options) -> None:
    """Reads the inputs once and reports on their groups."""
    plan = options.plan()
    tested = options.tested(plan)
    with Run("stats", reading, None, text_field, apart=options.by is None) as run:
        from synthtools.measure.grouping import Groups

        tokenizer = _tokenizer(options)
        groups = Groups(plan, "name a field of fewer values with --by")
        _read(run, groups, plan, options, tokenizer, jobs)
        result = _result(run, groups, plan, options, tokenizer, jobs)
        result["tests"] = _tests(groups, tested)
        report = run.finish({"kind": "stats", **result})
    draw(report, options.plot)
    if options.report is not None:
        document.save(report, options.report)
    from synthtools.reports.stats import lines

    show(report, options.json, lines(report))


def _tokenizer(options: Options) -> TextTokenizer | None:
    if options.tokenizer is None:
        return None
    from synthtools.lm.loading import ModelName
    from synthtools.lm.scorer import open_tokenizer

    return open_tokenizer(ModelName(options.tokenizer))


def _inputs(run: Run, by: str | None) -> list[tuple[str | None, list[Shard]]]:
    """Shards with the group that they are, None where a field tells."""
    if by is not None:
        return [(None, run.shards)]
    return list(run.groups())


def _read(
    run: Run,
    groups: Groups,
    plan: Plan,
    options: Options,
    tokenizer: TextTokenizer | None,
    jobs: Jobs,
) -> None:
    import numpy as np

    from synthtools.draws import lane_of, record_uniforms
    from synthtools.measure.looking import look
    from synthtools.records.identity import ID_FIELD, Keys

    work = look(plan, tokenizer.encode if tokenizer is not None else None)
    keys = Keys(apart=True)
    lane = lane_of("stats")
    fields = [ID_FIELD, *([options.by] if options.by else [])]
    dimensions: list[int] = []
    size = 0
    for name, shards in _inputs(run, options.by):
        if name is not None:
            groups.place(name)
        by_vectors = options.vector_field is not None
        for found in run.worked(
            work, jobs, shards=shards, fields=fields, records=by_vectors, texts=True
        ):
            draws = record_uniforms(options.seed, keys.of_hashes(found.result.keys), lane)
            names = _names(found.batch, options.by) if name is None else [name] * len(found.batch)
            places = np.array([groups.place(one) for one in names], np.int64)
            vectors = _vectors(found.batch, options, dimensions)
            groups.add(found.texts, found.result, places, draws, vectors)
            size += found.text_bytes
            run.count(len(found.batch))
    run.units["bytes"] = size


def _names(batch: Batch, by: str | None) -> list[str]:
    from synthtools.curate.drawing import strata_of

    return strata_of(batch, by)


def _vectors(batch: Batch, options: Options, dimensions: list[int]) -> np.ndarray | None:
    if options.vector_field is None:
        return None
    import numpy as np

    from synthtools.measure.density import with_vectors
    from synthtools.records.rejects import Rejects

    # A record without a vector would be counted in some measures and not in others: no skipping.
    found = [v for _, v in with_vectors([batch], options.vector_field, "--vector-field", Rejects())]
    vectors = found[0] if found else np.zeros((0, dimensions[0] if dimensions else 1), np.float32)
    dimensions.append(vectors.shape[1])
    if dimensions[0] != dimensions.pop():
        reason = f'field "{options.vector_field}" has {vectors.shape[1]} numbers where others have {dimensions[0]}'
        raise RecordError(batch.source, int(batch.numbers[0]), reason)
    return vectors


def _result(
    run: Run,
    groups: Groups,
    plan: Plan,
    options: Options,
    tokenizer: TextTokenizer | None,
    jobs: Jobs,
) -> dict[str, Any]:
    from synthtools.measure import token_frequency
    from synthtools.scale.threads import in_order

    result: dict[str, Any] = {
        "by": options.by or "input",
        "text_field": run.text_field,
        "measures": sorted(plan.measures),
        "sampled_documents": plan.sample,
        "pooled_documents": plan.pooled,
        "sampled_vectors": plan.vectors,
        "words_taken": plan.words,
    }
    semantic = list(_semantic(run, groups, plan, options, jobs))
    result["groups"], result["matched_words"] = groups.results(
        lambda some, report: in_order(some, report, jobs.workers())
    )
    result["in_full"] = groups.in_full
    for group, found in zip(result["groups"], semantic, strict=False):
        group["semantic_diversity"] = found
    if "tokens" in plan.measures and tokenizer is not None:
        import numpy as np

        tokens = {g: (ids.astype(np.int64), n) for g, (ids, n) in groups.tokens.counts().items()}
        none = np.zeros(0, np.int64), np.zeros(0, np.int64)
        few = len(groups.groups) <= token_frequency.MOST_DENSITIES
        size = len(tokenizer.surfaces)
        for place, group in enumerate(result["groups"]):
            found = tokens.get(place, none)
            group["tokens"] = token_frequency.frequency(*found, size, few)
        names = [group.name for group in groups.groups]
        result["tokenizer"] = options.tokenizer
        listed = 1 < len(tokens) <= token_frequency.MOST_LISTS
        result["over_represented_tokens"] = (
            token_frequency.standing_out(tokens, names, tokenizer.surfaces) if listed else None
        )
    return result


def _semantic(
    run: Run, groups: Groups, plan: Plan, options: Options, jobs: Jobs
) -> Iterator[dict[str, Any]]:
    if "semantic" not in plan.measures:
        return
    import numpy as np

    from synthtools.measure.diversity import semantic_diversity

    if options.vector_model is None:
        for group in groups.groups:
            rows = group.vectors.result()
            yield semantic_diversity(np.stack(rows) if rows else np.zeros((0, 1)))
        return
    from synthtools.lm.loading import ModelName
    from synthtools.lm.settings import Settings
    from synthtools.lm.vectors import open_vector_model

    settings = Settings(ModelName(options.vector_model), cores=jobs.jobs, ray=jobs.ray)
    with open_vector_model(settings, tell=terminal.remark) as model:
        run.model = model.description
        for group in groups.groups:
            texts = group.texts.result()[: plan.vectors]
            rows = [np.zeros((0, 1))]
            for start in range(0, len(texts), _EMBEDDED):
                tokens = model.tokenise(texts[start : start + _EMBEDDED])
                # A text without tokens has no vector.
                there = [len(text.ids) > 0 for text in tokens]
                rows.append(model.embed(tokens)[there])
            yield semantic_diversity(np.concatenate(rows[1:] or rows))


def _tests(groups: Groups, tested: list[str]) -> dict[str, Any] | None:
    if len(groups.groups) < 2 or not tested:
        return None
    from synthtools.measure.significance import compared

    names = [group.name for group in groups.groups]
    places = range(len(names))
    return {name: compared(names, [groups.values(name, p) for p in places]) for name in tested}
